"""What is chosen in a video is a person, in all frames or in none."""

import json

import pytest
import torch
import torch.nn.functional as F
from conftest import face_at

from osdface_core import Faces, ImageError
from osdface_core.cli import main
from osdface_core.errors import OptionError
from osdface_core.faces import FaceReport
from osdface_core.files.photos import write_photo
from osdface_core.options import Detect, PhotoOptions
from osdface_core.selection.select import select_by_rule
from osdface_core.video.choose import select_tracks
from osdface_core.video.restore import follow_faces, keep_people, restore_video
from osdface_core.video.track import track_faces


def people(frames=6):
    """Two of them, who come closer and go back in turn; the first is a little larger on the whole."""
    pairs = [
        (face_at(60, 60, 82 if n % 2 else 60, frame=n), face_at(200, 60, 60 if n % 2 else 80, frame=n, index=1))
        for n in range(frames)
    ]
    return Faces(tuple(face for pair in pairs for face in pair), frames, 120, 280)


def where(faces):
    return [(face.frame, face.index) for face in faces]


def test_a_rule_keeps_to_one_person_where_it_would_alternate_between_frames():
    faces = people()
    assert {face.index for face in select_by_rule(faces, "largest")[0]} == {0, 1}
    assert where(select_tracks(faces, "largest")) == [(n, 0) for n in range(6)]
    assert where(select_tracks(faces, "largest", 2)) == where(faces)
    assert not len(select_tracks(faces, "largest", 0))
    assert where(select_tracks(faces, "1")) == [(n, 1) for n in range(6)]
    assert {(entry.face.index, entry.reason) for entry in select_tracks(faces, "largest").skipped} == {
        (1, "not selected")
    }
    with pytest.raises(ImageError, match="nor a rule"):
        select_tracks(faces, "prettiest")


def test_who_is_on_screen_while_nobody_before_him_is_counts_as_the_first_there():
    first = tuple(face_at(60, 60, 80, frame=n) for n in range(4))
    second = tuple(face_at(200, 60, 50, frame=n, index=1) for n in range(3, 9))
    assert {face.index for face in select_tracks(Faces(first + second, 9, 120, 280), "largest")} == {0, 1}


@pytest.mark.parametrize(("against", "left"), [({0, 2, 4, 5}, True), ({0, 3}, False)])
def test_most_frames_of_a_person_decide_for_all_of_them(against, left):
    faces, seen = people(), []

    def detect(_frame):
        number = len(seen)
        seen.append(number)
        return faces.between(number, number + 1)

    def choose(crops):
        return crops.without({0: f"said in {seen[-1]}"} if seen[-1] in against else {})

    frames = iter([torch.rand(1, 3, 120, 280)] * 6)
    tracked = follow_faces(frames, detect, smoothing=0, choose=choose, crop_size=64)
    assert where(tracked) == where(faces) if not left else where(tracked) == [(n, 1) for n in range(6)]
    reasons = {(entry.face.index, entry.reason) for entry in tracked.skipped}
    assert reasons == ({(0, "said in 4")} if left else set())


def clip_of(faces, size=(120, 280)):
    """Frames for faces that are followed, and what finds them, frame by frame."""
    numbers = iter(range(faces.frames))

    def detect(_frame):
        number = next(numbers)
        return faces.between(number, number + 1)

    return iter([torch.rand(1, 3, *size)] * faces.frames), detect


@pytest.mark.parametrize(
    ("limits", "left", "reason"),
    [
        ({"min_size": 48}, 1, "smaller than 48 px"),  # who is larger in five frames of nine, though not in all
        ({"max_size": 48}, 0, "larger than 48 px"),
        ({"max_count": 1}, 1, "not among the 1 largest"),
    ],
)
def test_limits_hold_for_a_person_by_most_of_the_frames(limits, left, reason):
    sizes = [80, 80, 60, 80, 60, 80, 60, 80, 60]
    both = [
        (face_at(60, 60, size, frame=n), face_at(200, 60, 140 - size, frame=n, index=1)) for n, size in enumerate(sizes)
    ]
    faces = Faces(tuple(face for pair in both for face in pair), 9, 120, 280)
    tracked = follow_faces(*clip_of(faces), smoothing=0, limits=Detect(**limits))
    assert where(tracked) == [(n, 1 - left) for n in range(9)]
    assert {(entry.face.index, entry.reason) for entry in tracked.skipped} == {(left, reason)}


