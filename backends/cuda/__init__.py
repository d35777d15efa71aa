"""CuPy on CUDA. The modules here, and NCCL, are the only ones that import CuPy."""
