"""A run's state on disk: tensors in safetensors, all else in JSON. Nothing in a checkpoint is ever run."""

import json
import logging
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from ..errors import OSDFaceError, WeightsError
from ..files.atomic_write import replace_patiently
from ..serialization import Json
from ..weights.files import Tensors, read_safetensors, sha256
from .processes import together
from .stage import Stage

if TYPE_CHECKING:
    from accelerate import Accelerator
    from diffusers.training_utils import EMAModel
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

log = logging.getLogger(__name__)

KEPT = 2
"""How many checkpoints stay on disk."""

TENSORS, STATE = "tensors.safetensors", "state.json"
"""The files of a checkpoint. The second says where the tensors belong, and what the first's sha256 is."""

MOMENTS = {"step", "exp_avg", "exp_avg_sq"}
"""What AdamW keeps for a weight."""


class CheckpointError(OSDFaceError):
    """A checkpoint cannot be read, or is not one of this run."""


class Checkpoints:
    """All that a run needs to go on, in its folder: saved whole or not at all, and read as data only."""

    def __init__(
        self,
        folder: Path,
        accelerator: "Accelerator",
        stage: Stage,
        ema: "EMAModel",
        optimizers: "list[Optimizer]",
        schedulers: "list[LRScheduler]",
    ):
        self.folder, self.accelerator, self.stage, self.ema = folder, accelerator, stage, ema
        self.optimizers, self.schedulers = optimizers, schedulers
        self.step = -1
        """Of the newest on disk that is sound, once that is known."""

    def load(self) -> int:
        """Go on from the newest checkpoint that is sound. Returns its step, 0 where there are no checkpoints.

        Raises CheckpointError where there are some and none is sound.
        """
        problem: OSDFaceError | None = None
        for path in reversed(checkpoints(self.folder)):
            try:
                with together(self.accelerator):
                    step = self.restore(path)
            except OSDFaceError as error:
                log.warning("%s It is passed over, for the one before.", error)
                problem = problem or error
            else:
                log.info("going on from %s", path)
                self.step = step
                return step
        if problem is not None:
            advice = "There is no checkpoint to go on from: name another folder, or take them away to begin anew."
            raise CheckpointError(f"{problem} {advice}") from problem
        return 0

    def save(self, step: int) -> None:
        """Write a checkpoint, in place when it is whole. Older ones go only then. Raises OSError."""
        if step == self.step:
            return
        state: Json = {"step": step} | self.state()
        state |= {"moments": [it.state_dict()["state"] for it in self.optimizers], "random": self.random()}
        with together(self.accelerator):
            if self.accelerator.is_main_process:
                self.write(self.folder / f"checkpoint-{step:07d}", state)
        self.step = step

    def write(self, path: Path, state: Json) -> None:
        part = self.folder / "checkpoint.part"
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir()
            write_checkpoint(part, state)
            shutil.rmtree(path, ignore_errors=True)  # a damaged one that was passed over
            replace_patiently(part, path)
        except (OSError, SafetensorError) as error:
            advice = "Make room, and start the same command again: it goes on from the checkpoint before."
            raise OSError(f"{path}: the checkpoint cannot be written ({error}). {advice}") from error
        there = checkpoints(self.folder)
        here = there.index(path)
        for other in [*there[: max(0, here + 1 - KEPT)], *there[here + 1 :]]:  # later ones were passed over
            shutil.rmtree(other, ignore_errors=True)  # where a program holds on to it, with the next checkpoint

    def state(self) -> Json:
        """What has the same form at every step."""
        scaler = self.accelerator.scaler
        return {
            "stage": self.stage.state_dict(),
            "ema": self.ema.state_dict(),
            "groups": [it.state_dict()["param_groups"] for it in self.optimizers],
            "schedulers": [it.state_dict() for it in self.schedulers],
            "scaler": {} if scaler is None else scaler.state_dict(),
        }

    def random(self) -> dict[str, Tensor]:
        """The states of PyTorch's generators in all processes, a row for each."""
        device = self.accelerator.device
        return {name: self.accelerator.gather(get()[None].to(device)) for name, (get, _) in generators(device).items()}

    def restore(self, path: Path) -> int:
        """Take the state in `path`. Returns its step. Raises CheckpointError."""
        try:
            return self.take(read_checkpoint(path))
        except (AttributeError, LookupError, OverflowError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path}: this is not a checkpoint of this run ({error}).") from error

    def take(self, saved: Json) -> int:
        require_form({name: saved[name] for name in self.state()}, self.state(), "")
        for optimizer, groups, kept in zip(self.optimizers, saved["groups"], saved["moments"], strict=True):
            moments = {int(number): values for number, values in kept.items()}
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            for number, values in moments.items():
                shapes = {tuple(value.shape) for value in values.values()}
                if values.keys() != MOMENTS or not shapes <= {(), tuple(weights[number].shape)}:
                    raise ValueError(f"moments of weight {number}")
            optimizer.load_state_dict({"state": moments, "param_groups": groups})
        for scheduler, values in zip(self.schedulers, saved["schedulers"], strict=True):
            scheduler.load_state_dict(values)
        self.stage.load_state_dict(saved["stage"])
        self.ema.load_state_dict(saved["ema"])
        self.ema.to(self.accelerator.device)
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(saved["scaler"])
        rank = self.accelerator.process_index
        for name, (_, put) in generators(self.accelerator.device).items():
            states = saved["random"].get(name, ())
            if rank < len(states):  # a process that is new goes on from its seed
                put(states[rank].clone())  # PyTorch reads a view from the start of what it is a view of
        step = saved["step"]
        if type(step) is not int or step < 0:
            raise ValueError(f"step {step}")
        return step


