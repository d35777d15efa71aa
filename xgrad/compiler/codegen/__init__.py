"""From a plan to code: NumPy, LLVM IR or CUDA C++."""
