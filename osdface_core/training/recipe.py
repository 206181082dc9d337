"""A recipe: one YAML file that says how a whole model is trained."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from ..errors import OSDFaceError
from ..libraries import library
from ..model import ModelConfig
from ..serialization import Json
from .data import DataConfig


class RecipeError(OSDFaceError):
    """The recipe cannot be read, or asks for something that there is not."""


@dataclass(frozen=True)
class Schedule:
    """How a stage is trained, whatever it is."""

    steps: int
    batch_size: int
    """Over all processes together."""
    learning_rate: float = 1.44e-4
    critic_learning_rate: float | None = None
    """The generator's own where left out."""
    betas: tuple[float, float] = (0.5, 0.999)
    warmup: int = 0
    """Steps in which the learning rate rises."""
    decay: str = "constant_with_warmup"
    """What it does then: a schedule of diffusers', such as cosine."""
    clip: float = 1.0
    """Longest gradient."""
    average: float = 0.999
    """Decay of the moving average of the weights, which is what is saved."""
    precision: str = "no"
    """accelerate's mixed precision: no, fp16 or bf16."""
    seed: int = 0
    save_every: int = 1000
    picture_every: int = 1000


@dataclass(frozen=True)
class StageRecipe:
    kind: str
    """autoencoder, vre, restorer or detector."""
    schedule: Schedule
    data: DataConfig
    options: Json = field(default_factory=dict)
    """The fields of the stage's own configuration."""


@dataclass(frozen=True)
class Recipe:
    model: ModelConfig
    stages: dict[str, StageRecipe]
    """By name, in the order in which they are trained."""


def built_in(recipe: str | Path) -> Path:
    """The path itself where there is such a file, else that of the built-in recipe of this name. Raises RecipeError."""
    path = Path(recipe)
    own = Path(__file__).parent / "recipes" / f"{path.stem}.yaml"
    if not path.exists() and own.exists():
        return own
    if not path.exists():
        names = ", ".join(sorted(file.stem for file in own.parent.glob("*.yaml")))
        raise RecipeError(f"{recipe}: there is no such recipe. Built in are {names}.")
    return path


def read_recipe(path: str | Path, replacements: Json | None = None) -> Recipe:
    """The recipe in a YAML file. Raises RecipeError that names the field at fault.

    `$NAME` in a text stands for replacements["NAME"], such as the folder of the photographs.
    """
    yaml = library("yaml")
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: the recipe cannot be read ({error}).") from error
    try:
        data = replace_names(data, replacements or {})
        common = data.get("data", {})
        stages = {}
        for name, stage in data["stages"].items():
            stage["data"] = common | stage.get("data", {})
            stages[name] = from_json(StageRecipe, stage, f"stages.{name}")
        return Recipe(from_json(ModelConfig, data.get("model", {}), "model"), stages)
    except (KeyError, TypeError, AttributeError) as error:
        raise RecipeError(f"{path}: {error} is missing or is not what it should be.") from error
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None


def replace_names(data: Any, replacements: Json) -> Any:
    if isinstance(data, dict):
        return {key: replace_names(value, replacements) for key, value in data.items()}
    if isinstance(data, list):
        return [replace_names(value, replacements) for value in data]
    if isinstance(data, str) and "$" in data:
        for name, value in replacements.items():
            data = data.replace(f"${name}", str(value))
        if "$" in data:
            raise RecipeError(f"{data}: give this a value, with --set NAME=VALUE.")
    return data


def from_json(kind: Any, data: Json, where: str) -> Any:
    """An instance of the dataclass `kind` from plain data, its fields checked by name. Raises RecipeError."""
    hints = get_type_hints(kind)
    fields = {entry.name for entry in dataclasses.fields(kind)}
    if unknown := sorted(data.keys() - fields):
        raise RecipeError(f"{where}.{unknown[0]} is unknown. There are {', '.join(sorted(fields))}.")
    values = {}
    for name, value in data.items():
        hint = hints[name]
        if dataclasses.is_dataclass(hint):
            value = from_json(hint, value, f"{where}.{name}")
        elif isinstance(value, list) and str(hint).startswith("tuple"):
            value = tuple(value)
        elif hint is float and isinstance(value, str):
            value = float(value)  # YAML takes 1e-4 for text
        values[name] = value
    try:
        return kind(**values)
    except TypeError as error:
        raise RecipeError(f"{where}: {error}.") from error
