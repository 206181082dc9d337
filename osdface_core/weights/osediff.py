"""OSEDiff's face model from its authors' file: a LoRA over SD 2.1-base's UNet and VAE, and a UNet's first layer.

The file, `osediff_face.pkl`, is read as data. It tells ranks and modules; alpha is peft's default.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..errors import KeysError, LoraError, NotACheckpointError, ShapeError
from ..models.diffusion import SD21_UNET
from ..models.osediff import OSEDiffConfig, OSEDiffModel, TextPrompts
from ..networks.operations import TORCH, Operations
from .catalog import entry_named
from .files import Tensors, fill, git_blob, is_pickle, mapped_files, read_checkpoint, require_finite, start_of
from .lora import add_pair, check_pair
from .sd21 import base_files, read_base
from .text import encode_texts

ALPHA = 8
"""Of both LoRAs: peft's default, which the file does not name. At rank 4 the scale is 2."""
MOST_RANK = 1024

PROMPTS = ("", "face, person, portrait", "man, face, hair, smile, eye", "woman, face, hair, smile, eye")
"""Texts that a bundle gets where nothing else is asked for. The program's own come from a tagger of its own; the empty
text is what is left without one."""

GENERAL = "bc84dc9729aa6173e8b1087977025a4fc566a5db"
"""The git blob of the authors' general model, which has the same layout."""

MARK = "state_dict_unet"
ADAPTERS = {
    MARK: {
        "default_encoder": "unet_lora_encoder_modules",
        "default_decoder": "unet_lora_decoder_modules",
        "default_others": "unet_lora_others_modules",
    },
    "state_dict_vae": {"default_encoder": "vae_lora_encoder_modules"},
}
"""The LoRAs of each network, and where the file lists the modules they change."""
RANKS = {MARK: "rank_unet", "state_dict_vae": "rank_vae"}
FIRST = "conv_in.base_layer."
"""What the names of the UNet's new first layer begin with."""
CONTEXT = re.compile(r"attn2\.to_k\.lora_A\.")

GET_IT = entry_named("osediff-face").how_to_get


def load_osediff(
    path: str | Path, base: str | Path, prompts: Sequence[str] | None = None, ops: Operations = TORCH
) -> OSEDiffModel:
    """OSEDiff's face model from the authors' file and SD 2.1-base (diffusers folder or single file).

    prompts: the texts that it is to know, the usual one first (`PROMPTS` by default); they need a folder with a text
    encoder, and transformers.
    Raises a WeightsError that names the file, the tensor, what was expected and what to do.
    """
    path = Path(path)
    files = mapped_files(path, *base_files(base))
    content = read_osediff(path)
    loras = {name: read_lora(content, name, path) for name in ADAPTERS}
    width = next((a.shape[1] for a, _, key in loras[MARK].values() if CONTEXT.search(key)), None)
    if width is None:
        raise LoraError(path, "it changes no attention to a text.", GET_IT)
    config = OSEDiffConfig(unet=replace(SD21_UNET, cross_attention_dim=width))
    config, unet, vae = read_base(base, config)
    with torch.device("meta"):
        model = OSEDiffModel(config, ops=ops)
    fill(model.unet, merge(replace_first(unet, content, path), loras[MARK], rank(content, MARK, path), path), base)
    fill(model.vae, merge(vae, loras["state_dict_vae"], rank(content, "state_dict_vae", path), path), base)
    model.texts = TextPrompts((), config.unet.cross_attention_dim).requires_grad_(False)
    model.files = files
    add_prompts(model, PROMPTS if prompts is None else prompts, base)
    return model


def add_prompts(model: OSEDiffModel, prompts: Sequence[str], base: str | Path) -> None:
    """Have a model know these texts, too, by the text encoder in the folder `base`."""
    new = tuple(text for text in dict.fromkeys(prompts) if text not in model.config.prompts)
    if not new:
        return
    config, known = model.config, model.texts.embeds
    embeds = encode_texts(Path(base), new, config.unet.cross_attention_dim)
    model.config = replace(config, prompts=config.prompts + new)
    model.texts = TextPrompts(model.config.prompts, config.unet.cross_attention_dim)
    fill(model.texts, {"embeds": torch.cat([known, embeds.to(known)])}, base)


def is_osediff(path: Path) -> bool:
    """Whether this is a file of OSEDiff's authors. Raises a WeightsError for a checkpoint that cannot be read."""
    return path.is_file() and is_pickle(start_of(path)) and MARK in read_checkpoint(path)


