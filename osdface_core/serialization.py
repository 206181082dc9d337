"""Tensors inside JSON, exact to the bit: any type that NumPy has too."""

import base64
from typing import Any

import numpy as np
import torch
from torch import Tensor

Json = dict[str, Any]


def tensor_to_json(tensor: Tensor) -> Json:
    """A tensor as {dtype, shape, data}, `data` being its little-endian bytes in base64."""
    array = tensor.detach().cpu().numpy()
    little = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return {
        "dtype": array.dtype.name,
        "shape": list(array.shape),
        "data": base64.b64encode(little.tobytes()).decode("ascii"),
    }


def tensor_from_json(data: Json) -> Tensor:
    """The tensor that `tensor_to_json` wrote, on the CPU."""
    little = np.dtype(data["dtype"]).newbyteorder("<")
    array = np.frombuffer(base64.b64decode(data["data"]), little).reshape(data["shape"])
    return torch.from_numpy(array.astype(data["dtype"]))
