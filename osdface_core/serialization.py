"""JSON that anybody may have written: its values, and tensors inside it, exact to the bit, of any type NumPy has."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import ImageError

Json = dict[str, Any]

SHOWN = 200
"""How many characters of what is wrong with a value are shown: it may be of any length."""


@contextmanager
def reading(what: str, expected: str) -> Iterator[None]:
    """Raise ImageError where the JSON that is read within lacks something, or has a value of another kind."""
    try:
        yield
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
        shown = problem if len(problem) <= SHOWN else f"{problem[:SHOWN]}…"
        raise ImageError(f"This is not {what} ({shown}). Expected {expected}.") from error


def number(value: object) -> float:
    """A number out of JSON. Raises TypeError or ValueError for anything else, NaN and infinities included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a number is needed, not a {type(value).__name__}")
    if not isfinite(value):  # OverflowError where it is beyond all floats
        raise ValueError(f"{value} is no number")
    return float(value)


def whole(value: object) -> int:
    """A whole number out of JSON. Raises TypeError or ValueError for anything else."""
    if not number(value).is_integer():
        raise ValueError(f"{value} is not a whole number")
    return int(value)  # type: ignore[call-overload]


def rounded(value: Any) -> Any:
    """JSON with its figures as people read them: to three places."""
    if isinstance(value, dict):
        return {name: rounded(of_it) for name, of_it in value.items()}
    if isinstance(value, list):
        return [rounded(of_it) for of_it in value]
    return round(value, 3) if isinstance(value, float) else value


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
    """The tensor that `tensor_to_json` wrote, on the CPU. Raises ImageError where `data` is none."""
    with reading("a tensor", "dtype, shape and data, as `to_json` writes them"):
        little = np.dtype(str(data["dtype"])).newbyteorder("<")
        shape = [whole(side) for side in data["shape"]]
        if min(shape, default=0) < 0:
            raise ValueError(f"a side of {min(shape)}")
        array = np.frombuffer(base64.b64decode(data["data"], validate=True), little).reshape(shape)
        return torch.from_numpy(array.astype(little.newbyteorder("=")))
