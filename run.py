"""Demo, tests and checks on Windows, macOS and Linux, with nothing but Python 3.10 or newer:

    python run.py demo                 restore a blurred photo, a sample -> demo/
    python run.py demo mine.jpg ...  restore yours
    python run.py test [-k WORD ...]    the tests, with pytest's own options
    python run.py lint                 style and types

Each makes its environment in .venv first, and does nothing there when that is ready.

PyTorch comes from pip's default index: for Windows and macOS that is one for the CPU (on a Mac with its GPU). For
an NVIDIA card name the index that https://pytorch.org/get-started gives for it; the choice is remembered:

    python run.py --torch "--index-url INDEX torch" --torchvision "--index-url INDEX torchvision" demo

TORCH, TORCHVISION and VENV in the environment do the same as --torch, --torchvision and --venv.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
SHIM = ROOT / "scripts" / "torchvision_cpu.py"
NODE_TYPES = str(ROOT / "scripts" / "check_node_types.py")
TORCH, TORCHVISION = "torch==2.13.0", "torchvision==0.28.0"
EXTRAS = {"demo": [], "test": ["dev", "train"], "lint": ["dev", "train"]}
"""What each command needs besides the dependencies of pyproject.toml."""

WHOLE_SUITE = ["-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder"]
WHOLE_SUITE += ["--durations", "25", "--durations-min", "5"]
"""Options of pytest for all tests: a process for every core, each test file in one of them, since tests of some go on
from what was done before; in the order of their names, as the last are quick. The slow tests are named."""

REQUIREMENTS = """
import sys
try:
    import tomllib
except ImportError:  # Python 3.10: pip has a copy of the same parser
    from pip._vendor import tomli as tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)["project"]
elsewhere = ("torch", "facexlib", "spandrel", "comfyui-frontend-package")
needed = [name for name in project["dependencies"] if not name.startswith(elsewhere)]
for extra in sys.argv[1:]:
    needed += project["optional-dependencies"][extra]
sys.stdout.write("\\n".join([*needed, "opencv-python-headless", "einops"]) + "\\n")
"""
"""Run by the environment's Python, which has pip whatever the one that runs this file has."""


def main() -> int:
    if sys.version_info < (3, 10):  # noqa: UP036
        sys.exit("This needs Python 3.10 or newer, and this is %s." % sys.version.split()[0])  # noqa: UP031
    sys.stdout.reconfigure(errors="backslashreplace")
    options, rest = parser().parse_known_args()
    if rest and options.command != "test":
        parser().error(f"unrecognized arguments: {' '.join(rest)}")
    environment = Environment(ROOT / options.venv)
    try:
        environment.prepare(EXTRAS[options.command], options.torch, options.torchvision)
        for command in commands(options, rest):
            environment.run(*command, folder=Path.cwd() if options.command == "demo" else ROOT)
    except subprocess.CalledProcessError as error:
        return error.returncode
    except KeyboardInterrupt:
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--venv", default=os.environ.get("VENV") or ".venv", help="the environment's folder")
    for name in ("torch", "torchvision"):
        chosen = os.environ.get(name.upper())
        top.add_argument(f"--{name}", default=chosen, metavar="PIP", help=f"what pip is told to install for {name}")
    command = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = command.add_parser("demo", help="restore a photo")
    demo.add_argument(
        "photos", nargs="*", metavar="PHOTO", default=[near(ROOT / "photos" / "samples" / "osdface_portrait.jpg")]
    )
    demo.add_argument("-o", "--output", default=near(ROOT / "demo"), metavar="FOLDER", help="default: %(default)s")
    demo.add_argument("--detector", metavar="FILE", help="RetinaFace weights (default: the best that is there)")
    command.add_parser("test", help="run the tests", add_help=False)
    command.add_parser("lint", help="check style and types")
    return top


def commands(options: argparse.Namespace, rest: list[str]) -> list[list[str]]:
    """What to run with the environment's Python."""
    if options.command == "test":
        return [["-m", "pytest", *(rest or WHOLE_SUITE)]]
    if options.command == "lint":
        return [["-m", "ruff", "check", "."], ["-m", "ruff", "format", "--check", "."], ["-m", "mypy"], [NODE_TYPES]]
    detector = ["--detector", options.detector] if options.detector else []
    how = ["--report", "--compare", "--force", *detector]
    return [[near(ROOT / "osdface.py"), "restore", *options.photos, "-o", options.output, *how]]


