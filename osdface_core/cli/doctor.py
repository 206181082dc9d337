"""`osdface doctor`: is everything there, and what to do if not; and does it compute what it should."""

import argparse
import sys

import torch

from ..devices import best_device
from ..diagnosis.installation import examine
from ..files.names import printable
from ..models.precision import Precision
from ..options import Load
from .arguments import Commands, add_files, add_options

FOR_PROOF = ("weights", "base", "device", "precision", "decoder", "detector")


def add_to(commands: Commands) -> None:
    doctor = commands.add_parser("doctor", help="is everything there? One line each, and what to do")
    doctor.set_defaults(run=run, refuse=doctor.error)
    doctor.add_argument(
        "--prove",
        action="store_true",
        help="restore a face that comes with the package, compare every stage with the CPU's, and report what holds, "
        "how fast and with how much memory: a text without paths or pictures, to paste into an issue",
    )
    add_files(doctor, "weights", "base", "decoder", "detector")
    add_options(doctor, Load, "device", "precision", device=None, precision=None)


def run(options: argparse.Namespace) -> int:
    if options.prove:
        return run_proof(options)
    given = [f"--{name}" for name in FOR_PROOF if getattr(options, name) is not None]
    if given:
        options.refuse(f"{', '.join(given)}: only with --prove")
    code = 0
    for finding in examine():
        mark = "!!" if finding.todo else "ok"
        sys.stdout.write(printable(f"{mark}  {finding.name:12}{finding.says} {finding.todo}".rstrip()) + "\n")
        code |= bool(finding.todo)
    return code


def run_proof(options: argparse.Namespace) -> int:
    from ..diagnosis.prove import prove

    chosen = {name: getattr(options, name) for name in FOR_PROOF if getattr(options, name) is not None}
    device = chosen.setdefault("device", best_device())
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        options.refuse(f"--device {device}: {str(error).splitlines()[0]}")
    try:
        Precision.parse(chosen.get("precision", Load.precision), device)
    except ValueError as error:
        options.refuse(f"--precision: {error}")
    proof = prove(**chosen)
    sys.stdout.write(printable(proof.to_markdown(), lines=True))
    return 0 if proof.holds else 1
