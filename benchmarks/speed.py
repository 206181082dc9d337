"""Our program against the authors' procedure: time, memory and loading, in one run.

    python benchmarks/speed.py [--faces 1 4] [--rounds 3] [--device cpu] [--precision auto] [--work DIR] [-o FILE]
                               [--authors CHECKOUT]

Each turn runs in a process of its own, on the same weights: full size, written by the recipe of the tests, 8 GB on
disk, once. Theirs needs 9 GB of memory. Prints medians and ratios as Markdown; -o writes that and the same figures as
FILE.md and FILE.json. --authors takes part in it with their own program, out of a checkout of
https://github.com/jkwang28/OSDFace; what its infer.py imports has to be installed.
On a GPU times come from device events, and are set against the ceiling of a matrix product measured in the same run.
"""

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial, reduce
from operator import getitem
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests")]

from contestants import STAGES, Authors, Contestant, Ours, Theirs, take_turn  # noqa: E402
from parity import recipe  # noqa: E402

from osdface_core.models.vre import VectorQuantizer, VREConfig  # noqa: E402
from osdface_core.weights import convert  # noqa: E402

FACE_TFLOP = 4.63
"""Arithmetic of one face at 512x512."""
Figures = dict[str, Any]


def main() -> None:
    chosen = arguments()
    if chosen.authors:
        check_imports(chosen.authors)
    write_weights(chosen.work, chosen.shared)
    figures: Figures = {
        "machine": describe(chosen.device, chosen.threads),
        "precision": chosen.precision,
        "tokens": token_selection(chosen.device),
        **compete(chosen),
    }
    if chosen.device == "cuda":
        figures["ceiling"] = matrix_ceiling(figures["precision"])
    text = markdown(figures)
    sys.stdout.write(text)
    if chosen.output:
        chosen.output.with_suffix(".md").write_text(text, encoding="utf-8")
        chosen.output.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed and memory against the authors' procedure.")
    parser.add_argument("--faces", type=int, nargs="+", default=[1, 4], help="faces at once, up to 16")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="auto", help="of ours; theirs runs in fp32, or in fp16 beside fp16")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "osdface_full")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared", help="the shared test data")
    parser.add_argument("--authors", type=Path, help="a checkout of the authors' program, to be timed as well")
    parser.add_argument("-o", "--output", type=Path, help="where to write the figures")
    chosen = parser.parse_args()
    if chosen.precision == "auto":
        chosen.precision = "fp16" if chosen.device == "cuda" else "fp32"
    return chosen


def check_imports(checkout: Path) -> None:
    """End here, and not after minutes of figures, where the authors' program cannot be imported."""
    script = "import sys; sys.path.insert(0, sys.argv[1]); import infer"
    done = subprocess.run([sys.executable, "-c", script, str(checkout)], capture_output=True, text=True)
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1]
        sys.exit(
            f"The program in {checkout} cannot be imported ({reason}). Install what it needs, or leave --authors out."
        )


def write_weights(work: Path, shared: Path) -> None:
    if not (work / "ckpt").exists():
        recipe.write_weights("full", work, shared / "data" / "parity")
    if not (work / "authors").exists():
        (work / "authors").symlink_to(work / "ckpt", target_is_directory=True)
    if not (work / "bundle.safetensors").exists():
        convert(work / "authors", work / "sd21base", work / "bundle.safetensors")


def describe(device: str, threads: int) -> str:
    name = torch.cuda.get_device_name() if device == "cuda" else f"{threads} CPU threads, {cpu_name()}"
    return f"{name}, PyTorch {torch.__version__}"


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return names[0].partition(": ")[2] if names else "unknown processor"


def compete(chosen: argparse.Namespace) -> Figures:
    """All turns, alternating, each in a fresh process: so peaks are its own, and one is in memory at a time."""
    context = multiprocessing.get_context("spawn")
    contestants: dict[str, Contestant] = {"ours": Ours, "the procedure": Theirs}
    if chosen.authors:
        contestants["their program"] = partial(Authors, chosen.authors)
    turns: dict[str, list[Figures]] = {name: [] for name in contestants}
    for _ in range(chosen.rounds):
        for name, contestant in contestants.items():
            pipe, other = context.Pipe()
            options = (contestant, chosen.work, chosen.device, chosen.precision, chosen.threads, sorted(chosen.faces))
            process = context.Process(target=take_turn, args=(other, *options))
            process.start()
            other.close()
            try:
                turns[name].append(pipe.recv())
            except EOFError:
                sys.stderr.write(f"{name} failed: its figures are missing\n")
            process.join()
    there = {name: own for name, own in turns.items() if own}
    return {"bundle": (chosen.work / "bundle.safetensors").stat().st_size / 1e9, "turns": there}