def near(path: Path) -> str:
    """A path as one would type it here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


class Environment:
    """The virtual environment in `folder`. Its stamp tells what it was made from."""

    def __init__(self, folder: Path):
        self.folder, self.stamp = folder, folder / "ready.json"
        self.python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def prepare(self, extras: list[str], torch: str | None, torchvision: str | None) -> None:
        """Make it what it should be, unless it is. A PyTorch that was chosen once stays until another is."""
        made = json.loads(self.stamp.read_text(encoding="utf-8")) if self.works() and self.stamp.exists() else {}
        wanted = {
            "contents": digest(ROOT / "pyproject.toml", Path(__file__), SHIM),
            "torch": torch or made.get("torch") or TORCH,
            "torchvision": torchvision or made.get("torchvision") or TORCHVISION,
            "extras": sorted({*extras, *made.get("extras", [])}),
        }
        if wanted != made:
            self.make(wanted)
            self.stamp.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")

    def works(self) -> bool:
        """Whether it is there, and its Python still is."""
        return self.python.exists() and subprocess.run([self.python, "-c", ""], check=False).returncode == 0

    def make(self, wanted: dict) -> None:
        if not self.works():
            say(f"creating {self.folder} with Python {sys.version.split()[0]}")
            self.create()
        self.stamp.unlink(missing_ok=True)
        say(f"installing {wanted['torch']} (for a GPU, see python run.py --help)")
        self.pip(*split(wanted["torch"]))
        # facexlib's own dependencies would bring the GUI build of OpenCV and numba, spandrel's another torchvision
        say(f"installing facexlib, spandrel and {wanted['torchvision']} without their dependencies")
        self.pip("--no-deps", "facexlib", "spandrel")
        self.pip("--no-deps", *split(wanted["torchvision"]))
        say("installing the other dependencies of pyproject.toml")
        needed = self.folder / "requirements.txt"
        needed.write_text(self.ask(REQUIREMENTS, *wanted["extras"]), encoding="utf-8")
        self.pip("-r", needed)
        if not self.imports("torchvision"):
            say(f"torchvision's C++ operators do not load beside this torch: adding {SHIM.name} to {self.folder}")
            packages = Path(self.ask("import sysconfig; print(sysconfig.get_path('purelib'))").strip())
            shutil.copy(SHIM, packages)
            (packages / f"{SHIM.stem}.pth").write_text(f"import {SHIM.stem}\n", encoding="utf-8")
            self.run("-c", "import torchvision")
        say("installing osdface itself")
        self.pip("--no-deps", "-e", ROOT)
        say(f"ready: {self.python.with_name('osdface')}")

    def create(self) -> None:
        clear = ["--clear"] if (self.folder / "pyvenv.cfg").exists() else []  # and nothing that is no environment
        try:
            subprocess.run([sys.executable, "-m", "venv", *clear, self.folder], check=True)
        except subprocess.CalledProcessError:
            say("This Python cannot make environments. Take one from https://python.org, or install python3-venv.")
            raise

    def pip(self, *arguments: object) -> None:
        self.run("-m", "pip", "--disable-pip-version-check", "-qq", "install", "--no-warn-conflicts", *arguments)

    def run(self, *arguments: object, folder: Path = ROOT) -> None:
        """Run its Python. Raises CalledProcessError where that fails."""
        subprocess.run([self.python, *map(str, arguments)], check=True, cwd=folder)

    def ask(self, script: str, *arguments: str) -> str:
        """What a script says."""
        done = subprocess.run(
            [self.python, "-c", script, *arguments], check=True, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8"
        )
        return done.stdout

    def imports(self, module: str) -> bool:
        return not subprocess.run([self.python, "-c", f"import {module}"], check=False, capture_output=True).returncode


def split(requirement: str) -> list[str]:
    """The words of --torch; a backslash is part of a Windows path."""
    return shlex.split(requirement, posix=os.name != "nt")


def digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes().replace(b"\r\n", b"\n") for file in files)).hexdigest()


def say(text: str) -> None:
    sys.stdout.write(f"\n== {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
