"""The authors' files: a Lightning checkpoint, a prompt MLP and a LoRA over SD 2.1-base, made into one model."""

import re
from dataclasses import replace
from pathlib import Path

import torch

from ..errors import KeysError, ShapeError, WeightsNotFoundError
from ..files.atomic_write import atomic_write
from ..models.osdface import ModelConfig, OSDFaceModel
from ..models.vre import VRE, VREConfig
from ..networks.operations import TORCH, Operations
from .catalog import entry_named
from .files import Tensors, fill, mapped_files, read_tensors, write_tensors
from .lora import merge_lora
from .sd21 import base_files, read_base

VRE_FILE = "associate_2.ckpt"
PROMPT_FILE = "embedding_change_weights.pth"
LORA_FILE = "pytorch_lora_weights.safetensors"

VRE_PREFIX = "vqvae_LQ."
UNUSED_PREFIXES = ("decoder", "post_quant_conv")
"""Parts of the low-quality autoencoder that inference does without."""

RENAMES = (
    ("^encoder.conv_", "^encoder.encoder.conv_"),
    ("^encoder.norm_out", "^encoder.encoder.conv_norm_out"),
    ("^encoder.down.#.block.#", "^encoder.encoder.down_blocks.#.resnets.#"),
    ("^encoder.down.#.attn.#", "^encoder.encoder.down_blocks.#.attentions.#"),
    ("^encoder.down.#.downsample", "^encoder.encoder.down_blocks.#.downsamplers.0"),
    ("^encoder.mid.block_1", "^encoder.encoder.mid_block.resnets.0"),
    ("^encoder.mid.block_2", "^encoder.encoder.mid_block.resnets.1"),
    ("^encoder.mid.attn_1", "^encoder.encoder.mid_block.attentions.0"),
    ("^quant_conv", "^encoder.quant_conv"),
    ("^quantize.embedding.weight", "^quantizer.embedding"),
    (".nin_shortcut.", ".conv_shortcut."),
    ("attentions.#.norm1.", "attentions.#.group_norm."),
    ("attentions.#.q.", "attentions.#.to_q."),
    ("attentions.#.k.", "attentions.#.to_k."),
    ("attentions.#.v.", "attentions.#.to_v."),
    ("attentions.#.proj_out.", "attentions.#.to_out.0."),
)
"""The VQGAN family's names for the encoder, and ours (diffusers'). # stands for a number, ^ for the start."""

UNUSED_NORM = re.compile(r"attn(_1|\.\d+)\.norm2\.")
"""In the checkpoint, but no part of the computation."""


def load_authors_files(
    folder: str | Path, base: str | Path, config: ModelConfig | None = None, ops: Operations = TORCH
) -> OSDFaceModel:
    """OSDFace from a folder with the authors' three files and SD 2.1-base (diffusers folder or single file).

    config: sizes, where they cannot be read off the files (a single-file base) and the prompt's kind; OSDFace's own by
    default. A "concatenated" prompt needs no prompt MLP, and its file is not read.
    Raises a WeightsError that names the file, the tensor, what was expected and what to do.
    """
    config = config or ModelConfig()
    vre_path, lora_path, prompt_path = authors_paths(folder, config)
    files = mapped_files(vre_path, prompt_path, *base_files(base))
    vre_tensors = read_vre(vre_path)
    config = replace(config, vre=sizes_of(vre_tensors, config.vre, vre_path))
    config, unet, vae = read_base(base, config)
    with torch.device("meta"):
        model = OSDFaceModel(config, ops=ops)
    fill_vre(model.vre, vre_tensors, vre_path, prompt_path)
    fill(model.unet, merge_lora(unet, read_tensors(lora_path)[0], lora_path), base)
    fill(model.vae, vae, base)
    model.files = files
    return model


def load_authors_vre(folder: str | Path, ops: Operations = TORCH) -> VRE:
    """The embedder alone, for a UNet and VAE from elsewhere. Raises a WeightsError like `load_authors_files`."""
    vre_path, _, prompt_path = authors_paths(folder, ModelConfig())
    tensors = read_vre(vre_path)
    with torch.device("meta"):
        vre = VRE(sizes_of(tensors, VREConfig(), vre_path), ops)
    fill_vre(vre, tensors, vre_path, prompt_path)
    return vre.eval().requires_grad_(False)


