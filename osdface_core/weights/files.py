"""Read tensors from a weights file without running anything that is in it; write them whole or not at all."""

import hashlib
import os
import pickle
import re
import shutil
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import (
    KeysError,
    NotACheckpointError,
    ShapeError,
    TruncatedFileError,
    UnreadableFileError,
    UnsafeFileError,
    WeightsNotFoundError,
)
from ..files.atomic_write import atomic_write
from ..files.mapped import MappedFile

Tensors = dict[str, Tensor]

INERT_PACKAGES = ("pytorch_lightning", "lightning", "lightning_fabric", "omegaconf", "numpy")
"""Packages whose objects training frameworks leave in a checkpoint. They are read as empty placeholders."""

NESTED = ("state_dict", "params_ema", "params", "model_state_dict", "model")
"""Under which names training frameworks nest a checkpoint's weights, best first: averaged before plain ones."""

DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError),
    *(TypeError, ValueError, struct.error, zipfile.BadZipFile),
)
"""What reading a damaged checkpoint raises, depending on which of its bytes are wrong."""

PACKAGE = Path(__file__).resolve().parents[1]

AGAIN = "Download or copy it again."
ENLARGE = (
    "Close other programs; on Windows let the system choose the page file's size "
    "(System > Advanced system settings > Performance > Advanced > Virtual memory)."
)
LET_GO = "Close the program that has it open, or change its permissions."
DISTRUST = "Weights need no code: do not use this file, and get one from a source you trust."


def read_tensors(path: str | Path) -> tuple[Tensors, dict[str, str]]:
    """The tensors of a .safetensors file or of a PyTorch checkpoint, and the metadata of the former.

    Tensors are memory-mapped where the format allows it: what is not used is never read. Only what comes with this
    package is copied, since Windows cannot update files that are mapped. Where a checkpoint nests its weights under one
    of the names in NESTED, those are taken. Raises a WeightsError that says what is wrong with the file.
    """
    path = Path(path)
    with reading(path):
        return read_either_format(path)


