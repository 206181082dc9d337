"""The node that downloads: only when it runs, after a person's yes, with progress and interrupts."""

import asyncio
import json
import shutil
import sys
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from host import fakes
from host.graphs import node
from host.server import routes
from test_cli_weights import FILES

from osdface_core.weights.catalog import entry_named
from osdface_core.weights.consent import agree, consent_file, has_agreed

ADDRESS = "/api/osdface/licences"
OSDFACE = entry_named("osdface")


@pytest.fixture
def place(inside):
    """Where the node puts the authors' files: empty before and after a test."""
    folder = Path(inside.folders.models_dir, "osdface", "authors")
    assert not folder.exists()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def there(place):
    """The authors' files where they belong."""
    place.mkdir(parents=True)
    for name, content in FILES.items():
        (place / name).write_bytes(content)


@pytest.fixture
def hub(hub, inside):
    """Starting the host, importing the nodes and describing them has asked nobody for anything."""
    hub.put("alecccdd/OSDFace", FILES)
    inside.object_info()
    assert hub.requests == []
    return hub


@pytest.fixture
def downloader(inside):
    return inside.ours["OSDFaceDownloadWeights"]


def prompt(accept: bool = False, weights: str = "osdface") -> dict:
    return {"get": node("OSDFaceDownloadWeights", weights=weights, accept_licence=accept)}


def ask(inside, method, path, **content):
    """What the server answers a page: the status, and the JSON."""

    async def session():
        async with TestClient(TestServer(routes(inside))) as client:
            answer = await client.request(method, path, **content)
            return answer.status, await answer.json()

    return asyncio.run(session())


@pytest.mark.parametrize("accept", [False, True])
def test_a_workflow_agrees_to_nothing(hub, inside, downloader, accept):
    """Whatever it says: it may be a stranger's."""
    errors = inside.validate(prompt(accept))["get"]["errors"]
    assert len(errors) == 1
    assert "Licence: none stated by the authors: all rights reserved" in errors[0]["details"]
    assert "weights download osdface --accept" in errors[0]["details"]
    with pytest.raises(PermissionError, match="all rights reserved"):  # by a link, which is not known before the run
        downloader.execute(weights="osdface", accept_licence=accept)
    assert hub.requests == []


def test_a_page_shows_the_licences_and_keeps_a_persons_yes_in_a_file_of_theirs(hub, inside):
    status, told = ask(inside, "GET", ADDRESS, params={"weights": "everything OSDFace needs"})
    assert status == 200
    assert [entry["name"] for entry in told] == ["osdface", "sd21-base", "retinaface-resnet50"]
    assert [(entry["here"], entry["agreed"]) for entry in told] == [(False, False)] * 3
    assert told[0]["licence"] in told[0]["about"]
    read = {entry["name"]: entry["licence"] for entry in told}
    assert ask(inside, "POST", ADDRESS, json=read)[0] == 200
    assert json.loads(consent_file().read_text(encoding="utf-8")) == read
    assert inside.validate(prompt(weights="everything OSDFace needs")) == {}
    assert all(entry["agreed"] for entry in ask(inside, "GET", ADDRESS, params={"weights": "sd21-base"})[1])
    assert hub.requests == []


@pytest.mark.parametrize(
    "content",
    [
        {"json": {"osdface": "MIT"}},
        {"json": {"osdface": OSDFACE.licence, "taesd": "anything"}},
        {"json": {"nothing": "MIT"}},
        {"json": {}},
        {"json": ["osdface"]},
        {"json": {"osdface": None}},
        {"data": b"{", "headers": {"Content-Type": "application/json"}},
        {"data": json.dumps({"osdface": OSDFACE.licence})},  # as a form of another site can send it
    ],
)
def test_what_is_no_yes_to_the_licence_that_is_shown_is_none(hub, inside, content):
    assert ask(inside, "POST", ADDRESS, **content)[0] == 400
    assert not consent_file().exists()


def test_a_page_that_asks_for_what_there_is_not_is_told_so(hub, inside):
    assert ask(inside, "GET", ADDRESS, params={"weights": "magic"})[0] == 404
    assert "magic is not in the catalogue" in inside.validate(prompt(weights="magic"))["get"]["errors"][0]["details"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"osdface": "MIT"}', "[" * 100_000, '"\\ud800"'])
def test_a_file_of_agreements_that_is_none_agrees_to_nothing(hub, content):
    consent_file().parent.mkdir()
    consent_file().write_text(content, encoding="utf-8")
    assert not has_agreed(OSDFACE)
    agree([OSDFACE])
    assert has_agreed(OSDFACE)


def test_an_interrupt_keeps_what_has_arrived_and_the_next_run_resumes(hub, inside, place):
    agree([OSDFACE])

    def interrupt(kind, data):
        fakes.State.interrupted = kind == "progress" and data["value"] > 8000

    with pytest.raises(fakes.Interrupted):
        inside.execute(prompt(), interrupt)
    seen = []
    inside.execute(prompt(), lambda kind, data: seen.append((kind, data)))
    progress = [data for kind, data in seen if kind == "progress"]
    assert progress[-1]["value"] == progress[-1]["max"] == len(FILES["pytorch_lora_weights.safetensors"])
    told = [data for kind, data in seen if kind == "osdface.message"]
    assert told[-1]["node"] == "get"
    assert "pytorch_lora_weights.safetensors: 0.0 of 0.0 MB" in told[-1]["text"].splitlines()
    for name, content in FILES.items():
        assert (place / name).read_bytes() == content


@pytest.mark.usefixtures("there")
def test_what_is_there_needs_neither_a_yes_nor_the_network(hub, inside):
    assert inside.validate(prompt()) == {}
    inside.execute(prompt(), lambda _kind, _data: None)
    assert hub.requests == []


@pytest.mark.usefixtures("there")
def test_the_loader_takes_it_wherever_it_is(hub, inside):
    folders = sys.modules["pack.nodes.folders"]
    assert folders.FOUND_WEIGHTS in folders.weights_options()
    assert folders.weights_path(folders.FOUND_WEIGHTS).name == "authors"
    loader = inside.ours["OSDFaceLoadModel"]
    assert "choose it as base" in loader.validate_inputs(folders.FOUND_WEIGHTS, "none")
    assert "osdface weights download sd21-base" in loader.validate_inputs(folders.FOUND_WEIGHTS, folders.FOUND_BASE)


def test_what_a_link_says_is_not_known_before_the_run(inside, downloader):
    assert downloader.validate_inputs(weights=None) is True
    assert downloader.fingerprint_inputs(weights=None) is None