def fill_vre(vre: VRE, tensors: Tensors, vre_path: Path, prompt_path: Path) -> None:
    fill(vre.encoder, part(tensors, "encoder."), vre_path)
    fill(vre.quantizer, part(tensors, "quantizer."), vre_path)
    if vre.projector is not None:
        fill(vre.projector, read_prompt_mlp(prompt_path), prompt_path)


def authors_paths(folder: str | Path, config: ModelConfig) -> tuple[Path, Path, Path]:
    """Where the VRE, the LoRA and the prompt MLP are. Raises WeightsNotFoundError where one that is needed is not."""
    paths = Path(folder) / VRE_FILE, Path(folder) / LORA_FILE, Path(folder) / PROMPT_FILE
    needed = paths if config.vre.prompt_kind == "projected" else paths[:2]
    for path in needed:
        if not path.is_file():
            raise WeightsNotFoundError(path, "this file of the authors is missing.", entry_named("osdface").how_to_get)
    return paths


def read_vre(path: Path) -> Tensors:
    """The low-quality encoder and dictionary, under our names. Everything else in the checkpoint is left unread."""
    own = part(read_tensors(path)[0], VRE_PREFIX)
    if not own:
        raise KeysError(path, f"no tensor of it starts with {VRE_PREFIX!r}.", f"Is it OSDFace's {VRE_FILE}?")
    tensors = {}
    for key, tensor in own.items():
        if key.startswith(UNUSED_PREFIXES) or UNUSED_NORM.search(key):
            continue
        for theirs, ours in RENAMES:
            key = rename(key, theirs, ours)
        is_attention = ".attentions." in key and tensor.ndim == 4
        tensors[key] = tensor[:, :, 0, 0] if is_attention else tensor
    return tensors


def sizes_of(tensors: Tensors, config: VREConfig, path: Path) -> VREConfig:
    """The embedder's sizes, as its own tensors have them."""
    try:
        base = tensors["encoder.encoder.conv_in.weight"].shape[0]
        codes, code_channels = tensors["quantizer.embedding"].shape
    except KeyError as error:
        raise KeysError(path, f"{error} is missing.", f"Is it OSDFace's {VRE_FILE}?", key=error.args[0]) from error
    except ValueError as error:
        raise ShapeError(path, "the dictionary is not a table.", f"Is it OSDFace's {VRE_FILE}?") from error
    return replace(config, base_channels=base, codes=codes, code_channels=code_channels)


def read_prompt_mlp(path: Path) -> Tensors:
    """The prompt MLP; its convolutions of kernel 1 become linear layers."""
    return {key: tensor[..., 0] if tensor.ndim == 3 else tensor for key, tensor in read_tensors(path)[0].items()}


def rename(key: str, old: str, new: str) -> str:
    """`key` with the part that `old` describes as `new` has it."""
    numbers = iter(range(1, 9))
    replacement = re.sub("#", lambda _: f"\\g<{next(numbers)}>", new.removeprefix("^"))
    return re.sub(old.replace(".", r"\.").replace("#", r"(\d+)"), replacement, key)


def write_authors_files(folder: str | Path, vre: VRE, lora: Tensors) -> None:
    """Write an embedder with its prompt MLP, and a LoRA (keys `unet.<module>.lora_A.weight`), as the authors' three
    files: their program loads them beside the base that the LoRA changes. Raises OSError; nothing half written stays.
    """
    own = {}
    for key, tensor in (
        vre.encoder.state_dict(prefix="encoder.") | vre.quantizer.state_dict(prefix="quantizer.")
    ).items():
        for theirs, ours in reversed(RENAMES):
            key = rename(key, ours, theirs)
        is_attention = re.search(r"attn(_1|\.\d+)\.(q|k|v|proj_out)\.weight$", key)
        own[VRE_PREFIX + key] = tensor[:, :, None, None] if is_attention else tensor
    mlp = {} if vre.projector is None else vre.projector.state_dict()
    mlp = {key: tensor[..., None] if tensor.ndim == 2 else tensor for key, tensor in mlp.items()}
    with atomic_write(Path(folder) / VRE_FILE) as path:
        torch.save({"state_dict": own}, path)
    with atomic_write(Path(folder) / PROMPT_FILE) as path:
        torch.save(mlp, path)
    write_tensors(Path(folder) / LORA_FILE, lora)


def part(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors under `prefix`, without it."""
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
