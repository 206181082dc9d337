"""What benchmarks/gpu.py sets our model against: the authors' program as it is shipped, and its networks alone."""

import gc
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from authors_procedure import AuthorsProcedure, Encoder
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

from osdface_core.models.osdface import ModelConfig


class RandomWeights(AuthorsProcedure):
    """The networks of their program with weights that nobody trained, made on the device: as fast as any others."""

    def __init__(self, device: str, dtype: torch.dtype):
        nn.Module.__init__(self)
        config = ModelConfig()
        with torch.device(device):
            self.vae: Any = AutoencoderKL.from_config(config_of(config.vae))
            self.unet: Any = UNet2DConditionModel.from_config(config_of(config.unet))
            self.encoder = Encoder(config.vre.base_channels, config.vre.code_channels)
            self.codebook = nn.Parameter(torch.randn(config.vre.codes, config.vre.code_channels))
            width, hidden, out = config.vre.code_channels, config.vre.prompt_hidden, config.vre.prompt_channels
            self.quant_conv = nn.Conv2d(width, width, 1)
            self.mlp = nn.Sequential(nn.Conv1d(width, hidden, 1), nn.SiLU(), nn.Conv1d(hidden, out, 1), nn.SiLU())
        self.alphas_cumprod = config.alphas_cumprod().to(device)
        self.eval().requires_grad_(False).to(dtype)

    def as_shipped(self, image: Tensor) -> Tensor:
        """image [1,3,512,512] in main memory to one there, with the collections of their loop around it."""
        gc.collect()
        torch.cuda.empty_cache()
        restored = self(image.to(self.codebook.device))
        gc.collect()
        torch.cuda.empty_cache()
        return restored.cpu()

    def networks(self, images: Tensor, prompt: Tensor) -> Tensor:
        """The networks alone, on a batch: no tokens are chosen, the prompt [N,77,1024] is given."""
        x = images.to(self.codebook.dtype) * 2 - 1
        self.quant_conv(self.encoder((x - 0.5) / 0.5)["out"])
        latent = self.encode(x)
        return self.decode(latent, self.predict_noise(latent, prompt.to(x.dtype)))


def config_of(config: Any) -> dict[str, Any]:
    """A network's configuration in diffusers' terms, which name ours too."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(config).items()}


def at_their_best(device: str, images: Tensor) -> dict[str, Callable[[], Tensor]]:
    """The networks in fp16, in both memory layouts, with and without cuDNN's own search for algorithms."""
    model = RandomWeights(device, torch.float16)
    prompt = torch.randn(len(images), 77, 1024, device=device)

    def run(layout: torch.memory_format, search: bool) -> Tensor:
        if layout != getattr(model, "layout", torch.contiguous_format):
            model.to(memory_format=layout)
        model.layout = layout
        before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, search
        try:
            with torch.inference_mode():
                return model.networks(images.contiguous(memory_format=layout), prompt)
        finally:
            torch.backends.cudnn.benchmark = before

    layouts = {"NCHW": torch.contiguous_format, "channels last": torch.channels_last}
    return {
        f"{name}{', cudnn.benchmark' if search else ''}": lambda layout=layout, search=search: run(layout, search)
        for name, layout in layouts.items()
        for search in (False, True)
    }
