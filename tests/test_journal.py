"""An album's journal and its report: whole lines, marks of what is done, fingerprints, text, table and page."""

import csv
import re
import shutil
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from PIL import Image

from osdface_core.album.fingerprint import of_options
from osdface_core.album.journal import DONE, FAILED, Entry, Journal, entries, lines, marks, parts
from osdface_core.album.plan import Shard
from osdface_core.album.report import as_csv
from osdface_core.cli import main

pytestmark = pytest.mark.usefixtures("messages")

PHOTO, FACES = ROOT / "photos" / "astronaut.png", ROOT / "photos" / "astronaut.json"


def run(*arguments):
    return main([str(argument) for argument in arguments])


def test_lines_of_a_journal_are_whole_or_not_there(tmp_path, messages):
    journal = Journal(tmp_path, Shard(2, 3), {"by": "a test"})
    name = "größe\n\udcff.png"
    entry = Entry(f"in/{name}", name, DONE, faces=({"box": [1.5, 2, 3, 4]},), options="o", source="s")
    journal.add(entry)
    with journal.path.open("ab") as file:
        file.write(b'{"input": "torn')
    assert next(lines(parts(tmp_path)[0])) == {"run": {"by": "a test"}}
    assert list(entries(tmp_path)) == [entry]
    assert not messages.text
    journal.append({"input": "after a line that a power cut tore"})
    assert list(entries(tmp_path)) == [entry]
    assert "1 line(s) cannot be read" in messages.text


def test_marks_know_what_is_an_earlier_runs_own(tmp_path):
    def entry(name, state, options="o"):
        return Entry(f"in/{name}", name, state, options=options, source="s")

    for states in ({"a": "begun", "b": "begun", "c": "begun"}, {"d": "failed", "a": "failed"}):
        journal = Journal(tmp_path, Shard(), {})
        for name, state in states.items():
            journal.add(entry(name, state))
            if name == "b":
                journal.add(entry(name, "done"))
                journal.add(entry(name, "failed"))  # a later run, that was not to overwrite it
    known = marks(entries(tmp_path))
    assert len(known) == 3
    assert sorted(known.values())[:2] == [-2, -1]
    assert entry("b", "done").mark in known.values()
    assert entry("b", "done").mark != entry("b", "done", "other").mark


def test_fingerprints_see_options_and_every_weight(starter):
    before = of_options({"strength": 1.0}, [starter, None])
    assert before == of_options({"strength": 1.0}, [starter, None])
    assert before != of_options({"strength": 0.5}, [starter, None])
    weight = torch.nn.Linear(3, 3)
    one = of_options({}, [weight])
    weight.bias.data[1] += 1e-6
    assert one != of_options({}, [weight])
    counting = torch.nn.BatchNorm2d(2)  # its counter is a tensor without a dimension
    one = of_options({}, [counting])
    counting.num_batches_tracked += 1
    assert one != of_options({}, [counting])


def test_a_report_sums_up_all_parts_as_text_table_and_page(tmp_path, capsys, messages, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    shutil.copy(PHOTO, tmp_path / "a.png")
    Image.open(PHOTO).save(tmp_path / "b=<i>.jpg")
    (tmp_path / "c.png").write_bytes(PHOTO.read_bytes()[:5000])
    out = tmp_path / "out"
    assert run("restore", *sorted(tmp_path.glob("?*.*g")), "-o", out, "--faces", FACES, "--shard", "1/2") in (0, 1)
    assert run("restore", *sorted(tmp_path.glob("?*.*g")), "-o", out, "--faces", FACES, "--shard", "2/2") in (0, 1)
    capsys.readouterr()
    assert run("report", out, "--csv", tmp_path / "t.csv", "--html", tmp_path / "page.html") == 0
    said = capsys.readouterr().out
    assert said.startswith("photos: 3\ndone: 2\nfailed: 1\nfaces: 2\nfaces restored: 2\n")
    assert "c.png  the image cannot be read" in said
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = {Path(row["input"]).name: row for row in csv.DictReader(file)}
    assert {name: row["state"] for name, row in rows.items()} == {"a.png": DONE, "b=<i>.jpg": DONE, "c.png": FAILED}
    assert rows["a.png"]["restored"] == "1"
    assert (rows["a.png"]["width"], rows["a.png"]["height"]) == ("512", "512")
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert html.count("data:image/jpeg;base64,") == 4
    assert "b=&lt;i&gt;.jpg" in html
    assert "<i>" not in html
    assert not re.findall(r'(?:src|href)="(?!data:)', html)
    assert str(tmp_path) not in html  # of a home only ~ is shown to others
    assert run("report", out, "--csv", tmp_path / "t.csv") == 1
    assert "exists already" in messages.text
    assert run("report", tmp_path) == 1
    assert "no journal is in this folder" in messages.text


def test_what_was_done_stays_so_though_a_later_run_was_not_to_write_over_it(tmp_path, capsys, messages):
    shutil.copy(PHOTO, tmp_path / "a.png")
    for code in (0, 1):
        assert run("restore", tmp_path / "a.png", "-o", tmp_path / "out", "--faces", FACES) == code
    assert "an earlier run has written there: with --resume what it has done is left out" in messages.text
    assert run("report", tmp_path / "out") == 0
    assert capsys.readouterr().out.startswith("photos: 1\ndone: 1\nfailed: 0\n")
    journal = Journal(tmp_path / "out", Shard(), {})
    for state in ("begun", FAILED):
        journal.add(Entry("a.png", "a.png", state, error="broken now"))
    assert run("report", tmp_path / "out") == 0
    assert capsys.readouterr().out.startswith("photos: 1\ndone: 0\nfailed: 1\n")


def test_a_table_begins_no_formula(tmp_path):
    journal = Journal(tmp_path, Shard(), {})
    journal.add(Entry("=cmd|' /C calc'!A0.png", "x.png", FAILED, error="-1\n+2"))
    (row,) = csv.DictReader(as_csv(tmp_path))
    assert row["input"].startswith("'=cmd")
    assert row["error"].startswith("'-1")
