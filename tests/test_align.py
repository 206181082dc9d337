"""Alignment: facexlib's geometry, anti-aliased, with mirrored borders."""

import json
import math

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import face_at

from osdface_core import Face, Faces, ImageError, align_faces, read_photo
from osdface_core.faces import inverse
from osdface_core.geometry.align import can_be_aligned, similarity_to_crop, warp

UNPASTED = ["old_autochrome_shaw1908_x1", "derived__portrait_wh_rot20_x1", "group_solvay1927_x1", "ai_m47_64_x4"]


def facexlib_case(shared, name):
    """One recorded run of facexlib's helper: the photo, its faces, and the record."""
    cases = json.loads((shared / "golden" / "helper" / "helper.json").read_text(encoding="utf-8"))["cases"]
    case = next(case for case in cases if case["name"] == name)
    photo = read_photo(shared / "images" / case["image"])
    found = json.loads(
        (shared / "golden" / "detect" / (case["image"].replace("/", "__") + ".json")).read_text(encoding="utf-8")
    )
    kept = [face for face in found["runs"][0]["faces"] if face["score"] > 0.97]
    faces = tuple(
        Face(0, index, tuple(face["box"]), face["score"], tuple(map(tuple, face["landmarks"])))
        for index, face in enumerate(kept)
    )
    return photo.pixels, Faces(faces, 1, *photo.pixels.shape[2:]), case


@pytest.mark.parametrize("name", UNPASTED)
def test_the_similarity_is_facexlibs(shared, name):
    image, faces, case = facexlib_case(shared, name)
    recorded = np.array([face["affine"] for face in case["faces"]])
    assert np.abs(align_faces(image, faces).to_crop.numpy() - recorded).max() < 0.007


@pytest.mark.parametrize("name", ["old_autochrome_shaw1908_x1", "derived__portrait_wh_rot20_x1", "ai_m47_64_x4"])
def test_enlarged_crops_are_facexlibs_where_they_show_the_photo(shared, name):
    image, faces, case = facexlib_case(shared, name)
    crop = align_faces(image, faces).images[0].permute(1, 2, 0).numpy() * 255
    recorded = cv2.imread(str(shared / "golden" / "helper" / f"{name}_crop0.png"))[:, :, ::-1].astype(float)
    inside = np.ones(image.shape[2:], np.float32)
    inside = cv2.warpAffine(inside, np.array(case["faces"][0]["affine"]), (512, 512)) > 0.999
    inside = cv2.erode(inside.astype(np.uint8), np.ones((3, 3))) > 0
    gap = np.abs(crop - recorded)[inside]
    assert inside.mean() > 0.5
    assert gap.max() <= 4
    assert gap.mean() <= 0.26  # 0.25 of it is facexlib's rounding to 8 bits


def test_a_large_face_is_reduced_without_aliasing():
    """Stripes finer than the crop can show become their mean; sampled plainly they leave a false pattern."""
    stripes = (torch.arange(1024) % 2).float().expand(1, 3, 1024, 1024)
    face = face_at(511.5, 511.5, 900)
    crop = align_faces(stripes, Faces((face,), 1, 1024, 1024), 256).images[0]
    plain = warp(stripes[0], similarity_to_crop(face, 256), (256, 256), spacing=math.inf)
    assert (crop - 0.5).abs().max() < 0.15
    assert (plain - 0.5).abs().max() > 0.45


def test_reducing_by_a_whole_number_averages_blocks():
    image = torch.rand(3, 64, 64)
    matrix = torch.tensor([[0.25, 0, -0.375], [0, 0.25, -0.375]], dtype=torch.float64)
    assert torch.allclose(warp(image, matrix, (16, 16)), F.avg_pool2d(image, 4), atol=1e-5)


def test_a_crop_at_half_the_size_is_the_crop_reduced():
    image = torch.rand(1, 3, 300, 300)
    faces = Faces((face_at(150, 150, 400, angle=17),), 1, 300, 300)
    large, small = align_faces(image, faces, 512).images, align_faces(image, faces, 256).images
    assert torch.allclose(F.avg_pool2d(large, 2), small, atol=1e-4)


def test_outside_the_photo_lies_its_mirror_image_not_grey():
    """facexlib fills with grey, which bleeds into the face. A plain photo must give a plain crop."""
    image = torch.full((1, 3, 100, 100), 0.9)
    crop = align_faces(image, Faces((face_at(5, 95, 120, angle=30),), 1, 100, 100)).images
    assert torch.allclose(crop, torch.full_like(crop, 0.9), atol=1e-5)


def test_a_crop_reads_only_its_own_surroundings():
    image = torch.rand(1, 3, 400, 500)
    far = image.clone()
    far[..., :100, :100] = 1e6
    faces = Faces((face_at(300, 250, 150, angle=10),), 1, 400, 500)
    assert torch.equal(align_faces(image, faces).images, align_faces(far, faces).images)


def test_mirror_image_is_the_same_as_on_the_padded_photo():
    image = torch.rand(1, 3, 120, 160)
    padded = torch.from_numpy(np.pad(image.numpy(), ((0, 0), (0, 0), (60, 60), (60, 60)), mode="symmetric"))
    inner = Faces((face_at(150, 110, 60, angle=25),), 1, 120, 160)
    outer = Faces((face_at(150 + 60, 110 + 60, 60, angle=25),), 1, 240, 280)
    assert torch.allclose(align_faces(image, inner).images, align_faces(padded, outer).images, atol=1e-3)


def test_landmarks_that_span_nothing_are_an_error_and_known_beforehand():
    point = Face(0, 3, (0, 0, 50, 50), 0.9, ((5.0, 5.0),) * 5)
    assert not can_be_aligned(point)
    with pytest.raises(ImageError, match="Face 3 of frame 0 cannot be aligned"):
        similarity_to_crop(point, 512)
    assert can_be_aligned(face_at(50, 50, 60))
    collapsed = Face(0, 0, (0, 0, 80, 80), 0.99, face_at(50, 50, 4).landmarks)
    assert not can_be_aligned(collapsed)
    faces = Faces((collapsed, face_at(50, 50, 60, index=1), point), 1, 99, 99)
    crops = align_faces(torch.rand(1, 3, 99, 99), faces, 64)
    assert [face.index for face in crops.faces] == [1]


def test_faces_of_another_image_are_refused():
    faces = Faces((face_at(20, 20, 20),), 1, 64, 64)
    with pytest.raises(ImageError, match="Detect the faces again"):
        align_faces(torch.rand(1, 3, 64, 65), faces)


def test_the_inverse_undoes_the_matrix():
    matrix = similarity_to_crop(face_at(70, 40, 33, angle=40), 512)
    point = torch.tensor([[12.0], [34.0]], dtype=torch.float64)
    there = matrix[:, :2] @ point + matrix[:, 2:]
    back = inverse(matrix)
    assert torch.allclose(back[:, :2] @ there + back[:, 2:], point)
