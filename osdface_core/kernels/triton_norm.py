"""GroupNorm, with or without SiLU, of channels-last images on a GPU: one read for the sums, one read and write besides.

PyTorch's own on CUDA knows only the other memory layout: it copies such an image before and after, and SiLU goes over
it once more. This needs Triton, which comes with PyTorch for CUDA and ROCm on Linux. Where there is none, `usable` says
no; where it turns out not to work, a warning says so once and PyTorch's own norm does the work from then on.
"""

import logging
import threading
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
    x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, *, silu: bool, out: Tensor | None = None
) -> Tensor:
    """GroupNorm of x [N,C,H,W], then SiLU if asked: in x's dtype and channels-last memory, computed in float32.

    weight, bias: [C], of any floating dtype.
    out: where to write the result, of x's shape and dtype; x itself if that is no longer needed.
    """
    trained = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (x, weight, bias))
    found = None if trained or broken.is_set() else kernels()
    if found is not None:
        image = x.contiguous(memory_format=torch.channels_last)
        direct = out is not None and out.is_contiguous(memory_format=torch.channels_last)
        made = out if out is not None and direct else torch.empty_like(image)
        try:
            with torch.cuda.device_of(image):
                launch(found, image, made, weight, bias, groups, eps, silu)
            return made if out is None or direct else out.copy_(made)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001  a Triton that is half there fails in every way
            give_up(error)
    made = F.group_norm(x, groups, weight.to(x.dtype), bias.to(x.dtype), eps)
    made = F.silu(made, inplace=not trained) if silu else made
    return made if out is None else out.copy_(made)


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
    """Leave norms to PyTorch from now on, and say so once. Raises OutOfMemoryError if that is what it was: Triton's
    launcher has no error of its own for it."""
    if "out of memory" in str(error):
        raise torch.OutOfMemoryError(str(error)) from error
    with warning:
        if not broken.is_set():
            broken.set()
            log.warning(
                "OSDFace: Triton does not work here, so norms take longer (%s: %s)", type(error).__name__, error
            )


def launch(
    found: ModuleType, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float, silu: bool
) -> None:
    """Start the kernels that norm x into y, both in channels-last memory."""
    count, channels, height, width = x.shape
    pixels, depth = height * width, channels // groups
    if not x.numel():
        return
    columns = power_of_two(depth)
    if pixels * depth <= SMALL:
        rows = max(1, TILE // columns)
        found.small[(groups, count)](x, y, weight, bias, pixels, channels, eps, silu, depth, rows, columns)
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
    found.mean_and_scale[(groups, count)](work, weight, pixels, channels, depth, rows, parts, eps, merged, columns)
    tile = COPY_TILE // wide
    found.apply[(-(-pixels // tile), across, count)](x, y, work, bias, pixels, channels, parts, silu, tile, wide)


def power_of_two(number: int) -> int:
    """The least one that is not below `number`."""
    return 1 << (number - 1).bit_length()