def test_only_faces_within_limits_are_looked_at():
    """A crowd is not: its crops would take longer than all else."""
    crowd = [face_at(30 + 20 * n, 20, 12, frame=frame, index=1 + n) for n in range(5) for frame in range(2)]
    faces = Faces((*(face_at(60, 80, 60, frame=n) for n in range(2)), *crowd), 2, 120, 280)
    looked = []
    choose = lambda crops: looked.append(len(crops)) or crops  # noqa: E731
    follow_faces(*clip_of(faces), limits=Detect(min_size=20), choose=choose, crop_size=64)
    assert looked == [1, 1]


class Colours(torch.nn.Module):
    """An embedder that knows people by their colour."""

    def forward(self, images):
        return images.mean((2, 3)) - images.mean()


class Painter:
    """A restorer that turns faces on the left blue in every frame for which it is told to."""

    crop_size, notice, options = 64, "", frozenset({"batch_size"})

    def __init__(self, painted):
        self.painted, self.frame = painted, iter(range(10**6))

    def at_once(self, faces, batch_size=None):
        return faces

    def restore(self, crops, options, *, prompts=None, on_batch=None):
        images = crops.images.clone()
        for n, face in enumerate(crops.faces):
            if face.index == 0 and self.painted(next(self.frame)):
                images[n] = torch.tensor([0.0, 0, 1])[:, None, None]
        return crops.with_images(images)


@pytest.mark.parametrize(("painted", "left"), [(lambda n: n % 2 == 0, True), (lambda n: n % 4 == 0, False)])
def test_a_person_who_becomes_somebody_else_in_most_frames_is_left_alone_in_all(painted, left):
    faces = people(9)
    frames = torch.tensor([0.9, 0.3, 0.2])[:, None, None].expand(9, 1, 3, 120, 280) + 0.01
    options = PhotoOptions(min_identity=0.5, color="none")
    kept = keep_people(iter(frames), faces, Painter(painted), Colours(), options)
    assert where(kept) == [(n, 1) for n in range(9)] if left else where(faces)
    assert {entry.reason for entry in kept.skipped} == ({"identity -0.60 is below 0.50"} if left else set())
    with pytest.raises(OptionError, match=r"min_identity 0.5: .*for people, not for frames"):
        next(restore_video(iter(frames), faces, Painter(painted), min_identity=0.5, embedder=Colours()))


def test_faces_left_out_before_they_were_followed_share_no_number_with_a_person():
    small = FaceReport(face_at(130, 60, 20, frame=2, index=1), False, "smaller than 30 px")
    faces = people()
    tracked = track_faces(Faces(faces.faces, 6, 120, 280, (small,)))
    assert [entry.face.index for entry in tracked.skipped] == [3]
    assert {face.index for face in tracked} == {0, 1}


def test_the_command_restores_a_person_in_all_frames_or_in_none(tmp_path, astronaut):
    """Who comes nearer and goes back again, about the least size that is wanted."""
    picture = astronaut.pixels[:, :, 20:180, 140:300]
    (tmp_path / "in").mkdir()
    for number, side in enumerate((160, 132, 160, 132, 160)):
        small = F.interpolate(picture, (side, side), mode="area")
        write_photo(tmp_path / "in" / f"{number}.png", F.pad(small, ((160 - side) // 2,) * 4, mode="reflect"))
    command = ["restore", str(tmp_path / "in"), "--frames", "-o", str(tmp_path / "out"), "--detector", "starter"]
    assert main([*command, "--device", "cpu", "--report", "--min-size", "110"]) == 0
    report = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [(entry["frame"], entry["restored"]) for entry in report["faces"]] == [(n, True) for n in range(5)]
