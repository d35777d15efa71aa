"""NumPy on the CPU, and native code."""
