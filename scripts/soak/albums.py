"""Albums as people have them and as machines treat them: broken photos, killed runs, full disks.

    python scripts/soak/albums.py mixed --photos 300     # good photos of many kinds, nested, and twenty broken ones
    python scripts/soak/albums.py kill --photos 200 --kills 20
    python scripts/soak/albums.py full                   # as root, which may mount a small disk

Says what was found, and ends with 1 where it is not as it should be. Faces are restored with the starter weights.
"""

import argparse
import io
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from PIL import Image, features

SPAN, GROWN = 50, 1.05
"""So many photos are looked at together for the memory they take, as each takes its own; and how much more the last may
take than the second so many, when everything has been used once."""
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from osdface_core.album.journal import DONE, FAILED, entries  # noqa: E402

log = logging.getLogger(__name__)

PHOTO = ROOT / "photos" / "astronaut.png"
KINDS = {
    ".png": {},
    ".jpg": {"quality": 90},
    ".webp": {"quality": 80},
    ".tif": {"compression": "tiff_lzw"},
    ".bmp": {},
    ".gif": {},
    **({".avif": {}} if features.check("avif") else {}),
}
SIZES = (128, 256, 400, 512, 700, 1024)
"""The longer side of photos."""


def make_album(folder: Path, count: int, sizes: tuple[int, ...] = SIZES) -> None:
    """Good photos in nested folders: sizes, formats, modes and names of many kinds; every third without a face."""
    rng = random.Random(0)
    portrait = Image.open(PHOTO).convert("RGB")
    for number in range(count):
        photo = portrait if number % 3 else portrait.crop((0, 300, 512, 512))
        side = rng.choice(sizes)
        photo = photo.resize((side, max(side * photo.height // photo.width, 16)))
        suffix = rng.choice(sorted(KINDS))
        modes = {".jpg": ["RGB", "L", "CMYK"], ".png": ["RGB", "RGBA", "P", "L"], ".gif": ["P"], ".tif": ["RGB", "L"]}
        place = folder / rng.choice(("", "a", "a/ä b", "c/d/e"))
        place.mkdir(parents=True, exist_ok=True)
        name = rng.choice(("photo", "-dash", "顔", "new\nline", "long" * 50))
        photo.convert(rng.choice(modes.get(suffix, ["RGB"]))).save(place / f"{name}{number}{suffix}", **KINDS[suffix])


def make_broken(folder: Path) -> set[Path]:
    """Twenty that are no photos, or none that can be read."""
    folder.mkdir(parents=True, exist_ok=True)
    jpeg, png = io.BytesIO(), io.BytesIO()
    Image.open(PHOTO).convert("RGB").save(jpeg, "JPEG")
    Image.open(PHOTO).save(png, "PNG")
    avif = io.BytesIO()
    if features.check("avif"):
        Image.open(PHOTO).convert("RGB").save(avif, "AVIF")
    else:
        avif.write(b"\0\0\0\x20ftypavif" + bytes(500))
    bomb = io.BytesIO()
    Image.new("1", (60_000, 60_000)).save(bomb, "PNG")
    damaged = bytearray(avif.getvalue())
    damaged[40:140] = bytes(100)  # where it says what is where
    contents = {
        "empty.png": b"",
        "empty.jpg": b"",
        "cut.png": png.getvalue()[: len(png.getvalue()) // 2],
        "cut.avif": avif.getvalue()[:100],
        "damaged.avif": bytes(damaged),
        "bomb.png": bomb.getvalue(),
        "text.jpg": b"This is no photo.",
        "text.png": b"nor this" * 1000,
        "page.tif": b"%PDF-1.4\n%\xe2\xe3\xcf\xd3",
        "post.jpg": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "zeros.bmp": bytes(100_000),
        "head.webp": b"RIFF\x10\0\0\0WEBPVP8L",
        "head.gif": b"GIF89a",
        "script.png": b"#!/bin/sh\nexit 1\n",
        "noise.jpg": random.Random(1).randbytes(50_000),
        "half.jpg": jpeg.getvalue()[:500],
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    shutil.copy(PHOTO, folder / "locked.png")
    (folder / "locked.png").chmod(0)
    os.mkfifo(folder / "pipe.png")
    (folder / "device.jpg").symlink_to("/dev/zero")
    (folder / "nowhere.png").symlink_to("nowhere at all")
    return set(folder.iterdir())


AS_ORDINARY_USER = """
import os, sys
from osdface_core.cli import main
assert main(["restore", sys.argv[1], "-o", os.path.join(sys.argv[2], "first.png")]) == 0  # whatever is imported, is
if os.geteuid() == 0:
    os.setegid(65534), os.seteuid(65534)
sys.exit(main(sys.argv[3:]))
"""


def resident(process: "subprocess.Popen[bytes]") -> int:
    """Megabytes of memory that a process has."""
    text = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return int(text.split("VmRSS:")[1].split()[0]) // 1024


def mixed(folder: Path, options: argparse.Namespace) -> list[str]:
    """All good photos done, each bad one named once, and no more memory for the last fifty than for the second."""
    make_album(folder / "in", options.photos)
    bad = make_broken(folder / "in" / "broken")
    out = folder / "out"
    out.mkdir()
    os.chmod(folder, 0o777)
    os.chmod(out, 0o777)
    for place in (folder / "in").rglob("*"):
        if place.is_file() and not place.is_symlink() and place.name != "locked.png":
            place.chmod(0o644)
    log.info("%d good photos and %d others", options.photos, len(bad))
    command = [sys.executable, "-c", AS_ORDINARY_USER, str(PHOTO), str(folder), "restore", str(folder / "in")]
    command += ["--recursive", "-o", str(out), "--memory", str(options.memory)]
    memory: dict[int, int] = {}
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen(command, stderr=said, cwd=ROOT)
        while process.poll() is None:
            time.sleep(1)
            try:
                memory[sum(entry.state == DONE for entry in entries(out))] = resident(process)
            except (OSError, IndexError):
                continue
    text = (folder / "said.txt").read_text(encoding="utf-8")
    last = {entry.output: entry for entry in entries(out)}
    states = Counter(entry.state for entry in last.values())
    wrong = [] if process.returncode == 1 else [f"the exit code is {process.returncode}:\n{text[-3000:]}"]
    if states != {DONE: options.photos, FAILED: len(bad)}:
        wrong.append(f"the states are {dict(states)}")
    for path in bad:
        lines = [line for line in text.splitlines() if line.startswith("error: ") and str(path) in line]
        if len(lines) != 1:
            wrong.append(f"{path.name} is named {len(lines)} times")
    wrong += broken_outputs(out, {name for name, entry in last.items() if entry.state == DONE})
    taken = {count: on_average(memory, count) for count in range(SPAN, options.photos + 1, SPAN)}
    log.info("megabytes on average, of the %d photos up to: %s", SPAN, taken)
    if taken and taken[max(taken)] > GROWN * taken[min(2 * SPAN, max(taken))]:
        wrong.append("memory grows")
    return wrong


def on_average(memory: dict[int, int], count: int) -> int:
    """The memory that was seen while the SPAN photos up to number `count` were done."""
    seen = [taken for known, taken in memory.items() if count - SPAN < known <= count]
    return round(sum(seen) / max(len(seen), 1))


def broken_outputs(out: Path, done: set[str]) -> list[str]:
    """What lies in an output folder that should not, or cannot be read."""
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file() and ".osdface" not in path.parts}
    wrong = [f"{name!r} should not be there" for name in found - done] + [
        f"{name!r} is not there" for name in done - found
    ]
    for name in found & done:
        try:
            Image.open(out / name).load()
        except (OSError, SyntaxError, ValueError) as error:
            wrong.append(f"{name!r} is broken: {error}")
    return wrong


def kill(folder: Path, options: argparse.Namespace) -> list[str]:
    """Killed at random moments and resumed each time: no broken file, and nothing done twice but what was in flight."""
    make_album(folder / "in", options.photos, sizes=(128, 256))
    out, rng = folder / "out", random.Random(options.seed)
    command = [sys.executable, "-m", "osdface_core.cli", "restore", str(folder / "in"), "--recursive", "-o", str(out)]
    command += ["--resume", "--memory", str(options.memory)]
    wrong: list[str] = []
    again: list[int] = []
    for number in range(options.kills + 1):
        before = written(out)
        process = subprocess.Popen(command, stderr=subprocess.PIPE, cwd=ROOT, text=True)
        if number < options.kills:
            wait_for_work(process, out, len(before))
            time.sleep(rng.uniform(0, options.longest))
            process.send_signal(signal.SIGKILL)
        said = process.communicate()[1]
        after = written(out)
        again.append(sum(after[name] != changed for name, changed in before.items()))
        wrong += broken_outputs(out, set(after))
        if process.returncode == 0:
            break
        if process.returncode != -signal.SIGKILL:
            wrong.append(f"the exit code is {process.returncode}: {said[-2000:]}")
    left = {one.name for one in out.rglob(".osdface-*")}
    log.info("%d photos after %d kills; done again: %s; left behind: %s", len(after), number, again, left or "nothing")
    if len(after) != options.photos:
        wrong.append(f"{len(after)} of {options.photos} photos are there")
    return wrong + [f"{name} is left behind" for name in left]


def written(out: Path) -> dict[str, int]:
    """The outputs, and when each was written."""
    paths = (path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".osdface"))
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in paths if ".osdface" not in path.parts}


def wait_for_work(process: "subprocess.Popen[str]", out: Path, count: int) -> None:
    """Until a run has written something, or has ended."""
    while process.poll() is None and len(written(out)) <= count:
        time.sleep(0.05)


def full(folder: Path, options: argparse.Namespace) -> list[str]:
    """A disk that fills up, and then has room: said, nothing broken, and resumed to the end."""
    make_album(folder / "in", options.photos, sizes=(256, 400))
    out = folder / "out"
    out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(out)], check=True)
    try:
        command = [
            sys.executable,
            "-m",
            "osdface_core.cli",
            "restore",
            str(folder / "in"),
            "--recursive",
            "-o",
            str(out),
        ]
        first = subprocess.run([*command], stderr=subprocess.PIPE, cwd=ROOT, text=True)
        wrong = broken_outputs(out, set(written(out)))
        log.info("%d photos fit; it said: %s", len(written(out)), first.stderr.strip().splitlines()[-1])
        if first.returncode != 1 or "nothing more can be written there" not in first.stderr:
            wrong.append(f"the exit code is {first.returncode}:\n{first.stderr[-3000:]}")
        subprocess.run(["mount", "-o", "remount,size=1g", str(out)], check=True)
        second = subprocess.run([*command, "--resume"], stderr=subprocess.PIPE, cwd=ROOT, text=True)
        if second.returncode or len(written(out)) != options.photos:
            wrong.append(f"resumed: {second.returncode}, {len(written(out))} photos:\n{second.stderr[-3000:]}")
        return wrong + broken_outputs(out, set(written(out)))
    finally:
        subprocess.run(["umount", str(out)], check=True)


SOAKS: dict[str, Callable[[Path, argparse.Namespace], list[str]]] = {"mixed": mixed, "kill": kill, "full": full}


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("soak", choices=SOAKS)
    options.add_argument("--photos", type=int, default=40)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--longest", type=float, default=2.0, help="seconds of work before a kill, at most")
    options.add_argument("--memory", type=float, default=0.5, help="GB for photos under way")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--folder", type=Path, help="to work in (default: a new one)")
    chosen = options.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp(prefix="albums-", dir=chosen.folder))
    wrong = SOAKS[chosen.soak](folder, chosen)
    for problem in wrong:
        log.error("%s", problem)
    if not wrong:
        shutil.rmtree(folder)
        log.info("all as it should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
