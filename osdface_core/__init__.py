"""OSDFace: one-step diffusion face restoration (arXiv 2411.17163), from photos to restored photos.

Nothing is imported before it is asked for: every public name brings only the file it comes from.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .compositing.paste import Composite, paste_faces
    from .compositing.upscale import load_upscaler
    from .detection.detector import RetinaFace
    from .detection.load import load_detector
    from .errors import ImageError, OptionError, OSDFaceError, WeightsError
    from .faces import Face, FaceCrops, FaceReport, Faces
    from .files.photos import Photo, read_photo, write_photo
    from .geometry.align import align_faces
    from .inference import load_model, prepare
    from .inference.spandrel import load_restorer
    from .models.one_step import restore_crops
    from .models.osdface import ModelConfig, OSDFaceModel
    from .models.vre import Prompts, VREConfig, encode_prompts
    from .pipeline import restore_aligned, restore_image
    from .recognition.embedders import load_embedder

HOMES = {
    "geometry.align": ("align_faces",),
    "compositing.paste": ("Composite", "paste_faces"),
    "compositing.upscale": ("load_upscaler",),
    "detection.detector": ("RetinaFace",),
    "detection.load": ("load_detector",),
    "recognition.embedders": ("load_embedder",),
    "errors": ("ImageError", "OptionError", "OSDFaceError", "WeightsError"),
    "faces": ("Face", "FaceCrops", "FaceReport", "Faces"),
    "files.photos": ("Photo", "read_photo", "write_photo"),
    "inference": ("load_model", "prepare"),
    "inference.spandrel": ("load_restorer",),
    "models.osdface": ("ModelConfig", "OSDFaceModel"),
    "models.one_step": ("restore_crops",),
    "pipeline": ("restore_aligned", "restore_image"),
    "models.vre": ("Prompts", "VREConfig", "encode_prompts"),
}
"""The public names by the file that has them."""

__all__ = [
    "Composite",
    "Face",
    "FaceCrops",
    "FaceReport",
    "Faces",
    "ImageError",
    "ModelConfig",
    "OSDFaceError",
    "OSDFaceModel",
    "OptionError",
    "Photo",
    "Prompts",
    "RetinaFace",
    "VREConfig",
    "WeightsError",
    "align_faces",
    "encode_prompts",
    "load_detector",
    "load_embedder",
    "load_model",
    "load_restorer",
    "load_upscaler",
    "paste_faces",
    "prepare",
    "read_photo",
    "restore_aligned",
    "restore_crops",
    "restore_image",
    "write_photo",
]


if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> object:
        """A public name, from its file, kept for the next time."""
        for file, names in HOMES.items():
            if name in names:
                value = globals()[name] = getattr(import_module(f".{file}", __name__), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
