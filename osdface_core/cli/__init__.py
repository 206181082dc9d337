"""The `osdface` command: a file for every verb of it, with its options and what they do.

Takes: arguments. Gives: files, messages, an exit code. Not here: algorithms.
"""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import NoReturn

from tqdm.contrib.logging import logging_redirect_tqdm

from ..errors import OSDFaceError
from ..files.names import printable
from ..files.outputs import told
from . import detect, doctor, evaluate, report, restore, train, weights
from .outputs import set_up_messages

log = logging.getLogger("osdface")

COMMANDS = (restore, report, detect, weights, train, evaluate, doctor)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Returns the exit code: 0 all done, 1 something failed, 2 wrong usage, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what a console cannot show must not end the command
            stream.reconfigure(errors="backslashreplace")
    set_up_messages()
    try:
        options = parser().parse_args(evaluate.spelled_out(sys.argv[1:] if arguments is None else arguments))
        with logging_redirect_tqdm():
            code: int = options.run(options)
            return code
    except (OSDFaceError, OSError) as error:
        log.error("error: %s", told(error))
        return 1
    except KeyboardInterrupt as stop:
        log.error("interrupted: what is written so far is whole%s", f". {stop}" if str(stop) else "")
        return 130


def console() -> NoReturn:
    """The command as a process of its own, which ends with its exit code whatever comes after."""
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # one Ctrl-C more, while Python ends, would be the process's end
    sys.exit(code)


class Parser(argparse.ArgumentParser):
    """One whose errors, which quote names of files, are printable."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def parser() -> argparse.ArgumentParser:
    top = Parser(prog="osdface", description="One-step diffusion face restoration.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_to(commands)
    return top
