"""Products by oneDNN, a CPU's library that computes at the processor's full width whoever made it.

PyTorch gives float32 matrices to Intel's MKL instead, which takes less than half of an AMD processor. What is called
here are the operators that torch.compile's own code for CPUs is made of.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

OPERATORS = ("_linear_pointwise", "_convolution_pointwise")
AVAILABLE = torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in OPERATORS)
"""False on processors that PyTorch has no oneDNN for, and in a PyTorch without these operators."""


def on_cpu(x: Tensor) -> bool:
    """Whether to compute in the CPU's ways."""
    return x.device.type == "cpu" and x.dtype == torch.float32


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear of float32 on a CPU."""
    if not AVAILABLE:
        return F.linear(x, weight, bias)
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return result


def grouped(kernels: Tensor, groups: int) -> Callable[[Tensor, Tensor | None], Tensor]:
    """A convolution with kernels [groups*out,C,1,1], brought into oneDNN's own order once for all the inputs to come:
    inputs [1,groups*C,H,W] in channels-last memory, and a bias [groups*out] or none."""
    if not AVAILABLE:
        return lambda x, bias: F.conv2d(x, kernels, bias, groups=groups)
    none, one = [0, 0], [1, 1]
    ordered = torch._C._nn.mkldnn_reorder_conv2d_weight(kernels.to_mkldnn(), none, one, one, groups)
    run = torch.ops.mkldnn._convolution_pointwise
    return lambda x, bias: run(x, ordered, bias, none, one, one, groups, "none", [], "")
