"""Convolutions, norms and products in the way that suits a device: Winograd and oneDNN on CPUs, Triton on GPUs.

Takes: tensors and plain numbers. Gives: tensors, equal to PyTorch's own operators to rounding.
Not here: modules, weights' names, anything that knows which network it serves.
"""
