"""A whole recipe, stage after stage, each in a folder of its own."""

import logging
from pathlib import Path
from typing import Any

import torch

from ..errors import ImageError
from ..libraries import library
from ..models.osdface import ModelConfig
from ..serialization import Json
from .autoencoder_stage import AutoencoderConfig, AutoencoderStage
from .data import find_photos
from .detector_stage import DetectorConfig, DetectorStage
from .engine import train
from .recipe import Recipe, RecipeError, StageRecipe, from_json, read_recipe
from .restorer_stage import RestorerConfig, RestorerStage
from .stage import Stage
from .vre_stage import VREStage, VREStageConfig

log = logging.getLogger(__name__)

KINDS: dict[str, tuple[Any, type]] = {
    "autoencoder": (AutoencoderStage, AutoencoderConfig),
    "vre": (VREStage, VREStageConfig),
    "restorer": (RestorerStage, RestorerConfig),
    "detector": (DetectorStage, DetectorConfig),
}
"""The kinds of stage, and what each is configured by."""


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
    Returns whether everything is finished. Raises RecipeError before any work where the recipe cannot be, and
    MissingLibraryError where a library is missing.
    """
    for name in ("accelerate", "diffusers", "peft"):
        library(name)
    output = Path(output)
    recipe = read_recipe(path, {"RUN": output} | (replacements or {}))
    if stage is not None and stage not in recipe.stages:
        raise RecipeError(f"{path}: there is no stage {stage!r}. There are {', '.join(recipe.stages)}.")
    wanted = [name for name in recipe.stages if stage in (None, name) and not (output / name / "finished").exists()]
    check_model(recipe.model)
    for name in wanted:
        check_stage(name, recipe.stages[name])
    for name in wanted:
        entry, folder = recipe.stages[name], output / name
        log.info("stage %s", name)
        torch.manual_seed(entry.schedule.seed)
        if not train(build_stage(recipe, entry), entry, folder, minutes=minutes):
            return False
    return True


def build_stage(recipe: Recipe, entry: StageRecipe) -> Stage:
    """The stage that a recipe's entry describes, new. Raises RecipeError."""
    built: Stage = KINDS[entry.kind][0](recipe.model, configured(entry, "options"))
    return built


def configured(entry: StageRecipe, where: str) -> Any:
    """The stage's own configuration, from the options of its entry. Raises RecipeError."""
    return from_json(KINDS[entry.kind][1], entry.options, where)


def check_model(config: ModelConfig) -> None:
    """Raises RecipeError where no model can be built of these sizes."""
    try:
        config.check_fit()
    except ValueError as error:
        raise RecipeError(f"model: {error}.") from error


def check_stage(name: str, entry: StageRecipe) -> None:
    """Raises an OSDFaceError that names what in a stage cannot be, before there is any work."""
    where = f"stages.{name}"
    if entry.kind not in KINDS:
        raise RecipeError(f"{where}.kind: there is no kind of stage {entry.kind!r}: take {', '.join(KINDS)}.")
    configured(entry, f"{where}.options")
    try:
        find_photos(entry.data)
    except ImageError as error:
        raise RecipeError(f"{where}: {error}") from error
