"""Networks of spandrel's architectures (github.com/chaiNNer-org/spandrel): the file itself tells which one it holds.

spandrel builds the network and knows what it is for; the file is read here, as data.
"""

import re
from pathlib import Path
from typing import Any

from ..errors import NotACheckpointError, UnsafeFileError
from ..libraries import how_to_get, is_installed, library
from .files import AGAIN, DISTRUST, Tensors, read_tensors, require_finite
from .find import locate

Descriptor = Any
"""A spandrel.ImageModelDescriptor: a network, and its scale, sizes, precisions, tiling and purpose."""

EXTRA = "spandrel_extra_arches"
CODEFORMER = frozenset({"position_emb", "idx_pred_layer.1.weight", "quantize.embedding.weight"})
"""What tells a CodeFormer, whose code is not in spandrel itself."""

AUTHORS = "vqvae."
"""What the names of the network begin with in RestoreFormer's authors' own checkpoints; the others are of training."""
ATTENTION = re.compile(r"decoder\.up\.(\d+)\.attn\.")
"""The attention at each size of RestoreFormer's decoder: at one of them, and in RestoreFormer++ at two."""

RESTORER, UPSCALERS = "FaceSR", ("SR", "Restoration")
"""spandrel's words for what networks are for."""

DEEPEST = 1000
"""Layers of one kind, counted by the numbers in their names, do not go beyond this."""

OURS = "OSDFace's own weights go to --weights and Load OSDFace Model."


def read_restorer(path: str | Path) -> Descriptor:
    """The face restorer in a file, such as GFPGAN's or RestoreFormer's, in float32 on the CPU.

    path: the file, or its name in the catalogue.
    Raises MissingLibraryError where spandrel is missing, or what it needs for this network, and a WeightsError where
    the file holds none: an upscaler, an architecture that spandrel does not know, a damaged or harmful file.
    """
    found = read_network(path)
    if found.purpose in UPSCALERS:
        problem = f"this is {found.architecture.name}, which restores or enlarges whole pictures and knows no faces."
        advice = "Give it as --upscaler, or to Load Upscale Model; GFPGAN and RestoreFormer restore faces."
        raise NotACheckpointError(locate(path), problem, advice)
    return require(found, (RESTORER,), path, "face restorer")


def read_upscaler(path: str | Path) -> Descriptor:
    """The network in a file that enlarges or cleans whole pictures, such as Real-ESRGAN's. Otherwise as above."""
    found = read_network(path)
    if found.purpose == RESTORER:
        problem = f"this is {found.architecture.name}, which restores aligned faces and no whole pictures."
        raise NotACheckpointError(locate(path), problem, "Give it as --restorer, or to Load Face Restorer.")
    return require(found, UPSCALERS, path, "upscaler")


def require(found: Descriptor, purposes: tuple[str, ...], path: str | Path, wanted: str) -> Descriptor:
    """Raises NotACheckpointError unless the network is for one of these purposes, on RGB pictures."""
    name = found.architecture.name
    if found.purpose not in purposes:
        raise NotACheckpointError(locate(path), f"this is {name}, which is for {found.purpose}.", f"Choose a {wanted}.")
    if (found.input_channels, found.output_channels) != (3, 3):
        problem = f"this {name} takes {found.input_channels} channels and gives {found.output_channels}."
        raise NotACheckpointError(locate(path), problem, f"Choose a {wanted} for RGB pictures.")
    return found


def read_network(path: str | Path) -> Descriptor:
    """The network in a file, whatever it is for, ready to be run."""
    spandrel, path = library("spandrel"), locate(path)
    tensors = read_tensors(path)[0]
    check_honest(tensors, path)
    own = {key.removeprefix(AUTHORS): tensor for key, tensor in tensors.items() if key.startswith(AUTHORS)}
    tensors = own or tensors
    require_finite(tensors, path)
    if len({found[1] for key in tensors if (found := ATTENTION.match(key))}) > 1:
        problem = "this is RestoreFormer++, whose decoder attends at two sizes, which spandrel does not know."
        raise NotACheckpointError(path, problem, "Take RestoreFormer: RestoreFormer.pth, or its authors' .ckpt of it.")
    architectures = spandrel.MAIN_REGISTRY.copy()
    if is_installed(EXTRA):
        architectures.add(*library(EXTRA).EXTRA_REGISTRY, ignore_duplicates=True)
    elif tensors.keys() >= CODEFORMER:
        raise NotACheckpointError(path, "this is CodeFormer, which spandrel brings apart.", how_to_get(EXTRA))
    try:
        found = spandrel.ModelLoader(registry=architectures).load_from_state_dict(tensors).eval()
    except spandrel.UnsupportedModelError as error:
        problem = "spandrel knows no architecture with these tensors."
        advice = f"Expected a face restorer (GFPGAN, RestoreFormer, CodeFormer) or an upscaler (Real-ESRGAN …). {OURS}"
        raise NotACheckpointError(path, problem, advice) from error
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        problem = f"its tensors fit none of spandrel's architectures ({said[:200]})."
        raise NotACheckpointError(path, problem, f"{AGAIN} {OURS}") from error
    found.model.requires_grad_(False)
    return found


def check_honest(tensors: Tensors, path: Path) -> None:
    """Raises a WeightsError for names and shapes that would make a network beyond what the file holds."""
    for key, tensor in tensors.items():
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            raise UnsafeFileError(path, f"{key} claims more values than the file holds.", DISTRUST)
        if any(len(number) > 9 or int(number) > DEEPEST for number in re.findall(r"(?<![^.])\d+(?![^.])", key)):
            raise NotACheckpointError(path, f"{key} counts layers beyond {DEEPEST}.", AGAIN)
