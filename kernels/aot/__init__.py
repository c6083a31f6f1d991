"""Compile the Triton kernels ahead of time, without a GPU, and check the machine code.

    python -m seqvae.kernels.aot --help

``registry`` finds what is to be compiled, ``build`` compiles it in processes, ``embed`` writes what the C++ library includes,
``gate`` compares the machine code with limits and stored budgets.
"""
