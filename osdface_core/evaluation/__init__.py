"""Measuring what a restoration is worth: photographs degraded on purpose, measures, tables and pictures.

Takes: photographs, methods. Gives: figures. Not here: training, files of weights.
"""

from ..detection.detector import RetinaFace
from ..recognition.embedders import Embedder
from ..selection.sharpness import sharpness_of
from .evaluate import Evaluation, Measure, Method, denoised, evaluate, restorer
from .faces import degrees, identity, landmark_distance
from .fidelity import psnr, ssim
from .perceptual import load_distance

__all__ = ["Evaluation", "Measure", "Method", "denoised", "evaluate", "measures", "restorer"]


def measures(
    *, embedder: Embedder | None = None, detector: RetinaFace | None = None, perceptual: str = "random"
) -> dict[str, Measure]:
    """The measures that can be taken with what is at hand, by name; an arrow tells which way is better.

    perceptual: a distance for `load_distance`. Names of pyiqa's metrics may follow, separated by commas: "pyiqa:lpips".
    """
    found: dict[str, Measure] = {
        "PSNR ↑": psnr,
        "SSIM ↑": ssim,
        "sharpness": lambda images, target: sharpness_of(images),
    }
    for name in perceptual.split(","):
        kind, _, metric = name.partition(":")
        found[f"{metric if kind == 'pyiqa' else f'{kind} features'} ↓"] = load_distance(name)
    if embedder is not None:
        found["identity ↑"] = lambda images, target: identity(embedder, images, target)
        found["Deg. ↓"] = lambda images, target: degrees(identity(embedder, images, target))
    if detector is not None:
        found["landmarks ↓"] = lambda images, target: landmark_distance(detector, images, target)
    return found