def read_osediff(path: Path) -> Mapping[str, object]:
    """The content of the authors' file. Raises NotACheckpointError for any other, and for their general model."""
    if path.is_dir():
        raise NotACheckpointError(path, "this is a folder; OSEDiff's face model is one file.", GET_IT)
    if path.is_file() and not is_pickle(start_of(path)):
        problem = "this is not OSEDiff's face model, which is a PyTorch checkpoint."
        raise NotACheckpointError(path, problem, f"OSDFace's files need no --kind. {GET_IT}")
    content = read_checkpoint(path)
    if MARK not in content:
        shown = ", ".join(sorted(map(str, content))[:3])
        problem = f"this is not OSEDiff's face model: it has no {MARK} ({shown}, …)."
        raise KeysError(path, problem, GET_IT, key=MARK)
    if git_blob(path) == GENERAL:
        problem = "this is OSEDiff's general model, which enlarges whole photos and knows little of faces."
        raise NotACheckpointError(path, problem, GET_IT)
    return content


Pairs = dict[str, tuple[Tensor, Tensor, str]]
"""The factors A and B of each module that is changed, and the name of A in the file."""


def read_lora(content: Mapping[str, object], name: str, path: Path) -> Pairs:
    """The LoRA of one network, every tensor accounted for. Raises a WeightsError where it is not what its lists say."""
    tensors = table(content, name, path)
    pairs: Pairs = {}
    used = {FIRST + "weight", FIRST + "bias"} if name == MARK else set()
    for adapter, listed in ADAPTERS[name].items():
        down, up = f".lora_A.{adapter}.weight", f".lora_B.{adapter}.weight"
        own = {key.removesuffix(down) for key in tensors if key.endswith(down)}
        modules = content.get(listed)
        if not isinstance(modules, list) or set(map(str, modules)) != own:
            problem = f"its {listed} and the tensors of {adapter} are not of the same modules."
            raise LoraError(path, problem, GET_IT, key=listed)
        for module in own:
            key, other = module + down, module + up
            if other not in tensors or min(tensors[key].ndim, tensors[other].ndim) < 2:
                raise LoraError(path, f"{key} has no counterpart {other} to be multiplied with.", GET_IT, key=key)
            pairs[module] = tensors[key], tensors[other], key
            used |= {key, other}
    left = sorted(tensors.keys() - used)
    if left:
        problem = f"{len(left)} tensor(s) of {name} are not part of a LoRA pair: {', '.join(left[:3])}."
        raise LoraError(path, problem, GET_IT, key=left[0])
    return pairs


def table(content: Mapping[str, object], name: str, path: Path) -> Tensors:
    """A table of tensors in the file."""
    tensors = content.get(name)
    if not isinstance(tensors, Mapping) or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise KeysError(path, f"its {name} is no table of tensors.", GET_IT, key=name)
    found = {str(key): tensor for key, tensor in tensors.items()}
    require_finite(found, path)
    return found


def rank(content: Mapping[str, object], name: str, path: Path) -> int:
    number = content.get(RANKS[name])
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MOST_RANK:
        problem = f"its {RANKS[name]} is {number!r:.60}, expected a whole number from 1 to {MOST_RANK}."
        raise LoraError(path, problem, GET_IT, key=RANKS[name])
    return number


def replace_first(unet: Tensors, content: Mapping[str, object], path: Path) -> Tensors:
    """The UNet with the first layer that was trained with the LoRA, which then changes it, too."""
    tensors, replaced = table(content, MARK, path), dict(unet)
    for kind in ("weight", "bias"):
        key, target = FIRST + kind, f"conv_in.{kind}"
        if key not in tensors:
            raise KeysError(path, f"{key} is missing.", GET_IT, key=key)
        if target in unet and tensors[key].shape != unet[target].shape:
            shapes = f"{list(tensors[key].shape)}, but the base's {target} {list(unet[target].shape)}"
            raise ShapeError(path, f"{key} is {shapes}.", "It belongs to another base.", key=key)
        replaced[target] = tensors[key].to(unet[target].dtype) if target in unet else tensors[key]
    return replaced


def merge(weights: Tensors, pairs: Pairs, rank: int, path: Path) -> Tensors:
    """The weights with the LoRA merged at its scale. Raises LoraError where it does not fit them."""
    merged = dict(weights)
    for module, (a, b, key) in pairs.items():
        target = f"{module}.weight"
        if target not in weights:
            raise LoraError(path, f"{key} changes {module}, which the base does not have.", NOT_FOR_BASE, key=key)
        if a.shape[0] != rank or b.shape[1:2] != (rank,):
            problem = f"{key} has rank {a.shape[0]} (and its counterpart {list(b.shape)}), the file says {rank}."
            raise LoraError(path, problem, GET_IT, key=key)
        check_pair(weights[target], a, b, path, key)
        merged[target] = add_pair(weights[target], a, b, ALPHA / rank)
    return merged


NOT_FOR_BASE = "It was made for another base than this one: SD 2.1-base is what it needs."
