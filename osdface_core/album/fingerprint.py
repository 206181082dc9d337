"""Fingerprints: what an output depends on, so that a later run knows what is done and what has changed."""

import json
import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..files.places import fingerprint_of, is_away
from ..serialization import Json

SAMPLES = 64
"""How many values of every tensor are looked at."""


def of_options(options: Json, networks: Iterable[nn.Module | None]) -> str:
    """Of what was asked for, and of the networks that do it: a sample of every tensor, wherever it is."""
    digest = blake2b(json.dumps(options, sort_keys=True, default=str).encode(), digest_size=8)
    for network in networks:
        for name, tensor in () if network is None else network.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            if tensor.numel():
                digest.update(sample(tensor).numpy().tobytes())
    return digest.hexdigest()


def sample(tensor: torch.Tensor) -> torch.Tensor:
    """Up to SAMPLES values of a tensor, evenly spread, as bytes on the CPU."""
    tensor = tensor if tensor.ndim else tensor[None]
    count = min(SAMPLES, tensor.numel())
    places = np.unravel_index(np.arange(count) * tensor.numel() // count, tensor.shape)  # PyTorch's own imports SymPy
    values = tensor[tuple(map(torch.from_numpy, places))]
    return values.detach().cpu().contiguous().view(torch.uint8)


def of_files(*paths: Path) -> str:
    """Of files, by their sizes and times, or what file systems elsewhere have for them. Raises OSError."""
    return " ".join(fingerprint_of(path) if is_away(path) else of_file(path) for path in paths)


def of_file(path: str | Path) -> str:
    """Of a file of this machine. Raises OSError where it is not there."""
    found = os.stat(path)
    return f"{found.st_size}-{found.st_mtime_ns}"
