"""What this installation has and lacks: versions, devices, folders, weights, and what to do about each."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import torch

from ..detection.load import DETECTORS, STARTER, find_weights
from ..devices import best_device
from ..errors import MissingLibraryError
from ..libraries import LIBRARIES, how_to_get, is_installed, library
from ..weights.catalog import entry_named, entry_of
from ..weights.find import find, models_folder


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
    for module in LIBRARIES:
        yield optional(module)
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
    if (kind := best_device()) != "cpu":
        return Finding("device", kind)
    if shutil.which("nvidia-smi"):
        if torch.version.cuda is None:
            todo = "Install a PyTorch for CUDA: https://pytorch.org/get-started has the command for this system."
            return Finding("device", "cpu: there is an NVIDIA card, but this PyTorch is built without CUDA.", todo)
        todo = "Update the card's driver; `nvidia-smi` must list the card."
        return Finding("device", f"cpu: PyTorch finds no NVIDIA card with CUDA {torch.version.cuda}.", todo)
    return Finding("device", f"cpu, {torch.get_num_threads()} threads: a face takes a minute or more")


def optional(module: str) -> Finding:
    """A library that only some things need: no fault where it is not there, but where it is broken."""
    name = LIBRARIES[module].name
    if not is_installed(module):
        return Finding(name, f"not installed. {how_to_get(module)}")
    try:
        found = library(module)
    except MissingLibraryError as error:
        return Finding(name, "cannot be imported.", str(error))
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
