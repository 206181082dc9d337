"""Run a recorded case through our program and compare every stage with what the authors' program computed.

A recording is a table of tensors. `figures.safetensors` holds every STRIDE-th value of each recording of the tiny size,
so that parity is checked on a fresh clone; the whole recordings are in the shared data.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from links import link
from PIL import Image
from torch import Tensor

import osdface_core
from osdface_core import ModelConfig, OSDFaceModel, VREConfig
from osdface_core.networks.vae import VAE
from osdface_core.weights import load_authors_files

HERE = Path(__file__).parent
STRIDE = 29
SEED = 114


class Case(NamedTuple):
    image: str = "lq_512.png"
    encoder: str = "associate_2.ckpt"
    folder: str = "ckpt"
    prompt_kind: str = "projected"


CASES = {
    "lq512": Case(),
    "low": Case(encoder="associate_2_low.ckpt"),
    "rect": Case(image="rect_384x512.png"),
    "s300": Case(image="sq_300.png"),
    "grey": Case(image="grey_512.png"),
    "cat": Case(prompt_kind="concatenated"),
    "updown": Case(folder="ckpt_updown"),
    "unmerged": Case(),
}
"""What each recording of the tiny size was made from. In "unmerged" the authors' LoRA ran beside the UNet's weights."""

LIMITS = {
    "vre_indices": 0.0,
    "prompt_embeds": 5e-3,
    "latent_mean": 2e-3,
    "latent_logvar": 1e-4,
    "latent_noise": 5e-3,
    "unet_out": 4e-4,
    "x0": 7e-4,
    "image_crop": 1.5e-4,
    "png": 0.002,
}
"""Largest difference allowed: ten times what one thread against two makes. prompt_embeds are recorded in fp16, and the
noise is read back from the latent, in which it is twenty times smaller. For the PNG: the share of samples that may be
off by one level."""


def load_case(case: Case, weights: Path, scratch: Path) -> OSDFaceModel:
    """The model of a case, from a folder laid out as the authors' files are."""
    folder = scratch / "authors"
    folder.mkdir(parents=True, exist_ok=True)
    sources = {
        "associate_2.ckpt": weights / "ckpt" / case.encoder,
        "embedding_change_weights.pth": weights / case.folder / "embedding_change_weights.pth",
        "pytorch_lora_weights.safetensors": weights / case.folder / "pytorch_lora_weights.safetensors",
    }
    for name, source in sources.items():
        (folder / name).unlink(missing_ok=True)
        link(folder / name, source)
    config = ModelConfig(vre=VREConfig(prompt_kind=case.prompt_kind))
    return load_authors_files(folder, weights / "sd21base", config)


def run_case(model: OSDFaceModel, image: Path, png: Path) -> dict[str, Tensor]:
    """Restore `image` exactly as the authors' program does, write `png`, and return what passed every stage."""
    seen: dict[str, Tensor] = {}

    def saw_prompts(_module, _inputs, prompts):
        seen["vre_indices"] = prompts.token_ids[0].to(torch.int32)
        seen["prompt_embeds"] = prompts.embeds

    def saw_unet(_module, inputs, noise):
        scaled, spread = inputs[0] / model.config.vae.scaling_factor, (seen["latent_logvar"] / 2).exp()
        seen["latent_noise"] = (scaled - seen["latent_mean"]) / spread
        seen["unet_out"] = noise

    def encode(images):
        posterior = VAE.encode(model.vae, images)
        seen["latent_mean"], seen["latent_logvar"] = posterior.mean, posterior.log_variance
        return posterior

    def decode(latents):
        seen["x0"] = latents * model.config.vae.scaling_factor
        return VAE.decode(model.vae, latents)

    hooks = [model.vre.register_forward_hook(saw_prompts), model.unet.register_forward_hook(saw_unet)]
    model.vae.encode, model.vae.decode = encode, decode
    photo = osdface_core.read_photo(image)
    restored = osdface_core.restore_aligned(photo.pixels, model, exact=True, seed=SEED)
    for hook in hooks:
        hook.remove()
    del model.vae.encode, model.vae.decode
    osdface_core.write_photo(png, restored, truncate=True)
    top, left = (length // 2 - 32 for length in restored.shape[2:])
    seen["image_crop"] = restored[0, :, top : top + 64, left : left + 64]
    seen["png"] = read_png(png)
    return seen


def read_png(path: Path) -> Tensor:
    return torch.from_numpy(np.array(Image.open(path)))


def differences(outcome: dict[str, Tensor], recorded: dict[str, Tensor], stride: int = 1) -> dict[str, float]:
    """Largest difference of every recorded tensor; for "png" the share of samples that differ.

    stride: `recorded` holds every stride-th value, flattened; token indices are always whole.
    """
    found = {}
    for key, expected in recorded.items():
        step = 1 if key == "vre_indices" else stride
        ours, theirs = outcome[key].flatten()[::step].double(), expected.flatten().double()
        gap = (ours - theirs).abs()
        found[key] = (gap > 0).double().mean().item() if key == "png" else gap.max().item()
        if key == "png" and gap.max() > 1:
            found[key] = float("inf")
    return found
