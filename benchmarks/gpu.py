"""What a GPU makes of OSDFace: our model, its variants, three rivals, all on one card in under half an hour.

    python benchmarks/gpu.py [--part ceilings tests ours variants rivals profile] [-o gpu.json] [--markdown gpu.md]
                             [--authors CHECKOUT --work DIR]

Every part takes at most eight minutes and appends what it found to one JSON file, so parts may run one by one; the
Markdown is of the last of each. Weights are random and made on the card: they cost what any others cost.
--authors takes the authors' own program out of a checkout, for the rival "as shipped"; --work is where speed.py wrote
weights for it. Without it that rival is their procedure, written from its description.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests")]

from gpu_card import PART_SECONDS, Card, Figures, by_events, by_wall, each  # noqa: E402
from gpu_table import markdown  # noqa: E402

from osdface_core.devices import download, upload  # noqa: E402
from osdface_core.inference import prepare  # noqa: E402
from osdface_core.kernels import convolution, triton_norm  # noqa: E402
from osdface_core.models.osdface import ModelConfig, OSDFaceModel  # noqa: E402
from osdface_core.models.precision import Precision  # noqa: E402
from osdface_core.networks import autoencoder, unet  # noqa: E402

COUNTS = (1, 4, 8, 16)
SIDE = 512
CUDA = torch.device("cuda")


@dataclass
class Subject:
    """Our model on a device, and a whole pass of it."""

    model: OSDFaceModel
    device: torch.device

    def __post_init__(self) -> None:
        self.step = self.model.one_step

    def images(self, count: int, device: torch.device | None = None) -> Tensor:
        return torch.rand(count, 3, SIDE, SIDE, device=device or self.device)

    def restore(self, images: Tensor) -> Tensor:
        restored, _ = self.step.forward(images, self.model.vre(images).embeds)
        return restored

    def on_device(self, count: int) -> Callable[[], Tensor]:
        images = self.images(count)
        return lambda: self.restore(images)

    def with_copies(self, count: int) -> Callable[[], None]:
        """Faces in main memory to restored ones there; a batch is fetched when the next one has begun."""
        images = self.images(count, torch.device("cpu"))
        images = images.pin_memory() if self.device.type == "cuda" else images
        begun: list[Callable[[], Tensor]] = []

        def work() -> None:
            begun.append(download(self.restore(upload(images, self.device))))
            if len(begun) > 1:
                begun.pop(0)()

        return work


def build(precision: str = "fp16", compiled: bool = False) -> Subject:
    with CUDA:
        model = OSDFaceModel(ModelConfig())
    return Subject(prepare(model, Precision.parse(precision, CUDA), device=CUDA, compiled=compiled), CUDA)


def ceilings(card: Any) -> Figures:
    """TFLOP/s of a matrix product in each precision and of a convolution, GB/s of a copy: each for about a second."""

    def sustained(work: Callable[[], Any], amount: float) -> float:
        rounds = max(3, round(1 / statistics.median(by_events(card, work, 5))))
        return amount / statistics.mean(by_events(card, work, rounds)) / 1e12

    def product(dtype: torch.dtype, size: int = 8192) -> float:
        a = torch.randn(size, size, device=CUDA, dtype=dtype)
        matmul = torch.backends.cuda.matmul
        before, matmul.allow_tf32 = matmul.allow_tf32, True
        try:
            return sustained(lambda: a @ a, 2 * size**3)
        finally:
            matmul.allow_tf32 = before

    def convolved(channels: int = 512, side: int = 64, count: int = 8) -> float:
        x = torch.randn(count, channels, side, side, device=CUDA, dtype=torch.float16)
        weight = torch.randn(channels, channels, 3, 3, device=CUDA, dtype=torch.float16)
        x, weight = (tensor.contiguous(memory_format=torch.channels_last) for tensor in (x, weight))
        return sustained(lambda: torch.conv2d(x, weight, padding=1), 18 * channels * x.numel())

    def copied() -> float:
        source = torch.empty(1 << 28, device=CUDA)
        target = torch.empty_like(source)
        return sustained(lambda: target.copy_(source), 2 * source.nbytes) * 1000

    return each(
        card,
        {
            "fp16, TFLOP/s": lambda: product(torch.float16),
            "bf16, TFLOP/s": lambda: product(torch.bfloat16),
            "TF32, TFLOP/s": lambda: product(torch.float32),
            "3x3 convolution of 512 channels, TFLOP/s": convolved,
            "copy, GB/s": copied,
        }.items(),
    )


def tests(card: Any) -> Figures:
    """The tests that have something to do on a GPU, waits within a pass, tokens on a CPU against those on the card."""

    def pytest() -> str:
        files = ("test_triton_norm", "test_inference", "test_placement", "test_networks", "test_waits")
        command = [sys.executable, "-m", "pytest", "-q", *(f"tests/{name}.py" for name in files)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PART_SECONDS - 120)
        return "\n".join(re.findall(r"^(?:FAILED|ERROR) .*|^.*(?:passed|failed|error).* in .*$", done.stdout, re.M))

    def waits() -> int:
        work = build().on_device(2)
        work()
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                work()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        return sum("synchroniz" in str(warning.message) for warning in told)

    def tokens() -> Figures:
        subject = build("fp32")
        images = subject.images(4)
        found = {}
        for tf32 in (True, False):
            subject.model.vre.tf32 = tf32
            found["TF32" if tf32 else "IEEE"] = subject.model.vre(images).token_ids.cpu()
        expected = subject.model.vre.cpu()(images.cpu()).token_ids
        return {name: f"{int((ids != expected).sum())} of {ids.numel()}" for name, ids in found.items()}

    return each(card, {"tests": pytest, "waits in a pass": waits, "tokens unlike the CPU's": tokens}.items())


def ours(card: Any, load: Callable[[], Subject] = build, counts: tuple[int, ...] = COUNTS) -> Figures:
    """Seconds and memory of whole passes, on the device and with copies from and to pinned memory."""
    subject = load()
    card.reset_peaks()
    loaded = card.memory()

    def measure(count: int) -> Figures:
        card.reset_peaks()
        seconds = by_events(card, subject.on_device(count))
        memory = card.memory()
        copies = by_wall(card, subject.with_copies(count))
        return {"seconds": statistics.median(seconds), "slowest": max(seconds), "with copies": copies, **memory}

    return {"loaded": loaded} | each(card, ((str(n), lambda n=n: measure(n)) for n in counts))


def variants(card: Any, load: Callable[..., Subject] = build, counts: tuple[int, ...] = (1, 8)) -> Figures:
    """The same passes with one thing otherwise, all in this process; seconds by faces at once."""
    subject = load()

    def measure(change: Callable[[], Any] | None = None, of: Subject = subject) -> Figures:
        with change() if change else nullcontext():
            return {str(n): statistics.median(by_events(card, of.on_device(n), 10)) for n in counts}

    tasks: dict[str, Callable[[], Figures]] = {
        "as it is": measure,
        "PyTorch's GroupNorm": lambda: measure(pytorchs_norm),
        "upsampling not folded": lambda: measure(lambda: setting(convolution, "FOLD_PIXELS", 1 << 40)),
        "VRE in IEEE float32": lambda: measure(lambda: setting(subject.model.vre, "tf32", False)),
        "cudnn.benchmark": lambda: measure(lambda: setting(torch.backends.cudnn, "benchmark", True)),
        "NCHW throughout": lambda: measure(lambda: nchw(subject.model)),
        "as it is, once more": measure,
        "torch.compile": lambda: measure(of=load(compiled=True)),
    }
    return each(card, tasks.items())


@contextmanager
def setting(where: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(where, name)
    setattr(where, name, value)
    try:
        yield
    finally:
        setattr(where, name, before)


@contextmanager
def pytorchs_norm() -> Iterator[None]:
    was_broken = triton_norm.broken.is_set()
    triton_norm.broken.set()
    try:
        yield
    finally:
        if not was_broken:
            triton_norm.broken.clear()


@contextmanager
def nchw(model: OSDFaceModel) -> Iterator[None]:
    """Everything in PyTorch's other memory layout, which our norm does not know."""
    with ExitStack() as stack:
        stack.enter_context(pytorchs_norm())
        stack.enter_context(setting(convolution, "FOLD_PIXELS", 1 << 40))
        for network in (autoencoder, unet):
            stack.enter_context(setting(network, "channels_last", Tensor.contiguous))
        stack.callback(lay_out, model, torch.channels_last)
        lay_out(model, torch.contiguous_format)
        yield


