"""`osdface doctor --prove`: does a model restore a face on a device as PyTorch's own layers do on the CPU?

A small photo that comes with the package goes the whole way, every stage of it is held against the other computation,
and the outcome is a report to paste into an issue: it names no path and holds no picture.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..compositing.paste import paste_faces
from ..detection.detector import RetinaFace
from ..detection.load import STARTER, find_weights, load_detector
from ..devices import is_out_of_memory, upload
from ..errors import ImageError
from ..faces import FaceCrops, so_many
from ..files.photos import read_photo
from ..geometry.align import align_faces
from ..inference import load_model
from ..inference.prepare import stored
from ..inference.tiny_decoder import TinyDecoder
from ..kernels import triton_norm
from ..models.osdface import OSDFaceModel
from ..models.precision import NAMES
from ..weights import read_model, require_osdface
from ..weights.describe import describe_file, describe_sizes, describe_weights
from .installation import Finding
from .machine import machine, peak_memory

log = logging.getLogger("osdface")

PHOTO = Path(__file__).with_name("proof.jpg")
"""128x128 pixels with a face of 50x70: reduced and compressed, so that there is something to restore."""

PARTS = {"VRE features": "vre", "latents": "encode", "noise": "unet", "decoded": "decode"}
"""The stages that a network computes, and which part of a model it is."""

LEAST_PSNR = {"fp32": 70.0, "fp32 (IEEE)": 70.0, "fp32 (TF32)": 50.0, "fp16": 45.0, "bf16": 35.0}
"""dB between an image and the plain computation's, by the least exact numbers that take part: at least 10 below what
`benchmarks/precision.py` measures for half precision; for TF32 an estimate, no GPU has run it yet."""

TF32_TOKENS = 2
"""How many of a face's tokens may be others where the VRE computes in TF32."""

APART = 0.5
"""Pixels of the photo that landmarks may lie from where the CPU sees them."""

AGAIN = 10
"""Seconds: a first pass that takes less is repeated, for it has work to do that later ones have not."""

REPORT_IT = "This is a fault of the program: please report it, with all of this."
DAMAGED = "The weights are damaged: check them (`osdface weights verify`), or get them again."


