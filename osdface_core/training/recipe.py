"""A recipe: one YAML file that says how a whole model is trained."""

import dataclasses
import types
from dataclasses import dataclass, field
from math import inf, isfinite
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from ..errors import OSDFaceError
from ..libraries import library
from ..limits import above_zero, one_of, within
from ..models.osdface import ModelConfig
from ..networks.config import NetworkConfig
from ..serialization import Json
from .data import DataConfig

DECAYS = ("constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial")
"""diffusers' schedules of the learning rate that need nothing more to be said."""

PRECISIONS = ("no", "fp16", "bf16")


class RecipeError(OSDFaceError):
    """The recipe cannot be read, or asks for something that there is not."""


@dataclass(frozen=True)
class Schedule:
    """How a stage is trained, whatever it is."""

    steps: int
    batch_size: int
    """Over all processes together."""
    learning_rate: float = 1.44e-4
    discriminator_learning_rate: float | None = None
    """The generator's own where it is not given."""
    betas: tuple[float, float] = (0.5, 0.999)
    warmup: int = 0
    """Steps in which the learning rate rises."""
    decay: str = "constant_with_warmup"
    """What it does then, one of DECAYS."""
    clip: float = 1.0
    """Longest gradient."""
    ema_decay: float = 0.999
    """Decay of the moving average of the weights, which is what is saved."""
    precision: str = "no"
    """accelerate's mixed precision: no, fp16 or bf16."""
    seed: int = 0
    save_every: int = 1000
    picture_every: int = 1000

    def __post_init__(self) -> None:
        """Raises ValueError."""
        within(self, steps=(1, 9_999_999), batch_size=(1, inf), save_every=(1, inf), picture_every=(1, inf))
        within(self, warmup=(0, inf), seed=(0, 2**32 - 1))
        within(self, betas=(0, 0.999999), ema_decay=(0, 1))
        above_zero(self, "learning_rate", "discriminator_learning_rate", "clip")
        one_of(self, decay=DECAYS, precision=PRECISIONS)


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
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise RecipeError(f"{path}: the recipe cannot be read ({error}).") from error
    try:
        data = table(replace_names(data, replacements or {}), "the recipe")
        if unknown := sorted(map(str, data.keys() - {"model", "data", "stages"})):
            raise RecipeError(f"{unknown[0]} is unknown. There are data, model, stages.")
        common = table(data.get("data", {}), "data")
        stages = {}
        for name, entry in table(data.get("stages"), "stages").items():
            where = f"stages.{name}"
            if not isinstance(name, str) or Path(name).name != name:
                raise RecipeError(f"{where}: this name cannot be a folder's.")
            own = table(entry, where).get("data", {})
            stages[name] = from_json(StageRecipe, entry | {"data": common | table(own, f"{where}.data")}, where)
        if not stages:
            raise RecipeError("stages is empty: name at least one.")
        return Recipe(from_json(ModelConfig, data.get("model", {}), "model"), stages)
    except RecursionError as error:
        raise RecipeError(f"{path}: something in the recipe holds itself.") from error
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


def table(data: object, where: str) -> Json:
    """`data` if it is a table. Raises RecipeError."""
    if not isinstance(data, dict):
        raise RecipeError(f"{where} is {data!r}: it must be a table of names and values.")
    return data


def from_json(kind: Any, data: object, where: str) -> Any:
    """An instance of the dataclass `kind` from plain data, its fields checked by name and type. Raises RecipeError."""
    if issubclass(kind, NetworkConfig):
        try:
            return kind.from_json(table(data, where))
        except ValueError as error:
            raise RecipeError(f"{where}.{error}.") from error
    hints = get_type_hints(kind)
    fields = {entry.name for entry in dataclasses.fields(kind)}
    given = table(data, where)
    if unknown := sorted(map(str, given.keys() - fields)):
        raise RecipeError(f"{where}.{unknown[0]} is unknown. There are {', '.join(sorted(fields))}.")
    for entry in dataclasses.fields(kind):
        if entry.name not in given and entry.default is entry.default_factory is dataclasses.MISSING:
            raise RecipeError(f"{where}.{entry.name} is missing.")
    values = {name: converted(value, hints[name], f"{where}.{name}") for name, value in given.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise RecipeError(f"{where}.{error}.") from error


def converted(value: Any, hint: Any, where: str) -> Any:
    """A value of YAML's as what a field of the type `hint` holds. Raises RecipeError."""
    options = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType):
        return None if value is None else converted(value, options[0], where)
    if dataclasses.is_dataclass(hint):
        return from_json(hint, value, where)
    if get_origin(hint) is tuple and isinstance(value, list):
        kinds = options[:1] * len(value) if options[-1] is Ellipsis else options
        if len(kinds) == len(value):
            return tuple(converted(entry, kind, where) for entry, kind in zip(value, kinds, strict=True))
    if hint is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            value = float(value)  # YAML takes 1e-4 for text
        except (OverflowError, ValueError) as error:
            raise RecipeError(f"{where} is {value!r}: it must be a number.") from error
    kind = get_origin(hint) or hint
    if type(value) is not kind:
        raise RecipeError(f"{where} is {value!r}: it must be {KINDS.get(kind, kind.__name__)}.")
    if kind is float and not isfinite(value):
        raise RecipeError(f"{where} is {value}: it must be a finite number.")
    return value


KINDS = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    dict: "a table of names and values",
    tuple: "a list, as long as its default",
}
