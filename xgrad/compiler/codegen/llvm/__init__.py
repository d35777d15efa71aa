"""LLVM IR for plans on the CPU."""
