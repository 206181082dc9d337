"""Pseudo-random OSDFace weights in the authors' file formats, bit for bit the same on any machine.

    python recipe.py --size tiny|full --kit DIR --out DIR

The authors' program was recorded on these weights; `harness.py` compares ours with the recordings. Every value is
clip(PCG64(crc32("0:<file>:<key>")).standard_normal(float32), +-3.65) * scale; norm weights are 1 + 0.1 n. `scales.json`
holds calibrated factors, `vre_shapes.json` the shapes of the VRE, and the kit `codebook_<size>.safetensors`.

    OUT/sd21base/{scheduler,unet,vae}/      diffusers folder
    OUT/ckpt/associate_2.ckpt               with decoy tensors that a loader has to drop or ignore
    OUT/ckpt/associate_2_low.ckpt           only 40 reachable codes: fewer than 77 tokens
    OUT/ckpt/associate_2_plpickle.ckpt      its pickle names a pytorch_lightning class
    OUT/ckpt/embedding_change_weights.pth   prompt MLP
    OUT/ckpt/pytorch_lora_weights.safetensors            lora_A/lora_B, linear and convolution layers
    OUT/ckpt_updown/pytorch_lora_weights.safetensors     lora.up/lora.down, linear layers only
"""

import argparse
import contextlib
import json
import struct
import sys
import types
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file

HERE = Path(__file__).parent
RANK = 16
GAIN = {"unet": 1.0, "vae": 1.0, "vre": 1.2, "mlp": 1.0}
BIAS = {"unet": 0.02, "vae": 0.02, "vre": 0.05, "mlp": 0.05}
LORA_TARGETS = (
    *("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "conv1", "conv2"),
    *("conv_shortcut", "proj_in", "proj_out"),
)
SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
}
MLP_SHAPES = {
    "conv1.weight": (256, 512, 1),
    "conv1.bias": (256,),
    "conv2.weight": (1024, 256, 1),
    "conv2.bias": (1024,),
}
Arrays = dict[str, np.ndarray]
Shapes = dict[str, tuple[int, ...]]


def unet_config(size: str) -> dict[str, Any]:
    tiny = size == "tiny"
    return {
        "sample_size": 64,
        "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        "block_out_channels": (32, 64, 64, 64) if tiny else (320, 640, 1280, 1280),
        "attention_head_dim": [1, 2, 4, 4] if tiny else [5, 10, 20, 20],
        "cross_attention_dim": 1024,
        "use_linear_projection": True,
    }


def vae_config(size: str) -> dict[str, Any]:
    return {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "latent_channels": 4,
        "block_out_channels": (32, 32, 64, 64) if size == "tiny" else (128, 256, 512, 512),
        "sample_size": 768,
    }


def normal(tag: str, shape: tuple[int, ...]) -> np.ndarray:
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(f"0:{tag}".encode())))
    values = generator.standard_normal(size=tuple(shape), dtype=np.float32)
    return np.clip(values, np.float32(-3.65), np.float32(3.65), out=values)


def tensor(file: str, key: str, shape: tuple[int, ...], scales: dict[str, Any]) -> np.ndarray:
    """One weight. `scales` may hold a factor for it, one factor per output row, or its values."""
    factor = scales.get(f"{file}:{key}", 1.0)
    if isinstance(factor, dict):
        return np.array(factor["set"], np.float32).reshape(shape)
    values = normal(f"{file}:{key}", shape)
    if len(shape) >= 2:
        scale = np.array(factor, np.float64) * (GAIN[file] / float(np.sqrt(np.prod(shape[1:]))))
        values *= scale.astype(np.float32).reshape((-1,) + (1,) * (len(shape) - 1)) if scale.ndim else np.float32(scale)
    elif key.endswith("bias"):
        values *= np.float32(BIAS[file] * factor)
    else:
        values *= np.float32(0.1)
        values += np.float32(1)
    return values


