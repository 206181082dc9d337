"""Widgets, made from the options of the core, and what only nodes ask in their own way, as options, too."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, get_args

from comfy_api.latest import io

from ..osdface_core.faces import MOST_FACES
from ..osdface_core.option_fields import Options, kind_of, option
from ..osdface_core.options import Count, Dtype, Part, PhotoOptions, Rule

ALL = "all"
BY_NUMBER = "these numbers"
SAME = "same as precision"
SOCKETS = {bool: io.Boolean, int: io.Int, float: io.Float, str: io.String}


def widget(kind: type[Options], name: str, id: str | None = None, **changes: Any) -> Any:
    """The input that mirrors an option: its default, range, choices, help, and whether it is advanced.

    id: the input's name, where it has another. changes: what this node says in another way.
    """
    known = next(known for known in fields(kind) if known.name == name)
    about, takes = known.metadata, kind_of(known)
    given: dict[str, Any] = {"default": known.default, "tooltip": about["help"]}
    if about["advanced"]:
        given["advanced"] = True
    if takes is float and about["step"] == 1:
        takes = int
    if takes in (int, float):
        given |= {"min": about["least"], "max": about["most"], "step": about["step"]} | about["widget"]
        given |= {key: number(takes, given[key]) for key in ("default", "min", "max", "step")}
    if about["choices"]:
        given["options"] = list(about["choices"])
    return (io.Combo if about["choices"] else SOCKETS[takes]).Input(id or name, **given | changes)


def number(takes: type, value: float | None) -> Any:
    """A widget's figure, None where it has none."""
    return takes(value) if value is not None and isfinite(value) else None


def widgets(kind: type[Options], *names: str, **changes: Any) -> Iterable[Any]:
    """Several of them, in this order."""
    return (widget(kind, name, **changes) for name in names)


def left(hair: bool, glasses: bool) -> list[Part]:
    """The parts of a face that stay as in the photo."""
    parts: list[tuple[Part, bool]] = [("hair", hair), ("glasses", glasses)]
    return [part for part, restored in parts if not restored]


@dataclass(frozen=True)
class SelectWidgets(Count):
    """Which faces are taken, as the node asks."""

    rule: str = option(
        "largest",
        choices=(*get_args(Rule), BY_NUMBER),
        help="Which faces come first. Choose 'these numbers' to name them yourself.",
    )
    numbers: str = option("0", help="For 'these numbers': those in the preview of Detect Faces, like 0, 2 or 1-3.")
    min_score: float = option(
        0.0, least=0, most=1, step=0.01, advanced=True, help="Puts faces aside that the detector is less sure of."
    )


@dataclass(frozen=True)
class PersonWidgets(Options):
    """How many faces are one person's."""

    count: int = option(
        0,
        least=0,
        widget={"max": MOST_FACES},
        help="How many faces of every image to keep, the most alike first. 0 keeps all that are alike.",
    )


@dataclass(frozen=True)
class RestoreWidgets(Options):
    """Whether to sample, beside a seed that a widget always has."""

    sample: bool = option(
        False,
        advanced=True,
        help="On draws the latent with the seed, as the authors' program does. Off gives one result every time, and no "
        "flicker in videos.",
    )


@dataclass(frozen=True)
class LeaveWidgets(Options):
    """Parts of a face that stay as in the photo, a switch each."""

    hair: bool = option(True, help="Turn it off to keep the photo's own hair.")
    glasses: bool = option(True, help="Turn it off to keep the photo's own glasses.")


@dataclass(frozen=True)
class PhotoWidgets(PhotoOptions):
    """What the node that does it all asks in its own way."""

    faces: str = option(
        ALL,
        choices=(ALL, *get_args(Rule)),
        help="All faces, or one of every image. For other choices use Detect and Select Faces.",
    )
    numbers: str = option(
        "",
        help="Restores the faces with these numbers alone, like 0, 2 or 1-3: those in the report, and in the preview "
        "of Detect Faces. Empty restores what faces says.",
    )
    skip_sharp: bool = option(
        False,
        advanced=True,
        help="Turn it on to leave faces alone that are sharp already. Grain makes faces look sharp, too.",
    )


@dataclass(frozen=True)
class LoadWidgets(Options):
    """The precision, asked part by part."""

    precision: str = option(
        "auto",
        choices=("auto", *get_args(Dtype)),
        advanced=True,
        help="Leave it at auto. fp32 if you compare with the authors' results; fp16 halves the memory; bf16 only if "
        "fp16 gives black faces.",
    )
    encode_precision: str = option(
        SAME,
        choices=(SAME, *get_args(Dtype)),
        advanced=True,
        help="Of the VAE's encoder alone, where another precision than the rest's serves you better.",
    )
    decode_precision: str = option(
        SAME,
        choices=(SAME, *get_args(Dtype)),
        advanced=True,
        help="Of the VAE's decoder alone: fp32 for the finest gradients, at the price of time.",
    )


@dataclass(frozen=True)
class PromptWidgets(Options):
    """What is drawn of a prompt."""

    attention_map: bool = option(
        False,
        advanced=True,
        help="On draws where the UNet attends to the words, in one more pass of it. Only with Load OSDFace Model.",
    )
