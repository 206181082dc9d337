"""What keeps the pack running on Windows and macOS, held on any system."""

import ast
import re
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT

PYTHON = [path for path in ROOT.rglob("*.py") if not {".venv", "build"} & set(path.relative_to(ROOT).parts)]
MODE = re.compile("[rwaxbt+]{1,3}")


def calls(path):
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


def leaves_the_encoding_to_the_system(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    named = {keyword.arg: getattr(keyword.value, "value", None) for keyword in call.keywords}
    given = [getattr(argument, "value", None) for argument in call.args]
    if "encoding" in named or name not in ("open", "read_text", "write_text"):
        return False
    if name != "open":
        return len(given) < (1 if name == "read_text" else 2)
    if isinstance(call.func, ast.Name):  # open(path, mode)
        mode = named.get("mode") or (given[1:2] or ["r"])[0]
    else:  # path.open(mode), and not the `open` of an image library, which takes a path
        mode = named.get("mode") or (given or ["r"])[0]
    return isinstance(mode, str) and bool(MODE.fullmatch(mode)) and "b" not in mode


def test_every_text_file_has_an_encoding_of_its_own():
    """Windows' default is none that could hold all names."""
    found = [(path, call.lineno) for path in PYTHON for call in calls(path) if leaves_the_encoding_to_the_system(call)]
    assert found == []


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("open(path)", True),
        ("open(path, 'w')", True),
        ("open(path, 'rb')", False),
        ("open(path, encoding='utf-8')", False),
        ("path.open()", True),
        ("path.open('a')", True),
        ("path.open('wb')", False),
        ("Image.open(path)", False),
        ("path.read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, encoding='utf-8')", False),
    ],
)
def test_the_test_above_sees_what_it_should(source, wrong):
    assert leaves_the_encoding_to_the_system(ast.parse(source, mode="eval").body) == wrong


def test_the_suite_is_collected_on_a_simulated_windows():
    """No test module needs a module that Windows does not have, when it is imported."""
    pytest.importorskip("fcntl")
    options = ["-p", "simulated_windows", "-p", "no:cacheprovider", "--collect-only", "-q"]
    command = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "test_atomic_write.py" in done.stdout


def test_no_test_forks():
    """Only Linux can: processes are spawned everywhere."""
    for path in (ROOT / "tests").rglob("*.py"):
        asked = [call.args[0].value for call in calls(path) if getattr(call.func, "attr", "") == "get_context"]
        assert set(asked) <= {"spawn"}, path


def test_the_matrix_runs_what_there_is_on_all_systems():
    text = (ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    matrix = jobs["tests"]["strategy"]["matrix"]
    assert {system.split("-")[0] for system in matrix["system"]} == {"windows", "macos", "ubuntu"}
    assert matrix["python"] == ["3.10", "3.11", "3.12", "3.13"]
    assert all(isinstance(value, str) for value in (*matrix["python"], *matrix["torch"]))  # 3.10 is not 3.1
    runner = (ROOT / "run.py").read_text(encoding="utf-8")
    assert f'TORCH, TORCHVISION = "torch=={matrix["torch"][0]}", "torchvision=={matrix["torchvision"][0]}"' in runner
    assert {entry["system"] for entry in matrix["include"]} == set(matrix["system"])
    assert all(entry.keys() == matrix.keys() - {"include"} for entry in matrix["include"])
    steps = [step for job in jobs.values() for step in job["steps"]]
    runs = {step["run"] for step in steps if "run" in step}
    assert runs == {f"python run.py {name}" for name in ("demo", "lint", "test")}
    assert set(re.findall(r"\$\{\{ matrix\.(\w+) \}\}", text)) == matrix.keys() - {"include"}


def test_the_repository_keeps_its_line_ends():
    attributes = (ROOT / ".gitattributes").read_text(encoding="utf-8").splitlines()
    assert "* text=auto eol=lf" in attributes
    for kind in ("png", "jpg", "webp", "webm", "safetensors"):
        assert f"*.{kind} binary" in attributes