def write_safetensors(path: Path, shapes: Shapes, make: Callable[[str, tuple[int, ...]], np.ndarray]) -> None:
    """One tensor at a time, so that the full size needs little memory."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for key, shape in shapes.items():
        end = offset + 4 * int(np.prod(shape))
        header[key] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for key, shape in shapes.items():
            np.ascontiguousarray(make(key, shape), dtype="<f4").tofile(file)


def write_diffusers_part(folder: Path, kind: str, size: str, scales: dict[str, Any]) -> Shapes:
    from diffusers import AutoencoderKL, UNet2DConditionModel

    with torch.device("meta"):
        network: Any = (
            UNet2DConditionModel(**unet_config(size)) if kind == "unet" else AutoencoderKL(**vae_config(size))
        )
    network.save_config(folder)
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    path = folder / "diffusion_pytorch_model.safetensors"
    write_safetensors(path, shapes, lambda key, shape: tensor(kind, key, shape, scales))
    return shapes


def lora_shapes(unet: Shapes) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    pairs = {}
    for key, shape in unet.items():
        module = key.removesuffix(".weight")
        is_target = any(module.endswith("." + target) for target in LORA_TARGETS)
        if module != key and len(shape) in (2, 4) and is_target:
            pairs[module] = ((RANK, *shape[1:]), (shape[0], RANK, *(1,) * (len(shape) - 2)))
    return pairs


def lora_tensor(key: str, shape: tuple[int, ...]) -> np.ndarray:
    key = key.replace(".lora.down.", ".lora_A.").replace(".lora.up.", ".lora_B.")
    values = normal("lora:" + key, shape)
    values *= np.float32(0.03 if ".lora_B." in key else 1 / float(np.sqrt(np.prod(shape[1:]))))
    return values


def decoys(size: str) -> Arrays:
    """Tensors to drop (vqvae_LQ.decoder), to ignore (other parts of training), or never to take (other prefixes)."""
    width = 64 if size == "tiny" else 512
    shapes: Shapes = {
        "vqvae_LQ.decoder.conv_in.weight": (width, width, 3, 3),
        "vqvae_LQ.post_quant_conv.weight": (width, width, 1, 1),
        "vqvae_LQ.post_quant_conv.bias": (width,),
        "vqvae.quantize.embedding.weight": (1024, 512),
        "vqvae.encoder.conv_in.weight": (32 if size == "tiny" else 64, 3, 3, 3),
        "loss.discriminator.main.0.weight": (64, 3, 4, 4),
        "loss_LQ.discriminator.main.0.weight": (64, 3, 4, 4),
    }
    made = {key: normal("decoy:" + key, shape) for key, shape in shapes.items()}
    return {**made, "logit_scale": np.array(2.6593, np.float32)}


@contextlib.contextmanager
def fake_lightning() -> Iterator[type]:
    """A stand-in package, so that a pickle can name pytorch_lightning's ModelCheckpoint."""
    chain = ["pytorch_lightning", "pytorch_lightning.callbacks", "pytorch_lightning.callbacks.model_checkpoint"]
    for name in chain:
        sys.modules[name] = types.ModuleType(name)
    checkpoint = type("ModelCheckpoint", (), {"__module__": chain[-1]})
    sys.modules[chain[-1]].ModelCheckpoint = checkpoint  # type: ignore[attr-defined]
    try:
        yield checkpoint
    finally:
        for name in chain:
            del sys.modules[name]


def write_weights(size: str, out: Path, kit: Path = HERE) -> None:
    """Write all files of one size to `out`. `kit` holds the codebook."""
    scales = json.loads((HERE / "scales.json").read_text(encoding="utf-8"))[size]
    for name in ("sd21base/scheduler", "sd21base/unet", "sd21base/vae", "ckpt", "ckpt_updown"):
        (out / name).mkdir(parents=True, exist_ok=True)
    (out / "sd21base/scheduler/scheduler_config.json").write_text(json.dumps(SCHEDULER), encoding="utf-8")
    write_diffusers_part(out / "sd21base/vae", "vae", size, scales)
    lora = lora_shapes(write_diffusers_part(out / "sd21base/unet", "unet", size, scales))
    peft = {f"unet.{name}.lora_{x}.weight": pair[i] for name, pair in lora.items() for i, x in enumerate("AB")}
    linear = {name: pair for name, pair in lora.items() if len(pair[0]) == 2}
    updown = {
        f"unet.{name}.lora.{x}.weight": pair[i] for name, pair in linear.items() for i, x in enumerate(("down", "up"))
    }
    write_safetensors(out / "ckpt/pytorch_lora_weights.safetensors", peft, lora_tensor)
    write_safetensors(out / "ckpt_updown/pytorch_lora_weights.safetensors", updown, lora_tensor)

    mlp = {key: torch.from_numpy(tensor("mlp", key, shape, scales)) for key, shape in MLP_SHAPES.items()}
    for name in ("ckpt", "ckpt_updown"):
        torch.save(mlp, out / name / "embedding_change_weights.pth")

    codebook = load_file(kit / f"codebook_{size}.safetensors")["codebook"].astype(np.float32)
    shapes = json.loads((HERE / "vre_shapes.json").read_text(encoding="utf-8"))[size]
    vre: Arrays = {
        f"vqvae_LQ.{key}": codebook if key.startswith("quantize") else tensor("vre", key, tuple(shape), scales)
        for key, shape in shapes.items()
    }
    state = {key: torch.from_numpy(value) for key, value in {**vre, **decoys(size)}.items()}
    about = {"epoch": 9, "global_step": 12345}
    torch.save({**about, "state_dict": state}, out / "ckpt/associate_2.ckpt")
    few = codebook.copy()
    few[np.arange(1024) % 26 != 0] += np.float32(40)
    low = {**state, "vqvae_LQ.quantize.embedding.weight": torch.from_numpy(few)}
    torch.save({**about, "state_dict": low}, out / "ckpt/associate_2_low.ckpt")
    with fake_lightning() as checkpoint:
        content = {**about, "state_dict": state, "callbacks": {checkpoint: {"best_model_path": ""}}}
        torch.save(content, out / "ckpt/associate_2_plpickle.ckpt")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Write the parity weights.")
    arguments.add_argument("--size", choices=["tiny", "full"], default="tiny")
    arguments.add_argument("--kit", type=Path, default=HERE, help="folder with codebook_<size>.safetensors")
    arguments.add_argument("--out", type=Path, required=True)
    chosen = arguments.parse_args()
    write_weights(chosen.size, chosen.out, chosen.kit)
