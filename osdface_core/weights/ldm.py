"""Stable Diffusion's original single-file layout (LDM): its UNet and VAE under diffusers' names."""

import re

from ..networks.config import UNetConfig, VAEConfig
from .files import Tensors

UNET, VAE = "model.diffusion_model.", "first_stage_model."
"""What the names of the UNet's and the VAE's tensors begin with."""

UNET_NAMES = {
    r"^time_embed\.0\.": "time_embedding.linear_1.",
    r"^time_embed\.2\.": "time_embedding.linear_2.",
    r"^input_blocks\.0\.0\.": "conv_in.",
    r"^out\.0\.": "conv_norm_out.",
    r"^out\.2\.": "conv_out.",
    r"^middle_block\.0\.": "mid_block.resnets.0.",
    r"^middle_block\.1\.": "mid_block.attentions.0.",
    r"^middle_block\.2\.": "mid_block.resnets.1.",
    r"\.in_layers\.0\.": ".norm1.",
    r"\.in_layers\.2\.": ".conv1.",
    r"\.emb_layers\.1\.": ".time_emb_proj.",
    r"\.out_layers\.0\.": ".norm2.",
    r"\.out_layers\.3\.": ".conv2.",
    r"\.skip_connection\.": ".conv_shortcut.",
}
VAE_NAMES = {
    r"\.norm_out\.": ".conv_norm_out.",
    r"\.nin_shortcut\.": ".conv_shortcut.",
    r"\.mid\.block_1\.": ".mid_block.resnets.0.",
    r"\.mid\.block_2\.": ".mid_block.resnets.1.",
    r"\.attn_1\.norm\.": ".attn_1.group_norm.",
    r"\.attn_1\.([qkv])\.": r".attn_1.to_\1.",
    r"\.attn_1\.proj_out\.": ".attn_1.to_out.0.",
    r"\.mid\.attn_1\.": ".mid_block.attentions.0.",
    r"\.down\.(\d+)\.block\.": r".down_blocks.\1.resnets.",
    r"\.down\.(\d+)\.downsample\.": r".down_blocks.\1.downsamplers.0.",
}
"""Patterns in the original names, and what diffusers has in their place."""


def unet_of(tensors: Tensors, config: UNetConfig) -> Tensors:
    """The UNet in a single file. Tensors it does not know keep their names, for `fill` to refuse."""
    rooms = config.layers_per_block + 1  # of a block: its layers, and one that changes the size

    def in_block(match: re.Match[str]) -> str:
        way, number, part = match[1], int(match[2]), match[3]
        block, layer = divmod(number - (way == "input"), rooms)
        inside = {"0": f"resnets.{layer}", "1": f"attentions.{layer}", "0.op": "downsamplers.0.conv"}
        return f"{'down' if way == 'input' else 'up'}_blocks.{block}.{inside.get(part, 'upsamplers.0.conv')}."

    def rename(key: str) -> str:
        name = renamed(key.removeprefix(UNET), UNET_NAMES)
        return re.sub(r"^(input|output)_blocks\.(\d{1,3})\.(0\.op|[12]\.conv|[01])\.", in_block, name)

    return {rename(key): tensor for key, tensor in tensors.items() if key.startswith(UNET)}


def vae_of(tensors: Tensors, config: VAEConfig) -> Tensors:
    """The VAE in a single file. Its attention's products are convolutions there, of one pixel."""
    last = len(config.block_out_channels) - 1

    def in_block(match: re.Match[str]) -> str:
        part = {"block": "resnets", "upsample": "upsamplers.0"}[match[2]]
        return f".up_blocks.{last - int(match[1])}.{part}."

    vae: Tensors = {}
    for key, tensor in tensors.items():
        if key.startswith(VAE):
            name = re.sub(r"\.up\.(\d{1,3})\.(block|upsample)\.", in_block, renamed(key.removeprefix(VAE), VAE_NAMES))
            vae[name] = tensor.flatten(1) if ".attentions." in name and tensor.ndim == 4 else tensor
    return vae


def renamed(key: str, names: dict[str, str]) -> str:
    for pattern, name in names.items():
        key = re.sub(pattern, name, key)
    return key
