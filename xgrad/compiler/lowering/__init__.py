"""From a program to a plan: where each value lives in memory, and the order of computation."""
