"""What SECURITY.md promises is held by tests that there are."""

import ast
import re

from conftest import ROOT


def test_every_promise_names_a_test_or_a_script_that_is_there():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", text)
    assert len(named) > 20
    for file, name in named:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (file, name)
    for script in re.findall(r"python (scripts/\S+\.py)", text):
        assert (ROOT / script).is_file(), script
