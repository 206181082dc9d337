"""Stable Diffusion's variational autoencoder: images to a Gaussian over latents, and latents to images."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .autoencoder import Decoder, Encoder
from .config import VAEConfig
from .layers import apply_pointwise
from .operations import TORCH, Operations


@dataclass(frozen=True, eq=False)
class Posterior:
    """The Gaussian that an image's latent is drawn from, every value by itself."""

    mean: Tensor
    """[N,C,h,w], which is the mode, too."""
    log_variance: Tensor
    """The same shape, within -30..20."""

    @property
    def std(self) -> Tensor:
        return (0.5 * self.log_variance).exp()

    def kl(self) -> Tensor:
        """The divergence from a standard normal distribution, summed over each latent: [N]."""
        variance = self.log_variance.exp()
        return 0.5 * (self.mean.square() + variance - 1 - self.log_variance).sum((1, 2, 3))


class VAE(nn.Module):
    """Encoder and decoder under the names of diffusers' AutoencoderKL."""

    def __init__(self, config: VAEConfig, ops: Operations = TORCH):
        super().__init__()
        self.config, self.ops = config, ops
        widths, layers, groups, latent = (
            config.block_out_channels,
            config.layers_per_block,
            config.norm_num_groups,
            config.latent_channels,
        )
        self.encoder = Encoder(config.in_channels, 2 * latent, widths, layers, groups, ops)
        self.decoder = Decoder(latent, config.out_channels, widths, layers, groups, ops)
        self.quant_conv = ops.Conv2d(2 * latent, 2 * latent, 1)
        self.post_quant_conv = ops.Conv2d(latent, latent, 1)

    def encode(self, images: Tensor) -> Posterior:
        """images [N,3,H,W], -1..1 -> the posterior of latents [N,C,H/8,W/8], not scaled."""
        moments = apply_pointwise(self.ops, self.quant_conv, self.encoder(images))
        mean, log_variance = moments.chunk(2, dim=1)
        return Posterior(mean, log_variance.clamp(-30, 20))

    def decode(self, latents: Tensor) -> Tensor:
        """latents [N,C,h,w], not scaled -> images [N,3,8h,8w] in about -1..1."""
        made: Tensor = self.decoder(apply_pointwise(self.ops, self.post_quant_conv, latents))
        return made

    def enable_gradient_checkpointing(self) -> None:
        self.encoder.checkpointing = self.decoder.checkpointing = True


def sample(posterior: Posterior) -> Tensor:
    """A latent drawn from the posterior, with its gradient."""
    return posterior.mean + posterior.std * torch.randn_like(posterior.mean)
