"""Which model files there are to choose from, and where: in ComfyUI's folders and elsewhere on this machine.

Options have / between folders on every system. A workflow that was saved with Windows' \\ means the same.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import folder_paths

from ..osdface_core.compositing.parsing import BISENET, PARSENET
from ..osdface_core.detection.load import DETECTORS
from ..osdface_core.detection.load import STARTER as STARTER_DETECTOR
from ..osdface_core.recognition.embedders import ARCFACE, MOBILEFACENET
from ..osdface_core.weights.authors import LORA_FILE, VRE_FILE
from ..osdface_core.weights.catalog import CATALOG, Entry, entry_named, entry_of
from ..osdface_core.weights.find import find

WEIGHTS, DETECTORS_KEY, EMBEDDERS_KEY = "osdface", "facedetection", "facerecognition"
RESTORERS_KEY = "facerestore_models"
"""Our keys in folder_paths, the last shared with other packs."""
UPSCALERS_KEY = "upscale_models"
"""ComfyUI's own."""

GFPGAN, RESTOREFORMER = "GFPGANv1.4.pth", "RestoreFormer.pth"
"""The usual names of face restorers' files."""
CALLED = ("gfpgan", "restoreformer", "codeformer")
"""What face restorers are called where they lie among upscalers."""

STARTER = "starter (built in)"
AUTHORS = "authors' files in osdface"
NO_BASE = "none"
FULL = "full"
NOTHING = "none on this machine"
"""The only option where there is nothing to choose from."""
FOUND_WEIGHTS, FOUND_BASE = "osdface (wherever it is)", "sd21-base (wherever it is)"
"""Entries of the catalogue, looked for on the whole machine when a workflow runs."""

_found: dict[str, Path] = {}
"""Where entries were found: options name them without another walk through all folders."""


def register_folders() -> None:
    """Tell ComfyUI where models live: models/osdface, and the folders other packs use for facexlib's networks."""
    for key in (WEIGHTS, DETECTORS_KEY, EMBEDDERS_KEY, RESTORERS_KEY):
        for name in [key] if key in (WEIGHTS, RESTORERS_KEY) else [key, "facexlib"]:
            folder_paths.add_model_folder_path(key, os.path.join(folder_paths.models_dir, name))
        paths, extensions = folder_paths.folder_names_and_paths[key]
        folder_paths.folder_names_and_paths[key] = (paths, set(extensions) | {".safetensors", ".pth", ".ckpt"})


def filenames(key: str) -> list[str]:
    """The files in a key's folders, without those in which macOS keeps what it knows about another."""
    files = map(portable, folder_paths.get_filename_list(key))
    return [file for file in files if not file.rpartition("/")[2].startswith("._")]


def portable(option: str) -> str:
    return option.replace("\\", "/")


def weights_options() -> list[str]:
    """The starter, the bundles in models/osdface, and the folders there that hold the authors' files."""
    files = filenames(WEIGHTS)
    folders = sorted({os.path.dirname(file) for file in files if os.path.basename(file) == VRE_FILE})
    bundles = [file for file in files if file.endswith(".safetensors") and os.path.basename(file) != LORA_FILE]
    found = [FOUND_WEIGHTS] if is_listed("osdface") else []
    return [STARTER, *found, *bundles, *(AUTHORS + (f"/{folder}" if folder else "") for folder in folders)]


def needs_base(option: str) -> bool:
    """Whether what is behind an option changes SD 2.1-base, and does not contain it."""
    return option.startswith((AUTHORS, FOUND_WEIGHTS))


def authors_options() -> list[str]:
    """The authors' files, on ComfyUI's own SD 2.1."""
    return [option for option in weights_options() if needs_base(option)] or [NOTHING]


def base_options() -> list[str]:
    """SD 2.1-base may lie among ComfyUI's checkpoints or in its diffusers folder."""
    folders = [
        f"diffusers/{name}"
        for root in folder_paths.get_folder_paths("diffusers")
        if os.path.isdir(root)
        for name in sorted(os.listdir(root))
        if os.path.isfile(os.path.join(root, name, "model_index.json"))
    ]
    return [
        NO_BASE,
        *([FOUND_BASE] if is_listed("sd21-base") else []),
        *folders,
        *(f"checkpoints/{name}" for name in filenames("checkpoints")),
    ]


def detector_options() -> list[str]:
    """facexlib's RetinaFace files, and the starter."""
    return [*known_files(DETECTORS_KEY, DETECTORS.values()), STARTER]


def embedder_options() -> list[str]:
    """facexlib's ArcFace, and MobileFaceNet."""
    return known_files(EMBEDDERS_KEY, (ARCFACE, MOBILEFACENET)) or [NOTHING]


def parser_options() -> list[str]:
    """facexlib's face parsers."""
    return known_files(DETECTORS_KEY, (PARSENET, BISENET)) or [NOTHING]


