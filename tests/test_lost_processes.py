"""What becomes of an album whose device fails, whose process is killed, or to which Ctrl-C comes when all is over."""

import os
import subprocess
import sys

import children
import pytest
import torch
from albums import portraits
from conftest import ROOT

from osdface_core.cli import main
from osdface_core.models.restorer import OneStepRestorer

pytestmark = pytest.mark.usefixtures("messages")

FAILURE = "CUDA error: an illegal memory access was encountered"
FAILS_ONCE = f"""
import os, sys, torch
from osdface_core.cli import main
from osdface_core.models.restorer import OneStepRestorer

def restore(self, crops, options, **how):
    try:
        os.close(os.open(os.environ["FAILED"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return crops
    raise getattr(torch, "AcceleratorError", RuntimeError)("{FAILURE}")
OneStepRestorer.restore = restore
if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def folder(tmp_path):
    return portraits(tmp_path / "in", 8)


def command(folder, *options):
    return ["restore", str(folder), "-o", str(folder.parent / "out"), "--faces", str(folder), *options]


def written(folder):
    return {path.name: path.stat().st_mtime_ns for path in (folder.parent / "out").glob("*.png")}


def test_a_process_whose_device_has_failed_is_replaced_and_costs_no_photo(folder, tmp_path):
    """The spawned processes run this file, too, and so does what it changes."""
    (tmp_path / "fails_once.py").write_text(FAILS_ONCE, encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "FAILED": str(tmp_path / "failed")}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "fails_once.py"), *command(folder, "--devices", "cpu,cpu")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert f"the device has failed ({FAILURE})" in done.stderr
    assert done.stderr.count("the process on cpu died (exit code 70)") == 1
    assert len(written(folder)) == 8


def test_a_run_whose_device_has_failed_ends_and_is_resumed(folder, monkeypatch, messages):
    def fail(*_arguments, **_options):
        raise getattr(torch, "AcceleratorError", RuntimeError)(FAILURE)

    with monkeypatch.context() as once:
        once.setattr(OneStepRestorer, "restore", fail)
        assert main(command(folder)) == 1
    assert f"the device has failed ({FAILURE}). Only another process can use it again." in messages.text
    assert "The same command with --resume goes on." in messages.text
    assert not written(folder)
    assert main(command(folder, "--resume")) == 0
    assert len(written(folder)) == 8


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is killed by a signal there")
def test_a_device_whose_processes_are_killed_costs_its_photos_alone(folder, monkeypatch, messages):
    with monkeypatch.context() as once:
        once.setattr("osdface_core.cli.album.work_on_device", children.work_unless_killed)
        assert main(command(folder, "--devices", "cpu,cpu")) == 1
    assert messages.text.count("the process on cpu died (exit code -9)") == 3
    assert "the process on cpu died 3 times: it is not started again" in messages.text
    before = written(folder)
    assert 0 < len(before) < 8
    assert f"{8 - len(before)} of 8 photo(s) failed" in messages.text
    assert main(command(folder, "--resume")) == 0
    after = written(folder)
    assert len(after) == 8
    assert after.items() >= before.items()


LATE = """
import os, signal, sys
from osdface_core.cli import console
class Late:
    def __del__(self, kill=os.kill, own=os.getpid(), number=int(signal.SIGINT)):
        kill(own, number)
sys.late = Late()
sys.argv = ["osdface", "report", "nowhere"]
console()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signal can be sent to a process alone there")
def test_the_exit_code_stays_though_ctrl_c_comes_while_python_ends():
    """When modules are torn down Python has put its own handlers away: a signal would be the process's end."""
    done = subprocess.run([sys.executable, "-c", LATE], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines() == [
        "error: nowhere: no journal is in this folder. Name the one that photos were restored into."
    ]
