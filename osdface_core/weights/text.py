"""Texts made into what a UNet is told, by the tokenizer and text encoder in an SD 2.1-base folder.

Only for texts that no bundle holds yet. Needs transformers, which brings both as code; sizes and weights are read here.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import NotACheckpointError, WeightsNotFoundError, WrongBaseError
from ..libraries import library
from ..limits import check_count, check_number
from ..models.osediff import TOKENS
from ..networks.config import DEEPEST, WIDEST, NetworkConfig
from .catalog import entry_named
from .files import fill, read_tensors
from .sd21 import read_json

PADDING = 0
"""What SD 2.1's texts are padded with: "!". Its tokenizer_config.json says otherwise, and is wrong."""

VOCABULARY, MERGES = "vocab.json", "merges.txt"
ENCODER_NAMES = "model.safetensors", "model.fp16.safetensors", "pytorch_model.bin"
USE_TEXT = f"The base has to be a folder with a text encoder. {entry_named('sd21-base-text').how_to_get}"


@dataclass(frozen=True)
class TextConfig(NetworkConfig):
    """Sizes of a CLIP text encoder, in transformers' terms. Raises ValueError for sizes that cannot be."""

    vocab_size: int = 49408
    hidden_size: int = 1024
    intermediate_size: int = 4096
    num_hidden_layers: int = 23
    num_attention_heads: int = 16
    max_position_embeddings: int = TOKENS
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        for name in ("hidden_size", "intermediate_size", "num_attention_heads"):
            check_count(name, getattr(self, name), WIDEST)
        check_count("vocab_size", self.vocab_size, 1 << 20)
        check_count("num_hidden_layers", self.num_hidden_layers, 8 * DEEPEST)
        check_number("layer_norm_eps", self.layer_norm_eps, 1e-12, 1)
        if self.max_position_embeddings != TOKENS:
            raise ValueError(f"max_position_embeddings is {self.max_position_embeddings!r:.60}: it must be {TOKENS}")
        if self.hidden_act not in ("gelu", "quick_gelu"):
            raise ValueError(f"hidden_act is {self.hidden_act!r:.60}: it must be gelu or quick_gelu")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(f"{self.hidden_size} channels cannot be shared by {self.num_attention_heads} heads")


@torch.no_grad()
def encode_texts(base: Path, texts: Sequence[str], width: int) -> Tensor:
    """What the text encoder in the folder `base` makes of each text: [N,77,D] float32.

    The last hidden state after the final norm, of the tokens alone: padding is not masked (as in Stable Diffusion 2).
    width: how wide the UNet's context is.
    Raises MissingLibraryError without transformers, and a WeightsError that says what is wrong with which file.
    """
    encoder = read_encoder(Path(base) / "text_encoder", width)
    return torch.cat([encoder(input_ids=ids[None]).last_hidden_state for ids in tokenize(base, texts)])


def tokenize(base: Path, texts: Sequence[str]) -> Tensor:
    """The tokens of each text: [N,77] int64, its start, at most 75 of it, its end, padding."""
    folder = Path(base) / "tokenizer"
    for name in (VOCABULARY, MERGES):
        if not (folder / name).is_file():
            raise WeightsNotFoundError(folder / name, "this file of the tokenizer is missing.", USE_TEXT)
    try:
        tokenizer = library("transformers").CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        found = tokenizer(list(texts), truncation=True, max_length=TOKENS)["input_ids"]
    except (AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise NotACheckpointError(folder, f"this is no CLIP tokenizer ({error}).", USE_TEXT) from error
    return torch.tensor([ids + [PADDING] * (TOKENS - len(ids)) for ids in found])


def read_encoder(folder: Path, width: int) -> Any:
    """The text encoder in a folder: sizes and weights read as data, the network from transformers."""
    transformers = library("transformers")
    path = next((folder / name for name in ENCODER_NAMES if (folder / name).is_file()), None)
    if path is None:
        raise WeightsNotFoundError(folder / ENCODER_NAMES[0], "this file of the text encoder is missing.", USE_TEXT)
    theirs = read_json(folder / "config.json")
    try:
        own = {known.name for known in fields(TextConfig)}
        sizes = TextConfig.from_json({name: value for name, value in theirs.items() if name in own})
    except (AttributeError, ValueError) as error:
        raise WrongBaseError(folder, f"its configuration is no text encoder's ({error}).", USE_TEXT) from error
    if sizes.hidden_size != width:
        problem = f"its texts are {sizes.hidden_size} wide, the UNet's context {width}."
        raise WrongBaseError(folder, problem, USE_TEXT)
    with torch.device("meta"):
        theirs = transformers.CLIPTextConfig(**asdict(sizes), bos_token_id=0, eos_token_id=2)  # of no part in this
        encoder = transformers.CLIPTextModel(theirs)
    bare = not any(key.startswith("text_model.") for key in encoder.state_dict())  # since transformers 5
    tensors = {
        key.removeprefix("text_model.") if bare else key: tensor.float()
        for key, tensor in read_tensors(path)[0].items()
        if not key.endswith("position_ids")
    }
    fill(encoder, tensors, path)
    positions = torch.arange(TOKENS)[None]  # no weights, and so not in the file
    for module in encoder.modules():
        if "position_ids" in module._buffers:
            module.position_ids = positions
    return encoder.eval()
