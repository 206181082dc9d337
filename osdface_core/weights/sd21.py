"""SD 2.1-base: its UNet and VAE from a diffusers folder or a single-file checkpoint."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ..errors import NotACheckpointError, WeightsNotFoundError, WrongBaseError
from ..models.diffusion import DiffusionConfig
from ..networks.config import UNetConfig, VAEConfig
from ..serialization import Json
from .catalog import entry_named
from .files import Tensors, read_tensors
from .ldm import UNET, unet_of, vae_of

Config = TypeVar("Config", bound=DiffusionConfig)

WEIGHT_NAMES = tuple(
    f"diffusion_pytorch_model{variant}.{suffix}" for suffix in ("safetensors", "bin") for variant in ("", ".fp16")
)
OLD_ATTENTION_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""The VAE's attention as diffusers called it when SD 2.1 was published."""

LDM_CONTEXT_KEY = UNET + "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
LDM_TELLTALE_KEY = UNET + "output_blocks.11.1.transformer_blocks.0.norm1.bias"
V_PREDICTION_SPREAD = 0.09
"""Above this standard deviation of the telltale bias, a single-file SD 2 checkpoint predicts v (as ComfyUI tells)."""

USE_BASE = f"SD 2.1-base (512 px, epsilon prediction) is needed. {entry_named('sd21-base').how_to_get}"


def read_base(base: str | Path, config: Config) -> tuple[Config, Tensors, Tensors]:
    """SD 2.1-base from a diffusers folder or a single file: the config completed, UNet tensors, VAE tensors.

    A folder brings its own sizes; a single file is taken to have those of `config`.
    Raises a WeightsError where files are missing or this is another Stable Diffusion.
    """
    base = Path(base)
    if not base.exists():
        raise WeightsNotFoundError(base, "there is no such file or folder.", USE_BASE)
    return read_folder(base, config) if base.is_dir() else read_single_file(base, config)


def read_folder(base: Path, config: Config) -> tuple[Config, Tensors, Tensors]:
    scheduler = read_json(base / "scheduler" / "scheduler_config.json")
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction != "epsilon":
        path = base / "scheduler" / "scheduler_config.json"
        raise WrongBaseError(path, f"this model's prediction_type is {prediction!r}, expected 'epsilon'.", USE_BASE)
    unet, vae = read_json(base / "unet" / "config.json"), read_json(base / "vae" / "config.json")
    check_context(base / "unet" / "config.json", unet.get("cross_attention_dim"), config.context_width)
    own = {name: scheduler[name] for name in ("beta_start", "beta_end", "beta_schedule") if name in scheduler}
    try:
        completed = replace(config, unet=UNetConfig.from_json(unet), vae=VAEConfig.from_json(vae), **own)
    except ValueError as error:
        raise WrongBaseError(base, f"its configuration is not SD 2.1-base's ({error}).", USE_BASE) from error
    vae_tensors = read_tensors(weight_file(base / "vae"))[0]
    for old, new in OLD_ATTENTION_NAMES.items():
        vae_tensors = {key.replace(old, new): tensor for key, tensor in vae_tensors.items()}
    return completed, read_tensors(weight_file(base / "unet"))[0], vae_tensors


def base_files(base: str | Path) -> list[Path]:
    """The weights files that `read_base` reads."""
    base = Path(base)
    return [weight_file(base / "unet"), weight_file(base / "vae")] if base.is_dir() else [base]


def read_json(path: Path) -> Json:
    if not path.is_file():
        raise WeightsNotFoundError(path, "this file of the diffusers folder is missing.", USE_BASE)
    try:
        content: Json = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise NotACheckpointError(path, f"this is no JSON ({error}).", "Download it again.") from error
    return content


def weight_file(folder: Path) -> Path:
    """The weights in a part's folder: the full-precision file where there are several."""
    for name in WEIGHT_NAMES:
        if (folder / name).is_file():
            return folder / name
    raise WeightsNotFoundError(folder / WEIGHT_NAMES[0], "this file of the diffusers folder is missing.", USE_BASE)


def read_single_file(path: Path, config: Config) -> tuple[Config, Tensors, Tensors]:
    tensors = read_tensors(path)[0]
    if LDM_CONTEXT_KEY not in tensors:
        raise NotACheckpointError(path, f"there is no {LDM_CONTEXT_KEY} in it.", USE_BASE)
    check_context(path, tensors[LDM_CONTEXT_KEY].shape[1], config.context_width)
    telltale = tensors.get(LDM_TELLTALE_KEY)
    if telltale is not None and telltale.float().std(correction=0) > V_PREDICTION_SPREAD:
        raise WrongBaseError(path, "this looks like SD 2.1 768, which predicts v, not epsilon.", USE_BASE)
    return config, unet_of(tensors, config.unet), vae_of(tensors, config.vae)


def check_context(path: Path, width: object, expected: int) -> None:
    if width != expected:
        known = {768: "SD 1.x", 2048: "SDXL"}.get(width, "another model") if isinstance(width, int) else "another model"
        raise WrongBaseError(path, f"the UNet's context is {width} wide, as {known}'s; expected {expected}.", USE_BASE)
