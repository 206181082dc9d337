"""The stream of an album: the pixels of one photo after the other, whole batches, bounded memory."""

import os
import threading

import numpy as np
import pytest
import torch
from albums import Negatives, album, jobs_in, stream_of
from conftest import ROOT
from PIL import Image

from osdface_core import load_detector, read_photo, restore_image
from osdface_core.album.budget import Budget
from osdface_core.album.journal import DONE, FAILED, Journal, entries
from osdface_core.album.plan import Shard, find_inputs
from osdface_core.album.resume import jobs, left_to_do
from osdface_core.album.stream import Stream
from osdface_core.album.work import PhotoWork
from osdface_core.errors import DeviceLostError
from osdface_core.inference.restorer import as_restorer
from osdface_core.options import PhotoOptions
from osdface_core.pipeline import Stages

PHOTO = ROOT / "photos" / "astronaut.png"


def test_an_album_gives_the_pixels_and_reports_of_one_photo_after_the_other(shared, starter, tmp_path):
    """Real photos of several sizes, some of one size, with real detection; faces go through the networks singly."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("astronaut.png", "small_wh_240p.jpg", "noface_rocket.jpg"):
        Image.open(shared / "images" / name).convert("RGB").save(folder / f"{name}.png")
    Image.open(PHOTO).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirrored.png")
    detector = load_detector("starter")
    stages = Stages(as_restorer(starter), PhotoOptions(color="wavelet"), detector)
    done = {entry.output: entry for entry in Stream(PhotoWork(stages)).run(jobs_in(folder, tmp_path / "out"))}
    assert len(done) == 4
    for name, entry in done.items():
        photo = read_photo(folder / name)
        alone = restore_image(photo.pixels, starter, detector, color="wavelet")
        assert list(entry.faces) == alone.report_json()["faces"]
        assert entry.summary == alone.summary()
        together = torch.from_numpy(np.array(Image.open(tmp_path / "out" / name)))
        assert torch.equal(together, (alone.image[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte())
    assert sum(len(entry.faces) for entry in done.values()) == 3


@pytest.mark.parametrize("restorers", [1, 2])
def test_faces_of_many_photos_fill_whole_batches(tmp_path, restorers):
    counts = [1, 0, 2, 9, 3, 1, 0, 5, 1, 1]
    faces, restorer = album(tmp_path / "in", counts), Negatives(at_once=4, seconds=0.05)
    done = list(stream_of(restorer, faces, restorers=restorers).run(jobs_in(tmp_path / "in", tmp_path / "out")))
    assert [entry.state for entry in done] == [DONE] * len(counts)
    assert sorted(restorer.batches) == [3] + [4] * 5
    assert {entry.output: len(entry.faces) for entry in done} == {name: len(own) for name, own in faces.items()}
    for entry in done:
        photo = read_photo(tmp_path / "in" / entry.output).pixels
        alone = restore_image(photo, Negatives(), faces=faces[entry.output])
        assert list(entry.faces) == alone.report_json()["faces"]
        together = torch.from_numpy(np.array(Image.open(tmp_path / "out" / entry.output)))
        assert torch.equal(together, (alone.image[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte())


def test_who_is_left_out_is_told_once_though_a_photos_faces_are_divided(tmp_path):
    faces = album(tmp_path / "in", [11])

    def choose(crops):
        return crops.without(dict.fromkeys(range(0, len(crops), 2), "not this one"))

    stream = stream_of(Negatives(at_once=2), faces, choose=choose)
    (entry,) = stream.run(jobs_in(tmp_path / "in", tmp_path / "out"))
    assert [face["index"] for face in entry.faces] == list(range(11))
    assert [face["restored"] for face in entry.faces] == [n % 2 == 1 for n in range(11)]


def test_a_face_that_cannot_be_restored_costs_its_photo_alone(tmp_path):
    faces = album(tmp_path / "in", [1, 1, 1, 1])
    Image.new("RGB", (160, 120)).save(tmp_path / "in" / "002.png")
    done = list(stream_of(Negatives(), faces).run(jobs_in(tmp_path / "in", tmp_path / "out")))
    failed = [entry for entry in done if entry.state == FAILED]
    assert [entry.output for entry in failed] == ["002.png"]
    assert failed[0].error == f"{tmp_path / 'in' / '002.png'}: A face is all black."
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000.png", "001.png", "003.png"]


@pytest.mark.parametrize("restorers", [1, 2])
def test_a_photo_whose_faces_fail_in_several_batches_has_failed_once(tmp_path, restorers):
    faces = album(tmp_path / "in", [3, 9, 3, 1])
    Image.new("RGB", (160, 120)).save(tmp_path / "in" / "001.png")
    stream = stream_of(Negatives(at_once=2, seconds=0.05), faces, restorers=restorers)
    done = sorted((entry.output, entry.state) for entry in stream.run(jobs_in(tmp_path / "in", tmp_path / "out")))
    assert done == [("000.png", DONE), ("001.png", FAILED), ("002.png", DONE), ("003.png", DONE)]


def test_two_restorers_work_beside_each_other(tmp_path):
    faces, both = album(tmp_path / "in", [1] * 6), threading.Barrier(2, timeout=10)

    class Meeting(Negatives):
        def restore(self, crops, options, **more):
            both.wait()  # until the other one restores, too
            return super().restore(crops, options, **more)

    stream = stream_of(Meeting(at_once=1), faces, restorers=2)
    assert [entry.state for entry in stream.run(jobs_in(tmp_path / "in", tmp_path / "out"))] == [DONE] * 6


def test_photos_under_way_take_no_more_than_they_may(tmp_path):
    """With room for one photo, the next one is not read before it is written."""
    faces = album(tmp_path / "in", [1] * 6)
    under_way, most = set(), []

    class Watched(PhotoWork):
        def cut(self, names, images):
            under_way.update(names)
            most.append(len(under_way))
            return super().cut(names, images)

        def finish(self, *arguments):
            made = super().finish(*arguments)
            under_way.pop()
            return made

    work = Watched(Stages(Negatives(), PhotoOptions()), faces.__getitem__)
    done = list(Stream(work, memory=1).run(jobs_in(tmp_path / "in", tmp_path / "out")))
    assert len(done) == 6
    assert most == [1] * 6


def test_one_who_asks_for_more_than_there_is_waits_to_be_alone():
    budget, had = Budget(10), []
    assert budget.borrow(6)

    def large():
        had.append(budget.borrow(100))

    waiting = threading.Thread(target=large)
    waiting.start()
    assert budget.borrow(4)
    assert not had
    budget.give_back(4)
    assert not had
    budget.give_back(6)
    waiting.join(10)
    assert had == [True]
    budget.close()
    assert not budget.borrow(1)


def test_a_fault_of_the_stream_itself_ends_it(tmp_path):
    faces = album(tmp_path / "in", [1])

    def broken():
        yield from jobs_in(tmp_path / "in", tmp_path / "out")
        raise ZeroDivisionError("of the one who lists the photos")

    with pytest.raises(ZeroDivisionError):
        list(stream_of(Negatives(), faces).run(broken()))


class Lost(Negatives):
    """One whose device fails at the third batch, and is not to be asked again."""

    def restore(self, crops, options, **how):
        assert len(self.batches) < 3, "nothing would work any more"
        if len(self.batches) == 2:
            self.batches.append(0)
            error = getattr(torch, "AcceleratorError", RuntimeError)
            raise error("CUDA error: an illegal memory access was encountered\nCompile with …")
        return super().restore(crops, options, **how)


def test_a_device_that_has_failed_ends_the_run_and_costs_no_photo(tmp_path):
    faces = album(tmp_path / "in", [4] * 6)
    journal = Journal(tmp_path / "out", Shard(), {})
    with pytest.raises(DeviceLostError, match=r"the device has failed \(CUDA error: an illegal .* encountered\)"):
        list(stream_of(Lost(), faces, journal=journal).run(jobs_in(tmp_path / "in", tmp_path / "out")))
    assert FAILED not in {entry.state for entry in entries(tmp_path / "out")}
    again = left_to_do(find_inputs([tmp_path / "in"]).inputs, tmp_path / "out", "")
    assert again.done <= 2
    assert again.unfinished


def test_a_stream_that_is_stopped_finishes_what_it_has_begun(tmp_path):
    faces = album(tmp_path / "in", [1] * 40)
    journal = Journal(tmp_path / "out", Shard(), {})
    stream = stream_of(Negatives(at_once=1, seconds=0.02), faces, journal=journal)
    done = []
    for entry in stream.run(jobs_in(tmp_path / "in", tmp_path / "out")):
        done.append(entry.output)
        stream.stop()
    written = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert sorted(done) == written
    assert 1 <= len(done) < 20
    todo = left_to_do(find_inputs([tmp_path / "in"]).inputs, tmp_path / "out", "")
    assert todo.done == len(done)
    assert len(todo) == 40 - len(done)
    assert todo.unfinished  # they were read already
    assert not todo.changed


def test_a_stream_takes_one_block_after_the_other(tmp_path):
    faces, restorer = album(tmp_path / "in", [1] * 6), Negatives()
    stream, inputs = stream_of(restorer, faces), find_inputs([tmp_path / "in"]).inputs
    for first in (0, 2, 4):
        block = jobs(inputs[first : first + 2], tmp_path / "out", overwrite=False)
        assert {entry.output for entry in stream.run(block)} == {f"{first:03}.png", f"{first + 1:03}.png"}


def test_what_cannot_be_written_whole_to_a_journal_is_said(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    faces = album(tmp_path / "in", [1] * 3)
    journal = Journal(tmp_path / "out", Shard(), {})
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, journal.file)
    stream = stream_of(Negatives(), faces, journal=journal)
    done = list(stream.run(jobs_in(tmp_path / "in", tmp_path / "out")))
    assert stream.full
    assert done
    assert all("the journal cannot be written (No space left on device)" in entry.error for entry in done)
    assert not list((tmp_path / "out").glob("*.png"))
