"""What half precision costs OSEDiff's image, whose last step multiplies every error of the noise by 14.6.

    python benchmarks/half_osediff.py [--bundle DIR/bundle.safetensors] [--image FACE]

On any machine: every result of every layer is rounded to the half precision, and sums are kept in float32, as graphics
cards do. By default with the starter, whose networks are trained: its noise stands for OSEDiff's. At full size the
bundle that benchmarks/parity_osediff.py leaves has pseudo-random weights, with which the picture means nothing, and the
errors of noise and latents do. Prints Markdown.
"""

import argparse
import math
import sys
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from osdface_core import read_photo  # noqa: E402
from osdface_core.models.diffusion import STEPS  # noqa: E402
from osdface_core.models.precision import DTYPES  # noqa: E402
from osdface_core.weights import read_model  # noqa: E402


class Rounding(TorchDispatchMode):
    """Whatever is computed within is rounded to `dtype`, and kept in float32."""

    def __init__(self, dtype: torch.dtype):
        super().__init__()
        self.dtype = dtype

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return tree_map_only(torch.Tensor, self.rounded, func(*args, **kwargs or {}))

    def rounded(self, made: torch.Tensor) -> torch.Tensor:
        return made.to(self.dtype).float() if made.dtype == torch.float32 else made


def rms(tensor: torch.Tensor) -> float:
    return tensor.double().square().mean().sqrt().item()


@torch.enable_grad()  # so that every layer is computed by itself, as PyTorch does it
def main() -> None:
    arguments = argparse.ArgumentParser(description="Errors of half precision at OSEDiff's last step.")
    arguments.add_argument("--bundle", type=Path, help="default: the starter")
    arguments.add_argument("--image", type=Path, default=ROOT / "tests/parity/inputs/lq_512.png")
    chosen = arguments.parse_args()
    model = read_model(chosen.bundle).float()
    alpha = float(model.alphas_cumprod[STEPS - 1])
    picture, size = read_photo(chosen.image).pixels, (model.config.crop_size,) * 2
    images = torch.nn.functional.interpolate(picture, size, mode="bicubic", antialias=True).clamp(0, 1)
    context, timestep = model.context(images), model.config.timestep
    latents = model.encode(2 * images - 1, None)
    noise = model.one_step.predict_noise(latents, timestep, context)
    clean = model.one_step.original(latents, noise) if chosen.bundle is None else latents
    decoded = model.one_step.finish(model.decode(clean))
    write = sys.stdout.write
    write("| part | rounded to | error of noise | … of x0, at 14.6 | PSNR of the image |\n|---|---|---|---|---|\n")
    for name, dtype in DTYPES.items():
        if dtype == torch.float32:
            continue
        weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
        for parameter in (*model.unet.parameters(), *model.vae.parameters()):
            parameter.data = parameter.data.to(dtype).float()
        with Rounding(dtype):
            of_noise = model.one_step.predict_noise(latents, timestep, context) - noise
            of_encoding = model.encode(2 * images - 1, None) - latents
            of_decoding = model.one_step.finish(model.decode(clean)) - decoded
        model.load_state_dict(weights, assign=True)
        off = (1 - alpha) ** 0.5 / alpha**0.5 * of_noise
        image = model.one_step.finish(model.decode(clean + off)) - decoded
        less = model.one_step.finish(model.decode(clean + off / 14.6 * 1.16)) - decoded
        rows = {
            "UNet": (f"{rms(of_noise):.1e}", f"{rms(off):.1e}", image),
            "UNet, with OSDFace's 1.16 instead": (f"{rms(of_noise):.1e}", f"{rms(off) / 14.6 * 1.16:.1e}", less),
            "VAE encode": ("", f"{rms(of_encoding) / alpha**0.5:.1e}", None),
            "VAE decode": ("", "", of_decoding),
        }
        for part, (first, second, gap) in rows.items():
            psnr = "" if gap is None else f"{-20 * math.log10(rms(gap)):.1f} dB"
            write(f"| {part} | {name} | {first} | {second} | {psnr} |\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
