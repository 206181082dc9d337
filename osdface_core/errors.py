"""The few named errors. Each message says what is wrong, where, what was expected, and what to do next."""

from pathlib import Path


class OSDFaceError(Exception):
    """Base of every error this library raises on purpose."""

    __module__ = "osdface_core.errors"

    def __init_subclass__(cls) -> None:
        """Name the module without the path that ComfyUI puts before a pack's modules, and shows beside an error."""
        _, package, module = cls.__module__.rpartition("osdface_core.")
        cls.__module__ = package + module


class ImageError(OSDFaceError):
    """An image or face file cannot be read, written or used as asked."""


class OptionError(OSDFaceError, ValueError):
    """An option's value cannot be. `name` is the option's, `problem` says what is allowed, or what is missing."""

    def __init__(self, name: str, value: object, problem: str):
        self.name, self.value, self.problem = name, value, problem
        super().__init__(f"{name} {value}: {problem}.")


class MissingLibraryError(OSDFaceError):
    """An optional library is needed for this, and is not installed or cannot be imported."""


class DeviceLostError(OSDFaceError):
    """A device computes nothing more for this process, whatever it is asked: only another process can go on."""


class WeightsError(OSDFaceError):
    """A weights file cannot be used. `path` names the file, `key` the tensor where one is at fault."""

    def __init__(self, path: str | Path, problem: str, advice: str, key: str | None = None):
        self.path, self.key = Path(path), key
        super().__init__(f"{path}: {problem} {advice}")


class WeightsNotFoundError(WeightsError):
    """The file or folder is not there."""


class DownloadError(WeightsError):
    """The file cannot be had: no source has it whole, the disk is too small, or downloads are switched off."""


class ChecksumError(WeightsError):
    """The file is not, byte for byte, the one it should be."""


class NotACheckpointError(WeightsError):
    """The file is not a weights file, or not one of the expected kind."""


class TruncatedFileError(WeightsError):
    """The file ends before its contents do: an unfinished download or copy."""


class UnreadableFileError(WeightsError):
    """The system does not let the file be read: a program has it open, it is protected, or memory has run out."""


class UnsafeFileError(WeightsError):
    """The file asks for code to be run while it is read."""


class KeysError(WeightsError):
    """Tensors are missing, or there are tensors nobody asked for."""


class ShapeError(WeightsError):
    """A tensor has another shape than the model."""


class WrongBaseError(WeightsError):
    """The base model is not SD 2.1-base (epsilon prediction, 512 px)."""


class LoraError(WeightsError):
    """The LoRA has the wrong rank, or changes modules the UNet does not have."""
