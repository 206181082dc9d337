"""The command without an installation, and the advice that names it: what can be typed here."""

import shlex
import subprocess
import sys
import sysconfig

import pytest
from conftest import ROOT

from osdface_core import command
from osdface_core.weights.catalog import entry_named

DOOR = ROOT / "osdface.py"


def test_a_python_that_ignores_the_scripts_folder_runs_the_packs_own_code(tmp_path):
    """-I: as the Python inside ComfyUI's portable version, whose ._pth file says where to look."""
    done = run([sys.executable, "-I", DOOR, "--help"], tmp_path)
    assert "usage: osdface" in done.stdout
    script = f"import runpy; runpy.run_path({str(DOOR)!r}); import osdface_core; print(osdface_core.__file__)"
    done = run([sys.executable, "-I", "-c", script], tmp_path)
    assert done.stdout.strip() == str(ROOT / "osdface_core" / "__init__.py")


@pytest.mark.parametrize("start", [["-I", DOOR], ["-m", "osdface_core.cli"]])
def test_advice_repeats_how_the_command_was_started(start, tmp_path):
    """A bundle that is none: the message says what to do, in words that this shell takes."""
    other = tmp_path / "other.safetensors"
    other.write_bytes((ROOT / "osdface_core" / "weights" / "starter" / "detector.safetensors").read_bytes())
    command = [sys.executable, *start]
    rest = ["restore", ROOT / "photos" / "astronaut.png", "-o", tmp_path / "out.png", "--weights", other]
    done = run([*command, *rest], ROOT, code=1)
    assert f"`{' '.join(map(str, command))} weights convert`" in done.stderr


def test_advice_of_a_program_that_has_not_installed_it_names_the_packs_own_door(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["ComfyUI/main.py"])
    monkeypatch.setattr(sysconfig, "get_path", lambda _kind: str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/my programs/python")
    assert command.command() == f'"/my programs/python" {DOOR}'
    assert shlex.split(command.command()) == ["/my programs/python", str(DOOR)]
    assert f'`"/my programs/python" {DOOR} weights download osdface`' in entry_named("osdface").how_to_get
    monkeypatch.setattr(command, "DOOR", tmp_path / "osdface.py")  # installed without the pack's folder
    assert command.command() == '"/my programs/python" -m osdface_core.cli'


def test_an_installed_script_is_named_as_the_shell_finds_it(monkeypatch, tmp_path):
    script = tmp_path / "osdface"
    script.write_text("#!/bin/sh\n", encoding="utf-8")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setattr(sysconfig, "get_path", lambda _kind: str(tmp_path))
    monkeypatch.setenv("PATHEXT", "")
    monkeypatch.setenv("PATH", "")
    assert command.command() == str(script)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.command() == "osdface"


def run(words, folder, code=0):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == code, done.stderr
    return done
