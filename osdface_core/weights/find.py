"""Files that are on the machine already, wherever other programs have put them: found, and used where they are."""

import os
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch

from ..errors import WeightsNotFoundError
from .catalog import CATALOG, HUB, Entry, File
from .files import sha256


def models_folder() -> Path:
    """Where models belong: $OSDFACE_MODELS, or the models of the ComfyUI around this pack, or ~/.osdface/models."""
    if chosen := os.environ.get("OSDFACE_MODELS"):
        return Path(chosen)
    pack = Path(__file__).parents[2]
    if pack.parent.name == "custom_nodes":
        return pack.parents[1] / "models"
    return Path.home() / ".osdface" / "models"


def find(entry: Entry, roots: Iterable[Path] = (), *, under_any_name: bool = True) -> Path | None:
    """Where the entry's files are: their folder, or the file where it is a single one. None if they are nowhere.

    Looks in the places where they belong, by name and size: below our own models folder and every one of `roots`, in
    facexlib's folder, in PyTorch's cache and in the hub's. A single file is then looked for by its sha256, under any
    name, everywhere below those folders, which can take a while: `under_any_name` false leaves that out.
    """
    roots = [models_folder(), *roots, *other_packages()]
    for folder in (folder for root in roots for folder in (root / entry.folder, root)):
        if all(is_there(folder / file.path, file) for file in entry.files):
            return entry.place(folder)
    return in_hub_cache(entry) or (by_sha256(entry, roots) if under_any_name else None)


def locate(path: str | Path) -> Path:
    """A path as it is; the name of an entry, where its files are. Raises WeightsNotFoundError where they are not."""
    for entry in CATALOG:
        if entry.name == str(path) and not Path(path).exists():
            found = find(entry)
            if found is None:
                folder = models_folder()
                locked = folder.is_dir() and not is_open(folder)
                problem = f"{folder} must not be looked into." if locked else "it is not on this machine."
                raise WeightsNotFoundError(path, problem, entry.how_to_get)
            return found
    return Path(path)


def other_packages() -> Iterator[Path]:
    """Where facexlib and PyTorch's hub keep what they download."""
    spec = find_spec("facexlib")
    if spec and spec.origin:
        yield Path(spec.origin).parent / "weights"
    yield Path(torch.hub.get_dir()) / "checkpoints"


def is_open(folder: Path) -> bool:
    """Whether the system lets us look into a folder."""
    try:
        os.scandir(folder).close()
    except OSError:
        return False
    return True


def is_there(path: Path, file: File) -> bool:
    try:
        return path.is_file() and file.size in (None, path.stat().st_size)
    except OSError:  # a drive that is not there, a folder that is not ours to look into
        return False


def in_hub_cache(entry: Entry) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for source in entry.sources:
        if source.startswith(HUB):
            owner, name, *inside = source.removeprefix(HUB).split("/")
            paths = [try_to_load_from_cache(f"{owner}/{name}", "/".join([*inside, file.path])) for file in entry.files]
            if all(isinstance(path, str) for path in paths):
                return entry.place(Path(str(paths[0]).removesuffix(entry.files[0].path)))
    return None


def by_sha256(entry: Entry, roots: Sequence[Path]) -> Path | None:
    """A single file of known size and sha256, under any name."""
    file = entry.files[0]
    if len(entry.files) > 1 or None in (file.size, file.sha256):
        return None
    for root in (root for root in set(roots) if not set(root.parents) & set(roots)):
        for folder, _, names in os.walk(root):
            for path in (Path(folder) / name for name in names):
                if is_there(path, file) and sha256(path) == file.sha256:
                    return path
    return None
