"""The fit of five landmarks to a template, beside OpenCV's."""

import json

import cv2
import numpy as np
import pytest
import torch

from osdface_core.geometry.align import ffhq_template
from osdface_core.geometry.similarity import least_median, least_squares

TEMPLATE = ffhq_template(512)
CORNERS = np.array([[-0.5, -0.5, 1], [511.5, -0.5, 1], [-0.5, 511.5, 1], [511.5, 511.5, 1]]).T


def distance(ours, theirs):
    """How far apart two similarities to a crop put what one of them puts in the crop's corners: crop pixels."""
    to_source = np.linalg.inv(np.vstack([theirs, [0, 0, 1]])) @ CORNERS
    return np.hypot(*((np.asarray(ours) - theirs) @ to_source)).max()


def opencv(landmarks):
    return cv2.estimateAffinePartial2D(landmarks, TEMPLATE, method=cv2.LMEDS)[0]


def test_it_is_opencvs_on_every_recorded_face(shared):
    faces = [
        np.array(face["landmarks"])
        for path in sorted((shared / "golden" / "detect").glob("*.json"))
        for run in json.loads(path.read_text(encoding="utf-8"))["runs"]
        for face in run["faces"]
    ]
    assert len(faces) > 80
    assert max(distance(least_median(face, TEMPLATE), opencv(face)) for face in faces) < 0.002


def test_it_is_opencvs_with_landmarks_that_are_far_off():
    random = np.random.default_rng(0)
    for spread in (0.5, 4, 16):
        for _ in range(100):
            face = TEMPLATE + random.normal(0, spread, (5, 2))
            face[random.integers(5)] += random.normal(0, 100, 2)
            assert distance(least_median(face, TEMPLATE), opencv(face)) < 0.02


@pytest.mark.parametrize("angle", [0, 30, 180, -90])
def test_two_landmarks_far_off_do_not_move_it(angle):
    turn = 3 * np.exp(1j * np.deg2rad(angle))
    points = turn * (TEMPLATE @ [1, 1j]) + (40 - 7j)
    face = np.stack([points.real, points.imag], 1)
    inverse = np.array([[turn.real, turn.imag], [-turn.imag, turn.real]]) / abs(turn) ** 2
    for first, second in ((0, 3), (1, 2), (2, 4), (3, 4)):
        off = face.copy()
        off[[first, second]] += [[300, -40], [-80, 500]]
        matrix = least_median(off, TEMPLATE)
        assert np.abs(matrix[:, :2].numpy() - inverse).max() < 1e-9
        assert np.abs(face @ matrix[:, :2].numpy().T + matrix[:, 2].numpy() - TEMPLATE).max() < 1e-6


def test_a_mirrored_face_is_fitted_alike():
    random = np.random.default_rng(1)
    swap, flip = [1, 0, 2, 4, 3], [-1, 1]
    mirror = torch.tensor([[1.0, -1, -1], [-1, 1, 1]]).double()
    for _ in range(100):
        face = TEMPLATE + random.normal(0, 8, (5, 2))
        mirrored = least_median((face * flip)[swap], (TEMPLATE * flip)[swap])
        assert torch.allclose(mirrored * mirror, least_median(face, TEMPLATE), atol=1e-7)


@pytest.mark.parametrize("value", [7.0, 1e308, float("nan"), float("inf")])
def test_landmarks_in_one_place_fit_nothing(value):
    points = np.full((5, 2), value)
    assert not least_median(points, TEMPLATE).isfinite().all()
    assert not least_squares(points, TEMPLATE).isfinite().all()
