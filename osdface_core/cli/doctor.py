"""`osdface doctor`: is everything there, and what to do if not."""

import argparse
import sys
from typing import Any

from ..diagnosis.installation import examine
from .outputs import printable


def add_to(commands: Any) -> None:
    doctor = commands.add_parser("doctor", help="is everything there? One line each, and what to do")
    doctor.set_defaults(run=run)


def run(_options: argparse.Namespace) -> int:
    code = 0
    for finding in examine():
        mark = "!!" if finding.todo else "ok"
        sys.stdout.write(printable(f"{mark}  {finding.name:12}{finding.says} {finding.todo}".rstrip()) + "\n")
        code |= bool(finding.todo)
    return code
