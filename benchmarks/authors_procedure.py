"""The authors' procedure, plainly: what the benchmarks compare with.

Written from a description of it, step by step as their program goes: diffusers' UNet with the LoRA merged in a copy of
its weights, the VQGAN encoder keeping what every level computed, the tokens chosen in a loop that asks for one value at
a time, one face after another, float32, and a posterior sample from an unseeded generator.
"""

import copy
import re
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn

TIMESTEP, TOKENS, ALPHA, RANK = 399, 77, 16.0, 16


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels, eps=1e-6)


def swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


class Block(nn.Module):
    def __init__(self, channels: int, out: int):
        super().__init__()
        self.norm1, self.norm2 = norm(channels), norm(out)
        self.conv1, self.conv2 = nn.Conv2d(channels, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.conv1(swish(self.norm1(x)))
        return self.nin_shortcut(x) + self.conv2(swish(self.norm2(hidden)))


class Attention(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.norm1 = norm(channels)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(channels, channels, 1) for _ in range(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        count, channels, height, width = x.shape
        hidden = self.norm1(x)
        q, k, v = (layer(hidden).flatten(2) for layer in (self.q, self.k, self.v))
        scores = torch.bmm(q.transpose(1, 2), k) * channels**-0.5
        kept = copy.deepcopy(scores)
        hidden = torch.bmm(v, scores.softmax(2).transpose(1, 2)).view(count, channels, height, width)
        return x + self.proj_out(hidden), kept


class Downsample(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Encoder(nn.Module):
    """The VQGAN family's encoder; its attention is on the last level. It returns all that its levels computed."""

    def __init__(self, base: int, channels: int, multipliers: tuple[int, ...] = (1, 2, 2, 2, 4, 8)):
        super().__init__()
        self.conv_in = nn.Conv2d(3, base, 3, padding=1)
        widths = [base, *(base * multiplier for multiplier in multipliers)]
        self.down = nn.ModuleList()
        for level, (width, out) in enumerate(pairwise(widths)):
            last = level == len(multipliers) - 1
            stage = nn.Module()
            stage.block = nn.ModuleList([Block(width, out), Block(out, out)])
            stage.attn = nn.ModuleList([Attention(out), Attention(out)] if last else [])
            stage.downsample = nn.Identity() if last else Downsample(out)
            self.down.append(stage)
        self.mid = nn.Module()
        self.mid.block_1, self.mid.attn_1, self.mid.block_2 = Block(out, out), Attention(out), Block(out, out)
        self.norm_out, self.conv_out = norm(out), nn.Conv2d(out, channels, 3, padding=1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        hidden = self.conv_in(x)
        kept = {"in": hidden}
        for level, stage in enumerate(self.down):
            for n, block in enumerate(stage.block):
                hidden = block(hidden)
                if len(stage.attn):
                    hidden, kept[f"weights {n}"] = stage.attn[n](hidden)
            kept[f"level {level}"] = hidden
            hidden = stage.downsample(hidden)
        hidden, kept["weights"] = self.mid.attn_1(self.mid.block_1(hidden))
        kept["mid"] = hidden
        kept["out"] = self.conv_out(swish(self.norm_out(self.mid.block_2(hidden))))
        return kept


def select_tokens(features: Tensor, codebook: Tensor) -> Tensor:
    """features [256,C] of one face -> [77,C]: cells by distance, asked for one by one until 77 codes are found."""
    squares = features.square().sum(1, keepdim=True) + codebook.square().sum(1)
    distances, codes = (squares - 2 * features @ codebook.T).min(1)
    pairs = torch.zeros(len(features), 2, device=features.device)
    pairs[:, 0], pairs[:, 1] = codes, distances
    pairs = pairs[pairs[:, 1].sort().indices]
    chosen: list[float] = []
    seen: set[float] = set()
    for code in pairs[:, 0]:
        if code.item() not in seen:
            chosen.append(code.item())
            seen.add(code.item())
        if len(chosen) == TOKENS:
            break
    one_hot = torch.zeros(TOKENS, len(codebook), device=features.device)
    indices = torch.tensor(chosen, dtype=torch.int64, device=features.device)
    one_hot[: len(chosen)].scatter_(1, indices[:, None], 1)
    return one_hot @ codebook


class AuthorsProcedure(nn.Module):
    """Everything as their program holds it: loaded from their three files and a diffusers folder of SD 2.1-base."""

    def __init__(self, folder: Path, base: Path, device: str = "cpu", dtype: torch.dtype = torch.float32):
        super().__init__()
        merged = merge(UNet2DConditionModel.from_pretrained(base, subfolder="unet"), folder)
        schedule = DDIMScheduler.from_pretrained(base, subfolder="scheduler")
        self.alphas_cumprod = schedule.alphas_cumprod.to(device)
        self.vae = AutoencoderKL.from_pretrained(base, subfolder="vae")
        self.parent = [merged]  # a worker keeps what its parent sent it beside its own copy
        self.unet = copy.deepcopy(merged)
        state = torch.load(folder / "associate_2.ckpt", map_location="cpu", weights_only=True)["state_dict"]
        state = {key.removeprefix("vqvae_LQ."): value for key, value in state.items() if key.startswith("vqvae_LQ.")}
        self.codebook = nn.Parameter(state["quantize.embedding.weight"])
        width = self.codebook.shape[1]
        self.encoder = Encoder(state["encoder.conv_in.weight"].shape[0], width)
        encoder = {key.removeprefix("encoder."): value for key, value in state.items() if key.startswith("encoder.")}
        self.encoder.load_state_dict(
            {key: value for key, value in encoder.items() if not re.search(r"attn(_1|\.\d)\.norm2", key)}
        )
        self.quant_conv = nn.Conv2d(width, width, 1)
        self.quant_conv.load_state_dict({k: state[f"quant_conv.{k}"] for k in ("weight", "bias")})
        self.mlp = nn.Sequential(nn.Conv1d(width, 256, 1), nn.SiLU(), nn.Conv1d(256, 1024, 1), nn.SiLU())
        mlp = torch.load(folder / "embedding_change_weights.pth", weights_only=True)
        self.mlp.load_state_dict({f"{n}.{k}": mlp[f"conv{n // 2 + 1}.{k}"] for n in (0, 2) for k in ("weight", "bias")})
        self.eval().to(device, dtype)

    def prompt(self, x: Tensor) -> Tensor:
        x = F.interpolate(x, (512, 512), mode="bilinear", align_corners=False)
        features = self.quant_conv(self.encoder((x - 0.5) / 0.5)["out"])[0].flatten(1).T
        return self.mlp(select_tokens(features, self.codebook).T[None]).transpose(1, 2)

    def encode(self, x: Tensor) -> Tensor:
        return self.vae.encode(x).latent_dist.sample() * self.vae.config.scaling_factor

    def predict_noise(self, latent: Tensor, prompt: Tensor) -> Tensor:
        return self.unet(latent, TIMESTEP, encoder_hidden_states=prompt).sample

    def decode(self, latent: Tensor, noise: Tensor) -> Tensor:
        alpha = self.alphas_cumprod[TIMESTEP].double()
        x0 = ((latent.double() - (1 - alpha).sqrt() * noise.double()) / alpha.sqrt()).to(latent)
        return (self.vae.decode(x0 / self.vae.config.scaling_factor).sample.clamp(-1, 1) * 0.5 + 0.5).clamp(0, 1)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """image [1,3,512,512], 0..1 -> the face restored."""
        x = image.to(self.codebook) * 2 - 1
        prompt, latent = self.prompt(x), self.encode(x)
        return self.decode(latent, self.predict_noise(latent, prompt))


def merge(unet: UNet2DConditionModel, folder: Path) -> UNet2DConditionModel:
    """W + alpha / rank * B A for every pair of the LoRA, in a second table of weights, then loaded."""
    lora, state = load_file(folder / "pytorch_lora_weights.safetensors"), unet.state_dict()
    for key, a in lora.items():
        if ".lora_A." in key:
            b, target = lora[key.replace(".lora_A.", ".lora_B.")], key.removeprefix("unet.").replace(".lora_A", "")
            state[target] = state[target] + ALPHA / RANK * (b.flatten(1) @ a.flatten(1)).view_as(state[target])
    unet.load_state_dict(state)
    return unet
