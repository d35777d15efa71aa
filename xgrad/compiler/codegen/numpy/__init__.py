"""Python text that calls NumPy, for plans."""
