"""CUDA C++ for programs: the text of kernels, which a backend compiles and launches."""
