"""What a field of options carries besides its default: range or choices, unit, help; and the check of a value by it."""

from collections.abc import Collection, Mapping
from dataclasses import Field, dataclass, field, fields
from math import inf
from typing import Any, TypeVar, get_args

from .errors import OptionError

Kind = TypeVar("Kind", bound="Options")


def option(
    default: Any,
    *,
    help: str,
    least: float = -inf,
    most: float = inf,
    step: float | None = None,
    choices: Collection[str] = (),
    unit: str = "",
    advanced: bool = False,
    bare: Any = None,
    widget: Mapping[str, Any] | None = None,
) -> Any:
    """A field of a dataclass of options.

    least, most: the range of a number, both ends included. step: by how much a node's widget moves it; one that moves
        by 1 takes whole numbers only.
    choices: what a text may be. advanced: whether nodes show it among the advanced ones alone.
    bare: what it is where the command's flag is given without a value.
    widget: what a node's widget has instead, which can show neither None nor infinity: default, min, max.
    """
    about = {
        "help": help,
        "least": least,
        "most": most,
        "step": step,
        "choices": choices,
        "unit": unit,
        "advanced": advanced,
        "bare": bare,
        "widget": widget or {},
    }
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Options:
    """What all options have in common."""

    @classmethod
    def of(cls: type[Kind], values: Mapping[str, Any]) -> Kind:
        """Those of the values that are options of this kind; defaults for the others."""
        return cls(**{known.name: values[known.name] for known in fields(cls) if known.name in values})

    def validate(self) -> None:
        """Raises OptionError for a value out of its range or choices. NaN is in no range."""
        for known in fields(self):
            check(known, getattr(self, known.name))


def check(known: "Field[Any]", value: object) -> None:
    """Raises OptionError where `value` cannot be this option's."""
    about = known.metadata
    if value is None and known.default is None:
        return
    kind = kind_of(known)
    for one in value if kind is tuple and isinstance(value, Collection) and not isinstance(value, str) else (value,):
        if about["choices"] and one not in about["choices"]:
            raise OptionError(known.name, one, f"it must be one of {', '.join(about['choices'])}")
    if kind not in (int, float):
        return
    number = isinstance(value, int | float) and not isinstance(value, bool) and (kind is float or value % 1 == 0)
    if not number or not about["least"] <= value <= about["most"]:
        whole = "a whole number " if kind is int else "a number "
        raise OptionError(known.name, value, f"it must be {whole}{range_of(about['least'], about['most'])}".rstrip())


def kind_of(known: "Field[Any]") -> type:
    """What the option's values are, besides None: bool, int, float, str, or a collection."""
    if isinstance(known.default, str):
        return str
    first: Any = (*get_args(known.type), known.type)[0] if known.default is None else type(known.default)
    return first if isinstance(first, type) else tuple


def range_of(least: float, most: float) -> str:
    """A range in words."""
    if least > -inf and most < inf:
        return f"between {least} and {most}"
    return f"of {least} or more" if least > -inf else ""
