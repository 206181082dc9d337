"""What this installation has and lacks: versions, devices, folders, weights, and what to do about each."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import torch

from .detectors import DETECTORS, STARTER, find_weights
from .weights.catalog import entry_named, entry_of
from .weights.find import find, models_folder

LIBRARIES = {"diffusers": "diffusers", "facexlib": "facexlib", "torchvision": "torchvision", "opencv": "cv2"}
"""What is imported late, so that a broken one shows only when it is needed."""


@dataclass(frozen=True)
class Finding:
    """One line. todo: what to do about it, empty where all is well."""

    name: str
    says: str
    todo: str = ""


def examine() -> Iterator[Finding]:
    """Everything worth knowing, in the order in which it should be put right."""
    yield Finding("python", sys.version.split()[0])
    yield Finding("osdface", installed("osdface"))
    yield Finding("torch", torch.__version__)
    yield device()
    for name, module in LIBRARIES.items():
        yield library(name, module)
    yield folder()
    yield network()
    yield from weights()


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "run from its folder"


def device() -> Finding:
    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 1e9
        return Finding("device", f"{torch.cuda.get_device_name()}, {memory:.0f} GB")
    if torch.backends.mps.is_available():
        return Finding("device", "mps")
    if shutil.which("nvidia-smi"):
        if torch.version.cuda is None:
            todo = "Install a PyTorch for CUDA: https://pytorch.org/get-started has the command for this system."
            return Finding("device", "cpu: there is an NVIDIA card, but this PyTorch is built without CUDA.", todo)
        todo = "Update the card's driver; `nvidia-smi` must list the card."
        return Finding("device", f"cpu: PyTorch finds no NVIDIA card with CUDA {torch.version.cuda}.", todo)
    return Finding("device", f"cpu, {torch.get_num_threads()} threads: a face takes a minute or more")


def library(name: str, module: str) -> Finding:
    try:
        found = import_module(module)
    except (ImportError, RuntimeError, OSError) as error:
        first = str(error).splitlines()[0]
        return Finding(name, f"cannot be imported ({first})", f"Install a {name} that fits torch {torch.__version__}.")
    return Finding(name, getattr(found, "__version__", "there"))


def folder() -> Finding:
    models = models_folder()
    try:
        there = next(parent for parent in (models, *models.parents) if parent.exists())
        says = f"{models}, {shutil.disk_usage(there).free / 1e9:.0f} GB free"
    except (StopIteration, OSError):
        return Finding("models", f"{models} cannot be reached.", "Connect its drive, or set OSDFACE_MODELS.")
    if os.access(there, os.W_OK):
        return Finding("models", says)
    return Finding("models", f"{says}, not writable", "Set OSDFACE_MODELS to a folder of your own.")


def network() -> Finding:
    from huggingface_hub import constants, get_token

    if constants.HF_HUB_OFFLINE:
        return Finding("hub", "downloads are off (HF_HUB_OFFLINE)")
    return Finding("hub", f"{constants.ENDPOINT}, {'with' if get_token() else 'without'} a token")


def weights() -> Iterator[Finding]:
    bundles = sorted(models_folder().glob("osdface/[!.]*.safetensors"))
    if bundles:
        yield Finding("bundle", ", ".join(path.name for path in bundles))
    for name in [] if bundles else ["osdface", "sd21-base"]:
        entry = entry_named(name)
        found = find(entry)
        if found is None and name == "sd21-base":
            found = find(entry_named("sd21-base-single"))
        yield Finding(name, str(found or "not on this machine."), "" if found else entry.how_to_get)
    found = find_weights(None)
    todo = entry_of(next(iter(DETECTORS.values()))).how_to_get if found == STARTER else ""
    yield Finding("detector", "the starter, which comes with the package" if found == STARTER else str(found), todo)
