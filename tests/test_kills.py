"""Runs that are killed, by the soak's script: a few of those that it does."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

pytest.importorskip("av")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks what it kills, and this system cannot")
def test_what_is_killed_leaves_nothing_broken_and_the_next_run_clears_up():
    command = [
        sys.executable,
        str(ROOT / "scripts" / "soak" / "kills.py"),
        "--kills",
        "20",
        "--work",
        "training",
        "download",
        "convert",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "20 kills" in done.stdout
    assert "nothing broken, nothing left" in done.stdout
