"""The command's arguments, made from the options that `options.py` says once; and the files that several verbs take."""

import argparse
from collections.abc import Collection
from dataclasses import fields
from math import isinf
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import OptionError
from ..option_fields import Options, kind_of

FILES: dict[str, tuple[type, str]] = {
    "weights": (Path, "a bundle, the folder with OSDFace's authors' files, or osediff_face.pkl (default: starter)"),
    "base": (Path, "SD 2.1-base for authors' files: diffusers folder or single file"),
    "decoder": (Path, "TAESD's decoder in place of the VAE's: fast and approximate"),
    "detector": (str, "RetinaFace weights, facexlib's name for them, or starter (default: the best that is there)"),
    "embedder": (str, "what tells people apart: ArcFace's weights, or arcface for facexlib's own"),
    "restorer": (str, "restore with GFPGAN, RestoreFormer or CodeFormer instead: its weights"),
    "upscaler": (
        str,
        "enlarge what is around the faces with a network such as Real-ESRGAN: its weights. By its own scale, or by "
        "what --upscale says",
    ),
    "parser": (str, "face parser's weights, or parsenet: keeps what is before a face, like hands"),
}
"""Weights files, what they are and how they are named."""

Arguments = argparse.ArgumentParser | argparse._ArgumentGroup
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_files(command: Arguments, *names: str, **others: Any) -> None:
    """A --flag for every kind of weights file. others: what argparse is to know besides."""
    for name in names:
        kind, text = FILES[name]
        command.add_argument(f"--{name}", type=kind, help=text, **others)


def add_options(
    command: Arguments, kind: type[Options], *names: str, without: Collection[str] = (), **defaults: Any
) -> None:
    """A --flag for every option, or for those named: its underscores as hyphens.

    without: those that are no flags. defaults: those that are others here.
    """
    for known in fields(kind):
        if known.name in without or (names and known.name not in names):
            continue
        about, default, takes = known.metadata, defaults.get(known.name, known.default), kind_of(known)
        text = about["help"].replace("%", "%%")
        if default not in (None, (), False) and not (isinstance(default, float) and isinf(default)):
            text += f" (default: {', '.join(default) if takes is tuple else default})"
        flag = flag_of(known.name)
        if takes is bool:
            command.add_argument(flag, action="store_true", help=text)
        elif takes is tuple:
            choices = about["choices"]
            command.add_argument(flag, nargs="+", choices=choices, default=default, metavar="NAME", help=text)
        elif about["choices"]:
            command.add_argument(flag, choices=about["choices"], default=default, help=text)
        else:
            unit, bare = about["unit"].upper() or None, about["bare"]
            nargs = None if bare is None else "?"
            command.add_argument(flag, type=takes, default=default, nargs=nargs, const=bare, metavar=unit, help=text)


def flags_given(options: argparse.Namespace, *kinds: type[Options], without: Collection[str] = ()) -> list[str]:
    """The flags of all options of these kinds that are not as they are by default."""
    of_all = (known for kind in kinds for known in fields(kind) if known.name not in without)
    return [flag_of(known.name) for known in of_all if getattr(options, known.name) != known.default]


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def validate(options: argparse.Namespace, *kinds: type[Options]) -> None:
    """End the command as wrong usage where the value of an option of these kinds cannot be."""
    try:
        for kind in kinds:
            kind.of(vars(options)).validate()
    except OptionError as error:
        refuse(options, error)


def refuse(options: argparse.Namespace, error: OptionError) -> None:
    """End the command as wrong usage, naming the flag."""
    options.refuse(f"{flag_of(error.name)} {error.value}: {error.problem}")
