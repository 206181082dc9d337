"""Crops that were restored apart, together again."""

import pytest
import torch
from conftest import face_at

from osdface_core import Faces, ImageError, align_faces, paste_faces
from osdface_core.compositing.join import join_crops

FACES = Faces(tuple(face_at(40 + 60 * n, 60, 50, index=n) for n in range(3)), 1, 120, 240)


@pytest.fixture
def photo():
    return torch.rand(1, 3, 120, 240, generator=torch.Generator().manual_seed(0))


def group(photo, numbers, size=64):
    """Some of the faces, brightened as a restorer would change them."""
    crops = align_faces(photo, FACES.keep((FACES.faces[n] for n in numbers), "not selected"), size)
    return crops.with_images(crops.images * 0.5 + 0.4)


def test_two_groups_are_pasted_as_one(photo):
    joined = join_crops(group(photo, [1]), group(photo, [0, 2]))
    together = group(photo, [0, 1, 2])
    assert joined.faces == together.faces
    assert joined.faces.skipped == ()
    assert torch.equal(joined.images, together.images)
    assert torch.equal(joined.to_crop, together.to_crop)
    pasted = paste_faces(photo, joined)
    assert torch.equal(pasted.image, paste_faces(photo, together).image)
    assert pasted.summary() == "3 of 3 faces restored"


def test_faces_that_neither_has_stay_left_out_once(photo):
    joined = join_crops(group(photo, [0]), group(photo, [1]))
    assert [entry.face.index for entry in joined.faces.skipped] == [2]


def test_the_smaller_ones_are_enlarged(photo):
    joined = join_crops(group(photo, [0], 64), group(photo, [1, 2], 128))
    assert joined.size == 128
    apart = paste_faces(photo, group(photo, [0], 64)).image
    alone = paste_faces(photo, join_crops(group(photo, [0], 64), group(photo, [], 128))).image
    assert (apart - alone).abs().mean() < 0.01
    assert (apart - photo).abs().mean() > 0.01


@pytest.mark.parametrize("numbers", [([], []), ([], [0, 1]), ([2], [])])
def test_a_group_may_be_empty(photo, numbers):
    joined = join_crops(*(group(photo, own) for own in numbers))
    assert [face.index for face in joined.faces] == sorted(numbers[0] + numbers[1])


def test_a_face_in_both_or_from_elsewhere_is_an_error(photo):
    with pytest.raises(ImageError, match=r"Face 1 of image 0 is in both groups. Select it for one of them"):
        join_crops(group(photo, [0, 1]), group(photo, [1, 2]))
    other = align_faces(photo[:, :, :100], Faces(FACES.faces[:1], 1, 100, 240), 64)
    with pytest.raises(ImageError, match=r"different images: 1 image\(s\) of 240x120 and 1 image\(s\) of 240x100"):
        join_crops(group(photo, [1]), other)


def test_identities_stay_with_their_faces(photo):
    from dataclasses import replace

    first, second = replace(group(photo, [2]), identity=(0.2,)), replace(group(photo, [0, 1]), identity=(0.5, 0.6))
    assert join_crops(first, second).identity == (0.5, 0.6, 0.2)
    assert join_crops(first, group(photo, [0])).identity is None
