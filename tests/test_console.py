"""What the command says on consoles that cannot show it: other signs in its place, and never an end of the command."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

SCRIPT = """
import sys
from osdface_core.cli import main
try:
    main(["restore", "--help"])
except SystemExit as end:
    assert end.code == 0
assert main(["weights", "list"]) == 0
assert main(["doctor"]) == 1
assert main(["detect", sys.argv[1], "--json", "out.json"]) == 1
"""


@pytest.mark.parametrize("console", ["ascii", "cp437", "cp1252"])
def test_every_text_can_be_shown(console, tmp_path):
    """The help, lists and errors with names in them of folders and photos that only Unicode has."""
    models, photo = tmp_path / "Модели 照片", tmp_path / "фото 张 é.png"
    environment = os.environ | {"PYTHONIOENCODING": console, "PYTHONUTF8": "0", "OSDFACE_MODELS": str(models)}
    command = [sys.executable, "-c", SCRIPT, str(photo)]
    done = subprocess.run(command, capture_output=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode(console)
    assert str(models).encode(console, "backslashreplace") in done.stdout
    assert str(photo).encode(console, "backslashreplace") in done.stderr
