"""Loading OSDFace at full size: a bundle against diffusers' from_pretrained with the LoRA merged by diffusers.

    python benchmarks/load.py --work DIR [--rounds 3]

DIR holds the full-size weights that benchmarks/parity_full.py writes; the bundle is made from them once. Each load runs
in a process of its own, in turns, its imports done before the clock starts. What is measured is the time, and
the memory that loading adds at its peak: the process's own, and the file's pages mapped into it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

LOADERS = ("bundle", "from_pretrained + LoRA merge")


def load_ours(work: Path) -> object:
    from osdface_core import load_model

    return load_model(work / "bundle.safetensors")


def load_theirs(work: Path) -> object:
    """UNet and VAE from the folder, the LoRA merged into the UNet; the embedder's checkpoint by torch.load."""
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel

    base, authors = work / "sd21base", work / "authors"
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet")
    vae = AutoencoderKL.from_pretrained(base, subfolder="vae")
    state, alphas = StableDiffusionPipeline.lora_state_dict(authors / "pytorch_lora_weights.safetensors")
    StableDiffusionPipeline.load_lora_into_unet(state, alphas, unet)
    unet.fuse_lora()
    unet.unload_lora()
    vre = torch.load(authors / "associate_2.ckpt", map_location="cpu", weights_only=True)
    mlp = torch.load(authors / "embedding_change_weights.pth", map_location="cpu", weights_only=True)
    return unet, vae, vre, mlp


def resident() -> int:
    """Bytes of this process in memory, mapped files' pages included."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def measure(loader: str, work: Path) -> dict[str, float]:
    """Seconds and peak bytes of one load in this process."""
    import diffusers  # noqa: F401
    import peft  # noqa: F401
    import torch
    from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel  # noqa: F401

    from osdface_core import load_model  # noqa: F401

    torch.set_num_threads(1)
    before, peak, done = resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started, worked = time.perf_counter(), time.process_time()
    model = (load_ours if loader == LOADERS[0] else load_theirs)(work)
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    peak = max(peak, resident())
    done.set()
    watcher.join()
    del model
    return {"seconds": seconds, "cpu": cpu, "peak": peak - before}


def main() -> int:
    arguments = argparse.ArgumentParser(description="Load time and memory of a bundle.")
    arguments.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "osdface_full")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--measure", choices=LOADERS, help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.measure:
        sys.stdout.write(json.dumps(measure(chosen.measure, chosen.work)))
        return 0
    bundle = chosen.work / "bundle.safetensors"
    if not bundle.exists():
        from osdface_core.weights import convert

        convert(chosen.work / "authors", chosen.work / "sd21base", bundle)
    results: dict[str, list[dict[str, float]]] = {loader: [] for loader in LOADERS}
    for _ in range(chosen.rounds):
        for loader in LOADERS:
            command = [sys.executable, __file__, "--work", str(chosen.work), "--measure", loader]
            results[loader].append(json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout))
    size = bundle.stat().st_size
    sys.stdout.write("| | seconds | CPU seconds | peak memory / bundle's size |\n|---|---|---|---|\n")
    seconds = {}
    for loader, runs in results.items():
        seconds[loader] = statistics.median(run["seconds"] for run in runs)
        peak = max(run["peak"] for run in runs) / size
        cpu = statistics.median(run["cpu"] for run in runs)
        sys.stdout.write(f"| {loader} | {seconds[loader]:.2f} | {cpu:.2f} | {peak:.2f} |\n")
    ratio = seconds[LOADERS[1]] / seconds[LOADERS[0]]
    sys.stdout.write(f"\nthe bundle loads {ratio:.1f} times as fast\n")
    worst = max(run["peak"] for run in results[LOADERS[0]]) / size
    return int(ratio < 3 or worst > 1.15)


if __name__ == "__main__":
    sys.exit(main())
