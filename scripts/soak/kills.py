"""Runs killed (kill -9) at random moments and begun again: a video, training, a download, a conversion.

    python scripts/soak/kills.py [--kills 200] [--seed 1] [--work video training download convert]

Fails if a file under its final name is ever not whole, or anything is left behind by the run that follows. A process
that has imported everything is forked for each run, so that it is killed in its work; that needs a system that forks.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ.setdefault("OMP_NUM_THREADS", "1")

KILLS_A_RUN = 4
"""How often a run is killed before it is let through."""

Work = Callable[[Path], None]
"""Takes the folder it writes to. Ends well, or raises SystemExit with another code than 0."""


def works(folder: Path, hub_url: str) -> dict[str, Work]:
    """What is killed, on small inputs that are made in `folder`."""
    import torch
    from parity import recipe
    from test_download import DATA
    from test_video import record

    from osdface_core import read_photo, write_photo
    from osdface_core.cli import main
    from osdface_core.weights.catalog import Entry, File
    from osdface_core.weights.download import download

    torch.set_num_threads(1)
    portrait = read_photo(ROOT / "photos" / "astronaut.png").pixels[:, :, :256, 96:352]
    faces = folder / "faces"
    faces.mkdir()
    for number in range(4):
        write_photo(faces / f"{number}.png", portrait[..., 20 : 84 + 20 * number, 60 : 124 + 20 * number])
    recipe.write_weights("tiny", folder / "weights")
    record(folder / "clip.mp4")
    file = File("net.pth", len(DATA), hashlib.sha256(DATA).hexdigest())
    entry = Entry("net", "a test", "nets", (file,), (f"{hub_url}/v1/",), "https://example.org", "MIT", True)

    def command(*arguments: object) -> None:
        if code := main([str(argument) for argument in arguments]):
            raise SystemExit(code)

    def fetch(out: Path) -> None:
        download(entry, out)

    small = ("--device", "cpu", "--detector", "starter", "--force")
    tiny = ("train", ROOT / "tests/recipes/tiny.yaml", "--stage", "autoencoder", "--set", f"PHOTOS={faces}")
    weights = ("weights", "convert", folder / "weights/ckpt", "--base", folder / "weights/sd21base", "--force")
    return {
        "video": lambda out: command("restore", folder / "clip.mp4", "-o", out / "clip.mp4", *small),
        "training": lambda out: command(*tiny, "-o", out),
        "download": fetch,
        "convert": lambda out: command(*weights, "-o", out / "bundle.safetensors"),
    }


def begin(work: Work, out: Path) -> int:
    """A process of its own that does it, without a word."""
    child = os.fork()
    if child:
        return child
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    code = 1
    try:
        work(out)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)


def let_through(work: Work, out: Path, name: str) -> float:
    """The seconds it takes. Raises RuntimeError where it does not end well."""
    start = time.monotonic()
    _, status = os.waitpid(begin(work, out), 0)
    if status:
        raise RuntimeError(f"{name}: it ended with {os.waitstatus_to_exitcode(status)}, in {out}")
    return time.monotonic() - start


def kill(work: Work, out: Path, after: float) -> bool:
    """Whether it was still at work after so many seconds, and killed."""
    child = begin(work, out)
    time.sleep(after)
    ended, _ = os.waitpid(child, os.WNOHANG)
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return not ended


def is_final(path: Path, out: Path) -> bool:
    """Whether a file has its final name: not one of those that say that it is on its way."""
    names = path.relative_to(out).parts
    return not any(name.startswith(".") or name.endswith((".part", ".lock")) for name in names)


def left_behind(out: Path) -> list[Path]:
    return [path for path in out.rglob("*") if not is_final(path, out)]


def broken(out: Path) -> list[str]:
    """The files under final names that are not whole, and why."""
    from test_download import DATA

    from osdface_core import read_photo
    from osdface_core.files.videos import VideoFile
    from osdface_core.training.checkpoint import read_checkpoint
    from osdface_core.weights.files import read_tensors

    looks: dict[str, Callable[[Path], object]] = {
        ".png": read_photo,
        ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
        ".mp4": lambda path: list(VideoFile(path).frames()),
        ".safetensors": read_tensors,
        ".pth": lambda path: path.read_bytes() == DATA or 1 / 0,
    }
    checkpoints = [path for path in out.rglob("checkpoint-*") if is_final(path, out)]
    there = [(path, looks[path.suffix]) for path in out.rglob("*.*") if path.suffix in looks and is_final(path, out)]
    found = []
    for path, look in [*there, *((path, read_checkpoint) for path in checkpoints)]:
        try:
            look(path)
        except Exception as error:  # noqa: BLE001 (whatever is wrong with it)
            found.append(f"{path}: {type(error).__name__}: {error}")
    return found


def soak(kills: int, seed: int, chosen: list[str], folder: Path, hub_url: str) -> dict[str, int]:
    """Kill them so many times in all. Returns how many of them met each at work. Raises RuntimeError for a fault."""
    chance, all_works = random.Random(seed), works(folder, hub_url)
    seconds = {}
    for name in chosen:
        (first := folder / f"first {name}").mkdir()
        seconds[name] = let_through(all_works[name], first, name)
    met = dict.fromkeys(chosen, 0)
    for number in range(kills):
        name, turn = chosen[number // KILLS_A_RUN % len(chosen)], number % KILLS_A_RUN
        out = folder / f"{number // KILLS_A_RUN} {name}"
        out.mkdir(exist_ok=True)
        met[name] += kill(all_works[name], out, chance.uniform(0, seconds[name]))
        if faults := broken(out):
            raise RuntimeError(f"after kill {number}: {'; '.join(faults)}")
        if turn == KILLS_A_RUN - 1 or number == kills - 1:
            let_through(all_works[name], out, name)
            if faults := broken(out) or [str(path) for path in left_behind(out)]:
                raise RuntimeError(f"after the run that followed kill {number}: {'; '.join(faults)}")
    return met


def main() -> None:
    arguments = argparse.ArgumentParser(description="Runs that are killed.")
    arguments.add_argument("--kills", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=1)
    names = ["video", "training", "download", "convert"]
    arguments.add_argument("--work", nargs="+", choices=names, default=names)
    given = arguments.parse_args()
    from hub import Hub
    from test_download import DATA, ON_PAGE

    with Hub() as hub, tempfile.TemporaryDirectory() as folder:
        hub.files[ON_PAGE] = DATA
        hub.faults.pause = 0.002
        met = soak(given.kills, given.seed, given.work, Path(folder), hub.url)
        hub.shutdown()
    told = ", ".join(f"{name} {count}" for name, count in met.items())
    sys.stdout.write(
        f"{given.kills} kills, {sum(met.values())} of them at work ({told}): nothing broken, nothing left\n"
    )


if __name__ == "__main__":
    main()