def token_selection(device: str, batch: int = 8) -> Figures:
    """Seconds to choose the tokens of a batch: ours together, theirs face by face."""
    from authors_procedure import select_tokens  # here, for with it come libraries that no process of ours holds

    config = VREConfig()
    quantizer = VectorQuantizer(config).to(device).requires_grad_(False)
    torch.nn.init.normal_(quantizer.embedding)
    features = torch.randn(batch, config.cells**2, config.code_channels, device=device)
    ways = {
        "ours": lambda: quantizer(quantizer.select(features, config.tokens)[0]),
        "theirs": lambda: torch.stack([select_tokens(face, quantizer.embedding) for face in features]),
    }
    clock = time.process_time if device == "cpu" else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(7):
        for name, way in ways.items():
            started = clock()
            way().sum().item()
            seconds[name].append(clock() - started)
    return {name: statistics.median(times) for name, times in seconds.items()} | {"batch": batch}


def matrix_ceiling(precision: str, size: int = 8192) -> float:
    """TFLOP/s of a large matrix product on the GPU: what nothing on it exceeds."""
    a = torch.randn(size, size, device="cuda", dtype={"fp16": torch.float16, "bf16": torch.bfloat16}.get(precision))
    best = float("inf")
    for _ in range(10):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        a @ a
        end.record()
        torch.cuda.synchronize()
        best = min(best, start.elapsed_time(end) / 1000)
    return 2 * size**3 / best / 1e12


def markdown(figures: Figures) -> str:
    """The tables, of medians. A face's time is its share of the batch's; ratios above 1 are in our favour."""
    turns, tokens = figures["turns"], figures["tokens"]
    lines = [f"{figures['machine']}; ours in {figures['precision']}."]
    for rival in list(turns)[1:]:
        lines += ["", *against(rival, turns, "ceiling" in figures)]
    counts = list(turns["ours"][0]["stages"])[1:]
    for count in counts if "ceiling" in figures else ():
        share = FACE_TFLOP * int(count) / whole(turns["ours"], count, "wall") / figures["ceiling"]
        lines.append(f"{count} at once: {share:.0%} of the {figures['ceiling']:.0f} TFLOP/s of a matrix product.")
    lines += [
        "",
        f"Choosing the tokens of {tokens['batch']} faces: {tokens['ours'] * 1000:.2f} ms, in the procedure "
        f"{tokens['theirs'] * 1000:.2f} ms, {tokens['theirs'] / tokens['ours']:.2f} times as much.",
        f"The bundle has {figures['bundle']:.2f} GB; before loading, a process holds "
        f"{median(turns['ours'], 'load', 'before'):.2f} GB.",
    ]
    return "\n".join(lines) + "\n"


def against(rival: str, turns: dict[str, list[Figures]], on_gpu: bool) -> list[str]:
    """The two tables of our program and another."""
    ours, theirs = turns["ours"], turns[rival]
    lines: list[str] = []

    def row(*cells: object) -> None:
        lines.append("| " + " | ".join(f"{c:.2f}" if isinstance(c, float) else str(c) for c in cells) + " |")

    def heading(*cells: str) -> None:
        row(*cells)
        lines.append("|---" * len(cells) + "|")

    def compare(what: str, *path: str) -> None:
        row(what, median(ours, *path), median(theirs, *path), median(theirs, *path) / median(ours, *path))

    heading("faces at once", "clock", "ours, s a face", f"{rival}, s a face", "ratio", *(f"ratio {s}" for s in STAGES))
    counts = list(ours[0]["stages"])[1:]
    for count in counts:
        for clock in ["wall"] if on_gpu else ["wall", "cpu"]:
            pair = [whole(figures, count, clock) / int(count) for figures in (ours, theirs)]
            stages = [
                median(theirs, "stages", count, s, clock) / median(ours, "stages", count, s, clock) for s in STAGES
            ]
            row(count, clock, *pair, pair[1] / pair[0], *stages)
    lines.append("")
    heading("", "ours", rival, "ratio")
    cold = [whole(figures, "cold", "wall") for figures in (ours, theirs)]
    row("first face after loading, s", *cold, cold[1] / cold[0])
    compare("loading, s", "load", "wall")
    compare("peak memory of loading, GB", "load", "peak")
    for count in counts:
        compare(f"peak memory, {count} at once, GB", "peak", count)
    return lines


def median(turns: list[Figures], *path: str) -> float:
    return statistics.median(reduce(getitem, path, turn) for turn in turns)


def whole(turns: list[Figures], count: str, clock: str) -> float:
    """All stages together."""
    return statistics.median(sum(turn["stages"][count][stage][clock] for stage in STAGES) for turn in turns)


if __name__ == "__main__":
    main()
