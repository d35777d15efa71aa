"""The engine: Tensors, the ops that are recorded as a graph, and the reverse and forward sweeps through
it."""
