"""What the house promises: its doors, its weight, its neighbours."""

import ast
import subprocess
import sys

import pytest
from conftest import ROOT

from osdface_core.cli import main

CORE = sorted((ROOT / "osdface_core").rglob("*.py"))


def imported_by(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def test_the_core_knows_nothing_of_comfyui():
    for path in CORE:
        assert not {"comfy", "comfy_api", "folder_paths", "nodes", "server"} & set(imported_by(path)), path


STOREYS = (
    {
        "errors",
        "serialization",
        "faces",
        "batches",
        "devices",
        "heap",
        "libraries",
        "limits",
        "command",
        "option_fields",
        "options",
    },  # the vocabulary
    {"geometry", "files", "kernels"},
    {"networks"},
    {"models"},
    {"weights"},
    {"inference"},
    {"detection", "recognition", "selection", "compositing"},
    {"osediff"},
    {"pipeline"},
    {"video", "album"},
    {"evaluation"},
    {"training"},
    {"diagnosis"},
    {"cli"},
)
"""The core's rooms and files, each storey standing on those above it in this list."""
ROOMS = sorted(path.parent for path in (ROOT / "osdface_core").glob("*/__init__.py"))


def imported_rooms(path):
    """The rooms and files of the core that a file's relative imports lead to, its own left out."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            for name in [node.module] if node.module else [alias.name for alias in node.names]:
                place = (*base, *name.split("."))[1]
                if place != path.relative_to(ROOT).with_suffix("").parts[1]:
                    yield place


def test_imports_lead_one_way():
    """From a room to those it stands on; never back, never to a neighbour on the same storey."""
    storey = {room: number for number, rooms in enumerate(STOREYS) for room in rooms}
    for path in CORE:
        own = path.relative_to(ROOT).with_suffix("").parts[1]
        if own == "__init__":
            continue
        for other in imported_rooms(path):
            below = storey[other] < storey[own] or storey[own] == 0 == storey[other]
            assert below, f"{path.relative_to(ROOT)} imports {other}"


def test_every_room_says_what_it_is_for_and_what_may_not_live_there():
    assert {room.name for room in ROOMS} < set.union(*STOREYS)
    for room in ROOMS:
        says = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8")))
        assert all(word in says for word in ("Takes: ", "Gives: ", "Not here: ")), room.name


def after(script):
    """The modules that Python has after a script, in a process of its own."""
    script += "; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_importing_the_core_brings_nothing_that_is_not_asked_for():
    assert not {"torch", "numpy", "PIL", "cv2"} & after("import osdface_core")
    faces = after("from osdface_core import Faces")
    assert {name for name in faces if name.startswith("osdface_core.")} == {
        f"osdface_core.{name}" for name in ("faces", "errors", "serialization")
    }


def test_importing_everything_brings_neither_diffusers_nor_facexlib():
    everything = after("from osdface_core import *")
    assert "osdface_core.pipeline" in everything
    assert not {"diffusers", "facexlib", "torchvision", "transformers"} & everything


def test_public_names_are_the_same_for_people_tools_and_python():
    import osdface_core

    tree = ast.parse((ROOT / "osdface_core" / "__init__.py").read_text(encoding="utf-8"))
    block = next(part for part in tree.body if isinstance(part, ast.If))
    for_tools = {part.module: tuple(alias.name for alias in part.names) for part in block.body}
    assert for_tools == osdface_core.HOMES
    assert sorted(name for names in for_tools.values() for name in names) == sorted(osdface_core.__all__)
    assert set(osdface_core.__all__) <= set(dir(osdface_core))
    with pytest.raises(AttributeError, match="'osdface_core' has no attribute 'nothing'"):
        osdface_core.nothing  # noqa: B018


def test_everything_exported_is_there_and_explained():
    import osdface_core

    for name in osdface_core.__all__:
        assert getattr(osdface_core, name).__doc__, name


def test_the_command_explains_itself():
    command = [sys.executable, "-m", "osdface_core.cli", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert "usage: osdface" in done.stdout


@pytest.mark.parametrize("command", ["restore", "detect", "weights", "weights convert", "doctor"])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([*command.split(), "--help"])
    assert not end.value.code
    assert f"usage: osdface {command}" in capsys.readouterr().out
