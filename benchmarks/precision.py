"""What half precision in one part costs the image, at full size.

    python benchmarks/precision.py [--device cpu] [--work DIR]

For every part and precision: PSNR of the restored face against all of it in float32, and the part's own seconds (CPU
time, or wall time on a GPU). DIR holds the full-size weights that benchmarks/speed.py writes.
"""

import argparse
import math
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from osdface_core import load_model, read_photo  # noqa: E402
from osdface_core.models.precision import Precision  # noqa: E402

PARTS = tuple(part.name for part in fields(Precision))


def main() -> None:
    arguments = argparse.ArgumentParser(description="PSNR and time of half precision, part by part.")
    arguments.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "osdface_full")
    arguments.add_argument("--image", type=Path, default=ROOT / "tests/parity/inputs/lq_512.png")
    chosen = arguments.parse_args()
    write, wanted = sys.stdout.write, Precision()
    write("| part | stored in | computed in | PSNR of the image | seconds of the part | of fp32's |\n")
    write("|---|---|---|---|---|---|\n")
    image = read_photo(chosen.image).pixels.to(chosen.device)
    expected, prompts, usual = None, None, {}
    for text in ["fp32", *(f"{part}={name}" for name in ("fp16", "bf16") for part in PARTS)]:
        wanted = Precision.parse(text)
        model = load_model(chosen.work / "bundle.safetensors", device=chosen.device, precision=text)
        with torch.no_grad():
            prompts = model.vre(image).embeds if prompts is None else prompts
            step, seconds = model.one_step, {}
            latents = timed(seconds, "encode", lambda: step.encode(2 * image - 1, None))  # noqa: B023
            noise = timed(seconds, "unet", lambda: step.predict_noise(latents, step.timestep, prompts))  # noqa: B023
            decoded = timed(seconds, "decode", lambda: step.decode(step.original(latents, noise)))  # noqa: B023
            restored = step.finish(decoded)
        if expected is None:
            expected, usual = restored, seconds
            continue
        part = text.partition("=")[0]
        error = (restored - expected).square().mean().item()
        psnr = 10 * math.log10(1 / error) if error else math.inf
        stored, computed = getattr(wanted, part), getattr(wanted.computed(chosen.device), part)
        kinds = f"{stored} | {computed}".replace("torch.", "")
        ratio = seconds[part] / usual[part]
        write(f"| {part} | {kinds} | {psnr:.1f} dB | {seconds[part]:.2f} | {ratio:.2f} |\n")
        sys.stdout.flush()


def timed(seconds: dict, part: str, work) -> torch.Tensor:
    """The second of two results of `work` on a GPU, where the first prepares kernels; the only one elsewhere."""
    clock = time.process_time
    if torch.cuda.is_available():
        work()
        torch.cuda.synchronize()
        clock = time.perf_counter
    started = clock()
    made = work()
    if made.device.type == "cuda":
        torch.cuda.synchronize()
    seconds[part] = clock() - started
    return made


if __name__ == "__main__":
    main()
