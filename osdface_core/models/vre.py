"""The visual representation embedder: a face crop becomes tokens of a learned dictionary, and those the prompt.

Paper section 3.2; OSDFace's encoder is the VQGAN encoder of DAEFR. It always computes in float32: token selection
compares distances of several hundred that differ by hundredths.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..batches import OnBatch, in_batches
from ..devices import arithmetic, upload
from ..errors import ImageError
from ..faces import FaceCrops
from ..limits import check_count
from ..networks.autoencoder import Encoder
from ..networks.config import DEEPEST, LEVELS, WIDEST, NetworkConfig, check_widths
from ..networks.layers import apply_linear, apply_pointwise
from ..networks.operations import TORCH, Operations
from ..serialization import Json, reading, tensor_from_json, tensor_to_json

GROUPS = 32
"""Of the encoder's norms."""
PROMPT_KINDS = "projected", "concatenated"


@dataclass(frozen=True)
class VREConfig(NetworkConfig):
    """Sizes of the embedder. The defaults are OSDFace's. Raises ValueError for sizes that cannot be."""

    base_channels: int = 64
    channel_multipliers: tuple[int, ...] = (1, 2, 2, 2, 4, 8)
    layers_per_block: int = 2
    code_channels: int = 512
    codes: int = 1024
    tokens: int = 77
    input_size: int = 512
    prompt_hidden: int = 256
    prompt_channels: int = 1024
    prompt_kind: str = "projected"
    """"projected": each token through the prompt MLP. "concatenated": twice as many tokens, joined in pairs, no MLP."""

    def __post_init__(self) -> None:
        for name in ("base_channels", "code_channels", "prompt_hidden", "prompt_channels"):
            check_count(name, getattr(self, name), WIDEST)
        check_count("codes", self.codes, 1 << 16)
        check_count("layers_per_block", self.layers_per_block, DEEPEST)
        check_count("input_size", self.input_size, 4096)
        multipliers = self.channel_multipliers
        if not isinstance(multipliers, tuple) or not 1 <= len(multipliers) <= LEVELS:
            raise ValueError(f"channel_multipliers = {multipliers!r:.60} must be 1 to {LEVELS} numbers")
        for multiplier in multipliers:
            check_count("channel_multipliers", multiplier, 64)
        check_widths(self.widths, GROUPS, len(multipliers))
        if self.prompt_kind not in PROMPT_KINDS:
            raise ValueError(f"prompt_kind = {self.prompt_kind!r:.60} must be one of {', '.join(PROMPT_KINDS)}")
        if self.input_size % 2 ** (len(multipliers) - 1):
            raise ValueError(f"input_size = {self.input_size} cannot be halved {len(multipliers) - 1} times")
        check_count("tokens", self.tokens, 1024)

    @property
    def widths(self) -> tuple[int, ...]:
        """The channels of every level."""
        return tuple(self.base_channels * multiplier for multiplier in self.channel_multipliers)

    @property
    def prompt_width(self) -> int:
        """How wide a prompt's tokens are."""
        return self.prompt_channels if self.prompt_kind == "projected" else 2 * self.code_channels

    @property
    def cells(self) -> int:
        """How many cells the grid of features has on a side."""
        return self.input_size // 2 ** (len(self.channel_multipliers) - 1)


@dataclass(frozen=True, eq=False)
class Prompts:
    """What the restorer is told about each face."""

    embeds: Tensor
    """[N,77,D] float32: the context of the UNet's cross-attention."""
    token_ids: Tensor
    """[N,77] int64 ([N,154] for concatenated prompts): dictionary entry of each token, nearest match first; -1 pads.
    [N,0] where a text was encoded instead of a face."""
    positions: Tensor
    """The same shape: which cell of the 16x16 grid, row by row, each token came from; -1 pads."""

    def __len__(self) -> int:
        return self.embeds.shape[0]

    @classmethod
    def of_text(cls, embeds: Tensor, faces: int) -> "Prompts":
        """A text's embeddings [1,T,D] as what so many faces are all told, or [faces,T,D], one for each; no tokens of
        the VRE's dictionary. Raises ImageError for any other number of them."""
        if embeds.ndim != 3 or embeds.shape[0] not in (1, faces):
            raise ImageError(f"There are texts of shape {list(embeds.shape)} for {faces} faces: give one, or one each.")
        none = torch.empty(faces, 0, dtype=torch.int64, device=embeds.device)
        return cls(embeds.expand(faces, -1, -1), none, none)

    def to_json(self) -> Json:
        return {name: tensor_to_json(getattr(self, name)) for name in ("embeds", "token_ids", "positions")}

    @classmethod
    def from_json(cls, data: Json) -> "Prompts":
        """Raises ImageError where `data` does not describe prompts."""
        with reading("prompts", "embeds, token_ids and positions, as `to_json` writes them"):
            return cls(*(tensor_from_json(data[name]) for name in ("embeds", "token_ids", "positions")))


