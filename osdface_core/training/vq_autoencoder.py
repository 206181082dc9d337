"""The autoencoder behind the VRE: its encoder and dictionary as at inference, and a decoder to train them by."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.vre import GROUPS, VectorQuantizer, VREConfig, VREncoder
from ..networks.autoencoder import Decoder
from .stage import Gather

COMMITMENT = 0.25
"""How much the features are drawn to the entries, against the entries to the features (VQ-VAE's beta)."""


@dataclass(frozen=True)
class Quantized:
    """Features with their entries in their place."""

    features: Tensor
    """[N,P,C] of the encoder."""
    entries: Tensor
    """[N,P,C]: the values of the dictionary, the gradient going straight through to `features`."""
    ids: Tensor
    """[N,P]"""
    loss: Tensor
    """How far the two are apart."""


class VQAutoencoder(nn.Module):
    """Images [N,3,H,W], 0..1 -> the same through a dictionary, at the VRE's own size (paper section 3.2, stage 1)."""

    def __init__(self, config: VREConfig):
        super().__init__()
        self.config = config
        self.encoder = VREncoder(config)
        self.quantizer = VectorQuantizer(config)
        self.post_quant_conv = nn.Conv2d(config.code_channels, config.code_channels, 1)
        self.decoder = Decoder(config.code_channels, 3, config.widths, config.layers_per_block, GROUPS, attention=True)
        self.usage: Tensor
        self.register_buffer("usage", torch.zeros(config.codes))

    def target(self, images: Tensor) -> Tensor:
        """What the encoder sees: `images` at its own size."""
        side = self.config.input_size
        return F.interpolate(images, (side, side), mode="bilinear", align_corners=False)

    def quantize(self, features: Tensor) -> Quantized:
        features = features.float()
        with torch.autocast(features.device.type, enabled=False):
            ids = self.quantizer.nearest(features)[1]
            entries = self.quantizer.embedding[ids]
            loss = F.mse_loss(entries, features.detach()) + COMMITMENT * F.mse_loss(features, entries.detach())
        return Quantized(features, features + (entries - features).detach(), ids, loss)

    def decode(self, entries: Tensor) -> Tensor:
        """entries [N,P,C] -> images [N,3,S,S], about 0..1."""
        grid = entries.transpose(1, 2).unflatten(2, (self.config.cells, self.config.cells))
        return (self.decoder(self.post_quant_conv(grid)).float() + 1) / 2

    def forward(self, images: Tensor) -> tuple[Tensor, Quantized]:
        quantized = self.quantize(self.encoder(images))
        return self.decode(quantized.entries), quantized

    @torch.no_grad()
    def revive(self, quantized: Quantized, gather: Gather, *, decay: float = 0.99, least: float = 0.03) -> int:
        """Put entries that hardly any cell chose lately where cells are. Returns how many.

        least: the share of an even use below which an entry counts as dead. All processes make the same choice.
        """
        ids = gather(quantized.ids.flatten())
        counts = torch.bincount(ids, minlength=self.config.codes).float()
        share = counts * self.config.codes / counts.sum()
        fresh = not bool(self.usage.any())
        self.usage.copy_(share if fresh else self.usage.lerp(share, 1 - decay))
        dead = (self.usage < least).nonzero().flatten()
        if len(dead):
            features = gather(quantized.features.flatten(0, 1))
            apart = torch.linspace(0, len(features) - 1, len(dead), device=features.device).long()
            self.quantizer.embedding[dead] = features[apart].to(self.quantizer.embedding)
            self.usage[dead] = 1
        return len(dead)