def lay_out(model: OSDFaceModel, layout: torch.memory_format) -> None:
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=layout)


def rivals(card: Any, authors: Path | None = None, work: Path | None = None) -> Figures:
    """Seconds of their program as shipped, by the wall clock; of its networks in fp32 and, at their best, in fp16."""
    from gpu_rivals import RandomWeights, at_their_best

    def shipped() -> Figures:
        if authors is not None:
            from contestants import Authors, Clock

            assert work is not None, "--authors needs --work, too"
            program, face = Authors(authors, work, CUDA, "fp32"), torch.rand(1, 3, SIDE, SIDE)
            run: Callable[[], Any] = lambda: program.restore(face, Clock(CUDA)).cpu()  # noqa: E731
            return {"1": by_wall(card, run, 10), "of": "their program"}
        model, face = RandomWeights("cuda", torch.float32), torch.rand(1, 3, SIDE, SIDE)
        return {"1": by_wall(card, lambda: model.as_shipped(face), 10), "of": "their procedure"}

    def networks(dtype: torch.dtype, count: int) -> float:
        model = RandomWeights("cuda", dtype)
        images, prompt = torch.rand(count, 3, SIDE, SIDE, device=CUDA), torch.randn(count, 77, 1024, device=CUDA)
        with torch.inference_mode():
            return statistics.median(by_events(card, lambda: model.networks(images, prompt), 10))

    def best(count: int) -> Figures:
        ways = at_their_best("cuda", torch.rand(count, 3, SIDE, SIDE, device=CUDA))
        found = {name: statistics.median(by_events(card, way, 10)) for name, way in ways.items()}
        way = min(found, key=lambda name: found[name])
        return {"seconds": found[way], "way": way, "all": found}

    return each(
        card,
        {
            "(a) the program as shipped": shipped,
            "(b) its networks in fp32": lambda: {str(n): networks(torch.float32, n) for n in (1, 8)},
            "(c) its networks in fp16 at their best": lambda: {str(n): best(n) for n in (1, 8)},
        }.items(),
    )


