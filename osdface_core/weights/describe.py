"""Which weights these are, told by their catalogue name or sha256 and by their sizes: never by a path."""

from pathlib import Path

from ..models.osdface import ModelConfig
from .authors import authors_paths
from .catalog import CATALOG
from .files import sha256
from .find import locate
from .sd21 import base_files
from .starter import BUNDLE


def describe_weights(weights: str | Path | None, base: str | Path | None, config: ModelConfig) -> str:
    """The files that `read_model` reads for these arguments."""
    place = BUNDLE if weights is None else locate(weights)
    if place == BUNDLE:
        return "the starter"
    if not place.is_dir() or base is None:
        return describe_file(place)
    own = [path for path in authors_paths(place, config) if path.is_file()]
    return "; ".join(describe_file(path) for path in [*own, *base_files(locate(base))])


def describe_file(path: Path) -> str:
    """A file by the catalogue's entry for its sha256, or by its sha256 and the entry that has a file of that name."""
    digest, size = sha256(path), path.stat().st_size
    files = [(entry.name, file) for entry in CATALOG for file in entry.files]
    for name, file in files:
        if file.sha256 == digest:
            return f"{name} ({file.path}, as in the catalogue)"
    place = path.absolute().as_posix()
    names = (f"{file.path} of {name}, unverified" for name, file in files if place.endswith(f"/{file.path}"))
    return f"{next(names, 'a file of your own')} ({size / 1e6:.1f} MB, sha256 {digest[:16]})"


def describe_sizes(config: ModelConfig) -> str:
    """What tells one model's structure from another's."""
    vre = config.vre
    return (
        f"{config.crop_size} px crops, t = {config.timestep}; VRE {vre.widths} at {vre.input_size} px, "
        f"{vre.codes} entries, {vre.tokens} tokens, {vre.prompt_kind}; UNet {config.unet.block_out_channels}; "
        f"VAE {config.vae.block_out_channels}, {config.vae.latent_channels} latent channels"
    )
