"""What a large photo takes, held by the address space that a process may have."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from PIL import Image

BUDGET = 3_200_000_000
"""Bytes for a photo of 50 megapixels, beside what the networks and libraries take."""

RESTORE = """
import resource, sys
import torch
import osdface_core
from osdface_core.cli import main
torch.set_num_threads(1)
osdface_core.load_model(), osdface_core.load_detector("starter")
used = int(open("/proc/self/statm", encoding="ascii").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[1]),) * 2)
sys.exit(main(["restore", sys.argv[2], "-o", sys.argv[3], "--detector", "starter", "--device", "cpu"]))
"""


def restored(photo: Path, budget: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", RESTORE, str(budget), str(photo), str(photo.with_name("out.jpg"))]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


@pytest.fixture
def photo(tmp_path):
    """Of 50 megapixels, with one face in it."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc to know how much the process has")
    canvas = Image.new("RGB", (8660, 5773), (90, 120, 150))
    canvas.paste(Image.open(ROOT / "photos" / "astronaut.png").convert("RGB").resize((1000, 1000)), (3000, 2000))
    canvas.save(tmp_path / "large.jpg", quality=90)
    return tmp_path / "large.jpg"


def test_a_photo_of_50_megapixels_fits_its_budget(photo):
    done = restored(photo, BUDGET)
    assert done.returncode == 0, done.stderr[-1000:]
    with Image.open(photo.with_name("out.jpg")) as image:
        assert image.size == (8660, 5773)


def test_one_that_does_not_fit_is_named_and_ends_nothing(photo):
    done = restored(photo, BUDGET // 6)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "large.jpg" in done.stderr
