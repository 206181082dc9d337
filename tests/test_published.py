"""What the registry publishes: all that runs in ComfyUI, and nothing else."""

import json
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT
from PIL import Image

LARGEST = 30_000_000
TOP = {
    "CHANGELOG.md",
    "LICENSE",
    "NOTICE",
    "README.md",
    "SECURITY.md",
    "__init__.py",
    "locales",
    "nodes",
    "osdface.py",
    "osdface_core",
    "photos",
    "pyproject.toml",
    "requirements.txt",
    "subgraphs",
    "web",
    "workflows",
}
"""What may be published, of the pack's folder."""
LOADED = """
import json, sys
from pathlib import Path
sys.path.insert(0, "tests")
from host.server import Host
host = Host(sys.argv[1], Path(sys.argv[2]))
print(json.dumps(sorted(name for name in host.ours if name.startswith("OSDFace"))))
"""


def git(*arguments):
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    return {line for line in done.stdout.split("\0") if line}


@pytest.fixture(scope="module")
def published():
    """The files, as comfy-cli packs them: what git tracks, without what .comfyignore names as git's own does."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no checkout of git's")
    ignored = git("ls-files", "-z", "--cached", "--ignored", "--exclude-from=.comfyignore")
    return git("ls-files", "-z") - ignored


def test_what_is_published_is_listed_here_and_small(published):
    assert {name.split("/")[0] for name in published} <= TOP
    assert {"requirements.txt", "pyproject.toml", "__init__.py", "LICENSE", "NOTICE"} <= published
    assert not [name for name in published if "test" in name.lower() or name.startswith("photos/astronaut")]
    assert sum((ROOT / name).stat().st_size for name in published) < LARGEST


def test_the_pack_and_the_command_run_from_what_is_published(published, tmp_path):
    pack = tmp_path / "osdface"
    for name in published:
        (pack / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, pack / name)
    command = [sys.executable, "-c", LOADED, str(tmp_path / "base"), str(pack)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr[-2000:]
    recorded = json.loads((ROOT / "tests" / "host" / "object_info.json").read_text(encoding="utf-8"))
    assert json.loads(done.stdout.splitlines()[-1]) == sorted(recorded)
    assert (tmp_path / "base" / "input" / "osdface_portrait.jpg").exists()
    done = subprocess.run([sys.executable, pack / "osdface.py", "weights", "list"], capture_output=True, cwd=tmp_path)
    assert done.returncode == 0


def test_the_registry_s_pictures_have_its_shapes():
    width, height = Image.open(ROOT / "docs" / "icon.png").size
    assert width == height <= 400
    width, height = Image.open(ROOT / "docs" / "banner.jpg").size
    assert 9 * width == 21 * height
