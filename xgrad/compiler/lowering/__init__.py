"""From a program to a plan: where each value lives in memory, and what is computed in which order."""
