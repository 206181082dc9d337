"""Those that benchmarks/speed.py compares, each in a process of its own: our program, the authors' procedure written
plainly, and their own program."""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass, field
from functools import wraps
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests")]

from osdface_core.inference.memory import faces_at_once  # noqa: E402

STAGES = ("vre", "encode", "unet", "decode")
Contestant = Callable[[Path, torch.device, str], Any]


@dataclass
class Clock:
    """Seconds per stage: device events on a GPU, wall and CPU time elsewhere."""

    device: torch.device
    spans: list[tuple[str, Any, Any]] = field(default_factory=list)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = self.now()
        yield
        self.spans.append((stage, start, self.now()))

    def now(self) -> Any:
        if self.device.type != "cuda":
            return time.perf_counter(), time.process_time()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def read(self) -> dict[str, dict[str, float]]:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        totals = {stage: {"wall": 0.0, "cpu": 0.0} for stage in STAGES}
        for stage, start, end in self.spans:
            if self.device.type == "cuda":
                totals[stage]["wall"] += start.elapsed_time(end) / 1000
            else:
                totals[stage]["wall"] += end[0] - start[0]
                totals[stage]["cpu"] += end[1] - start[1]
        return totals


class Ours:
    """A bundle, prepared; as many faces in one pass as the library itself takes."""

    def __init__(self, work: Path, device: torch.device, precision: str):
        from osdface_core import load_model

        self.model = load_model(work / "bundle.safetensors", device=device, precision=precision)

    def restore(self, images: Tensor, clock: Clock) -> Tensor:
        return torch.cat([self.pass_of(part, clock) for part in images.split(faces_at_once(self.model))])

    def pass_of(self, images: Tensor, clock: Clock) -> Tensor:
        model, step = self.model, self.model.one_step
        with clock("vre"):
            embeds = model.vre(images).embeds
        with clock("encode"):
            latents = step.encode(2 * images - 1, None)
        with clock("unet"):
            noise = step.predict_noise(latents, step.timestep, embeds)
        with clock("decode"):
            return step.finish(step.decode(step.original(latents, noise)))


class Theirs:
    """The authors' files over a diffusers folder; one face after another."""

    def __init__(self, work: Path, device: torch.device, precision: str):
        from authors_procedure import AuthorsProcedure

        dtype = torch.float16 if precision == "fp16" and device.type == "cuda" else torch.float32
        self.model = AuthorsProcedure(work / "authors", work / "sd21base", device, dtype)

    def restore(self, images: Tensor, clock: Clock) -> Tensor:
        model, restored = self.model, []
        for image in images.to(model.codebook).split(1):
            x = 2 * image - 1
            with clock("vre"):
                prompt = model.prompt(x)
            with clock("encode"):
                latent = model.encode(x)
            with clock("unet"):
                noise = model.predict_noise(latent, prompt)
            with clock("decode"):
                restored.append(model.decode(latent, noise))
        return torch.cat(restored)


class Authors:
    """The program in a checkout of theirs: the model of its infer.py, one face after another.

    It is written for a GPU; on a CPU, what it asks of CUDA is answered without one.
    """

    def __init__(self, checkout: Path, work: Path, device: torch.device, precision: str):
        sys.path.insert(0, str(checkout))
        import infer  # type: ignore[import-not-found]

        if device.type != "cuda":
            infer.torch = WithoutCuda()
        options = SimpleNamespace(
            pretrained_model_name_or_path=str(work / "sd21base"),
            ckpt_path=str(work / "authors"),
            img_encoder_weight=str(work / "authors" / "associate_2.ckpt"),
            mixed_precision="fp16" if precision == "fp16" and device.type == "cuda" else "fp32",
            merge_lora=True,
            lora_rank=16,
            lora_alpha=16.0,
            cat_prompt_embedding=False,
            use_pos_embedding=False,
            use_att_pool=False,
        )
        with redirect_stdout(None):
            self.merged = infer.merge_Unet(options)  # their workers keep what they were sent beside their own copy
            self.model = infer.OSDFace_test(options, 0, self.merged).eval()
        self.clock: Clock | None = None
        parts = (("vre", self.model.img_encoder, "forward"), ("encode", self.model.vae, "encode"))
        for stage, part, name in (*parts, ("unet", self.model.unet, "forward"), ("decode", self.model.vae, "decode")):
            setattr(part, name, self.timed(stage, getattr(part, name)))

    def timed(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def timed_call(*inputs: Any, **options: Any) -> Any:
            assert self.clock is not None
            with self.clock(stage):
                return call(*inputs, **options)

        return timed_call

    def restore(self, images: Tensor, clock: Clock) -> Tensor:
        self.clock = clock
        with redirect_stdout(None):
            return torch.cat([self.model(2 * image.to(self.model.weight_dtype) - 1) for image in images.split(1)])


class WithoutCuda:
    """PyTorch, for a program that asks for a GPU where there is none."""

    cuda = SimpleNamespace(Stream=nullcontext, stream=nullcontext, synchronize=nullcontext)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def device(self, _name: str) -> torch.device:
        return torch.device("cpu")


def take_turn(
    pipe: Connection, contestant: Contestant, work: Path, device: str, precision: str, threads: int, faces: list[int]
) -> None:
    """One process's turn: load, restore one face cold, then as many at once as each of `faces` says."""
    torch.set_num_threads(threads)
    place = torch.device(device)
    __import__("diffusers")  # importing it is no part of loading
    before, started, cpu = peak(place), time.perf_counter(), time.process_time()
    runner = contestant(work, place, precision)
    load = {"wall": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    figures: dict[str, Any] = {"load": {**load, "before": before, "peak": peak(place)}, "stages": {}, "peak": {}}
    images = torch.rand(16, 3, 512, 512, generator=torch.Generator().manual_seed(0)).to(place)
    for name, count in (("cold", 1), *((str(count), count) for count in faces)):
        clock = Clock(place)
        with torch.inference_mode():
            runner.restore(images[:count], clock)
        figures["stages"][name], figures["peak"][name] = clock.read(), peak(place)
    pipe.send(figures)


def peak(device: torch.device) -> float:
    """The most memory that this process has held, in GB: device memory on a GPU, resident memory elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
