"""Albums in object stores and on Ray clusters."""

import logging
from pathlib import Path

import pytest
from albums import Negatives, album, stream_of
from conftest import ROOT
from PIL import Image

from osdface_core.album.cluster import LEFT, Actor, Cluster, Site, blocks_of
from osdface_core.album.journal import BEGUN, DONE, FAILED, BlockJournal, Entry, Journal, entries, parts
from osdface_core.album.plan import Input, Shard, find_clash, find_inputs, find_overwritten
from osdface_core.album.report import as_csv, sum_up
from osdface_core.album.resume import Todo, left_to_do
from osdface_core.cli import main
from osdface_core.files.photos import read_photo
from osdface_core.files.places import place
from osdface_core.libraries import is_installed


def needs(*modules):
    missing = [name for name in modules if not is_installed(name)]
    return pytest.mark.skipif(bool(missing), reason=f"{', '.join(missing)} not installed: osdface[ray]")


@pytest.fixture
def store(tmp_path):
    """An album in an object store, and its faces by the photos' names."""
    faces = album(tmp_path / "in", [1, 2, 0])
    away = place(f"memory://{tmp_path.name}")
    for file in (tmp_path / "in").iterdir():
        (away / "in" / file.name).write_bytes(file.read_bytes())
    (away / "in" / "bad.png").write_bytes(b"no photo")
    (away / "in" / "notes.txt").write_bytes(b"no photo, either")
    return away, faces


def actor(output, faces, run="run", shared=None):
    return Actor(Site(lambda: stream_of(Negatives(), faces, options="same"), output, ".", run, 1, shared))


def run_block(output, inputs, faces, overwrite=False, **how):
    return list(actor(output, faces, **how).entries(Shard(), inputs, overwrite))


@needs("upath", "pyarrow")
def test_an_album_in_an_object_store_is_restored_resumed_and_reported(store):
    away, faces = store
    inputs = find_inputs([away / "in"]).inputs
    assert [one.name for one in inputs] == ["000.png", "001.png", "002.png", "bad.png"]
    assert find_clash(one.name for one in inputs) is None
    assert find_overwritten(inputs, away / "in") is not None
    assert find_overwritten(inputs, away / "out") is None
    made = {entry.output: entry for entry in run_block(away / "out", inputs, faces)}
    assert {name for name, entry in made.items() if entry.state == DONE} == {"000.png", "001.png", "002.png"}
    assert made["bad.png"].error.startswith(f"{away / 'in' / 'bad.png'}: this is not an image")
    with (away / "out" / "001.png").open("rb") as file:
        assert Image.open(file).size == (160, 120)
    assert len(parts(away / "out")) == 2, "what is begun, and what became of it"
    todo = left_to_do(inputs, away / "out", "same")
    assert (todo.done, [one.name for one in todo.failed], len(todo)) == (3, ["bad.png"], 1)
    (away / "in" / "001.png").write_bytes((away / "in" / "000.png").read_bytes())
    (away / "out" / "002.png").unlink()
    todo = left_to_do(inputs, away / "out", "same")
    assert [one.name for one in (*todo.changed, *todo.rest)] == ["001.png", "002.png"]
    assert sum_up(away / "out").states == {DONE: 3, FAILED: 1}
    assert len(list(as_csv(away / "out"))) == 5


@needs("upath", "pyarrow")
def test_nothing_of_somebody_elses_is_written_over_in_an_object_store(store):
    away, faces = store
    inputs = find_inputs([away / "in"]).inputs[:2]
    (away / "out" / "000.png").write_bytes(b"somebody's")
    made = run_block(away / "out", inputs, faces)
    assert [entry.state for entry in sorted(made, key=lambda it: it.output)] == [FAILED, DONE]
    again = run_block(away / "out", inputs, faces, run="another")
    assert [entry.state for entry in again] == [FAILED, FAILED]
    assert (away / "out" / "000.png").read_bytes() == b"somebody's"


