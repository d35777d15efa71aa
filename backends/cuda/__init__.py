"""CuPy on CUDA. Only the modules here, and NCCL, import CuPy."""
