"""The tests, in folders that mirror the packages of the library.

`helpers` holds shared code and no tests. Three tools have their own tests beside them: `fuzz`
writes random programs, `emulated` runs CUDA kernels on the CPU, `fakecuda` stands in for CUDA under CuPy.
`project` tests the repository itself: its structure, its pages, and what is installed from it. A test imports
no other test.
"""
