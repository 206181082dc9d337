"""Kernels: single operations of the networks, written for one kind of device where PyTorch's own are slow or inexact.

Takes: tensors, numbers. Gives: tensors. Each one has PyTorch's own operation beside it, where a device lacks its tools.
Not here: modules and weights, which operation to choose where (the networks decide that), anything to be configured.
"""
