"""What the house promises: its doors, its weight, its neighbours."""

import ast
import subprocess
import sys

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


def test_importing_the_core_brings_neither_diffusers_nor_facexlib():
    script = (
        "import sys, osdface_core; print({'diffusers', 'facexlib', 'torchvision', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "set()"


def test_everything_exported_is_there_and_explained():
    import osdface_core

    for name in osdface_core.__all__:
        assert getattr(osdface_core, name).__doc__, name


def test_the_command_explains_itself():
    command = [sys.executable, "-m", "osdface_core.cli"]
    for arguments in ([], ["restore"], ["detect"], ["weights"], ["weights", "convert"], ["doctor"]):
        done = subprocess.run([*command, *arguments, "--help"], capture_output=True, text=True, check=True, cwd=ROOT)
        assert "usage: osdface" in done.stdout
