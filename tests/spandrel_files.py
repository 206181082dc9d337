"""Small weights files for spandrel's architectures, made from its own classes, with seeded values."""

from pathlib import Path

import torch
from safetensors.torch import save_file

UPSCALER = "RealESRGAN_x4plus.safetensors"


def write_restorer(path: Path) -> Path:
    """A RestoreFormer of 0.5 million values for faces of 512 pixels, nested as its authors' file is."""
    from spandrel.architectures.RestoreFormer import RestoreFormer  # which brings torchvision

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = RestoreFormer(
            n_embed=32, embed_dim=32, z_channels=32, ch=32, ch_mult=(1, 1, 1, 1, 1, 1), num_res_blocks=1
        )
    torch.save({"params": network.state_dict()}, path)
    return path


def write_upscaler(path: Path, *, scale: int = 4, channels: int = 3) -> Path:
    """A Real-ESRGAN (compact) of 4 features."""
    from spandrel.architectures.Compact import Compact

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Compact(num_in_ch=channels, num_out_ch=channels, num_feat=4, num_conv=2, upscale=scale)
    save_file(network.state_dict(), path)
    return path
