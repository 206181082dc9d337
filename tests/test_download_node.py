"""The node that downloads: only when it runs, after a yes, with progress and interrupts."""

import shutil
import sys
from pathlib import Path

import pytest
from host import fakes
from host.graphs import node
from test_cli_weights import FILES


@pytest.fixture(scope="module", autouse=True)
def _tidy(inside):
    yield
    shutil.rmtree(f"{inside.folders.models_dir}/osdface/authors")


@pytest.fixture
def hub(hub, inside):
    """Starting the host, importing the nodes and describing them has asked nobody for anything."""
    hub.put("alecccdd/OSDFace", FILES)
    inside.object_info()
    assert hub.requests == []
    return hub


def prompt(accept: bool) -> dict:
    return {"get": node("OSDFaceDownloadWeights", weights="osdface", accept_licence=accept)}


def test_without_a_yes_the_licence_is_shown_and_nothing_happens(hub, inside):
    (error,) = inside.validate(prompt(False))["get"]["errors"][:1]
    assert "Licence: none stated by the authors: all rights reserved" in error["details"]
    assert "switch accept licence on" in error["details"]
    assert hub.requests == []


def test_a_no_that_comes_by_a_link_downloads_nothing_either(hub, inside):
    """What is linked is not known when a workflow is checked, only when it runs."""
    with pytest.raises(PermissionError, match="switch accept licence on"):
        inside.ours["OSDFaceDownloadWeights"].execute(weights="osdface", accept_licence=False)
    assert hub.requests == []


def test_an_interrupt_keeps_what_has_arrived_and_the_next_run_resumes(hub, inside):
    def interrupt(kind, data):
        fakes.State.interrupted = kind == "progress" and data["value"] > 8000

    with pytest.raises(fakes.Interrupted):
        inside.execute(prompt(True), interrupt)
    seen = []
    inside.execute(prompt(True), lambda kind, data: seen.append((kind, data)))
    progress = [data for kind, data in seen if kind == "progress"]
    assert progress[-1]["value"] == progress[-1]["max"] == len(FILES["pytorch_lora_weights.safetensors"])
    for name, content in FILES.items():
        assert Path(inside.folders.models_dir, "osdface", "authors", name).read_bytes() == content


def test_what_is_there_needs_neither_a_yes_nor_the_network(hub, inside):
    assert inside.validate(prompt(False)) == {}
    inside.execute(prompt(False), lambda _kind, _data: None)
    assert hub.requests == []


def test_the_loader_takes_it_wherever_it_is(inside):
    folders = sys.modules["pack.nodes.folders"]
    assert folders.FOUND_WEIGHTS in folders.weights_options()
    assert folders.weights_path(folders.FOUND_WEIGHTS).name == "authors"
    loader = inside.ours["OSDFaceLoadModel"]
    assert "choose it as base" in loader.validate_inputs(folders.FOUND_WEIGHTS, "none")
    assert "osdface weights download sd21-base" in loader.validate_inputs(folders.FOUND_WEIGHTS, folders.FOUND_BASE)
