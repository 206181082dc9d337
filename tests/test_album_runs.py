"""Albums by the command: resumed, interrupted, killed, on several devices."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from albums import portraits
from conftest import ROOT
from PIL import Image

from osdface_core import Faces
from osdface_core.album.journal import DONE, FAILED, Entry, Journal, entries
from osdface_core.album.plan import Shard
from osdface_core.cli import main

pytestmark = pytest.mark.usefixtures("messages")

PHOTO, FACES = ROOT / "photos" / "astronaut.png", ROOT / "photos" / "astronaut.json"


def run(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_no_photo_is_written_over_itself(tmp_path, messages, capsys, force):
    shutil.copy(PHOTO, tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    assert run("restore", tmp_path / "a.png", "-o", tmp_path / "a.png", "--faces", FACES, *force) == 1
    assert "written over itself" in messages.text
    with pytest.raises(SystemExit):
        run("restore", tmp_path, "-o", tmp_path, "--faces", FACES, *force)
    assert "would be written over this photo" in capsys.readouterr().err
    assert (tmp_path / "a.png").read_bytes() == before


def faces_for(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(FACES, folder / name)


def test_a_run_goes_on_where_an_earlier_one_ended(tmp_path, messages):
    for name in ("a.png", "b/c.png", "b/d.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PHOTO, tmp_path / "in" / name)
    faces_for(tmp_path / "faces", "a.json", "b/c.json", "b/d.json")
    out = tmp_path / "out"
    command = ["restore", tmp_path / "in", "--recursive", "-o", out, "--faces", tmp_path / "faces"]

    def again(*options):
        before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
        messages.clear()
        assert run(*command, *options) == 0
        after = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
        return sorted(str(path.relative_to(out)) for path in after if before.get(path) != after[path])

    assert again("--shard", "1/2") + again("--shard", "2/2") == sorted(["a.png", "b/c.png", "b/d.png"])
    assert again("--resume") == []
    assert "3 photo(s) are done already, 0 are left" in messages.text
    (out / "a.png").unlink()
    assert again("--resume") == ["a.png"]
    os.utime(tmp_path / "in" / "b" / "c.png")
    assert again("--resume") == ["b/c.png"]
    assert "2 photo(s) are done already, 1 are left; 1 of them were done with other options, or have" in messages.text
    assert again("--resume", "--strength", "0.5") == ["a.png", "b/c.png", "b/d.png"]
    journal = Journal(out, Shard(), {})
    journal.add(Entry("in/a.png", "a.png", "begun"))
    assert again("--resume", "--strength", "0.5") == ["a.png"]
    assert "1 of them were under way" in messages.text


def test_what_somebody_else_has_put_there_is_not_taken_for_done(tmp_path, messages):
    shutil.copy(PHOTO, tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"precious")
    for _ in range(2):
        assert run("restore", tmp_path / "a.png", "-o", tmp_path / "out", "--faces", FACES, "--resume") == 1
        assert "exists already" in messages.text
        assert (tmp_path / "out" / "a.png").read_bytes() == b"precious"


SLOWLY = """
import os, sys, time
from osdface_core.cli import main
from osdface_core.models.restorer import OneStepRestorer
def restore(self, crops, options, **how):
    time.sleep(float(os.environ["SECONDS_A_PASS"]))
    return crops
