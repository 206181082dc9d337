"""Every choice a person has, said once: default, range or choices, unit and help.

The command's arguments, the nodes' inputs, the library's defaults and checks, the tables in the help pages and the
texts to translate are made from these fields. What only nodes ask in their own way is in `nodes/widgets.py`.
"""

from collections.abc import Collection
from dataclasses import dataclass, fields
from math import inf
from typing import Literal, get_args

from .errors import OptionError
from .faces import CROP_SIDES, MOST_FACES
from .option_fields import Options, option

Color = Literal["none", "wavelet", "adain"]
COLORS_HELP = (
    "wavelet gives the faces the photo's colours and keeps local ones, like red lips or a shadow; adain shifts a face "
    "as a whole, for stained photos. none leaves the restorer's own."
)
Shape = Literal["square", "ellipse"]
SHAPES_HELP = "ellipse pastes the head alone and leaves more of the photo around it; square the whole crop."
Rule = Literal["largest", "smallest", "leftmost", "rightmost", "topmost", "bottommost", "most central", "best score"]
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
Turbulence = Literal["10000", "20000", "30000", "40000"]
"""Strengths of hot air, as the paper counts them."""
Placement = Literal["auto", "whole", "parts"]
Dtype = Literal["fp32", "fp16", "bf16"]
Kind = Literal["osdface", "osediff"]
"""The models that authors' files are of."""

TIMESTEP = 399
"""The one timestep OSDFace was trained at."""
SHARP = 0.55
"""Nine in ten portraits in focus are sharper; faces that were enlarged 4 times or more are less sharp."""

LARGEST_IMAGE = 16384
"""The size of the largest image that ComfyUI's nodes allow: no face is larger."""


@dataclass(frozen=True)
class Detect(Options):
    """Which faces count as found."""

    threshold: float = option(
        0.8,
        least=0,
        most=1,
        step=0.01,
        widget={"min": 0.05},
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
        step=1,
        unit="px",
        advanced=True,
        widget={"max": LARGEST_IMAGE},
        help="Leaves smaller faces alone, such as a crowd in the background: pixels of the box's longer side.",
    )
    max_size: float = option(
        inf,
        least=0,
        step=1,
        unit="px",
        advanced=True,
        widget={"default": LARGEST_IMAGE, "max": LARGEST_IMAGE},
        help="Leaves larger faces alone, such as close-ups that need no restoration: pixels, likewise.",
    )
    max_count: int | None = option(
        None,
        least=0,
        advanced=True,
        widget={"default": MOST_FACES, "max": MOST_FACES},
        help="At most so many faces of every image, the largest ones.",
    )


@dataclass(frozen=True)
class Count(Options):
    """How many faces a rule takes."""

    count: int = option(
        1,
        least=0,
        widget={"max": MOST_FACES},
        help="How many faces of every image to take by a rule. 0 takes none. Not used with numbers.",
    )


@dataclass(frozen=True)
class Choose(Count):
    """Which of the faces found are restored."""

    select: str | None = option(None, help=f"Numbers like 0,2-4, or a rule: {', '.join(get_args(Rule))}.")
    likeness: float = option(
        0.3,
        least=-1,
        most=1,
        step=0.01,
        help="How alike a face must be to the person: cosine similarity, 1 for the same picture, around 0 for somebody "
        "else. Lower it if the person is missed, raise it if others are taken.",
    )
    skip_sharp: float | None = option(
        None,
        least=0,
        most=2,
        step=0.01,
        unit="limit",
        bare=SHARP,
        widget={"default": SHARP},
        help="Faces at least as sharp are left alone. Lower it to skip more. Grain makes faces look sharp, too.",
    )


@dataclass(frozen=True)
class Align(Options):
    """How crops are cut."""

    size: int = option(
        512,
        least=CROP_SIDES[0],
        most=CROP_SIDES[1],
        step=8,
        unit="px",
        widget={"min": 64, "max": 2048},
        help="512 for OSDFace's own weights, 256 for the starter. Others only for other restorers.",
    )


