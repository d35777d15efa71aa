"""Staged programs: what a function records, as data that is shown, differentiated, optimised and run."""