def generators(device: torch.device) -> dict[str, tuple[Callable[[], Tensor], Callable[[Tensor], object]]]:
    """PyTorch's generators that training on `device` draws from: how to get the state of each, and how to set it."""
    there: dict[str, tuple[Callable[[], Tensor], Callable[[Tensor], object]]] = {
        "cpu": (torch.get_rng_state, torch.set_rng_state)
    }
    if device.type == "cuda":
        there["cuda"] = (partial(torch.cuda.get_rng_state, device), partial(torch.cuda.set_rng_state, device=device))
    return there


def write_checkpoint(folder: Path, state: Json) -> None:
    """Both files, on the disk when this returns. Raises OSError or SafetensorError."""
    tensors: Tensors = {}
    plain = without_tensors(state, tensors, "")
    save_file(tensors, folder / TENSORS)
    plain["sha256"] = sha256(folder / TENSORS)
    (folder / STATE).write_text(json.dumps(plain, indent=1) + "\n", encoding="utf-8")
    for name in (TENSORS, STATE):
        with (folder / name).open("r+b") as file:
            os.fsync(file.fileno())


def read_checkpoint(folder: Path) -> Json:
    """What `write_checkpoint` was given, with texts for the keys of tables. Raises CheckpointError."""
    path = folder / TENSORS
    if not (folder / STATE).is_file() and (folder / "optimizer.bin").is_file():
        advice = "It was written by an earlier version, as pickled objects, which could run anything and are not read."
        raise CheckpointError(f"{folder}: {advice} Finish that run with the version that began it.")
    try:
        plain = json.loads((folder / STATE).read_text(encoding="utf-8"))
        if plain["sha256"] != sha256(path):
            raise ValueError(f"{TENSORS} has changed since it was written")
        tensors = {name: tensor.clone() for name, tensor in read_safetensors(path)[0].items()}
        state: Json = with_tensors(plain, tensors)
    except (KeyError, OSError, RecursionError, TypeError, ValueError, WeightsError) as error:
        raise CheckpointError(f"{folder}: the checkpoint is damaged ({error}).") from error
    return state


def without_tensors(value: object, tensors: Tensors, name: str) -> Any:
    """`value` as JSON holds it, a mark in every tensor's place; the tensors are added to `tensors`."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous()
        return {"$tensor": name}
    if isinstance(value, dict):
        return {str(key): without_tensors(entry, tensors, f"{name}/{key}") for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_tensors(entry, tensors, f"{name}/{n}") for n, entry in enumerate(value)]
    return value


def with_tensors(value: Any, tensors: Tensors) -> Any:
    """The tensors in the places of their marks."""
    if isinstance(value, dict):
        if value.keys() == {"$tensor"}:
            return tensors[value["$tensor"]]
        return {key: with_tensors(entry, tensors) for key, entry in value.items()}
    return [with_tensors(entry, tensors) for entry in value] if isinstance(value, list) else value


def require_form(saved: object, live: object, where: str) -> None:
    """Raises ValueError where `saved` has other keys, lengths, shapes or types than `live`."""
    if isinstance(live, dict):
        if not isinstance(saved, dict) or saved.keys() != live.keys():
            raise ValueError(f"other entries in {where or 'the whole'}")
        for key, entry in live.items():
            require_form(saved[key], entry, f"{where}/{key}")
    elif isinstance(live, list | tuple):
        if not isinstance(saved, list) or len(saved) != len(live):
            raise ValueError(f"not {len(live)} entries in {where}")
        for n, entry in enumerate(live):
            require_form(saved[n], entry, f"{where}/{n}")
    elif isinstance(live, Tensor):
        if not isinstance(saved, Tensor) or (saved.shape, saved.dtype) != (live.shape, live.dtype):
            raise ValueError(f"{where} is not {list(live.shape)} {live.dtype}")
    elif type(saved) is not type(live) and {type(saved), type(live)} != {int, float}:
        raise ValueError(f"{where} is {saved!r}")


def checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*"))


def last_checkpoint(folder: Path) -> Path | None:
    return next(reversed(checkpoints(folder)), None)