@dataclass(frozen=True)
class Restore(Options):
    """How crops are restored. A restorer names which of these it takes (`models.restorer.Restorer.options`)."""

    timestep: int | None = option(
        None,
        least=0,
        most=999,
        advanced=True,
        widget={"default": TIMESTEP},
        help=f"{TIMESTEP} is what OSDFace was trained at. Higher changes more, lower keeps more.",
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
        widget={"default": 0, "max": 2**32 - 1},
        help="Samples the latent with this number, as the authors' program does: another one gives slightly other "
        "details. Without it every run gives the same.",
    )
    batch_size: int | None = option(
        None,
        least=1,
        advanced=True,
        widget={"default": 4, "max": 64},
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
    prompt: str | None = option(
        None,
        advanced=True,
        help="OSEDiff alone: a text such as 'woman, face, hair, smile', by default the first that its weights hold.",
    )

    def check_taken(self, taken: Collection[str]) -> None:
        """Raises OptionError for a choice other than the default that a restorer does not take, by its name."""
        for known in fields(Restore):
            value = getattr(self, known.name)
            if known.name not in taken and value != known.default:
                problem = f"this restorer does not take it. Leave it out; it takes {', '.join(sorted(taken))}"
                raise OptionError(known.name, value, problem)


@dataclass(frozen=True)
class MatchColor(Options):
    """How restored crops get the photo's colours."""

    method: Color = option("wavelet", choices=get_args(Color), help=COLORS_HELP)  # noqa: RUF009 (a literal)
    strength: float = option(
        1.0, least=0, most=1, step=0.05, help="Lower it to keep more of the restorer's own colours. 0 changes nothing."
    )


@dataclass(frozen=True)
class Paste(Options):
    """What of a restored face goes into the photo."""

    strength: float = option(
        1.0, least=0, most=1, step=0.05, help="Lower it to keep more of the photo. 0 changes nothing at all."
    )
    feather: float = option(
        0.1,
        least=0,
        most=0.5,
        step=0.01,
        help="Width of the soft border as a share of the crop. Raise it if you see an edge.",
    )
    color: Color = option("wavelet", choices=get_args(Color), help=COLORS_HELP)  # noqa: RUF009 (a literal)
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
        help=SHAPES_HELP,
    )
    leave: Collection[Part] = option(
        (), choices=get_args(Part), help="Parts of the face that stay as in the photo, such as hair or glasses."
    )
    upscale: float = option(
        1.0, least=1, most=8, step=0.5, help="Enlarges the photo by this factor, then pastes the faces into it."
    )

    def check_tools(self, embedder: object, parser: object) -> None:
        """Raises OptionError for a choice that a network is missing for."""
        if self.min_identity > 0 and embedder is None:
            raise OptionError("min_identity", self.min_identity, "it needs an embedder, which measures it: give one")
        if self.leave and parser is None:
            parts = " and ".join(self.leave)
            raise OptionError("leave", parts, f"a face parser is needed to leave {parts} alone: give one")


@dataclass(frozen=True)
class PhotoOptions(Paste, Restore, Detect):
    """All that `restore_image` takes."""


@dataclass(frozen=True)
class Video(Options):
    """How faces are followed through a video."""

    smoothing: float = option(
        6.0,
        least=0,
        most=1000,
        step=0.5,
        unit="frames",
        widget={"max": 60.0},
        help="Raise it if resting faces still tremble. Counts frames to either side; moving faces get less by "
        "themselves. 0 leaves the faces as detected.",
    )
    max_gap: int = option(
        5,
        least=0,
        most=1000,
        unit="frames",
        help="Raise it if a face is lost for longer. A face missed for at most this many frames is filled in, and "
        "keeps its number.",
    )
    steady: float = option(
        4.0,
        least=0,
        most=1000,
        step=0.5,
        unit="frames",
        widget={"max": 30.0},
        help="Raise it if restored faces still flicker. Frames to either side; 0 changes nothing.",
    )
    tolerance: float = option(
        0.03,
        least=1e-4,
        most=1,
        step=0.005,
        advanced=True,
        widget={"min": 0.001},
        help="Raise it for a very noisy video; lower it if faces that move become soft.",
    )


