"""What is chosen in a video is a person, in all frames or in none."""

import pytest
import torch
from conftest import face_at

from osdface_core import Faces, ImageError
from osdface_core.faces import FaceReport
from osdface_core.selection.select import select_by_rule
from osdface_core.video.choose import select_tracks
from osdface_core.video.restore import follow_faces
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
    assert {(entry.face.index, entry.reason) for entry in select_tracks(faces, "largest").left_out} == {
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
    reasons = {(entry.face.index, entry.reason) for entry in tracked.left_out}
    assert reasons == ({(0, "said in 4")} if left else set())


def test_faces_left_out_before_they_were_followed_share_no_number_with_a_person():
    small = FaceReport(face_at(130, 60, 20, frame=2, index=1), False, "smaller than 30 px")
    faces = people()
    tracked = track_faces(Faces(faces.faces, 6, 120, 280, (small,)))
    assert [entry.face.index for entry in tracked.left_out] == [3]
    assert {face.index for face in tracked} == {0, 1}
