"""In which precision each part of a model is stored and computed."""

from dataclasses import dataclass, fields

import torch

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(frozen=True)
class Precision:
    """Of the VAE's encoder, the UNet and the VAE's decoder. The VRE always computes in float32, where its tokens are
    exact."""

    encode: torch.dtype = torch.float32
    unet: torch.dtype = torch.float32
    decode: torch.dtype = torch.float32

    @classmethod
    def parse(cls, text: str, device: str | torch.device = "cpu") -> "Precision":
        """ "auto", "fp16", or single parts, others in float32: "unet=fp16,decode=bf16". Raises ValueError.

        "auto" takes fp16, which keeps the image better than bf16, where the device is made for it: of OSEDiff, whose
        last step multiplies errors by 14.6, too (69 dB against 47 dB, `benchmarks/half_osediff.py`).
        """
        if text == "auto":
            text = "fp16" if torch.device(device).type == "cuda" and is_quick(torch.float16, device) else "fp32"
        names = [part.name for part in fields(cls)]
        try:
            if "=" not in text:
                return cls(*[DTYPES[text]] * len(names))
            chosen = dict(part.split("=") for part in text.split(","))
            return cls(**{names[names.index(part)]: DTYPES[name] for part, name in chosen.items()})
        except (KeyError, ValueError) as error:
            what = f"one of auto, {', '.join(DTYPES)}, or parts as in unet=fp16,decode=bf16 ({', '.join(names)})"
            raise ValueError(f"{text!r} is no precision: it must be {what}.") from error

    def computed(self, device: str | torch.device) -> "Precision":
        """The same, with float32 for all that `device` is slow in."""
        parts = (getattr(self, part.name) for part in fields(self))
        return Precision(*(dtype if is_quick(dtype, device) else torch.float32 for dtype in parts))


def is_quick(dtype: torch.dtype, device: str | torch.device) -> bool:
    """Whether the device computes in `dtype` at least as fast as in float32. CPUs without AMX or AVX512-BF16 are up to
    fifty times slower in half precision."""
    kind = torch.device(device).type
    if dtype == torch.float32:
        return True
    if kind == "cpu":
        abilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        needed = ("amx_bf16", "avx512_bf16") if dtype == torch.bfloat16 else ("amx_fp16",)
        return any(abilities.get(name, False) for name in needed)
    if kind == "cuda":
        return torch.cuda.get_device_capability(device) >= ((8, 0) if dtype == torch.bfloat16 else (7, 0))
    return True
