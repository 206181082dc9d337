"""What the house promises: its doors, its weight, its neighbours."""

import ast
import subprocess
import sys

import pytest
from conftest import ROOT

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

    tree = ast.parse((ROOT / "osdface_core" / "__init__.py").read_text())
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
    command = [sys.executable, "-m", "osdface_core.cli"]
    for arguments in ([], ["restore"], ["detect"], ["weights"], ["weights", "convert"], ["doctor"]):
        done = subprocess.run([*command, *arguments, "--help"], capture_output=True, text=True, check=True, cwd=ROOT)
        assert "usage: osdface" in done.stdout
