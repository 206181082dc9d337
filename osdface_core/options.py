"""Every choice a person has, said once: default, range or choices, unit and help.

The command's arguments, the nodes' inputs and the library's checks are made from these fields.
"""

from collections.abc import Collection, Mapping
from dataclasses import Field, dataclass, field, fields
from math import inf
from typing import Any, Literal, TypeVar, get_args

from .errors import OptionError

Kind = TypeVar("Kind", bound="Options")

Color = Literal["none", "wavelet", "adain"]
Shape = Literal["square", "ellipse"]
Part = Literal[
    "background",
    "skin",
    "nose",
    "glasses",
    "left eye",
    "right eye",
    "left brow",
    "right brow",
    "left ear",
    "right ear",
    "mouth",
    "upper lip",
    "lower lip",
    "hair",
    "hat",
    "earring",
    "necklace",
    "neck",
    "clothes",
]
"""The parts of a face that a parser tells apart."""
Placement = Literal["auto", "whole", "parts"]


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
) -> Any:
    """A field of a dataclass of options.

    least, most: the range of a number, both ends included. step: by how much a node's widget moves it.
    choices: what a text may be. advanced: whether nodes show it among the advanced ones alone.
    """
    about = {
        "help": help,
        "least": least,
        "most": most,
        "step": step,
        "choices": choices,
        "unit": unit,
        "advanced": advanced,
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


@dataclass(frozen=True)
class Detect(Options):
    """Which faces count as found."""

    threshold: float = option(
        0.8,
        least=0,
        most=1,
        step=0.01,
        help="Lower it to catch blurred, turned or hidden faces; raise it if things that are no face are found.",
    )
    any_rotation: bool = option(
        False,
        advanced=True,
        help="Turn it on for photos upside down or on their side, and for people lying down. Detection then takes "
        "four times as long.",
    )
    min_size: float = option(
        0.0,
        least=0,
        unit="px",
        advanced=True,
        help="Leaves smaller faces alone, such as a crowd in the background: pixels of the box's longer side.",
    )
    max_size: float = option(
        inf,
        least=0,
        unit="px",
        advanced=True,
        help="Leaves larger faces alone, such as close-ups that need no restoration: pixels, likewise.",
    )
    max_count: int | None = option(
        None, least=0, advanced=True, help="At most so many faces of every image, the largest ones."
    )


@dataclass(frozen=True)
class Choose(Options):
    """Which of the faces found are restored."""

    select: str | None = option(None, help="numbers like 0,2-4, or a rule such as largest")
    count: int = option(1, least=0, help="how many faces are taken by a rule")
    likeness: float = option(
        0.3, least=-1, most=1, help="how much a face must be like the person wanted to be taken: cosine similarity"
    )
    skip_sharp: float | None = option(None, least=0, most=2, help="leave faces alone of this sharpness or more")


@dataclass(frozen=True)
class Restore(Options):
    """How crops are restored. A restorer names which of these it takes (`models.restorer.Restorer.options`)."""

    timestep: int | None = option(
        None,
        least=0,
        most=999,
        advanced=True,
        help="399 is what OSDFace was trained at. Higher changes more, lower keeps more.",
    )
    latent_strength: float = option(
        1.0,
        least=0,
        most=1,
        step=0.05,
        advanced=True,
        help="Lower it to keep more of the damaged face, mixed before it is decoded. For a plain mix use strength of "
        "Paste Faces.",
    )
    seed: int | None = option(
        None,
        least=0,
        most=2**63 - 1,
        advanced=True,
        help="Samples the latent with this number, as the authors' program does: another one gives slightly other "
        "details. Without it every run gives the same.",
    )
    batch_size: int | None = option(
        None,
        least=1,
        advanced=True,
        help="Faces at once: more is faster on a large card. It halves itself when memory runs out.",
    )
    fidelity: float = option(
        0.5,
        least=0,
        most=1,
        step=0.05,
        advanced=True,
        help="CodeFormer alone: higher stays closer to the damaged face, lower looks better.",
    )

    def check_taken(self, taken: Collection[str]) -> None:
        """Raises OptionError for a choice other than the default that a restorer does not take, by its name."""
        for known in fields(Restore):
            value = getattr(self, known.name)
            if known.name not in taken and value != known.default:
                problem = f"this restorer does not take it. Leave it out; it takes {', '.join(sorted(taken))}"
                raise OptionError(known.name, value, problem)


@dataclass(frozen=True)
class Paste(Options):
    """What of a restored face goes into the photo."""

    strength: float = option(
        1.0, least=0, most=1, step=0.05, help="Lower it to keep more of the photo. 0 changes nothing at all."
    )
    color: Color = option(  # noqa: RUF009 (a literal)
        "none",
        choices=get_args(Color),
        help="wavelet gives the faces the photo's colours; adain shifts them as a whole, for stained photos. none "
        "leaves OSDFace's own.",
    )
    min_identity: float = option(
        0.0,
        least=0,
        most=1,
        step=0.01,
        advanced=True,
        help="Faces that turn out less alike than this stay as they are in the photo. Try 0.3. 0 keeps all.",
    )
    shape: Shape = option(  # noqa: RUF009 (a literal)
        "square",
        choices=get_args(Shape),
        advanced=True,
        help="ellipse pastes the head alone and leaves more of the photo around it; square the whole crop.",
    )
    leave: Collection[Part] = option(
        (), choices=get_args(Part), help="Parts of the face that stay as in the photo, such as hair or glasses."
    )
    upscale: float = option(
        1.0, least=1, most=8, help="Enlarges the photo by this factor, then pastes the faces into it."
    )

    def check_tools(self, embedder: object, parser: object) -> None:
        """Raises OptionError for a choice that a network is missing for."""
        if self.min_identity > 0 and embedder is None:
            raise OptionError("min_identity", self.min_identity, "it needs an embedder, which measures it: give one")
        if self.leave and parser is None:
            parts = " and ".join(self.leave)
            raise OptionError("leave", parts, f"a face parser is needed to leave {parts} alone: give one")


@dataclass(frozen=True)
class Video(Options):
    """How faces are followed through a video."""

    smoothing: float = option(
        6.0, least=0, most=1000, unit="frames", help="videos: frames that faces' places are smoothed over"
    )
    max_gap: int = option(5, least=0, most=1000, unit="frames", help="videos: fill in a face missed for so many frames")
    steady: float = option(
        4.0, least=0, most=1000, unit="frames", help="videos: frames that noise is averaged over; 0: none"
    )


@dataclass(frozen=True)
class Load(Options):
    """Where and how the networks compute."""

    device: str = option("cpu", help="cpu, cuda, mps …")
    placement: Placement = option(  # noqa: RUF009 (a literal)
        "auto",
        choices=get_args(Placement),
        help="parts: one part of the model at a time on the device, for small cards; auto: where it has to be",
    )

    def validate(self) -> None:
        """Raises OptionError for what is no device, or one that is not there, too."""
        super().validate()
        import torch

        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise OptionError("device", self.device, f"{str(error).splitlines()[0]} Choose cpu, cuda or mps") from error


@dataclass(frozen=True)
class PhotoOptions(Paste, Restore, Detect):
    """All that `restore_image` takes."""


def check(known: "Field[Any]", value: object) -> None:
    """Raises OptionError where `value` cannot be this option's."""
    about = known.metadata
    if value is None and known.default is None:
        return
    kind = kind_of(known)
    for one in (value,) if kind is not tuple or isinstance(value, str) else value:  # type: ignore[attr-defined]
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
