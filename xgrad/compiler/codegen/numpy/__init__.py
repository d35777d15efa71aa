"""Python code that calls NumPy, for plans."""
