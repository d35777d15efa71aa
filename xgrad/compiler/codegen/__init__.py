"""From a plan to text that runs: NumPy, LLVM IR, CUDA C++."""