OneStepRestorer.restore = restore
sys.exit(main(sys.argv[1:]))
"""


def start(folder, out, *options, seconds_a_pass=0.1):
    command = [sys.executable, "-c", SLOWLY, "restore", str(folder), "-o", str(out), "--faces", str(folder), *options]
    slowness = {"SECONDS_A_PASS": str(seconds_a_pass)}
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=os.environ | slowness)


def wait_until(happens, seconds=300):
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def slow_album(tmp_path):
    return portraits(tmp_path / "in", 24)


def test_ctrl_c_finishes_what_is_begun_a_second_one_stops_at_once_and_a_killed_run_is_resumed(slow_album, tmp_path):
    out = tmp_path / "out"

    def written():
        return sorted(path.name for path in out.glob("*.png"))

    first = start(slow_album, out)
    wait_until(lambda: len(written()) >= 3)
    first.send_signal(signal.SIGINT)
    said = first.communicate(timeout=300)[1]
    assert first.returncode == 130, said
    assert "finishing what is begun" in said
    assert "The same command with --resume goes on" in said
    done = [entry for entry in entries(out) if entry.state == DONE]
    assert sorted(entry.output for entry in done) == written()

    # a pass long enough that what is begun is still going on when the second one comes
    second, before = start(slow_album, out, "--resume", seconds_a_pass=3), len(written())
    wait_until(lambda: len(written()) > before)
    time.sleep(0.5)  # the next pass has begun
    second.send_signal(signal.SIGINT)
    time.sleep(0.5)
    second.send_signal(signal.SIGINT)
    said = second.communicate(timeout=300)[1]
    assert second.returncode == 130, said
    assert "what is written so far is whole" in said

    third, before = start(slow_album, out, "--resume"), len(written())
    wait_until(lambda: len(written()) >= before + 3)
    third.kill()
    third.communicate()
    for name in written():
        assert Image.open(out / name).load() is not None
    before = {name: (out / name).stat().st_mtime_ns for name in written()}

    fourth = start(slow_album, out, "--resume")
    said = fourth.communicate(timeout=300)[1]
    assert fourth.returncode == 0, said
    assert len(written()) == 24
    changed = [name for name in before if (out / name).stat().st_mtime_ns != before[name]]
    assert len(changed) <= 2  # written when the run was killed, and not noted yet
    assert {path.suffix for path in out.iterdir() if path.name != ".osdface"} == {".png"}


def test_of_many_photos_the_sum_is_said_and_not_each(tmp_path, messages):
    folder = portraits(tmp_path / "in", 101)
    faces = tmp_path / "none.json"
    faces.write_text(json.dumps(Faces((), 1, 128, 128).to_json()), encoding="utf-8")
    (folder / "07.png").write_bytes(b"no photo")
    assert run("restore", folder, "-o", tmp_path / "out", "--faces", faces) == 1
    assert "100 photo(s) done, 0 face(s) restored." in messages.text
    assert "1 of 101 photo(s) failed, the rest is done" in messages.text
    assert "->" not in messages.text


DEADLY = """
import os, signal, sys
from osdface_core.cli import main
from osdface_core.files import photos
read = photos.opened
def deadly(path):
    if path.name == "deadly.png":
        os.kill(os.getpid(), signal.SIGKILL)
    return read(path)
photos.opened = deadly
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


def test_a_process_a_device_and_a_photo_that_kills_its_process_is_left(slow_album, tmp_path):
    """The spawned processes run this file, too, and so does what it changes."""
    (tmp_path / "deadly.py").write_text(DEADLY, encoding="utf-8")
    for path in sorted(slow_album.iterdir())[16:]:
        path.unlink()
    shutil.copy(slow_album / "00.png", slow_album / "deadly.png")
    shutil.copy(slow_album / "00.json", slow_album / "deadly.json")
    out = tmp_path / "out"
    command = [sys.executable, str(tmp_path / "deadly.py"), "restore", str(slow_album), "-o", str(out)]
    command += ["--faces", str(slow_album), "--devices", "cpu,cpu"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 1, done.stderr
    assert sorted(path.name for path in out.glob("*")) == [".osdface", *(f"{number:02}.png" for number in range(8))]
    assert done.stderr.count("the process on cpu died") == 2
    assert "deadly.png: a process died twice on this photo" in done.stderr
    assert "1 of 9 photo(s) failed" in done.stderr
    by_shard = {path.name.split("-")[3] for path in (out / ".osdface").iterdir()}
    assert by_shard == {"1", "2"}
    last = {entry.output: entry.state for entry in entries(out)}
    assert last.pop("deadly.png") == FAILED
    assert set(last.values()) == {DONE}