class VREncoder(nn.Module):
    """The visual tokenizer: an image to a grid of feature vectors."""

    def __init__(self, config: VREConfig, ops: Operations = TORCH):
        super().__init__()
        self.input_size, self.ops = config.input_size, ops
        sizes = config.widths, config.layers_per_block, GROUPS
        self.encoder = Encoder(3, config.code_channels, *sizes, ops, attention=True)
        self.quant_conv = ops.Conv2d(config.code_channels, config.code_channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """images [N,3,H,W], 0..1 -> features [N,P,C], P = 256 cells row by row.

        The authors' program normalises twice (2v-1, then again), so the network sees [-3, 1]; its prompt MLP and LoRA
        were trained on the features that this gives.
        """
        images = F.interpolate(images, (self.input_size, self.input_size), mode="bilinear", align_corners=False)
        features = apply_pointwise(self.ops, self.quant_conv, self.encoder(4 * images - 3))
        return features.flatten(2).transpose(1, 2)


class VectorQuantizer(nn.Module):
    """The dictionary, and the choice of tokens from it."""

    def __init__(self, config: VREConfig):
        super().__init__()
        self.embedding = nn.Parameter(torch.empty(config.codes, config.code_channels))
        nn.init.uniform_(self.embedding, -1 / config.codes, 1 / config.codes)

    def nearest(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """features [N,P,C] -> the nearest entry of every cell: squared distance [N,P] and entry [N,P]."""
        squares = features.square().sum(-1, keepdim=True) + self.embedding.square().sum(-1)
        distances = squares - 2 * features @ self.embedding.T
        nearest = distances.min(-1)
        return nearest.values, nearest.indices

    def select(self, features: Tensor, tokens: int, distinct: bool = True) -> tuple[Tensor, Tensor]:
        """The best-matching entries of each image: token_ids and positions, both [N,tokens].

        Cells in order of distance; with `distinct`, an entry counts only the first time it appears. Fewer entries than
        `tokens` are padded with -1. Every image is treated on its own, and nothing waits for the device.
        """
        distances, entries = self.nearest(features)
        cells = distances.argsort(dim=-1, stable=True)
        entries = entries.gather(1, cells)
        chosen = torch.ones_like(entries, dtype=torch.bool)
        if distinct:
            same = entries[:, :, None] == entries[:, None, :]
            chosen = ~same.tril(-1).any(-1)
        place = torch.arange(entries.shape[1], device=entries.device)
        place = torch.where(chosen, place, place + entries.shape[1]).argsort(dim=-1)
        kept = chosen.gather(1, place)
        token_ids = entries.gather(1, place).where(kept, -1)[:, :tokens]
        positions = cells.gather(1, place).where(kept, -1)[:, :tokens]
        missing = (0, max(0, tokens - token_ids.shape[1]))
        return F.pad(token_ids, missing, value=-1), F.pad(positions, missing, value=-1)

    def forward(self, token_ids: Tensor) -> Tensor:
        """token_ids [N,T] -> entries [N,T,C]; padding (-1) is the zero vector."""
        return F.pad(self.embedding, (0, 0, 0, 1))[token_ids]


class PromptProjector(nn.Module):
    """The prompt MLP: each token by itself to the width of the UNet's context. SiLU after both layers."""

    def __init__(self, config: VREConfig, ops: Operations = TORCH):
        super().__init__()
        self.ops = ops
        self.conv1 = ops.Linear(config.code_channels, config.prompt_hidden)
        self.conv2 = ops.Linear(config.prompt_hidden, config.prompt_channels)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.silu(apply_linear(self.ops, self.conv2, F.silu(apply_linear(self.ops, self.conv1, tokens))))


class VRE(nn.Module):
    """Encoder, dictionary and projector together: images [N,3,H,W], 0..1 -> Prompts."""

    tf32 = False
    """Whether CUDA may compute the encoder's convolutions in TF32: faster, and one token in 77 may be another."""

    def __init__(self, config: VREConfig, ops: Operations = TORCH):
        super().__init__()
        self.config = config
        self.encoder = VREncoder(config, ops)
        self.quantizer = VectorQuantizer(config)
        self.projector = PromptProjector(config, ops) if config.prompt_kind == "projected" else None
        self.table: Tensor | None
        self.register_buffer("table", None, persistent=False)

    def forward(self, images: Tensor) -> Prompts:
        return self.prompt(self.features(images))

    def features(self, images: Tensor) -> Tensor:
        """images [N,3,H,W], 0..1 -> the encoder's features [N,P,C]."""
        dictionary = self.quantizer.embedding
        with arithmetic(dictionary.device, tf32=self.tf32):
            features: Tensor = self.encoder(upload(images, dictionary.device, dictionary.dtype))
        return features

    def prompt(self, features: Tensor) -> Prompts:
        """features [N,P,C] of the encoder -> Prompts."""
        tokens = self.config.tokens
        if self.projector is None:
            token_ids, positions = self.quantizer.select(features, 2 * tokens, distinct=False)
            embeds = torch.cat(self.quantizer(token_ids).split(tokens, dim=1), dim=-1)
        else:
            token_ids, positions = self.quantizer.select(features, tokens)
            embeds = self.project(token_ids)
        return Prompts(embeds, token_ids, positions)

    def project(self, token_ids: Tensor) -> Tensor:
        """token_ids [...], -1 for padding -> embeds [...,D]."""
        if self.table is not None:
            return self.table[token_ids + 1]
        assert self.projector is not None
        embeds: Tensor = self.projector(self.quantizer(token_ids))
        return embeds

    @torch.no_grad()
    def tabulate(self) -> None:
        """Compute the prompt MLP for all that it can be asked: a row for padding, and one for every dictionary entry.

        Not before its weights are what they will stay.
        """
        if self.projector is not None:
            self.table = None
            self.table = self.project(torch.arange(-1, self.config.codes, device=self.quantizer.embedding.device))


def encode_prompts(vre: VRE, crops: FaceCrops, *, batch_size: int = 4, on_batch: OnBatch | None = None) -> Prompts:
    """What the VRE sees in every crop, in ceil(N / batch_size) passes, on the VRE's device."""
    dictionary = vre.quantizer.embedding
    parts = in_batches(len(crops), batch_size, lambda part: vre(crops.images[part]), on_batch)
    if not parts:
        parts = [vre.prompt(dictionary[:0, None])]
    names = ("embeds", "token_ids", "positions")
    return Prompts(*(torch.cat([getattr(part, name) for part in parts]) for name in names))
