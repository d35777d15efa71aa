"""Staged programs: a recorded function as data that can be shown, differentiated, optimised and run."""
