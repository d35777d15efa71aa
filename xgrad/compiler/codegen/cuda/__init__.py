"""CUDA C++ for programs: the text of kernels, which only a backend compiles and launches."""
