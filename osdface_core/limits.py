"""What the fields of a configuration may be: checked when it is made, named when it is wrong."""

from collections.abc import Iterable
from math import inf


def within(config: object, **limits: tuple[float, float]) -> None:
    """Raises ValueError for the first field (or entry of one) that is not between its limits, both allowed.

    None is allowed.
    """
    for name, (low, high) in limits.items():
        value = getattr(config, name)
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and not is_number(number, low, high):
                raise ValueError(f"{name} is {value!r:.60}: it must be {span(low, high)}")


def check_number(name: str, value: object, low: float, high: float) -> None:
    """Raises ValueError unless `value` is a number between these, both allowed."""
    if not is_number(value, low, high):
        raise ValueError(f"{name} is {value!r:.60}: it must be {span(low, high)}")


def check_count(name: str, value: object, most: int) -> None:
    """Raises ValueError unless `value` is a whole number from 1 to `most`."""
    if not isinstance(value, int) or not is_number(value, 1, most):
        raise ValueError(f"{name} is {value!r:.60}: it must be a whole number, {span(1, most)}")


def is_number(value: object, low: float, high: float) -> bool:
    """Whether this is a number between these, both allowed. NaN is not, nor is a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def span(low: float, high: float) -> str:
    return f"{low:g} or more" if high == inf else f"{low:g} to {high:g}"


def above_zero(config: object, *names: str) -> None:
    """Raises ValueError for the first field that is 0 or less, or not finite. None is allowed."""
    for name in names:
        value = getattr(config, name)
        if value is not None and not 0 < value < inf:
            raise ValueError(f"{name} is {value}: it must be more than 0")


def rising(config: object, *names: str) -> None:
    """Raises ValueError for the first pair of numbers that does not begin with the smaller."""
    for name in names:
        low, high = getattr(config, name)
        if low > high:
            raise ValueError(f"{name} is {low}, {high}: the smaller comes first")


def one_of(config: object, **choices: Iterable[str]) -> None:
    """Raises ValueError for the first field that is none of its choices."""
    for name, allowed in choices.items():
        value = getattr(config, name)
        if value not in allowed:
            raise ValueError(f"{name} is {value!r}: take {', '.join(allowed)}")
