"""No default, range or choice of an option is said a second time: not in a node, not in the command."""

import argparse
import ast
import sys
from dataclasses import fields, is_dataclass

import pytest
from conftest import ROOT
from host.make_texts import OF_FILES

from osdface_core import options
from osdface_core.cli import parser
from osdface_core.option_fields import kind_of

WAYS = {"default", "min", "max", "step", "options", "choices", "type", "const"}
"""The keywords by which inputs and arguments say what a value may be."""
CALLS = {"Input", "add_argument", "widget", "widgets", "add_options"}
MODULES = sorted([*(ROOT / "nodes").glob("*.py"), *(ROOT / "osdface_core" / "cli").glob("*.py")])


def is_typed(value):
    """Whether an expression is a figure, a text or a list of such; or a kind of number."""
    if isinstance(value, ast.Name):
        return value.id in ("int", "float")
    if isinstance(value, ast.List | ast.Tuple | ast.Set):
        return any(map(is_typed, value.elts))
    return isinstance(value.operand if isinstance(value, ast.UnaryOp) else value, ast.Constant)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: f"{module.parent.name}/{module.stem}")
def test_no_module_types_what_an_option_says(module):
    for call in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        name = getattr(call.func, "attr", getattr(call.func, "id", "")) if isinstance(call, ast.Call) else ""
        if name in CALLS:
            typed = [keyword.arg for keyword in call.keywords if keyword.arg in WAYS and is_typed(keyword.value)]
            assert not typed, f"{module.name}, line {call.lineno}: {typed} belongs into a class of options"


def options_in(module):
    """The options that a module has or imports, each with its class."""
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and is_dataclass(kind)]
    return [(kind, known) for kind in kinds for known in fields(kind) if known.metadata]


def shape_of(input):
    """What a widget of a schema lets a person set."""
    kind, about = input
    return kind, repr([about.get(name) for name in ("default", "min", "max", "step", "options")])


def test_every_widget_is_an_option_s(inside):
    pack = inside.ours["OSDFaceDetect"].__module__.removesuffix(".nodes.detect")
    widgets, core = (sys.modules[f"{pack}.{name}"] for name in ("nodes.widgets", "osdface_core.options"))
    known = {
        shape_of(widgets.widget(kind, about.name).as_v1())
        for kind, about in [*options_in(widgets), *options_in(core)]
        if kind_of(about) is not tuple
    }
    for node, about in inside.object_info().items():
        if node.startswith("OSDFace"):
            for group in ("required", "optional"):
                for name, input in about["input"].get(group, {}).items():
                    if input[0] in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO") and name not in OF_FILES:
                        assert shape_of(input) in known, (node, name)


def actions_of(command):
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from actions_of(sub)
        else:
            yield action


def test_every_argument_of_an_option_s_name_is_made_from_it():
    said = {}
    for _, known in options_in(options):
        said.setdefault(known.name, []).append(known)
    seen = 0
    for action in actions_of(parser()):
        if action.dest in said and action.dest != "accept_licence":
            texts = [known.metadata["help"].replace("%", "%%") for known in said[action.dest]]
            assert action.help.startswith(tuple(texts)), action.dest
            seen += 1
    assert seen > 30
