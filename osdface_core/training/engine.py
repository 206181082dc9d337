"""The loop around every stage: accelerate for devices and precision, EMA, checkpoints, log and pictures."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..errors import OSDFaceError
from ..files.photos import write_photo
from .checkpoint import Checkpoints, last_checkpoint
from .data import check, find_photos, pairs_loader
from .losses import Losses
from .processes import together
from .recipe import RecipeError, Schedule, StageRecipe
from .stage import Batch, Stage

if TYPE_CHECKING:
    from diffusers.training_utils import EMAModel
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

log = logging.getLogger(__name__)

NOTE_EVERY = 10
"""Steps from one look at the losses to the next."""


def train(stage: Stage, recipe: StageRecipe, folder: Path, *, minutes: float | None = None) -> bool:
    """Train `stage` as `recipe` says, in `folder`, going on from the last checkpoint there.

    minutes: stop in good order after so long.
    Returns whether the stage is finished; what it is for is then in `folder`.
    Under `accelerate launch` or torchrun all processes share each batch.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import DataLoaderConfiguration, DistributedDataParallelKwargs, set_seed
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    schedule = recipe.schedule
    AcceleratorState._reset_state()  # which keeps the precision of the stage before
    try:
        accelerator = Accelerator(
            mixed_precision=schedule.precision,
            step_scheduler_with_optimizer=False,
            dataloader_config=DataLoaderConfiguration(split_batches=True),
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
    except ValueError as error:
        raise RecipeError(f"schedule.precision is {schedule.precision}: this machine cannot ({error}).") from error
    if schedule.batch_size % accelerator.num_processes:
        count = accelerator.num_processes
        raise RecipeError(f"schedule.batch_size is {schedule.batch_size}: {count} processes cannot share that equally.")
    set_seed(schedule.seed, device_specific=True)
    folder.mkdir(parents=True, exist_ok=True)
    if last_checkpoint(folder) is None and (broken := check(find_photos(recipe.data))):
        raise OSDFaceError(f"{broken[0]} and {len(broken) - 1} more photographs cannot be read: take them out.")
    ema = EMAModel(stage.trained(), decay=schedule.ema_decay, use_ema_warmup=True, inv_gamma=1, power=2 / 3)
    optimizers = make_optimizers(stage, schedule)
    schedulers = [
        get_scheduler(schedule.decay, it, num_warmup_steps=schedule.warmup, num_training_steps=schedule.steps)
        for it in optimizers
    ]
    model, *prepared = accelerator.prepare(stage, *optimizers, *schedulers)
    optimizers, schedulers = prepared[: len(optimizers)], prepared[len(optimizers) :]
    ema.to(accelerator.device)
    checkpoints = Checkpoints(folder, accelerator, stage, ema, optimizers, schedulers)
    step = checkpoints.load()
    loader = accelerator.prepare(pairs_loader(recipe.data, schedule.batch_size, schedule.seed, step))
    with together(accelerator):
        training_log = TrainingLog(folder, accelerator.is_main_process)
    until = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    bar = tqdm(total=schedule.steps, initial=step, disable=None if accelerator.is_main_process else True)

    def turn(
        name: str, batch: Batch, optimizer: "Optimizer", scheduler: "LRScheduler", parameters: list[nn.Parameter]
    ) -> Losses:
        losses: Losses = model(name, batch, step)
        optimizer.zero_grad()
        accelerator.backward(sum(losses.values()))
        accelerator.clip_grad_norm_(parameters, schedule.clip)
        optimizer.step()
        scheduler.step()
        return losses

    batches = iter(loader)
    model.train()
    while step < schedule.steps:
        if time.monotonic() >= until:
            accelerator.set_trigger()
        if accelerator.check_trigger():  # all processes stop at the same step
            break
        batch = next(batches)
        losses = turn("generator", batch, optimizers[0], schedulers[0], stage.trained())
        if stage.judged(step):
            assert stage.discriminator is not None
            losses |= turn("discriminator", batch, optimizers[1], schedulers[1], list(stage.discriminator.parameters()))
        stage.after_step(accelerator.gather)
        ema.step(stage.trained())
        step += 1
        bar.update()
        if step % NOTE_EVERY == 0:
            with together(accelerator):
                training_log.add_losses(step, losses, bar)
        if step % schedule.picture_every == 0:
            with together(accelerator), averaged(ema, stage), accelerator.autocast():
                training_log.add_pictures(step, stage.pictures(batch))
        if step % schedule.save_every == 0:
            checkpoints.save(step)
    checkpoints.save(step)
    finished = step >= schedule.steps
    with together(accelerator):
        if finished and accelerator.is_main_process:
            with averaged(ema, stage):
                stage.save(folder)
            (folder / "finished").touch()
    bar.close()
    return finished


@contextmanager
def averaged(ema: "EMAModel", stage: Stage) -> Iterator[None]:
    """While it lasts, the stage holds the EMA of its weights, and is in evaluation mode."""
    ema.store(stage.trained())
    ema.copy_to(stage.trained())
    stage.eval()
    try:
        yield
    finally:
        ema.restore(stage.trained())
        stage.train()


class TrainingLog:
    """Losses for TensorBoard where it is installed, and pictures as PNG files."""

    def __init__(self, folder: Path, writes: bool):
        self.folder, self.writes = folder, writes
        self.board: Any = None
        if writes:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                log.info("no TensorBoard log: pip install tensorboard to have one")
            else:
                self.board = SummaryWriter(folder / "log")

    def add_losses(self, step: int, losses: Losses, bar: "tqdm[Any]") -> None:
        if not self.writes:
            return
        values = {name: float(loss.detach()) for name, loss in losses.items()}
        if not all(value == value and abs(value) < float("inf") for value in values.values()):
            raise OSDFaceError(f"Step {step}: a loss is no number any more ({values}). Lower the learning rate.")
        bar.set_postfix({name: f"{value:.3g}" for name, value in values.items()})
        if step % 100 == 0:
            log.info("step %d: %s", step, ", ".join(f"{name} {value:.3g}" for name, value in values.items()))
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, step)

    def add_pictures(self, step: int, rows: Tensor) -> None:
        if not self.writes:
            return
        grid = torch.cat([torch.cat(list(row[:8]), dim=2) for row in rows], dim=1).float().cpu().nan_to_num()
        write_photo(self.folder / f"step-{step:07d}.png", grid[None])
        if self.board is not None:
            self.board.add_image("pictures", grid, step)


def make_optimizers(stage: Stage, schedule: Schedule) -> "list[Optimizer]":
    """One for the generator, and one for the discriminator where there is one."""
    trained = [(stage.trained(), schedule.learning_rate)]
    if stage.discriminator is not None:
        rate = schedule.discriminator_learning_rate or schedule.learning_rate
        trained.append((list(stage.discriminator.parameters()), rate))
    return [torch.optim.AdamW(weights, lr, schedule.betas, weight_decay=0) for weights, lr in trained]