@pytest.mark.parametrize("elsewhere", [False, pytest.param(True, marks=needs("upath", "pyarrow"))])
def test_an_actor_goes_on_where_another_ended_and_leaves_what_ended_two(tmp_path, elsewhere):
    faces = album(tmp_path / "in", [1] * 4)
    inputs = find_inputs([tmp_path / "in"]).inputs
    output = place(f"memory://{tmp_path.name}/out") if elsewhere else tmp_path / "out"

    def ended(*entries_):
        journal = BlockJournal(output, Shard(), "run") if elsewhere else Journal(output, Shard(), {}, "run")
        for state, name in entries_:
            journal.add(Entry(str(tmp_path / "in" / name), name, state))
        journal.close()

    ended((BEGUN, "000.png"), (DONE, "000.png"), (BEGUN, "001.png"), (BEGUN, "002.png"))
    ended((BEGUN, "001.png"))
    made = {entry.output: entry for entry in run_block(output, inputs, faces)}
    assert {name: entry.state for name, entry in made.items()} == {
        "000.png": DONE,
        "002.png": DONE,
        "003.png": DONE,
        "001.png": FAILED,
    }
    assert made["001.png"].error.endswith(LEFT)
    assert not (output / "000.png").exists(), "it was done"
    assert {entry.output for entry in entries(output) if entry.state == FAILED} == {"001.png"}
    made = run_block(output, inputs, faces)
    assert len(made) == 4
    assert not list(tmp_path.rglob("*.part"))


def test_a_folder_that_is_not_shared_is_named(tmp_path):
    with pytest.raises(Exception, match="not the same folder on all machines"):
        actor(tmp_path / "out", {}, shared=tmp_path / "out" / "mark")


def test_what_may_have_ended_an_earlier_run_is_a_block_of_its_own():
    inputs = [Input("in", f"{n}.png") for n in range(200)]
    blocks = list(blocks_of(Todo(inputs[:150], unfinished=inputs[150:152], failed=inputs[152:]), overwrite=False))
    assert [len(block["name"]) for block in blocks] == [1, 1, 48, 64, 64, 22]
    assert [block["overwrite"][0] for block in blocks] == [True] * 3 + [False] * 3
    assert [block["block"][0] for block in blocks] == list(range(6))


def test_a_pool_leaves_a_processor_for_reading():
    cluster = Cluster.__new__(Cluster)
    cluster.needs = {"num_cpus": 1}
    for processors, actors in ((1, 1), (2, 1), (16, 15), (1000, 100)):
        cluster.resources = {"CPU": processors}
        assert cluster.size(photos=6400) == actors
    cluster.needs, cluster.resources = {"num_gpus": 1}, {"CPU": 64, "GPU": 8}
    assert cluster.size(photos=6400) == 8


@needs("ray", "upath")
def test_the_command_restores_an_album_on_a_cluster(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for number in range(3):
        place_of = tmp_path / "in" / "ab"[number % 2] / f"{number}.png"
        place_of.parent.mkdir(parents=True, exist_ok=True)
        Image.open(ROOT / "photos" / "astronaut.png").resize((140 + number,) * 2).save(place_of)
    (tmp_path / "in" / "bad.png").write_bytes(b"no photo")
    command = ["restore", str(tmp_path / "in"), "--recursive", "-o"]
    assert main([*command, str(tmp_path / "plain")]) == 1
    assert main([*command, str(tmp_path / "out"), "--ray", "--device", "cpu"]) == 1
    made = {str(path.relative_to(tmp_path / "out")): path for path in (tmp_path / "out").rglob("*.png")}
    assert len(made) == 3
    for name, path in made.items():
        apart = read_photo(path).pixels - read_photo(tmp_path / "plain" / name).pixels
        assert apart.abs().max() < 2 / 255, "but for what another number of threads rounds in another way"
    assert main([*command, str(tmp_path / "out"), "--ray", "--device", "cpu", "--resume"]) == 1
    assert "3 photo(s) are done already, 1 are left" in caplog.text


def test_a_place_elsewhere_is_only_written_to_by_ray(tmp_path, capsys):
    if not is_installed("upath"):
        assert main(["restore", str(ROOT / "photos"), "-o", "memory://out"]) == 1
        return
    with pytest.raises(SystemExit):
        main(["restore", str(ROOT / "photos"), "-o", "memory://out"])
    assert "memory://out: only --ray writes there" in capsys.readouterr().err


def test_a_path_is_a_path():
    assert place("a/b.png") == Path("a/b.png")
