"""Faces followed through clips made from real photos, found by the real detector."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from clips import pan, photo, still
from conftest import face_at
from hypothesis import given, settings
from hypothesis import strategies as st

from osdface_core import Faces
from osdface_core.faces import inverse
from osdface_core.geometry.align import similarity_to_crop
from osdface_core.video.track import find_cuts, thumbnails, track_faces


def landmarks(faces, index=0):
    """[frames,5,2] of one person."""
    return np.array([face.landmarks for face in faces if face.index == index])


def jitter(faces):
    """How far the corners of a 512-pixel crop move on the photo from frame to frame, in crop pixels, on average."""
    to_crop = torch.stack([similarity_to_crop(face, 512) for face in faces])
    corners = torch.tensor([[0, 511, 0, 511], [0, 0, 511, 511]]).double()
    place = inverse(to_crop[:1])[0]
    moved = to_crop[:, :, :2] @ (place[:, :2] @ corners + place[:, 2:]) + to_crop[:, :, 2:]
    return (moved[1:] - moved[:-1]).norm(dim=1).mean().item()


def test_a_resting_face_rests(shared, detector):
    clip = still(photo(shared, "astronaut.png", (384, 384)), 16)
    found = detector.detect(clip)
    tracked = track_faces(found)
    assert [(face.frame, face.index) for face in tracked] == [(frame, 0) for frame in range(16)]
    assert jitter(found) > 2
    assert jitter(tracked) < jitter(found) / 10


def test_a_moving_face_is_followed_without_lag(shared, detector):
    clip = pan(photo(shared, "astronaut.png", (384, 512)), 16, 4, 400)
    found = detector.detect(clip)
    tracked = track_faces(found)
    moved = landmarks(tracked) + 4 * np.arange(16)[:, None, None] * (1, 0)
    truth = np.median(landmarks(found) + 4 * np.arange(16)[:, None, None] * (1, 0), axis=0)
    assert np.abs(moved - truth).max() < 1
    assert abs((moved - truth)[..., 0].mean()) < 0.2
    assert jitter(tracked) < 1.2 * 4 * 512 / 169  # the pan itself, in crop pixels


def test_a_missed_frame_is_filled_in(shared, detector):
    clip = still(photo(shared, "astronaut.png", (384, 384)), 9)
    clip[4, :, :200, 140:300] = 0.5
    found = detector.detect(clip)
    assert 4 not in {face.frame for face in found}
    tracked = track_faces(found)
    assert [(face.frame, face.index) for face in tracked] == [(frame, 0) for frame in range(9)]
    assert np.abs(landmarks(tracked)[4] - np.median(landmarks(found), axis=0)).max() < 1
    assert [face.index for face in track_faces(found, max_gap=0)] == [0] * 4 + [1] * 4


def test_after_a_cut_everyone_is_new(shared, detector):
    first = photo(shared, "astronaut.png", (384, 384))
    second = photo(shared, "astronaut.png", (384, 400)).flip(2)[:, :, 60:444]
    second = torch.nn.functional.pad(second, (0, 384 - second.shape[2]))
    clip = torch.cat([still(first, 6), still(second, 6, seed=1)])
    cuts = find_cuts(thumbnails(clip))
    assert cuts == [6]
    found = detector.detect(clip)
    assert [face.index for face in track_faces(found, cuts=cuts)] == [0] * 6 + [1] * 6
    in_place = track_faces(found, cuts=cuts)
    apart = np.abs(landmarks(in_place, 1) - landmarks(found.keep(f for f in found if f.frame >= 6))).max()
    assert apart < 2  # nothing of the first scene pulls at the second


def test_noise_a_pan_and_a_flash_are_no_cuts(shared):
    picture = photo(shared, "astronaut.png", (384, 512))
    assert find_cuts(thumbnails(still(picture, 6, noise=0.1))) == []
    assert find_cuts(thumbnails(pan(picture, 10, 12, 384))) == []
    flash = still(picture, 7)
    flash[3] = (flash[3] + 0.5).clamp(0, 1)
    assert find_cuts(thumbnails(flash)) == []
    assert find_cuts(thumbnails(flash[:1])) == []


def test_everyone_in_a_group_keeps_their_number(shared, detector):
    clip = pan(photo(shared, "group_solvay1927.jpg", (640, 1000)), 3, 6, 960)
    found = detector.detect(clip)
    tracked = track_faces(found)
    people = {face.index: face for face in tracked if face.frame == 0}
    assert len(people) > 15
    for face in tracked:
        if face.index in people:
            x = people[face.index].landmarks[2][0] - 6 * face.frame
            assert abs(face.landmarks[2][0] - x) < 0.2 * face.width


def clip_of(*tracks, frames=20):
    faces = [face for track in tracks for face in track]
    return Faces(tuple(sorted(faces, key=lambda face: (face.frame, face.index))), frames, 400, 600)


def test_people_who_pass_each_other_keep_their_numbers():
    right = [face_at(100 + 20 * n, 200, 80, frame=n, index=0) for n in range(20)]
    left = [face_at(500 - 20 * n, 215, 80, frame=n, index=1) for n in range(20)]
    tracked = track_faces(clip_of(right, left))
    assert np.allclose(landmarks(tracked, 0)[:, 2, 0], landmarks(clip_of(right))[:, 2, 0], atol=0.01)
    assert np.allclose(landmarks(tracked, 1)[:, 2, 0], landmarks(clip_of(left), 1)[:, 2, 0], atol=0.01)


def test_a_turn_is_not_rounded_off():
    """A face that stops dead: the window closes around the bend."""
    x = [100 + 15 * min(n, 10) for n in range(20)]
    track = [face_at(place, 200, 100, frame=n) for n, place in enumerate(x)]
    tracked = track_faces(clip_of(track))
    assert np.abs(landmarks(tracked) - landmarks(clip_of(track))).max() < 1.5


def test_one_false_detection_is_put_right():
    track = [face_at(200, 200, 100, frame=n) for n in range(20)]
    track[9] = face_at(212, 190, 100, frame=9, angle=20)
    tracked = track_faces(clip_of(track))
    assert np.abs(landmarks(tracked)[9] - landmarks(tracked)[0]).max() < 1


def test_without_smoothing_and_gaps_faces_stay_as_they_are():
    faces = clip_of([face_at(200 + n % 3, 200, 100, frame=n) for n in range(0, 20, 2)])
    assert [replace(face, index=0) for face in track_faces(faces, smoothing=0, max_gap=0)] == list(faces)
    assert not len(track_faces(faces.keep([])))


places = st.tuples(st.integers(0, 9), st.floats(-50, 650), st.floats(-50, 450), st.floats(0.5, 300), st.floats(0, 360))


@settings(max_examples=60, deadline=None)
@given(st.lists(places, max_size=12), st.floats(0, 20), st.integers(0, 12))
def test_no_face_is_lost_and_no_number_used_twice(seen, smoothing, max_gap):
    faces = clip_of([face_at(x, y, s, frame=n, index=i, angle=a) for i, (n, x, y, s, a) in enumerate(seen)], frames=10)
    tracked = track_faces(faces, smoothing=smoothing, max_gap=max_gap, cuts=[5])
    labels = [(face.frame, face.index) for face in tracked]
    assert labels == sorted(set(labels))
    for frame in range(10):
        assert sum(face.frame == frame for face in tracked) >= sum(face.frame == frame for face in faces)
    assert np.isfinite([face.box for face in tracked]).all()
    assert {index for frame, index in labels if frame < 5}.isdisjoint(index for frame, index in labels if frame >= 5)


@pytest.mark.parametrize("frames", [1, 2])
def test_very_short_clips(frames):
    faces = clip_of([face_at(200, 200, 100, frame=n) for n in range(frames)], frames=frames)
    assert np.allclose(landmarks(track_faces(faces)), landmarks(faces))


def test_faces_that_were_left_out_share_no_number_with_those_that_are_followed():
    faces = (face_at(30, 30, 30, index=0), face_at(90, 30, 30, index=1), face_at(92, 30, 30, frame=1, index=0))
    found = Faces(faces, 2, 60, 120).keep(faces[1:], "smaller than 40 px")
    tracked = track_faces(found, smoothing=0)
    assert [(face.frame, face.index) for face in tracked] == [(0, 0), (1, 0)]
    assert [(entry.face.frame, entry.face.index) for entry in tracked.skipped] == [(0, 1)]
    assert Faces.from_json(tracked.to_json()) == tracked
