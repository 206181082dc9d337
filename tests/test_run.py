"""run.py: the same commands everywhere, with the standard library alone; an environment that is made once."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

spec = importlib.util.spec_from_file_location("osdface_run", ROOT / "run.py")
run = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run)


class Quick(run.Environment):
    """One that needs no index: a real environment with nothing in it."""

    made = 0

    def make(self, wanted):
        self.made += 1
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.folder], check=True)


def test_the_environment_is_made_once(tmp_path):
    environment = Quick(tmp_path / "my venv")
    for extras, made in (([], 1), ([], 1), (["dev", "train"], 2), (["dev", "train"], 2), ([], 2)):
        environment.prepare(extras, None, None)
        assert environment.made == made
    environment.python.unlink()
    environment.prepare([], None, None)
    assert environment.made == 3


def test_a_pytorch_that_was_chosen_stays(tmp_path):
    environment = Quick(tmp_path / "venv")
    environment.prepare([], "--index-url https://example.org torch", None)
    environment.prepare([], None, None)
    environment.prepare(["dev"], None, None)
    stamp = json.loads(environment.stamp.read_text(encoding="utf-8"))
    assert stamp["torch"] == "--index-url https://example.org torch"
    assert stamp["torchvision"] == run.TORCHVISION
    assert environment.made == 2


def test_an_unfinished_environment_is_made_again(tmp_path, monkeypatch):
    environment = Quick(tmp_path / "venv")
    environment.prepare([], None, None)
    environment.stamp.unlink()
    environment.prepare([], None, None)
    assert environment.made == 2


def test_a_folder_that_is_no_environment_is_not_emptied(tmp_path, monkeypatch):
    (tmp_path / "precious.txt").write_text("keep", encoding="utf-8")
    monkeypatch.setattr(run.sys, "executable", str(tmp_path / "no-such-python"))
    with pytest.raises(FileNotFoundError):
        run.Environment(tmp_path).create()
    assert (tmp_path / "precious.txt").exists()
    monkeypatch.undo()
    commands = []
    monkeypatch.setattr(run.subprocess, "run", lambda command, **_how: commands.append(command))
    run.Environment(tmp_path).create()
    (tmp_path / "pyvenv.cfg").touch()
    run.Environment(tmp_path).create()
    assert ["--clear" in command for command in commands] == [False, True]


@pytest.mark.parametrize("before", ["", "import sys; sys.modules['tomllib'] = None\n"], ids=["tomllib", "Python 3.10"])
def test_what_is_needed_is_read_from_the_project(before):
    pytest.importorskip("pip._vendor.tomli" if before else "json")
    command = [sys.executable, "-c", before + run.REQUIREMENTS, "dev"]
    needed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.splitlines()
    names = {name.split(">")[0].split("=")[0] for name in needed}
    assert {"diffusers", "pytest", "ruff", "opencv-python-headless", "einops"} <= names
    assert not {"torch", "facexlib", "spandrel"} & names


def test_line_ends_do_not_count_as_changes(tmp_path):
    (tmp_path / "lf").write_bytes(b"a\nb\n")
    (tmp_path / "crlf").write_bytes(b"a\r\nb\r\n")
    assert run.digest(tmp_path / "lf") == run.digest(tmp_path / "crlf") != run.digest(ROOT / "run.py")


def test_a_windows_path_survives_in_what_pip_is_told(monkeypatch):
    monkeypatch.setattr(run.os, "name", "nt")
    assert run.split(r"--find-links C:\wheels torch") == ["--find-links", r"C:\wheels", "torch"]


@pytest.mark.parametrize("words", [["--help"], ["demo", "--help"]])
def test_it_explains_itself_on_every_console_and_without_our_packages(words, tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "cp437"}
    command = [sys.executable, "-I", "-S", ROOT / "run.py", *words]
    done = subprocess.run(command, capture_output=True, env=environment, check=True, cwd=tmp_path)
    assert b"usage: run.py" in done.stdout


def test_options_of_pytest_go_to_pytest_and_others_are_refused():
    options, rest = run.parser().parse_known_args(["test", "tests/test_run.py", "-k", "word", "--help"])
    assert run.commands(options, rest) == [["-m", "pytest", "tests/test_run.py", "-k", "word", "--help"]]
    assert run.commands(*run.parser().parse_known_args(["test"])) == [["-m", "pytest", *run.WHOLE_SUITE]]
    command = [sys.executable, ROOT / "run.py", "demo", "--nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "unrecognized arguments: --nonsense" in done.stderr


def test_photos_of_ones_own_are_where_one_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    options, rest = run.parser().parse_known_args(["demo", "a.jpg", "b.jpg", "--detector", "d.pth"])
    (command,) = run.commands(options, rest)
    assert command[1:6] == ["restore", "a.jpg", "b.jpg", "-o", str(ROOT / "demo")]
    assert command[-2:] == ["--detector", "d.pth"]
    assert Path(command[0]).is_file()
