"""The command's arguments, made from the options that `options.py` says once."""

import argparse
from collections.abc import Collection
from dataclasses import fields
from math import isinf

from ..errors import OptionError
from ..options import Options, kind_of


def add_options(command: argparse.ArgumentParser, kind: type[Options], without: Collection[str] = ()) -> None:
    """A --flag for every option, its underscores as hyphens, but those named in `without`."""
    for known in fields(kind):
        if known.name in without:
            continue
        about, default, takes = known.metadata, known.default, kind_of(known)
        text = about["help"].replace("%", "%%")
        if default not in (None, (), False) and not (isinstance(default, float) and isinf(default)):
            text += f" (default: {default})"
        flag = "--" + known.name.replace("_", "-")
        if takes is bool:
            command.add_argument(flag, action="store_true", help=text)
        elif takes is tuple:
            choices = about["choices"]
            command.add_argument(flag, nargs="+", choices=choices, default=default, metavar="NAME", help=text)
        elif about["choices"]:
            command.add_argument(flag, choices=about["choices"], default=default, help=text)
        else:
            unit = about["unit"].upper() or None
            command.add_argument(flag, type=takes, default=default, metavar=unit, help=text)


def validate(options: argparse.Namespace, *kinds: type[Options]) -> None:
    """End the command as wrong usage where the value of an option of these kinds cannot be."""
    try:
        for kind in kinds:
            kind.of(vars(options)).validate()
    except OptionError as error:
        refuse(options, error)


def refuse(options: argparse.Namespace, error: OptionError) -> None:
    """End the command as wrong usage, naming the flag."""
    options.refuse(f"--{error.name.replace('_', '-')} {error.value}: {error.problem}")