def read_checkpoint(path: str | Path) -> Mapping[str, object]:
    """All that a PyTorch checkpoint holds, as `torch.save` was given it: tensors, numbers, texts and tables of them.

    Raises a WeightsError that says what is wrong with the file; NotACheckpointError for one of another format, too.
    """
    path = Path(path)
    with reading(path):
        if not is_pickle(start_of(path)):
            raise NotACheckpointError(path, "this is no PyTorch checkpoint.", "Expected a .pkl, .ckpt or .pth.")
        return read_pickle(path)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What the system refuses within is raised as a WeightsError that names the file."""
    if not path.is_file():
        raise WeightsNotFoundError(path, "there is no such file.", "Check the path.")
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        if no_memory(error):
            problem = f"there is no memory left to map it into ({error})."
            raise UnreadableFileError(path, problem, ENLARGE) from error
        if isinstance(error, OSError):
            problem = f"the system does not let it be read ({error.strerror})."
            raise UnreadableFileError(path, problem, LET_GO) from error
        raise


def mapped_files(*paths: Path) -> tuple[MappedFile, ...]:
    """Those of the files that `read_tensors` will map, as they are now. What is missing it will name."""
    return tuple(MappedFile.of(path) for path in paths if path.is_file() and not comes_with_us(path))


def comes_with_us(path: Path) -> bool:
    return path.resolve().is_relative_to(PACKAGE)


def read_either_format(path: Path) -> tuple[Tensors, dict[str, str]]:
    start = start_of(path)
    if start[8:] == b"{":
        return read_safetensors(path)
    if is_pickle(start):
        return tensors_in(read_pickle(path), path), {}
    if not start:
        raise TruncatedFileError(path, "the file is empty.", AGAIN)
    raise NotACheckpointError(
        path,
        f"this is not a weights file (it starts with {start!r}).",
        "Expected .safetensors, .ckpt or .pth; a web page saved under that name is a common cause.",
    )


def start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(9)


def is_pickle(start: bytes) -> bool:
    """Whether a file that starts like this is a PyTorch checkpoint."""
    return start.startswith((b"PK", b"\x80"))


def read_safetensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    with path.open("rb") as file:
        header_end = 8 + int.from_bytes(file.read(8), "little")
    try:
        if header_end > path.stat().st_size:
            raise SafetensorError("incomplete header")
        with safe_open(path, framework="pt") as file:
            keys = file.keys()
            tensors = {key: file.get_tensor(key) for key in keys}
            if comes_with_us(path):
                tensors = {key: tensor.clone() for key, tensor in tensors.items()}
            return tensors, file.metadata() or {}
    except SafetensorError as error:
        if "incomplete" in str(error):
            raise TruncatedFileError(path, f"the file ends too early ({error}).", AGAIN) from error
        raise NotACheckpointError(path, f"this is not a sound safetensors file ({error}).", AGAIN) from error


def write_tensors(path: str | Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> None:
    """Write a .safetensors file, whole or not at all. Raises OSError, for instance because there is no room.

    The library writes to a file beside it first, under a name that nobody finds again where the process is killed. It
    gets a folder for that, which the next writer clears away.
    """
    with atomic_write(Path(path)) as partial:
        folder = partial.with_suffix(".folder")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            folder.mkdir()
            save_file(tensors, folder / partial.name, metadata)
            os.replace(folder / partial.name, partial)
        except SafetensorError as error:
            size = sum(tensor.nbytes for tensor in tensors.values()) / 1e9
            raise OSError(f"{error}; it takes {size:.2f} GB") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        partial.chmod(0o644)


def no_memory(error: BaseException) -> bool:
    """Whether a file was not mapped because no address space, or no page file (Windows' error 1455), is left."""
    return bool(re.search(r"(os error|WinError) (1455|12)\b|<1455>|unable to mmap .*\(12\)", str(error)))


class Inert:
    """Stands in for an object of a training framework: takes whatever it is given and does nothing with it."""

    def __init__(self, *args: object, **kwargs: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass


def read_pickle(path: Path) -> Mapping[str, object]:
    """A PyTorch checkpoint, always with `weights_only=True`; other classes become placeholders or are refused."""
    if path.suffix == ".safetensors":
        raise NotACheckpointError(path, "this is a PyTorch checkpoint under another name.", "Rename it to .pth.")
    if not hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint"):  # before 2.6: CVE-2025-32434
        problem = f"it is a PyTorch checkpoint, and in PyTorch {torch.__version__} one can run code as it is read."
        raise UnsafeFileError(path, problem, "Update PyTorch to 2.6 or newer, or take a .safetensors file.")
    try:
        zipped = zipfile.is_zipfile(path)
        if not zipped and path.open("rb").read(2) == b"PK":
            raise TruncatedFileError(path, "the archive ends too early.", AGAIN)
        if zipped:
            check_archive(path)
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path) if zipped else []
        refused = [name for name in foreign if name.split(".")[0] not in INERT_PACKAGES]
        if refused:
            raise UnsafeFileError(path, f"reading it would run {', '.join(sorted(refused))}.", DISTRUST)
        with torch.serialization.safe_globals([(Inert, name) for name in foreign]):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        foreign_name = re.search(r"GLOBAL (\S+)", str(error))
        if foreign_name:
            raise UnsafeFileError(path, f"reading it would run {foreign_name[1]}.", DISTRUST) from error
        raise NotACheckpointError(path, "this is not a sound PyTorch checkpoint.", AGAIN) from error
    except DAMAGE as error:
        if no_memory(error):
            raise
        raise TruncatedFileError(path, f"the file is damaged or ends too early ({error}).", AGAIN) from error
    if not isinstance(content, Mapping):
        raise NotACheckpointError(path, f"it holds a {type(content).__name__}.", "Expected a table of tensors.")
    return content


def tensors_in(content: Mapping[str, object], path: Path) -> Tensors:
    """The tensors in a checkpoint's table, or in what it nests them in (NESTED)."""
    nested = [table for table in map(content.get, NESTED) if isinstance(table, Mapping)]
    table = nested[0] if nested else content
    tensors = {str(key): value for key, value in table.items() if isinstance(value, Tensor)}
    if not tensors:
        raise NotACheckpointError(path, "there are no tensors in it.", "Expected a table of tensors.")
    return tensors


def check_archive(path: Path) -> None:
    """PyTorch stores its archives' members as they are, side by side. Anything else was made by another hand."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if not any(member.filename.endswith("data.pkl") for member in members):
        raise NotACheckpointError(path, "this archive holds no weights.", "Expected a PyTorch checkpoint.")
    size = sum(member.file_size for member in members)
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise UnsafeFileError(path, f"it is compressed, and {size / 1e6:.0f} MB when unpacked.", DISTRUST)
    if size > path.stat().st_size:
        raise UnsafeFileError(path, f"its members claim {size} bytes, more than the file holds.", DISTRUST)
    for name in (member.filename for member in members):
        if name.startswith("/") or set(name) & set("\\:") or ".." in name.split("/"):
            raise UnsafeFileError(path, f"it names a place outside of itself ({name}).", DISTRUST)


def fill(module: nn.Module, tensors: Tensors, path: str | Path) -> None:
    """Put `tensors` into `module` (built on the meta device) without copying them; keys and shapes must be exact."""
    expected = module.state_dict()
    missing = sorted(expected.keys() - tensors.keys())
    unexpected = sorted(tensors.keys() - expected.keys())
    if missing or unexpected:
        problem = "; ".join(
            f"{len(keys)} tensor(s) {what}: {', '.join(keys[:3])}{', …' if len(keys) > 3 else ''}"
            for what, keys in (("missing", missing), ("not expected", unexpected))
            if keys
        )
        raise KeysError(path, problem + ".", "Is it the file it should be?", key=(missing or unexpected)[0])
    for key, tensor in expected.items():
        if tensors[key].shape != tensor.shape:
            raise ShapeError(
                path,
                f"{key} is {list(tensors[key].shape)}, expected {list(tensor.shape)}.",
                "This file belongs to a model of another size.",
                key=key,
            )
    require_finite(tensors, path)
    module.load_state_dict(tensors, assign=True)
    module.requires_grad_(False)


def require_finite(tensors: Tensors, path: str | Path) -> None:
    """Raises NotACheckpointError for NaN and infinities, which a sum carries on, without a copy of the weights."""
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.sum(dtype=torch.float32).isfinite():
            problem = f"{key} holds NaN or infinite values."
            raise NotACheckpointError(path, problem, "The file is damaged, or its training failed.", key=key)


def sha256(path: str | Path) -> str:
    """The hex digest of a file's bytes."""
    return digest_of(path, hashlib.sha256())


def git_blob(path: str | Path) -> str:
    """What git knows a file's content by, as `git hash-object` says it."""
    return digest_of(path, hashlib.sha1(b"blob %d\0" % Path(path).stat().st_size, usedforsecurity=False))


def digest_of(path: str | Path, digest: Any) -> str:
    with Path(path).open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return str(digest.hexdigest())