def profile(card: Any, top: int = 25) -> Figures:
    """The kernels that take the most time, and how often the host waits, in one pass."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as recorded

    subject = build()

    def look(count: int) -> Figures:
        work = subject.on_device(count)
        by_events(card, work, 1)
        with recorded(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
            work()
            torch.cuda.synchronize()
        events = seen.key_averages()
        kernels = sorted((e for e in events if e.self_device_time_total > 0), key=lambda e: -e.self_device_time_total)
        kernels = [e for e in kernels if str(e.device_type).endswith("CUDA")]
        whole = sum(e.self_device_time_total for e in kernels)
        rows = [
            {
                "kernel": e.key,
                "ms": e.self_device_time_total / 1000,
                "calls": e.count,
                "share": e.self_device_time_total / whole,
            }
            for e in kernels[:top]
        ]
        waits = sum(e.count for e in events if e.key == "cudaStreamSynchronize")
        launches = sum(e.count for e in kernels)
        return {"kernels": rows, "ms": whole / 1000, "launches": launches, "cudaStreamSynchronize": waits}

    return each(card, ((str(n), lambda n=n: look(n)) for n in (1, 8)))


PARTS: dict[str, Callable[..., Figures]] = {
    "ceilings": ceilings,
    "tests": tests,
    "ours": ours,
    "variants": variants,
    "rivals": rivals,
    "profile": profile,
}


def append(path: Path, part: str, figures: Figures, card: Any, seconds: float) -> list[Figures]:
    """All that the file holds, with what a part has found now at its end."""
    records: list[Figures] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    records.append({"part": part, "card": card.name, "took": seconds, "figures": figures})
    path.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")
    return records


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure OSDFace on a GPU.")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("-o", "--output", type=Path, default=Path("gpu.json"), help="where figures are appended")
    parser.add_argument("--markdown", type=Path, help="where to write the tables")
    parser.add_argument("--authors", type=Path, help="a checkout of the authors' program")
    parser.add_argument("--work", type=Path, help="the folder of weights that speed.py wrote")
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("There is no CUDA device here. Run this on a machine with one, under a PyTorch built for it.")
    card = Card()
    for part in chosen.part:
        started = time.perf_counter()
        options = {"authors": chosen.authors, "work": chosen.work} if part == "rivals" else {}
        with torch.no_grad():
            figures = PARTS[part](card, **options)
        records = append(chosen.output, part, figures, card, time.perf_counter() - started)
        torch.cuda.empty_cache()
    if chosen.markdown:
        chosen.markdown.write_text(markdown(records), encoding="utf-8")


if __name__ == "__main__":
    main()
