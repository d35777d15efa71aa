"""The engine: Tensors, the graph of recorded ops, and the reverse and forward sweeps through it."""
