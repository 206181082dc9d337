"""What devices differ in: precisions, memory layouts, copies that need not be waited for, running out of memory."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_arithmetic = threading.RLock()
"""PyTorch's choice between TF32 and IEEE float32 is one for the whole process: who changes it holds this."""


def precise(device: torch.device) -> torch.dtype:
    """float64 where the device has it, else float32."""
    return torch.float64 if device.type in ("cpu", "cuda") else torch.float32


def best_device() -> str:
    """What to compute on where nobody says: the machine's accelerator (cuda, mps, xpu …), else cpu."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return "cpu" if accelerator is None else accelerator.type


def for_photos(device: str | torch.device) -> torch.device:
    """Where photos are while networks compute on `device`: with them on CUDA, elsewhere in main memory, since other
    devices lack, from one PyTorch to the next, some of what cutting faces out and pasting them takes."""
    device = torch.device(device)
    return device if device.type == "cuda" else torch.device("cpu")


def pinned(tensor: Tensor) -> Tensor:
    """The tensor in pinned memory, from where a GPU copies by itself; as it is where the system refuses that."""
    try:
        return tensor.pin_memory()
    except RuntimeError:
        return tensor


def upload(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """The tensor on `device`, in `dtype`. From main memory to CUDA the copy waits its turn, and the host goes on."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = pinned(tensor)
        return tensor.to(device, non_blocking=tensor.is_pinned()).to(dtype or tensor.dtype)
    return tensor.to(device, dtype)


def download(tensor: Tensor) -> Callable[[], Tensor]:
    """Begin to copy a tensor to main memory. What is returned waits for this copy alone, and gives it."""
    if tensor.device.type != "cuda":
        return tensor.cpu
    try:
        copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    except RuntimeError:
        return tensor.cpu
    copy.copy_(tensor, non_blocking=True)
    done = torch.cuda.Event()
    done.record(torch.cuda.current_stream(tensor.device))

    def wait() -> Tensor:
        done.synchronize()
        return copy

    return wait


def wait_for(tensor: Tensor) -> None:
    """Until what is to be computed in `tensor` is there, where a GPU does so by itself."""
    if tensor.device.type == "cuda":
        torch.cuda.current_stream(tensor.device).synchronize()


@contextmanager
def arithmetic(device: torch.device, *, tf32: bool) -> Iterator[None]:
    """Within, CUDA computes float32 with 10 bits of mantissa (TF32) or all 23 (IEEE). Elsewhere nothing changes."""
    if device.type != "cuda":
        yield
        return
    switches = arithmetic_switches()
    with _arithmetic:
        before = [getattr(backend, name) for backend, name, _, _ in switches]
        try:
            for backend, name, coarse, fine in switches:
                setattr(backend, name, coarse if tf32 else fine)
            yield
        finally:
            for (backend, name, _, _), value in zip(switches, before, strict=True):
                setattr(backend, name, value)


def arithmetic_switches() -> list[tuple[Any, str, object, object]]:
    """PyTorch's switches of float32 on CUDA: where they are, and their values for TF32 and for IEEE float32."""
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    if hasattr(cudnn, "conv"):  # from PyTorch 2.9 on
        return [(part, "fp32_precision", "tf32", "ieee") for part in (cudnn.conv, products)]
    return [(part, "allow_tf32", True, False) for part in (cudnn, products)]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device has run out of memory, as CUDA, ROCm, MPS, XPU and CPUs say it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error).lower()
    signs = "out of memory", "not enough memory", "alloc_failed", "can't allocate memory"
    return isinstance(error, RuntimeError) and any(sign in said for sign in signs)


def is_lost(error: BaseException) -> bool:
    """Whether an error is one of the device that stays: whatever it is asked after that fails, too.

    An illegal access, an uncorrectable ECC error, a card that fell off its bus. PyTorch before 2.8 raises them as
    RuntimeError.
    """
    if is_out_of_memory(error):
        return False
    kind = getattr(torch, "AcceleratorError", ())
    said = str(error).startswith(("CUDA error:", "HIP error:"))
    return isinstance(error, kind) or (isinstance(error, RuntimeError) and said)


def free_bytes(device: torch.device) -> float | None:
    """What `device` has free for this process, what PyTorch keeps for itself included; None where that is unknown, or
    the memory is the host's own."""
    if device.type != "cuda":
        return None
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return float(torch.cuda.mem_get_info(device)[0] + kept)
