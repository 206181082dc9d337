"""torch.compile for a network's code, where there is a compiler; the network as it is where there is none."""

import logging
import time

import torch
from torch import Tensor, nn

from ..devices import is_out_of_memory

log = logging.getLogger(__name__)


def compile_or_not(network: nn.Module, method: str = "forward") -> None:
    """Compile a method in place; where that fails, once a first input is there, run it as it is. PyTorch keeps what it
    compiled on disk, so the minutes are spent once for each size and version."""
    plain, name = getattr(network, method), type(network).__name__
    try:
        quick = torch.compile(plain)
    except RuntimeError as error:  # a Python or a system that PyTorch compiles nothing on
        log.warning("OSDFace: %s cannot be compiled, it runs as it is (%s).", name, error)
        return
    sizes: set[object] = set()

    def run(*inputs: object, **options: object) -> object:
        nonlocal quick
        size = inputs[0].shape if isinstance(inputs[0], Tensor) else None
        new = quick is not plain and size not in sizes
        started = time.perf_counter()
        if new:
            sizes.add(size)
            log.info("OSDFace: compiling %s for %s: this may take minutes.", name, "x".join(map(str, size or ())))
        try:
            made = quick(*inputs, **options)
        except (torch._dynamo.exc.TorchDynamoException, RuntimeError) as error:
            if quick is plain or not new or is_out_of_memory(error):
                raise
            log.warning("OSDFace: %s cannot be compiled, it runs as it is (%s).", name, error)
            quick = plain
            return plain(*inputs, **options)
        if new:
            log.info("OSDFace: %s is ready after %.0f s.", name, time.perf_counter() - started)
        return made

    setattr(network, method, run)
