"""SD 2.1-base's original single-file layout, made from the diffusers folder that the recipe writes."""

import re
from pathlib import Path

import torch
from parity import recipe
from safetensors.torch import load_file

from osdface_core import ModelConfig
from osdface_core.networks.config import UNetConfig, VAEConfig

TINY = ModelConfig(
    unet=UNetConfig.from_json(recipe.unet_config("tiny")), vae=VAEConfig.from_json(recipe.vae_config("tiny"))
)
"""A single file does not tell its sizes: these are the recipe's."""


def as_single_file(folder: Path) -> dict[str, torch.Tensor]:
    """The diffusers folder's UNet and VAE under the names of the original checkpoints."""
    single = unet_as_single_file(load_file(folder / "unet/diffusion_pytorch_model.safetensors"))
    single |= vae_as_single_file(load_file(folder / "vae/diffusion_pytorch_model.safetensors"))
    single["cond_stage_model.model.logit_scale"] = torch.tensor(4.6)
    return {key: tensor.contiguous().clone() for key, tensor in single.items()}


def unet_as_single_file(unet: dict[str, torch.Tensor], layers: int = 2) -> dict[str, torch.Tensor]:
    """The original names of a UNet of so many layers a block."""
    rooms = layers + 1
    resnet = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0"}
    resnet |= {"conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
    single = {}
    for key, tensor in unet.items():
        name = re.sub(r"^time_embedding\.linear_([12])", lambda m: f"time_embed.{2 * int(m[1]) - 2}", key)
        name = re.sub(r"^conv_in", "input_blocks.0.0", name)
        name = re.sub(r"^conv_norm_out", "out.0", name)
        name = re.sub(r"^conv_out", "out.2", name)
        name = re.sub(
            r"^down_blocks\.(\d)\.(resnets|attentions)\.(\d)",
            lambda m: f"input_blocks.{rooms * int(m[1]) + int(m[3]) + 1}.{int(m[2] == 'attentions')}",
            name,
        )
        name = re.sub(
            r"^down_blocks\.(\d)\.downsamplers\.0\.conv", lambda m: f"input_blocks.{rooms * (int(m[1]) + 1)}.0.op", name
        )
        name = re.sub(
            r"^up_blocks\.(\d)\.(resnets|attentions)\.(\d)",
            lambda m: f"output_blocks.{rooms * int(m[1]) + int(m[3])}.{int(m[2] == 'attentions')}",
            name,
        )
        name = re.sub(
            r"^up_blocks\.(\d)\.upsamplers\.0",
            lambda m: (
                f"output_blocks.{rooms * int(m[1]) + layers}."
                f"{1 + (f'up_blocks.{m[1]}.attentions.0.norm.weight' in unet)}"
            ),
            name,
        )
        name = name.replace("mid_block.resnets.0", "middle_block.0").replace("mid_block.resnets.1", "middle_block.2")
        name = name.replace("mid_block.attentions.0", "middle_block.1")
        if ".resnets." in key:
            name = re.sub(
                r"\.(norm1|conv1|time_emb_proj|norm2|conv2|conv_shortcut)\.", lambda m: f".{resnet[m[1]]}.", name
            )
        single[f"model.diffusion_model.{name}"] = tensor
    return single


def vae_as_single_file(vae: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same for a VAE."""
    single = {}
    last = max(int(key.split(".")[2]) for key in vae if key.startswith("decoder.up_blocks."))
    for key, tensor in vae.items():
        name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", key)
        name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
        name = re.sub(r"up_blocks\.(\d)\.resnets\.(\d)", lambda m: f"up.{last - int(m[1])}.block.{m[2]}", name)
        name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{last - int(m[1])}.upsample", name)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        name = name.replace("mid_block.attentions.0.group_norm", "mid.attn_1.norm")
        name = re.sub(r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1", name)
        name = name.replace("mid_block.attentions.0.to_out.0", "mid.attn_1.proj_out")
        name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        is_attention = "attn_1" in name and "norm" not in name and tensor.ndim == 2
        single[f"first_stage_model.{name}"] = tensor[:, :, None, None] if is_attention else tensor
    return single
