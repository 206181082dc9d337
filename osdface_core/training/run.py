"""A whole recipe, stage after stage, each in a folder of its own."""

import logging
from pathlib import Path
from typing import Any

import torch

from ..libraries import library
from ..serialization import Json
from .autoencoder_stage import AutoencoderConfig, AutoencoderStage
from .detector_stage import DetectorConfig, DetectorStage
from .engine import train
from .recipe import Recipe, RecipeError, StageRecipe, from_json, read_recipe
from .restorer_stage import RestorerConfig, RestorerStage
from .stage import Stage
from .vre_stage import VREStage, VREStageConfig

log = logging.getLogger(__name__)


def run(
    path: str | Path,
    output: str | Path,
    *,
    stage: str | None = None,
    minutes: float | None = None,
    replacements: Json | None = None,
) -> bool:
    """Train what the recipe at `path` describes, in the folder `output`, going on from what is there.

    stage: only this one. minutes: for each stage, stop in good order after so long.
    Returns whether everything is finished. Raises RecipeError, and MissingLibraryError before anything is done.
    """
    for name in ("accelerate", "diffusers", "peft"):
        library(name)
    output = Path(output)
    recipe = read_recipe(path, {"RUN": output} | (replacements or {}))
    if stage is not None and stage not in recipe.stages:
        raise RecipeError(f"{path}: there is no stage {stage!r}. There are {', '.join(recipe.stages)}.")
    for name, entry in recipe.stages.items():
        folder = output / name
        if (stage is not None and name != stage) or (folder / "finished").exists():
            continue
        log.info("stage %s", name)
        torch.manual_seed(entry.schedule.seed)
        if not train(build_stage(recipe, entry), entry, folder, minutes=minutes):
            return False
    return True


def build_stage(recipe: Recipe, entry: StageRecipe) -> Stage:
    """The stage that a recipe's entry describes, new. Raises RecipeError."""
    kinds: dict[str, tuple[Any, type]] = {
        "autoencoder": (AutoencoderStage, AutoencoderConfig),
        "vre": (VREStage, VREStageConfig),
        "restorer": (RestorerStage, RestorerConfig),
        "detector": (DetectorStage, DetectorConfig),
    }
    if entry.kind not in kinds:
        raise RecipeError(f"There is no kind of stage {entry.kind!r}: take {', '.join(kinds)}.")
    stage, config = kinds[entry.kind]
    built: Stage = stage(recipe.model, from_json(config, entry.options, "options"))
    return built
