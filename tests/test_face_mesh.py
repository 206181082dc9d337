"""MediaPipe's face meshes as faces: the right points of the mesh, and a line or an error for what is no face."""

import json

import numpy as np
import pytest
import torch
from conftest import ROOT

from osdface_core import Faces, ImageError, align_faces
from osdface_core.detection.mediapipe import MESH, WITH_IRISES, faces_of_meshes

EYES = {33: (195.2, 100.9), 133: (213.3, 103.7), 362: (237.0, 104.9), 263: (255.8, 104.3)}
IRISES = {468: (203.5, 101.1), 473: (246.6, 103.5)}
NOSE_AND_MOUTH = {1: (223.4, 130.0), 61: (201.8, 139.2), 291: (245.0, 141.0)}
OUTERMOST = {109: (218.9, 71.2), 152: (221.3, 177.4), 137: (179.0, 120.2), 356: (270.7, 106.8)}
"""Where MediaPipe's face landmarker sees some of its points on photos/astronaut.png."""

SIZE = (512, 512)


def mesh(points=WITH_IRISES):
    """The astronaut's; the other points lie where no landmark is."""
    landmarks = np.full((points, 2), (225.0, 160.0), np.float32)
    for number, point in (EYES | IRISES | NOSE_AND_MOUTH | OUTERMOST).items():
        if number < points:
            landmarks[number] = point
    return landmarks


def landmarks_of(*frames, **more):
    """ComfyUI's FACE_LANDMARKS of these meshes."""
    return {"frames": [[{"landmarks_xy": points, "score": 0.9} for points in own] for own in frames]} | more


def faces_of(*meshes):
    return faces_of_meshes(landmarks_of(meshes, image_size=SIZE), 1, *SIZE)


@pytest.mark.parametrize("points", [MESH, WITH_IRISES])
def test_a_mesh_gives_the_face_that_the_detector_finds(points):
    (face,) = faces_of(mesh(points))
    (found,) = Faces.from_json(json.loads((ROOT / "photos" / "astronaut.json").read_text(encoding="utf-8")))
    between_eyes = found.landmarks[1][0] - found.landmarks[0][0]
    assert np.abs(np.array(face.landmarks) - np.array(found.landmarks)).max() < 0.06 * between_eyes
    assert face.box == pytest.approx((179.0, 71.2, 270.7, 177.4))
    assert face.score == pytest.approx(0.9)


def test_the_eyes_are_the_irises_or_else_the_means_of_their_corners():
    with_irises, without = faces_of(mesh(), mesh(MESH))
    assert np.array(with_irises.landmarks[:2]) == pytest.approx(np.array([(203.5, 101.1), (246.6, 103.5)]))
    assert np.array(without.landmarks[:2]) == pytest.approx(np.array([(204.25, 102.3), (246.4, 104.6)]))
    assert with_irises.landmarks[2:] == without.landmarks[2:]


def test_a_face_upside_down_is_cut_upright():
    image = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    upright = align_faces(image, faces_of(mesh()))
    turned = align_faces(torch.rot90(image, 2, (2, 3)), faces_of(511 - mesh()))
    assert (upright.images - turned.images).abs().max() < 1e-3


def test_faces_keep_the_numbers_they_come_with_and_one_images_faces_go_for_all():
    meshes = (mesh() + 100, mesh())
    faces = faces_of_meshes(landmarks_of(meshes), 3, *SIZE)
    assert [(face.frame, face.index) for face in faces] == [(frame, index) for frame in range(3) for index in (0, 1)]
    assert faces.faces[0].box[0] > faces.faces[1].box[0]
    apart = faces_of_meshes(landmarks_of((), (mesh(),)), 2, *SIZE)
    assert [(face.frame, face.index) for face in apart] == [(1, 0)]
    assert not len(faces_of_meshes(landmarks_of(()), 1, *SIZE))


def changed(number, value):
    points = mesh()
    points[number] = value
    return points


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (changed(17, np.nan), "no numbers"),
        (changed(468, (np.inf, 0)), "no numbers"),
        (np.full((WITH_IRISES, 2), 200.0), "do not fit a face"),
        (changed(17, (1e30, 0)), "do not fit a face"),
        (mesh() + 600, "outside the image"),
        (mesh() * 100, "outside the image"),
    ],
    ids=["NaN", "infinite", "coincident", "a point far off", "outside", "far too large"],
)
def test_a_mesh_that_is_no_face_is_left_out_with_its_line_in_the_report(bad, reason):
    faces = faces_of(bad, mesh())
    assert [face.index for face in faces] == [1]
    (entry,) = faces.skipped
    assert entry.face.index == 0
    assert reason in entry.reason
    json.dumps(faces.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([mesh()], "no face landmarks, but a list"),
        ({"faces": []}, "no face landmarks .KeyError: 'frames'"),
        ({"frames": 7}, "no face landmarks .TypeError"),
        ({"frames": [[mesh()]]}, "no face landmarks"),
        ({"frames": [[{"bbox_xyxy": (1, 2, 3, 4)}]]}, "landmarks_xy.*Expected what Detect Face Landmarks"),
        (landmarks_of([mesh()[:68]]), r"landmarks_xy is \[68, 2\].*468 or 478"),
        (landmarks_of(["points"]), "no face landmarks .ValueError"),
        (landmarks_of([mesh()], image_size=None), "no face landmarks .TypeError"),
        (landmarks_of([mesh()], image_size=(256, 128)), "of size 128x256, but this one is 512x512. Detect them"),
        (landmarks_of([mesh()], [mesh()], [mesh()]), "for 3 images, but the batch has 2"),
    ],
)
def test_what_is_no_face_landmarks_of_these_images_is_a_named_error(value, message):
    with pytest.raises(ImageError, match=message):
        faces_of_meshes(value, 2, *SIZE)
