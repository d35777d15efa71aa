"""Helpers shared by several tests: tables of calls and cases, backends to test on, comparisons."""