def restorer_options() -> list[str]:
    """The files in models/facerestore_models, face restorers among the upscalers, and the usual ones found elsewhere.

    Other packs keep networks of other formats (.onnx) in the same folder.
    """
    own = [file for file in filenames(RESTORERS_KEY) if Path(file).suffix in (".pth", ".safetensors", ".ckpt")]
    among = [f for f in filenames(UPSCALERS_KEY) if any(name in Path(f).name.lower() for name in CALLED)]
    found = [file for file in known_files(RESTORERS_KEY, (GFPGAN, RESTOREFORMER)) if file not in own]
    return [*own, *(f"{UPSCALERS_KEY}/{file}" for file in among), *found] or [NOTHING]


def known_files(key: str, names: Iterable[str]) -> list[str]:
    """The files of these names in a key's folders, whatever their format, and those found elsewhere."""
    known = {Path(name).stem.lower() for name in names}
    there = [file for file in filenames(key) if Path(file).stem.lower() in known]
    entries = {file: entry.name for entry in CATALOG for file in [entry.files[0].path] if len(entry.files) == 1}
    return [*there, *(file for file in names if file not in there and file in entries and is_listed(entries[file]))]


def weights_path(option: str) -> Path | None:
    """The file or folder behind an option; None for the starter. Raises FileNotFoundError."""
    option = portable(option)
    if option == STARTER:
        return None
    if option == FOUND_WEIGHTS:
        return found_path("osdface")
    if option.startswith(AUTHORS):
        file = os.path.join(option.removeprefix(AUTHORS).lstrip("/"), VRE_FILE)
        return Path(folder_paths.get_full_path_or_raise(WEIGHTS, file)).parent
    return Path(folder_paths.get_full_path_or_raise(WEIGHTS, option))


def base_path(option: str) -> Path | None:
    """The file or folder behind an option; None for "none". Raises FileNotFoundError."""
    option = portable(option)
    if option == NO_BASE:
        return None
    if option == FOUND_BASE:
        return found_path("sd21-base")
    kind, _, name = option.partition("/")
    if kind == "checkpoints":
        return Path(folder_paths.get_full_path_or_raise("checkpoints", name))
    for root in folder_paths.get_folder_paths("diffusers"):
        if os.path.isdir(root) and name in os.listdir(root):
            return Path(root) / name
    raise FileNotFoundError(f"There is no folder {option!r}.")


def file_path(key: str, option: str) -> Path | None:
    """The file behind an option, wherever it is on this machine, or None where it is missing."""
    option = portable(option)
    if option == STARTER:
        return STARTER_DETECTOR
    if option.startswith(f"{UPSCALERS_KEY}/"):
        key, option = UPSCALERS_KEY, option.removeprefix(f"{UPSCALERS_KEY}/")
    path = folder_paths.get_full_path(key, option)
    if path is None and option in (ARCFACE, PARSENET, BISENET, GFPGAN, RESTOREFORMER, *DETECTORS.values()):
        return find_entry(entry_of(option))
    return None if path is None else Path(path)


def find_entry(entry: Entry, *, under_any_name: bool = True) -> Path | None:
    """Where an entry of the catalogue is: in any of ComfyUI's model folders, or elsewhere on this machine."""
    kinds = folder_paths.folder_names_and_paths.keys() - {"custom_nodes", "datasets"}
    folders = [folder for kind in kinds for folder in folder_paths.get_folder_paths(kind)]
    path = find(entry, map(Path, [folder_paths.models_dir, *folders]), under_any_name=under_any_name)
    if path is not None:
        _found[entry.name] = path
    return path


def is_listed(name: str) -> bool:
    """Whether an entry is among the options: it is where it belongs, or was found elsewhere and is there still."""
    return find_entry(entry_named(name), under_any_name=False) is not None or (name in _found and _found[name].exists())


def decoder_options() -> list[str]:
    """The VAE's own decoder, and TAESD's where ComfyUI keeps it for previews. Those of other models are left out."""
    return [FULL, *(name for name in filenames("vae_approx") if Path(name).stem == "taesd_decoder")]


def decoder_path(option: str) -> Path | None:
    """The file behind an option; None for the VAE's own. Raises FileNotFoundError."""
    return None if option == FULL else Path(folder_paths.get_full_path_or_raise("vae_approx", portable(option)))


def found_path(name: str) -> Path:
    path = find_entry(entry_named(name))
    if path is None:
        raise FileNotFoundError(f"{name} is not on this machine.")
    return path


def folder_of(entry: Entry) -> Path:
    """Where an entry's files belong, in the folder that ComfyUI is set up to use for them."""
    kind, _, inside = entry.folder.partition("/")
    return Path(folder_paths.get_folder_paths(kind)[0], inside)


def fingerprint(path: Path | None) -> tuple[Any, ...]:
    """What changes when a file, or one in a folder, changes: its size and time."""
    if path is None:
        return ()
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file())