@dataclass
class Pass:
    """One face on its way through the networks."""

    made: dict[str, Tensor] = field(default_factory=dict)
    """What every stage gave, in main memory and float32."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Of every stage in PARTS, until what it gave was in main memory."""
    tokens: Counter[tuple[int, ...]] = field(default_factory=Counter)
    """The dictionary entries that the prompt is made of."""
    image: Tensor = field(default_factory=lambda: torch.empty(0))
    """[1,3,S,S], 0..1, the restored face on the device."""

    def run(self, model: OSDFaceModel, images: Tensor) -> None:
        """Restore images [1,3,S,S], 0..1."""
        step = model.one_step
        images = upload(images, model.device)
        prompts = model.vre.prompt(self.watched("VRE features", model.vre.features)(images))
        self.made["prompt"] = prompts.embeds.float().cpu()
        self.tokens = Counter(zip(*prompts.token_ids.reshape(-1, model.config.vre.tokens).tolist(), strict=True))

        def decode(latents: Tensor) -> Tensor:
            self.made["x0"] = latents.float().cpu()
            return self.watched("decoded", step.decode)(latents)

        encode, predict_noise = self.watched("latents", step.encode), self.watched("noise", step.predict_noise)
        watched = replace(step, encode=encode, predict_noise=predict_noise, decode=decode)
        self.image = watched(images, prompts.embeds)

    def watched(self, name: str, stage: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def run(*inputs: Any) -> Tensor:
            started = perf_counter()
            result = stage(*inputs)
            self.made[name] = result.float().cpu()
            self.seconds[name] = perf_counter() - started
            return result

        return run

    @property
    def broken(self) -> str | None:
        """The first stage that gave something else than numbers."""
        return next((name for name, made in self.made.items() if not made.isfinite().all()), None)


class Proof:
    """A report in the making: facts, checks, and the same face restored on the device and plainly."""

    def __init__(self, device: torch.device):
        self.device = device
        self.facts = machine(device)
        self.checks: list[Finding] = []
        self.computed: dict[str, str] = {}
        """What each stage computes in, as LEAST_PSNR has it."""
        self.least = max(LEAST_PSNR.values())
        self.images = torch.empty(0)
        """[1,3,S,S]: the face that is restored, on the device."""
        self.ours, self.again, self.plain = Pass(), Pass(), Pass()

    @property
    def holds(self) -> bool:
        return not any(check.todo for check in self.checks)

    def check(self, name: str, says: str, todo: str = "") -> None:
        self.checks.append(Finding(name, says, todo))

    @contextmanager
    def told(self, name: str) -> Iterator[None]:
        """A failure within is one of the report's checks, and the rest is done."""
        try:
            yield
        except (RuntimeError, MemoryError, ImageError) as error:
            log.error("error: %s: %s", name, error)
            todo = "Update PyTorch and the device's driver. If that does not help, report this."
            if is_out_of_memory(error):
                todo = "Close other programs, choose --precision fp16, or another device."
            self.check(name, f"{type(error).__name__}: {without_paths(str(error))}", todo)

    def describe(self, model: OSDFaceModel) -> None:
        """What the parts of the model are stored and computed in, and where they are."""
        kept = {part: NAMES[dtype] for part, dtype in vars(stored(model)).items()}
        self.facts["stored in"] = ", ".join(f"{part} {name}" for part, name in kept.items())
        self.facts["placement"] = "whole" if model.onload is None else "part after part"
        self.computed = {stage: arithmetic_of(model, part) for stage, part in PARTS.items()}
        self.least = min(LEAST_PSNR[name] for name in (*kept.values(), *self.computed.values()))

    def find_face(self, detector: RetinaFace, photo: Tensor, size: int) -> FaceCrops:
        """The crop of the photo's one face. Where the detector is not on the CPU, it has to see the same there."""
        found = detector.detect(photo)
        says, todo = f"{so_many(len(found))} found, of 1", ""
        if len(found) != 1:
            todo = "Choose another detector: --detector starter comes with the package."
        elif self.device.type != "cpu":
            there = detector.to("cpu").detect(photo.cpu())
            points = [torch.tensor([face.landmarks for face in faces.faces]) for faces in (found, there)]
            apart = (points[0] - points[1]).abs().max().item() if len(there) == 1 else float("inf")
            says += f", landmarks {apart:.3f} px from the CPU's"
            todo = "" if apart < APART else "Detect with --device cpu, and report this."
        self.check("detection", says, todo)
        crops = align_faces(photo, found, size)
        return crops.take(range(min(len(crops), 1)))

    def check_paste(self, photo: Tensor, crops: FaceCrops) -> None:
        pasted = paste_faces(photo, crops)
        outside = pasted.mask[:, None] == 0
        if torch.equal(pasted.image.where(outside, 0.0), photo.where(outside, 0.0)):
            self.check("paste", "the photo is as it was but for the face")
        else:
            self.check("paste", "the photo is another outside the face", REPORT_IT)

    def check_norm(self) -> None:
        """Whether Triton's kernels do what they are there for."""
        if self.device.type != "cuda":
            return
        if triton_norm.broken.is_set():
            todo = "It works, but slower: install the Triton that belongs to this PyTorch, or report the warning above."
            self.check("norm", "Triton fails here, PyTorch's own takes its place", todo)
        else:
            self.check("norm", "PyTorch's own: there is no Triton" if triton_norm.kernels() is None else "Triton's")

    def compare(self) -> None:
        """Hold what the device gave against the plain computation."""
        ours, plain = self.ours, self.plain
        if ours.broken:
            todo = (
                REPORT_IT if self.device.type == "cpu" else "The CPU has numbers there: try --precision bf16 or fp32."
            )
            self.check("numbers", f"{ours.broken}: not finite", DAMAGED if plain.broken else todo)
        else:
            self.check("numbers", "finite in every stage")
        differing, count = (plain.tokens - ours.tokens).total(), plain.tokens.total()
        allowed = TF32_TOKENS if "TF32" in self.computed["VRE features"] else 0
        todo = "Try --precision fp32, and report this with both outcomes." if differing > allowed else ""
        self.check("tokens", f"{differing} of {count} differ from the CPU's", todo)
        gap = (ours.image.float().cpu() - plain.image).abs()
        psnr = -10 * gap.square().mean().log10().item()
        says = f"{psnr:.1f} dB PSNR (at least {self.least:.0f}), at most {255 * gap.max():.3g} levels of 255 away"
        todo = "Try --precision fp32, and report this with both outcomes."
        self.check("image", says, "" if psnr >= self.least else todo)

    def to_markdown(self) -> str:
        failed = sum(bool(check.todo) for check in self.checks)
        outcome = f"{failed} of {len(self.checks)} checks failed" if failed else "all is well"
        lines = [f"### osdface doctor --prove: {outcome}", ""]
        for check in self.checks:
            todo = f" **{check.todo}**" if check.todo else ""
            lines.append(f"- [{' ' if check.todo else 'x'}] {check.name}: {check.says}{todo}")
        lines += ["", *(f"- {name}: {says}" for name, says in self.facts.items()), ""]
        lines += ["| stage | computed in | first, s | again, s | plain CPU, s | largest value | largest difference |"]
        lines += ["|---|---|---|---|---|---|---|"]
        return "\n".join([*lines, *(self.row(name) for name in self.ours.made | self.plain.made), ""])

    def row(self, name: str) -> str:
        """A stage's line in the table."""
        runs = self.ours, self.again, self.plain
        seconds = [f"{run.seconds[name]:.3f}" if name in run.seconds else "" for run in runs]
        ours, plain = self.ours.made.get(name), self.plain.made.get(name)
        largest = "" if ours is None else f"{ours.abs().max():.4g}"
        gap = "" if ours is None or plain is None else f"{(ours - plain).abs().max():.2e}"
        return f"| {' | '.join([name, self.computed.get(name, ''), *seconds, largest, gap])} |"


def prove(
    weights: str | Path | None = None,
    base: str | Path | None = None,
    *,
    device: str | torch.device = "cpu",
    precision: str = "auto",
    decoder: str | Path | None = None,
    detector: str | Path | None = None,
) -> Proof:
    """Restore the face that comes with the package, and say of every stage whether it is as it should be.

    The options are those of `load_model` and `load_detector`. At OSDFace's full size the plain computation takes a CPU
    half a minute or more. Raises a WeightsError where weights are missing or wrong, and ValueError for what is no
    precision.
    """
    proof = Proof(torch.device(device))
    file = find_weights(None if detector is None else str(detector))
    finder = load_detector(detector, device=device)
    proof.facts["detector"] = "the starter" if file == STARTER else describe_file(file)
    with proof.told("device"), torch.no_grad():
        restore(proof, finder, weights, base, precision=precision, decoder=decoder)
    proof.facts["peak memory"] = peak_memory(proof.device)
    log.info("OSDFace: the same face, by PyTorch's own layers on the CPU. At full size that takes a minute.")
    with proof.told("plain CPU"):
        model = require_osdface(read_model(weights, base), weights).float()
        model.decoder = None if decoder is None else TinyDecoder(decoder)
        proof.facts["weights"] = describe_weights(weights, base, model.config)
        proof.facts["sizes"] = describe_sizes(model.config)
        proof.facts["decoder"] = "the VAE's" if decoder is None else describe_file(Path(decoder))
        images = proof.images if proof.images.numel() else whole(read_photo(PHOTO).pixels, model.config.crop_size)
        with torch.enable_grad():  # where no layer of ours takes the place of PyTorch's
            proof.plain.run(model, images.cpu())
    if proof.ours.image.numel() and proof.plain.image.numel():
        proof.compare()
    return proof


def restore(proof: Proof, finder: RetinaFace, weights: str | Path | None, base: str | Path | None, **how: Any) -> None:
    """The whole way as a user goes it: detection, alignment, the networks, paste. how: options of `load_model`."""
    started = perf_counter()
    model = require_osdface(load_model(weights, base, device=proof.device, **how), weights)
    proof.facts["loading"] = f"{perf_counter() - started:.2f} s"
    proof.describe(model)
    photo = read_photo(PHOTO).pixels.to(proof.device)
    crops = proof.find_face(finder, photo, model.config.crop_size)
    proof.images = crops.images if len(crops) else whole(photo, model.config.crop_size)
    wanted = model.precision
    proof.ours.run(model, proof.images)
    if sum(proof.ours.seconds.values()) < AGAIN:
        proof.again.run(model, proof.images)
    first, again = (sum(run.seconds.values()) for run in (proof.ours, proof.again))
    proof.facts["a face"] = f"{first:.2f} s at first" + (f", then {again:.2f} s" if again else "")
    proof.describe(model)
    overflowed = [part for part, dtype in vars(wanted).items() if dtype != getattr(model.precision, part)]
    proof.facts["overflow"] = f"{', '.join(overflowed)}: computed in fp32 from then on" if overflowed else "none"
    proof.check_norm()
    if len(crops) and proof.ours.broken is None:
        proof.check_paste(photo, crops.with_images(proof.ours.image))


def whole(photo: Tensor, size: int) -> Tensor:
    """All of the photo as a crop [1,3,size,size], where no face is found in it."""
    return F.interpolate(photo, (size, size), mode="bilinear")


def arithmetic_of(model: OSDFaceModel, part: str) -> str:
    """What a part computes in, as LEAST_PSNR has it."""
    device = model.device if part in ("vre", "unet") else model.vae_device or model.device
    dtype = torch.float32 if part == "vre" else getattr(model.precision, part)
    if dtype != torch.float32 or device.type != "cuda":
        return NAMES[dtype]
    tf32 = part == "vre" and model.vre.tf32
    return f"fp32 ({'TF32' if tf32 and torch.cuda.get_device_capability(device) >= (8, 0) else 'IEEE'})"


def without_paths(text: str) -> str:
    """The first line of a message, without the words that are paths."""
    first = (text.strip().splitlines() or [""])[0].replace(str(Path.home()), "/")
    return " ".join(word for word in first.split() if not {"/", "\\"} & set(word))[:200]
