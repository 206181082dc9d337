"""Memory that was freed goes back to the system, though pieces between its parts are still in use."""

import subprocess
import sys

import pytest

FULL_OF_HOLES = """
import torch
from osdface_core import load_detector
from osdface_core.heap import resident_bytes
detector, photo = load_detector("starter"), torch.full((1, 3, 64, 64), 0.5)
torch.empty(30_000_000, dtype=torch.uint8)  # freed: from now on, blocks up to so large come from the heap
kept = []
for count in (80, 8):
    detector.detect(photo)
    blocks = [torch.ones(10_000_000, dtype=torch.uint8) for _ in range(count)]
    before = resident_bytes()
    kept += blocks[::2]
    del blocks
    held = resident_bytes()
    detector.detect(photo)
    print(before - held, held - resident_bytes())
"""


def test_looking_for_faces_gives_back_what_the_heap_has_kept():
    """Much of it: a little is used again by the next photo, which would have to get it anew."""
    if sys.platform != "linux":
        pytest.skip("there is no glibc here")
    done = subprocess.run([sys.executable, "-c", FULL_OF_HOLES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (freed, given_back), (_, nothing) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert freed < 50e6  # so much goes back by itself
    assert given_back > 300e6
    assert nothing < 20e6
