"""GroupNorm, with or without SiLU, of channels-last images on a GPU: a read for the sums, then a read and a write; and
what else PyTorch takes several kernels for.

PyTorch's own on CUDA knows only the other memory layout: it copies such an image before and after, and SiLU goes over
it once more. This needs Triton, which comes with PyTorch for CUDA and ROCm on Linux. Where there is none, `usable` says
no; where it turns out not to work, a warning says so once and PyTorch's own norm does the work from then on.
"""

import logging
import threading
from collections.abc import Callable
from functools import cache
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

log = logging.getLogger(__name__)

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
SMALL = 1 << 15
"""Elements of a group in an image up to which one program does it all: launching three costs more than it saves."""
TILE, COPY_TILE, MERGE_TILE = 2048, 4096, 1024
"""Elements that a program has in its registers while it sums, writes and merges sums."""
PROGRAMS = 1024
"""How many shall read a batch, so that a single image keeps a large GPU busy, too."""

broken = threading.Event()
"""Set for good where Triton failed."""
warning = threading.Lock()


def usable(x: Tensor) -> bool:
    """Whether `group_norm` takes x. False within torch.compile, which fuses norms by itself, and for gradients."""
    return (
        x.device.type == "cuda"
        and x.ndim == 4
        and x.dtype in DTYPES
        and not broken.is_set()
        and not torch.compiler.is_compiling()
        and not (x.requires_grad and torch.is_grad_enabled())
        and kernels() is not None
    )


def group_norm(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    groups: int,
    eps: float,
    *,
    silu: bool,
    shift: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """GroupNorm of x [N,C,H,W], then SiLU if asked: in x's dtype and channels-last memory, computed in float32.

    weight, bias: [C], of any floating dtype.
    shift: [C], added to x before the norm: the bias of the convolution that made x, which PyTorch would add in a kernel
        of its own.
    out: where to write the result, of x's shape and dtype; x itself if that is no longer needed.
    """
    if ready(x, weight, bias):
        image = x.contiguous(memory_format=torch.channels_last)
        direct = out is not None and out.is_contiguous(memory_format=torch.channels_last)
        made = out if out is not None and direct else torch.empty_like(image)
        if attempt(launch_norm, image, made, weight, bias, shift, groups, eps, silu):
            return made if out is None or direct else out.copy_(made)
    if shift is not None:
        x = x + shift.to(x.dtype)[:, None, None]
    made = F.group_norm(x, groups, weight.to(x.dtype), bias.to(x.dtype), eps)
    made = F.silu(made) if silu else made
    return made if out is None else out.copy_(made)


def add_(y: Tensor, x: Tensor, bias: Tensor) -> Tensor:
    """y + x + bias, written over y: images [N,C,H,W] of one dtype and a bias [C], summed in float32.

    For a residual block's end, where the bias of its last convolution would take a kernel of its own.
    """
    last = torch.channels_last
    alike = x.is_contiguous(memory_format=last) and y.is_contiguous(memory_format=last) and x.dtype == y.dtype
    if alike and ready(y, x, bias) and attempt(launch_add, y, x, bias):
        return y
    return y.add_(bias.to(y.dtype)[:, None, None]).add_(x)


def ready(*tensors: Tensor) -> bool:
    """Whether the kernels may be tried: they have no gradients."""
    trained = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    return not trained and not broken.is_set() and kernels() is not None


def attempt(launch: Callable[..., None], x: Tensor, *args: object) -> bool:
    """Whether the kernels could be started. If not, nothing has been written, and they are not tried again.

    Raises OutOfMemoryError if that is what it was: Triton's launcher has no error of its own for it.
    """
    try:
        with torch.cuda.device_of(x):
            launch(kernels(), x, *args)
        return True
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # a Triton that is half there fails in every way
        if "out of memory" in str(error):
            raise torch.OutOfMemoryError(str(error)) from error
        give_up(error)
        return False


@cache
def kernels() -> ModuleType | None:
    """The kernels, or None where there is no Triton."""
    try:
        from . import norm_kernels
    except ImportError:
        return None
    except Exception as error:  # noqa: BLE001  as above
        give_up(error)
        return None
    return norm_kernels


def give_up(error: Exception) -> None:
    """Leave it all to PyTorch from now on, and say so once."""
    with warning:
        if not broken.is_set():
            broken.set()
            log.warning("OSDFace: Triton fails here, so GroupNorm takes longer (%s: %s)", type(error).__name__, error)


def launch_norm(
    found: ModuleType,
    x: Tensor,
    y: Tensor,
    weight: Tensor,
    bias: Tensor,
    shift: Tensor | None,
    groups: int,
    eps: float,
    silu: bool,
) -> None:
    """Start the kernels that norm x into y, both in channels-last memory."""
    count, channels, height, width = x.shape
    pixels, depth = height * width, channels // groups
    if not x.numel():
        return
    columns = power_of_two(depth)
    if pixels * depth <= SMALL:
        rows = max(1, TILE // columns)
        grid = groups, count
        found.small[grid](x, y, weight, bias, shift, pixels, channels, eps, silu, depth, rows, columns)
        return
    wide = min(128, power_of_two(channels))
    across = -(-channels // wide)
    tile = TILE // wide
    parts = min(-(-pixels // (8 * tile)), -(-PROGRAMS // (count * across)))
    rows = -(-pixels // (parts * tile)) * tile
    parts = -(-pixels // rows)
    work = torch.empty(count, parts + 1, 2, channels, dtype=torch.float32, device=x.device)
    found.part_moments[(parts, across, count)](x, work, pixels, channels, rows, tile, wide)
    merged = max(1, MERGE_TILE // columns)
    found.mean_and_scale[(groups, count)](
        work, weight, shift, pixels, channels, depth, rows, parts, eps, merged, columns
    )
    tile = COPY_TILE // wide
    found.apply[(-(-pixels // tile), across, count)](x, y, work, bias, pixels, channels, parts, silu, tile, wide)


def launch_add(found: ModuleType, y: Tensor, x: Tensor, bias: Tensor) -> None:
    """Start the kernel that adds x and bias to y, both in channels-last memory."""
    count, channels, height, width = y.shape
    pixels = count * height * width
    wide = min(128, power_of_two(channels))
    tile = COPY_TILE // wide
    if pixels:
        found.add[(-(-pixels // tile), -(-channels // wide))](y, x, bias, pixels, channels, tile, wide)


def power_of_two(number: int) -> int:
    """The least one that is not below `number`."""
    return 1 << (number - 1).bit_length()
