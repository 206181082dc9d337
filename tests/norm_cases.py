"""GroupNorm and sums by our kernels against float64, case by case. Run as a program under TRITON_INTERPRET=1 it prints
what it finds on a CPU as JSON; on a GPU, tests/test_triton_norm.py calls it."""

import json
import sys
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from osdface_core.kernels.triton_norm import add_, broken, group_norm

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Case:
    shape: tuple[int, int, int, int]
    groups: int
    offset: float = 0.0
    spread: float = 1.0
    silu: bool = True
    out: str = "new"
    """ "new", "itself", or "other": memory that is not channels-last."""
    weights: torch.dtype | None = None
    """None: as the image."""
    channels_last: bool = True
    shifted: bool = False
    """Whether a bias comes before the norm."""


CASES = {
    "one program a group": Case((2, 60, 13, 7), 6),
    "in parts": Case((2, 96, 33, 32), 3, silu=False),
    "in parts, channels of 32": Case((1, 96, 45, 49), 3),
    "small, in place": Case((2, 32, 8, 8), 16, out="itself"),
    "in parts, in place": Case((2, 48, 40, 37), 2, out="itself"),
    "into other memory": Case((2, 12, 9, 5), 4, out="other"),
    "small, far from zero": Case((2, 32, 16, 16), 8, offset=1000),
    "in parts, far from zero": Case((1, 64, 40, 35), 2, offset=1000),
    "flat, small": Case((1, 16, 11, 9), 4, offset=3, spread=0),
    "flat, in parts": Case((1, 16, 110, 90), 2, offset=-5, spread=0),
    "tiny values": Case((1, 32, 10, 10), 4, spread=1e-4),
    "one pixel": Case((2, 12, 1, 1), 3),
    "one channel": Case((1, 1, 5, 3), 1),
    "one group": Case((1, 40, 7, 7), 1),
    "no image": Case((0, 8, 4, 4), 2),
    "weights in fp32": Case((1, 24, 9, 9), 3, weights=torch.float32),
    "weights in fp64": Case((1, 24, 9, 9), 3, weights=torch.float64),
    "shifted, small": Case((2, 60, 13, 7), 6, shifted=True),
    "shifted, in parts": Case((2, 24, 43, 37), 1, shifted=True),
    "other memory layout": Case((2, 24, 9, 7), 3, channels_last=False),
}

SUMS = [(2, 96, 31, 33), (1, 320, 16, 16), (3, 3, 1, 1)]


def error(case: Case, dtype: torch.dtype, device: str) -> float:
    """The largest |y - exact| / (1 + |exact|), and infinity where the result is of another kind than promised."""
    generator = torch.Generator().manual_seed(len(str(case)))
    x = (torch.randn(case.shape, generator=generator) * case.spread + case.offset).to(device, dtype)
    x = x.contiguous(memory_format=torch.channels_last if case.channels_last else torch.contiguous_format)
    weight, bias = (torch.randn(case.shape[1], generator=generator).to(device, case.weights or dtype) for _ in range(2))
    shift = 5 * bias.flip(0) if case.shifted else None
    moved = x.double() if shift is None else x.double() + shift.double()[:, None, None]
    exact = exactly(moved, weight.double(), bias.double(), case) if x.numel() else moved
    out = {"new": None, "itself": x, "other": torch.empty(case.shape, dtype=dtype, device=device)}[case.out]
    before = x.clone()
    made = group_norm(x, weight, bias, case.groups, 1e-6, silu=case.silu, shift=shift, out=out)
    promised = made.dtype == dtype and made.shape == x.shape and (out is None or made is out)
    promised &= case.out == "other" or made.is_contiguous(memory_format=torch.channels_last)
    promised &= case.out == "itself" or torch.equal(x, before)
    if not promised:
        return float("inf")
    return float(((made.double() - exact).abs() / (1 + exact.abs())).max()) if made.numel() else 0.0


def sum_error(shape: tuple[int, int, int, int], dtype: torch.dtype, device: str) -> float:
    """The same of a sum of two images and a bias."""
    generator = torch.Generator().manual_seed(0)
    y, x = (torch.randn(shape, generator=generator).to(device, dtype) for _ in range(2))
    y, x = (image.contiguous(memory_format=torch.channels_last) for image in (y, x))
    bias = torch.randn(shape[1], generator=generator).to(device, dtype)
    exact = y.double() + x.double() + bias.double()[:, None, None]
    made = add_(y, x, bias)
    return float(((made.double() - exact).abs() / (1 + exact.abs())).max()) if made is y else float("inf")


def exactly(x: Tensor, weight: Tensor, bias: Tensor, case: Case) -> Tensor:
    """The same in float64 by its definition."""
    parts = x.unflatten(1, (case.groups, -1))
    variance, mean = torch.var_mean(parts, (2, 3, 4), correction=0, keepdim=True)
    normed = ((parts - mean) / (variance + 1e-6).sqrt()).flatten(1, 2)
    normed = normed * weight[:, None, None] + bias[:, None, None]
    return F.silu(normed) if case.silu else normed


def errors(device: str) -> dict[str, dict[str, float]]:
    """By case and precision."""
    found = {
        name: {precision: error(case, dtype, device) for precision, dtype in DTYPES.items()}
        for name, case in CASES.items()
    }
    for shape in SUMS:
        found[f"sum of {shape}"] = {name: sum_error(shape, dtype, device) for name, dtype in DTYPES.items()}
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    found = errors("cpu")
    assert not broken.is_set(), "Triton did not do it"
    sys.stdout.write(json.dumps(found))
