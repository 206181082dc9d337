"""A small SD 2.1-base that ComfyUI takes for the real one, and the authors' files to go with it."""

import shutil
from pathlib import Path
from typing import Any

import torch
from parity import recipe
from parity.single_file import unet_as_single_file
from safetensors.torch import save_file

CHECKPOINT = "v2-1_512-ema-pruned.safetensors"
FOLDER = "authors"


def write_native_files(models: Path, tiny_weights: Path) -> None:
    """Put them where the native route looks for them, below a host's models/.

    ComfyUI knows SD 2.1 by its first width and its context, so only the deeper levels are narrow. A TAESD takes the
    VAE's place, which ComfyUI builds at its full size only. The VRE is the recipe's tiny one, in `tiny_weights`.
    """
    from diffusers import AutoencoderTiny, UNet2DConditionModel

    config = {**recipe.unet_config("tiny"), "block_out_channels": (320,) * 4, "attention_head_dim": 5}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks: list[Any] = [UNet2DConditionModel(**config), AutoencoderTiny()]
    unet, vae = (network.state_dict() for network in networks)
    last = max((key for key in vae if key.endswith(".bias")), key=lambda key: (key[0] == "d", int(key.split(".")[2])))
    vae[last] += 0.5  # a grey face instead of a black one
    checkpoint = unet_as_single_file(unet) | taesd(vae) | {"cond_stage_model.model.logit_scale": torch.tensor(4.6)}
    checkpoints, folder = models / "checkpoints", models / "osdface" / FOLDER
    checkpoints.mkdir(parents=True, exist_ok=True)
    save_file({key: tensor.half().contiguous() for key, tensor in checkpoint.items()}, checkpoints / CHECKPOINT)
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("associate_2.ckpt", "embedding_change_weights.pth"):
        shutil.copy(tiny_weights / "ckpt" / name, folder)
    pairs = recipe.lora_shapes({key: tuple(tensor.shape) for key, tensor in unet.items()})
    lora = {f"unet.{name}.lora_{x}.weight": pair[i] for name, pair in pairs.items() for i, x in enumerate("AB")}
    recipe.write_safetensors(folder / "pytorch_lora_weights.safetensors", lora, recipe.lora_tensor)


def taesd(vae: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """diffusers' tiny autoencoder under the names by which ComfyUI knows a TAESD in a checkpoint."""
    named = {}
    for key, tensor in vae.items():
        part, _, layer, rest = key.split(".", 3)
        number = int(layer) + (part == "decoder")  # ComfyUI counts the clamp at the decoder's front
        named[f"first_stage_model.taesd_{part}.{number}.{rest}"] = tensor
    return named
