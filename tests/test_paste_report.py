"""What a paste leaves as it was, and what its report says of each face."""

import pytest
import torch
import torch.nn.functional as F
from conftest import face_at
from test_composite import restored, some_faces

from osdface_core import Faces, ImageError, align_faces, paste_faces


def test_pixels_the_mask_does_not_reach_are_bit_identical():
    image = torch.rand(1, 3, 120, 160) * 3 - 1
    result = paste_faces(image, restored(image, some_faces()))
    outside = result.mask[0] == 0
    assert outside.float().mean() > 0.3
    assert torch.equal(result.image[0][:, outside], image[0][:, outside])
    assert (result.image[0][:, result.mask[0] == 1] != image[0][:, result.mask[0] == 1]).all()


def test_no_face_gives_the_same_tensor_and_says_so():
    image = torch.rand(2, 3, 40, 50)
    result = paste_faces(image, align_faces(image, Faces((), 2, 40, 50), 64))
    assert result.image is image
    assert not result.mask.any()
    assert result.report == ()
    assert (
        result.summary()
        == "frame 0: no face to restore, returned unchanged\nframe 1: no face to restore, returned unchanged"
    )


def test_strength_0_gives_the_same_tensor_and_says_why():
    image = torch.rand(1, 3, 120, 160)
    result = paste_faces(image, restored(image, some_faces()), strength=0)
    assert result.image is image
    assert not result.mask.any()
    assert all(not entry.restored and entry.reason == "strength is 0" for entry in result.report)


def test_a_mask_of_zeros_gives_the_input_and_one_of_ones_changes_nothing():
    image = torch.rand(1, 3, 120, 160)
    crops = restored(image, some_faces())
    nothing = paste_faces(image, crops, mask=torch.zeros(1, 120, 160))
    assert torch.equal(nothing.image, image)
    assert not nothing.mask.any()
    assert {entry.reason for entry in nothing.report} == {"outside the mask"}
    assert not any(entry.restored for entry in nothing.report)
    everything = paste_faces(image, crops, mask=torch.ones(1, 120, 160))
    assert torch.equal(everything.image, paste_faces(image, crops).image)


def test_a_mask_keeps_what_it_leaves_out():
    image = torch.rand(1, 3, 120, 160)
    mask = torch.zeros(1, 120, 160)
    mask[:, :, :60] = 1
    result = paste_faces(image, restored(image, some_faces()), mask=mask)
    assert torch.equal(result.image[..., 60:], image[..., 60:])
    assert not torch.equal(result.image[..., :60], image[..., :60])
    with pytest.raises(ImageError, match="mask must be"):
        paste_faces(image, restored(image, some_faces()), mask=torch.zeros(1, 10, 10))


def test_faces_that_were_left_out_are_reported_in_order():
    image = torch.rand(1, 3, 120, 160)
    faces = some_faces()
    kept = faces.keep([face for face in faces if face.index in (1, 3)], "not selected")
    result = paste_faces(image, restored(image, kept))
    assert [entry.face.index for entry in result.report] == [0, 1, 2, 3]
    assert [entry.restored for entry in result.report] == [False, True, False, True]
    assert result.summary() == "2 of 4 faces restored; faces 0, 2 left: not selected"
    assert result.report_json()["faces"][0]["reason"] == "not selected"


def reasons_of(image, crops, **options):
    result = paste_faces(image, crops, **options)
    assert all(entry.restored != bool(entry.reason) for entry in result.report)
    return result, [entry.reason for entry in result.report]


def test_a_mask_that_leaves_every_pixel_as_it_was_restores_no_face():
    """A ring around the face, where its own mask has all but faded."""
    image = torch.rand(1, 3, 240, 320)
    crops = restored(image, Faces((face_at(160, 120, 160),), 1, 240, 320), 160)
    y, x = torch.meshgrid(torch.arange(240), torch.arange(320), indexing="ij")
    ring = ((x - 160).abs().maximum((y - 120).abs()) > 78).float()[None]
    result, reasons = reasons_of(image, crops, mask=ring)
    assert result.mask.any()
    assert (result.image - image).abs().max() < 0.5 / 255
    assert reasons == ["outside the mask"]
    assert "0 of 1 face restored" in result.summary()


@pytest.mark.parametrize("options", [{}, {"mask": torch.ones(1, 120, 160)}, {"shape": "ellipse"}])
def test_a_crop_that_comes_back_as_it_was_cut_is_not_called_restored(options):
    image = F.interpolate(torch.rand(1, 3, 12, 16), (120, 160), mode="bicubic").clamp(0, 1)
    crops = restored(image, some_faces())
    images = crops.images.clone()
    images[3] = align_faces(image, some_faces(), 64).images[3]
    _, reasons = reasons_of(image, crops.with_images(images), **options)
    assert reasons == ["", "", "", "it looks as before"]


def test_each_of_overlapping_faces_is_judged_by_itself():
    image = F.interpolate(torch.rand(1, 3, 12, 16), (120, 160), mode="bicubic").clamp(0, 1)
    crops = restored(image, some_faces())
    masks = torch.ones(4, 64, 64)
    masks[0] = 0
    _, reasons = reasons_of(image, crops, crop_masks=masks)
    assert reasons == ["outside the mask", "", "", ""]
    images = crops.images.clone()
    images[1] = align_faces(image, some_faces(), 64).images[1]
    _, reasons = reasons_of(image, crops.with_images(images), strength=0.5)
    assert reasons == ["", "it looks as before", "", ""]


def test_a_report_begins_with_what_a_person_wants_to_know_and_rounds_its_figures():
    image = torch.rand(1, 3, 200, 300)
    faces = Faces((face_at(50, 60, 100 / 3), face_at(110, 60, 50, index=1)), 1, 200, 300)
    report = paste_faces(image, restored(image, faces.keep(faces.faces[1:], "not selected"))).report_json()
    assert next(iter(report.items())) == ("summary", "1 of 2 faces restored; face 0 left: not selected")
    numbers = [value for face in report["faces"] for value in [*face["box"], *face["size"], face["score"]]]
    assert all(value == round(value, 3) for value in numbers)
    assert any(value != round(value, 2) for value in numbers)
    assert [face["index"] for face in report["faces"]] == [0, 1]
