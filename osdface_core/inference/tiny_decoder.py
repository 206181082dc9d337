"""A small autoencoder's decoder in place of the VAE's: an approximation, for previews and weak machines.

Takes TAESD's weights for SD 1 and 2 (github.com/madebyollin/taesd), as diffusers stores them or as ComfyUI does
(`taesd_decoder`, in models/vae_approx).
"""

import re
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import KeysError
from ..networks.taesd import TAESDDecoder
from ..weights.files import Tensors, fill, read_tensors


class TinyDecoder(nn.Module):
    """Scaled latents [N,4,H,W] -> images [N,3,8H,8W] in about -1..1, much like the VAE's decoder makes them."""

    def __init__(self, path: str | Path):
        """Raises a WeightsError where the file holds no such decoder."""
        super().__init__()
        tensors = decoder_tensors(read_tensors(path)[0], path)
        with torch.device("meta"):
            self.decoder = TAESDDecoder()
        fill(self.decoder, tensors, path)
        self.eval()

    def forward(self, latents: Tensor) -> Tensor:
        like = next(self.decoder.parameters())
        decoded: Tensor = self.decoder(latents.to(like))
        return decoded


def decoder_tensors(tensors: Tensors, path: str | Path) -> Tensors:
    """The decoder's tensors under diffusers' names."""
    own = {key.removeprefix("decoder."): tensor for key, tensor in tensors.items() if key.startswith("decoder.")}
    if any(key.startswith("layers.") for key in own):
        return own
    original = own or tensors
    if not all(re.match(r"\d{1,3}\.", key) for key in original):
        advice = "Get taesd_decoder (for SD 1 and 2) into models/vae_approx."
        raise KeysError(path, "this is no TAESD decoder.", advice, key=next(iter(original), ""))
    # TAESD's own list begins with a clamp, which has no weights and is no layer in diffusers
    return {f"layers.{int(key.split('.')[0]) - 1}.{key.partition('.')[2]}": t for key, t in original.items()}