@dataclass(frozen=True)
class Album(Options):
    """How many photos are restored."""

    recursive: bool = option(False, help="Photos in folders of folders, too. The tree is kept.")
    resume: bool = option(False, help="Go on where an earlier run into OUT ended: what is done is skipped.")
    shard: str = option("1/1", unit="i/n", help="Only the I-th of N parts of the photos, the same on every machine.")
    devices: str | None = option(None, unit="a,b", help="A process for each, such as cuda:0,cuda:1.")
    ray: str | None = option(
        None,
        unit="address",
        bare="here",
        help="By an actor for each GPU, or processor, of the Ray cluster at this address, or of one of this machine.",
    )
    memory: float = option(
        2.0, least=0.001, most=1e6, unit="GB", help="What photos under way take at most, besides the networks."
    )


@dataclass(frozen=True)
class Report(Options):
    """What is shown of an album."""

    photos: int = option(60, least=0, help="How many photos the page shows before and after.")


@dataclass(frozen=True)
class Load(Options):
    """Where and how the networks compute."""

    device: str = option("cpu", help="cpu, cuda, mps …")
    precision: str = option(
        "auto",
        help="auto, fp32, fp16, bf16, or parts: unet=fp16,decode=bf16. On a CPU fp16 halves the memory of weights.",
    )
    compile: bool = option(
        False,
        advanced=True,
        help="On takes minutes at the first face and saves time at every other: for long videos.",
    )
    placement: Placement = option(  # noqa: RUF009 (a literal)
        "auto",
        choices=get_args(Placement),
        help="parts: one part of the model at a time on the device, for small cards; auto: where it has to be.",
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
class Convert(Options):
    """How a bundle is stored."""

    dtype: Dtype = option("fp32", choices=get_args(Dtype), help="Precision to store.")  # noqa: RUF009 (a literal)
    kind: Kind = option("osdface", choices=get_args(Kind), help="Whose files they are.")  # noqa: RUF009 (a literal)


@dataclass(frozen=True)
class Download(Options):
    """On which terms files are had."""

    accept_licence: bool = option(False, help="Agrees to the licences without being asked, here and in ComfyUI.")


@dataclass(frozen=True)
class Train(Options):
    """How long a run goes on."""

    minutes: float | None = option(None, least=0, help="Stop in good order after so long; the same command goes on.")


@dataclass(frozen=True)
class Evaluate(Options):
    """What is measured of a model."""

    steps: int = option(1, least=1, most=1000, help="Compare with so many DDIM steps of the same model.")
    color: Collection[Color] = option(
        tuple(dict.fromkeys((Paste.color, "none"))),
        choices=get_args(Color),
        help="Colours that results are given, a row each.",
    )
    size: int | None = option(
        None, least=CROP_SIDES[0], most=CROP_SIDES[1], unit="px", help="Side of the photos; without it the model's own."
    )
    count: int | None = option(None, least=1, help="Only the first so many photos.")
    attention: bool = option(
        False, help="Also draws where the first model's UNet attends to its prompt's tokens: OUT/attention.png."
    )


@dataclass(frozen=True)
class Degrade(Options):
    """How good photos are made bad."""

    seed: int = option(0, least=0, most=2**63 - 1, help="Of the degradation.")


@dataclass(frozen=True)
class Recognize(Options):
    """What people are to be recognised through."""

    turbulence: Collection[Turbulence] = option(
        ("20000", "30000", "40000"), choices=get_args(Turbulence), help="Strengths of the hot air."
    )
