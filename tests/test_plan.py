"""Which photos are restored: folders, lists, shards, clashes."""

import os
import shutil
import time
from itertools import chain
from pathlib import Path

import pytest
from conftest import ROOT

from osdface_core import ImageError
from osdface_core.album.plan import Input, Shard, find_clash, find_inputs, find_overwritten
from osdface_core.cli import main

pytestmark = pytest.mark.usefixtures("messages")

PHOTO, FACES = ROOT / "photos" / "astronaut.png", ROOT / "photos" / "astronaut.json"


def run(*arguments):
    return main([str(argument) for argument in arguments])


def tree(folder):
    for name in ("b/one.png", "b/c/one.png", "one.png", "b/notes.txt", "b/._one.png", ".osdface/part.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PHOTO, folder / name)


def names(plan):
    return [one.name.replace(os.sep, "/") for one in plan.inputs]


def test_folders_are_looked_into_and_their_tree_is_kept(tmp_path):
    tree(tmp_path)
    assert names(find_inputs([tmp_path])) == ["one.png"]
    assert names(find_inputs([tmp_path], recursive=True)) == ["one.png", "b/one.png", "b/c/one.png"]
    (tmp_path / "out").mkdir()
    shutil.copy(PHOTO, tmp_path / "out" / "earlier.png")
    (tmp_path / "link").symlink_to(tmp_path / "b")
    plan = find_inputs([tmp_path], recursive=True, output=tmp_path / "out")
    assert names(plan) == ["one.png", "b/one.png", "b/c/one.png"]
    assert len(plan.notes) == 2
    assert any("a link to a folder is not followed" in note for note in plan.notes)
    assert any("it is what is written to" in note for note in plan.notes)


def test_a_path_that_is_not_there_is_said_before_any_work_and_the_rest_is_done(tmp_path, messages, monkeypatch):
    shutil.copy(PHOTO, tmp_path / "one.png")
    plan = find_inputs([tmp_path / "holidys", tmp_path / "one.png"])
    assert names(plan) == ["one.png"]
    assert plan.problems == [f"{tmp_path / 'holidys'}: there is no such file or folder. Check the path."]
    monkeypatch.setattr("osdface_core.cli.restore.open_networks", None)
    assert run("restore", tmp_path / "holidys", "-o", tmp_path / "out") == 1
    assert f"error: {plan.problems[0]}" in messages.text
    assert not (tmp_path / "out").exists()


def test_a_list_that_is_named_as_a_photo_is_told_how_to_be_named(tmp_path):
    shutil.copy(PHOTO, tmp_path / "one.png")
    (tmp_path / "list.txt").write_text("one.png\n", encoding="utf-8")
    plan = find_inputs([tmp_path / "list.txt", tmp_path / "one.png"])
    assert names(plan) == ["one.png"]
    assert plan.problems == [
        f"{tmp_path / 'list.txt'}: this is no photo. If it is a list of photos, name it as @{tmp_path / 'list.txt'}."
    ]


def test_a_shard_to_which_no_photo_falls_says_so(tmp_path, messages):
    shutil.copy(PHOTO, tmp_path / "one.png")
    own = [n for n in (1, 2) if Shard(n, 2).has("one.png")]
    (empty,) = {1, 2} - set(own)
    assert run("restore", tmp_path / "one.png", "-o", tmp_path / "out", "--shard", f"{empty}/2") == 0
    assert f"none of the 1 photo(s) falls to --shard {empty}/2" in messages.text


def test_lists_name_photos_a_line_or_a_zero_byte_each(tmp_path, monkeypatch):
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfa/one.png\r\n\r\nb/c d.jpg\n/top/x.png")
    listed = find_inputs([Path(f"@{tmp_path / 'list.txt'}")])
    assert [one.path.replace(os.sep, "/") for one in listed.inputs] == ["a/one.png", "b/c d.jpg", "/top/x.png"]
    assert names(listed) == ["one.png", "c d.jpg", "x.png"]
    assert names(find_inputs([Path(f"@{tmp_path / 'list.txt'}")], recursive=True)) == [
        "a/one.png",
        "b/c d.jpg",
        "x.png",
    ]
    (tmp_path / "zero.txt").write_bytes(b"a\nb.png\0-c.png\0../d.png\0")
    assert names(find_inputs([Path(f"@{tmp_path / 'zero.txt'}")], recursive=True)) == ["a\nb.png", "-c.png", "d.png"]
    with (tmp_path / "list.txt").open(encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        assert names(find_inputs([Path("-")])) == ["one.png", "c d.jpg", "x.png"]
    with pytest.raises(ImageError, match=r"nowhere\.txt: this list cannot be read \(No such file"):
        find_inputs([Path("@nowhere.txt")])


def test_shards_divide_all_photos_the_same_way_wherever_they_are():
    paths = [f"{number % 7}/{number}.jpg" for number in range(2000)]
    for count in (1, 2, 5):
        parts = [[path for path in paths if Shard(number + 1, count).has(path)] for number in range(count)]
        assert sorted(chain.from_iterable(parts)) == sorted(paths)
        assert min(map(len, parts)) > 0.8 * len(paths) / count
    own = [path for path in paths if Shard(2, 3).has(path)]
    halves = [{path for path in paths if Shard(2, 3).part(number, 2).has(path)} for number in (1, 2)]
    assert halves[0] | halves[1] == set(own)
    assert not halves[0] & halves[1]
    assert [path for path in paths[:12] if Shard(1, 4).has(path)] == [
        "0/0.jpg",
        "1/1.jpg",
        "4/4.jpg",
        "6/6.jpg",
        "4/11.jpg",
    ]


@pytest.mark.parametrize("option", ["--resume", "--shard=1/2"])
def test_one_file_is_neither_resumed_nor_divided(option, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("restore", PHOTO, "-o", tmp_path / "out.png", option)
    assert "are for photos that are restored into a folder" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["", "2", "0/2", "3/2", "1/0", "-1/2", "a/b", "1/2/3"])
def test_a_shard_that_cannot_be_is_wrong_usage(wrong, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        run("restore", PHOTO, "-o", tmp_path / "out", f"--shard={wrong}")
    assert caught.value.code == 2
    assert "--shard" in capsys.readouterr().err


def test_a_million_names_are_compared_in_a_moment():
    began = time.process_time()
    assert find_clash(f"folder/{number}.jpg" for number in range(100_000)) is None
    assert find_clash([*(f"{number}.jpg" for number in range(1000)), "7.JPG"]) == "7.JPG"
    assert time.process_time() - began < 5


def test_no_photo_is_written_over_another_input(tmp_path):
    tree(tmp_path)
    inputs = [Input(str(tmp_path / "b"), "one.png"), Input(str(tmp_path), "one.png")]
    assert find_overwritten(inputs, tmp_path / "elsewhere") is None
    assert find_overwritten(inputs, tmp_path / "b" / "..") == str(tmp_path / "one.png")
    assert find_overwritten([Input(str(tmp_path), "missing.png")], tmp_path) is None
