"""The visual representation embedder: a face crop becomes tokens of a learned dictionary, and those the prompt.

Paper section 3.2; OSDFace's encoder is the VQGAN encoder of DAEFR. It always computes in float32: token selection
compares distances of several hundred that differ by hundredths.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .batches import OnBatch, in_batches, upload
from .faces import FaceCrops
from .serialization import Json, tensor_from_json, tensor_to_json


@dataclass(frozen=True)
class VREConfig:
    """Sizes of the embedder. The defaults are OSDFace's."""

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
    """[N,77] int64 ([N,154] for concatenated prompts): dictionary entry of each token, nearest match first; -1 pads."""
    positions: Tensor
    """The same shape: which cell of the 16x16 grid, row by row, each token came from; -1 pads."""

    def __len__(self) -> int:
        return self.embeds.shape[0]

    def to_json(self) -> Json:
        return {name: tensor_to_json(getattr(self, name)) for name in ("embeds", "token_ids", "positions")}

    @classmethod
    def from_json(cls, data: Json) -> "Prompts":
        return cls(*(tensor_from_json(data[name]) for name in ("embeds", "token_ids", "positions")))


class VREncoder(nn.Module):
    """The visual tokenizer: an image to a grid of feature vectors."""

    def __init__(self, config: VREConfig):
        from diffusers.models.autoencoders.vae import Encoder

        super().__init__()
        self.input_size = config.input_size
        levels = len(config.channel_multipliers)
        self.encoder = Encoder(
            in_channels=3,
            out_channels=config.code_channels,
            down_block_types=("DownEncoderBlock2D",) * (levels - 1) + ("AttnDownEncoderBlock2D",),
            block_out_channels=tuple(config.base_channels * multiplier for multiplier in config.channel_multipliers),
            layers_per_block=config.layers_per_block,
            double_z=False,
        )
        self.quant_conv = nn.Conv2d(config.code_channels, config.code_channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """images [N,3,H,W], 0..1 -> features [N,P,C], P = 256 cells row by row.

        The authors' program normalises twice (2v-1, then again), so the network sees [-3, 1]; its prompt MLP and LoRA
        were trained on the features that this gives.
        """
        images = F.interpolate(images, (self.input_size, self.input_size), mode="bilinear", align_corners=False)
        features = self.quant_conv(self.encoder(4 * images - 3))
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

    def __init__(self, config: VREConfig):
        super().__init__()
        self.conv1 = nn.Linear(config.code_channels, config.prompt_hidden)
        self.conv2 = nn.Linear(config.prompt_hidden, config.prompt_channels)

    def forward(self, tokens: Tensor) -> Tensor:
        return F.silu(self.conv2(F.silu(self.conv1(tokens))))


class VRE(nn.Module):
    """Encoder, dictionary and projector together: images [N,3,H,W], 0..1 -> Prompts."""

    def __init__(self, config: VREConfig):
        super().__init__()
        self.config = config
        self.encoder = VREncoder(config)
        self.quantizer = VectorQuantizer(config)
        self.projector = PromptProjector(config) if config.prompt_kind == "projected" else None

    def forward(self, images: Tensor) -> Prompts:
        return self.prompt(self.see(images.to(self.quantizer.embedding, non_blocking=True)))

    def see(self, images: Tensor) -> Tensor:
        """images [N,3,H,W], 0..1 -> the encoder's features [N,P,C]."""
        features: Tensor = self.encoder(images)
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
        assert self.projector is not None
        embeds: Tensor = self.projector(self.quantizer(token_ids))
        return embeds


def encode_prompts(vre: VRE, crops: FaceCrops, *, batch_size: int = 4, on_batch: OnBatch | None = None) -> Prompts:
    """What the VRE sees in every crop, in ceil(N / batch_size) passes, on the VRE's device."""
    dictionary = vre.quantizer.embedding
    parts = in_batches(
        len(crops), batch_size, lambda part: vre(upload(crops.images[part], dictionary.device)), on_batch
    )
    if not parts:
        parts = [vre.prompt(dictionary[:0, None])]
    names = ("embeds", "token_ids", "positions")
    return Prompts(*(torch.cat([getattr(part, name) for part in parts]) for name in names))
