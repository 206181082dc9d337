"""OSDFace: one-step diffusion face restoration (arXiv 2411.17163), from photos to restored photos."""

from .align import align_faces
from .composite import Composite, paste_faces
from .detect import RetinaFace
from .detectors import load_detector
from .embedders import load_embedder
from .errors import ImageError, OSDFaceError, WeightsError
from .faces import Face, FaceCrops, FaceReport, Faces
from .images import Photo, read_photo, write_photo
from .inference import load_model, prepare
from .model import ModelConfig, OSDFaceModel
from .one_step import restore_crops
from .pipeline import restore_aligned, restore_image
from .vre import Prompts, VREConfig, encode_prompts

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
    "paste_faces",
    "prepare",
    "read_photo",
    "restore_aligned",
    "restore_crops",
    "restore_image",
    "write_photo",
]
