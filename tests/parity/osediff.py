"""Recordings of OSEDiff's own program, from the kit in the shared data, and our way through the same pictures."""

import json
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import torch
from safetensors import safe_open
from torch import Tensor

from osdface_core import read_photo
from osdface_core.models.osediff import OSEDiffModel
from osdface_core.osediff import restore_exactly

SEED = 7

LIMITS = {
    "prompt_embeds": 1e-5,
    "latent_mean": 1e-3,
    "latent_logvar": 5e-5,
    "latent_noise": 0.0,
    "latent": 2e-4,
    "unet_out": 2e-4,
    "tile_out": 2e-4,
    "tile_weights": 1e-12,
    "x0": 4e-3,
    "image_crop": 6e-5,
}
"""The kit's: four times what another implementation differs by. latent is its mean and noise, scaled by 0.18."""
SHARE = 0.001
"""Of the samples of a PNG that may be off by one level."""

OPTIONS = {
    "--process_size": "process_size",
    "--upscale": "upscale",
    "--latent_tiled_size": "tile",
    "--latent_tiled_overlap": "overlap",
}
"""The program's arguments, and what they are called here. Others say what every recording was made with."""


def load_recipe(kit: Path) -> ModuleType:
    """The kit's program that writes weights."""
    spec = spec_from_file_location("osediff_recipe", kit / "recipe.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_recording(kit: Path, case: str) -> tuple[dict, dict[str, Tensor]]:
    """What was restored, and what the program computed. `options`: the arguments that are options of ours."""
    with safe_open(kit / "recordings" / f"{case}.safetensors", "pt") as file:
        about, recorded = json.loads(file.metadata()["case"]), {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    given = dict(zip(about["arguments"][::2], about["arguments"][1::2], strict=False))
    about["options"] = {OPTIONS[name]: int(value) for name, value in given.items() if name in OPTIONS}
    return about, recorded


def run_case(model: OSEDiffModel, kit: Path, about: dict) -> dict[str, Tensor]:
    """Restore a recording's picture, and return what passed every stage, in the recording's terms."""
    seen: dict[str, Tensor] = {"prompt_embeds": model.texts.embed(about["prompt"])}
    noises: list[Tensor] = []
    encode, decode, vae = model.encode, model.decode, type(model.vae)

    def saw_encode(images, seed):
        seen["latent"] = encode(images, seed)
        return seen["latent"]

    def saw_posterior(images):
        posterior = vae.encode(model.vae, images)
        seen["latent_mean"], seen["latent_logvar"] = posterior.mean, posterior.log_variance
        return posterior

    def saw_decode(latents):
        seen["x0"] = latents
        images = decode(latents)
        top, left = (side // 2 - 32 for side in images.shape[2:])
        seen["image_crop"] = (images[0, :, top : top + 64, left : left + 64].clamp(-1, 1) + 1) / 2
        return images

    hook = model.unet.register_forward_hook(lambda _module, _inputs, noise: noises.append(noise))
    model.encode, model.decode, model.vae.encode = saw_encode, saw_decode, saw_posterior
    picture = read_photo(kit / "recordings" / "inputs" / about["input"]).pixels
    restored = restore_exactly(picture, model, prompt=about["prompt"], seed=SEED, **about["options"])
    hook.remove()
    del model.encode, model.decode, model.vae.encode
    alpha = float(model.alphas_cumprod[999])
    seen["unet_out"] = noises[0]
    if len(noises) > 1:  # what the program averages them to is what x0 tells
        seen["tile_out"] = torch.cat(noises)
        seen["unet_out"] = (seen["latent"] - alpha**0.5 * seen["x0"]) / (1 - alpha) ** 0.5
    seen["latent_noise"] = torch.randn(seen["latent"].shape, generator=torch.Generator().manual_seed(SEED))
    seen["png"] = levels(restored)
    return seen


def levels(image: Tensor) -> Tensor:
    """An image [1,3,H,W], 0..1, as the 8 bits of a file: [H,W,3]."""
    return (image[0].permute(1, 2, 0) * 255).round().byte()


def beyond(seen: dict[str, Tensor], recorded: dict[str, Tensor]) -> dict[str, float]:
    """The stages that differ by more than their limit, and by how much."""
    gaps = {key: (seen[key].double() - recorded[key].double()).abs().max().item() for key in recorded if key in LIMITS}
    return {key: gap for key, gap in gaps.items() if not gap <= LIMITS[key]}
