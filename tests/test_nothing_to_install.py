"""ComfyUI's Python is left as it is: the nodes run on what it brings."""

import json
import subprocess
import sys

import pytest
from conftest import ROOT
from test_house import CORE, imported_by

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib

BROUGHT = {"torch", "triton", "typing_extensions", "numpy", "PIL", "safetensors", "requests", "urllib3", "filelock"}
BROUGHT |= {"tqdm", "huggingface_hub"}
"""What every ComfyUI from 0.19 on brings: named in its requirements, or needed by one that is (requests brings urllib3,
transformers huggingface_hub, PyTorch typing_extensions and, where there is one, Triton)."""

LIBRARY_ONLY = ("training", "metrics", "cli")
"""Folders of the core that no node reaches."""

BARE = """
import json, sys
from pathlib import Path
sys.path.insert(0, "tests")
from host.server import Host  # with whatever the stand-in needs for itself
from host import graphs

MISSING = ("diffusers", "cv2", "numba", "accelerate", "peft", "transformers", "facexlib", "torchvision")
for name in list(sys.modules):
    if name.partition(".")[0] in MISSING:
        del sys.modules[name]
sys.modules.update(dict.fromkeys(MISSING))

base = Path(sys.argv[1])
host = Host(str(base), Path.cwd())
"""
"""A ComfyUI in which nothing of ours was installed, in a process of its own."""


def bare(script, base):
    """What the script prints as JSON."""
    command = [sys.executable, "-c", BARE + script, str(base)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_pack_is_imported(tmp_path):
    assert bare("print(sum(name.startswith('OSDFace') for name in host.ours))", tmp_path) == 23


def test_a_face_is_found_and_restored(tmp_path):
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "astronaut.png").symlink_to(ROOT / "photos" / "astronaut.png")
    script = """
prompt = graphs.all_in_one()
prompt["detector"]["inputs"]["detector"] = graphs.STARTER
shown = host.execute(prompt, lambda kind, data: None)
print(json.dumps(shown))
"""
    shown = bare(script, tmp_path)
    assert "1 of 1" in json.dumps(shown["report"])
    assert len(list((tmp_path / "output").glob("all_in_one*.png"))) == 1


@pytest.mark.parametrize(
    ("loader", "field", "file", "folder"),
    [
        ("OSDFaceLoadParser", "parser", "parsing_parsenet.pth", "facedetection"),
        ("OSDFaceLoadEmbedder", "embedder", "recognition_arcface_ir_se50.pth", "facerecognition"),
    ],
)
def test_the_parser_and_arcface_say_what_to_install(tmp_path, loader, field, file, folder):
    script = f"""
import torch
path = base / "models" / {folder!r} / {file!r}
path.parent.mkdir(parents=True, exist_ok=True)
torch.save({{"a": torch.zeros(1)}}, path)
try:
    host.ours[{loader!r}].execute({field}={file!r})
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""
    name, says = bare(script, tmp_path)
    assert name == "MissingLibraryError"
    assert says.startswith("For the face parsers and ArcFace, install facexlib and OpenCV: ")
    assert says.endswith(" -m pip install --no-deps facexlib opencv-python-headless")


def reached_by_nodes():
    for path in CORE:
        file = path.relative_to(ROOT / "osdface_core")
        if file.parts[0] not in LIBRARY_ONLY:
            yield pytest.param(path, id=str(file))


@pytest.mark.parametrize("path", [*reached_by_nodes()])
def test_what_nodes_reach_imports_only_what_comfyui_brings(path):
    """Anything else goes through `libraries.library`."""
    assert not set(imported_by(path)) - BROUGHT - set(sys.stdlib_module_names)


def test_requirements_name_nothing():
    """Installers that find no such file take pyproject.toml's dependencies, which are the library's."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert lines
    assert [line for line in lines if line.strip() and not line.startswith("#")] == []


def test_the_library_keeps_its_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    libraries = ("diffusers", "facexlib", "spandrel", "opencv-python-headless")
    for wanted in (*libraries, "torch>=", "comfyui-frontend-package>="):
        assert any(entry.startswith(wanted) for entry in project["dependencies"]), wanted
