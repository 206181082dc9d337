"""Pasting back: facexlib's result where it is right, and the better one where it is not."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import face_at
from hypothesis import given, settings
from hypothesis import strategies as st
from test_align import UNPASTED, facexlib_case

from osdface_core import Composite, FaceCrops, Faces, ImageError, align_faces, paste_faces
from osdface_core.errors import OptionError
from osdface_core.geometry.align import warp


def recorded_crops(shared, name):
    """facexlib's own crops and matrices, the background it pasted them into, and what came out (0..255)."""
    image, faces, case = facexlib_case(shared, name)
    matrices = np.array([face["affine"] for face in case["faces"]])
    source = (image[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    crops = [cv2.warpAffine(source, matrix, (512, 512), borderValue=(132, 133, 135)) for matrix in matrices]
    to_crop = torch.from_numpy(matrices.copy())
    scale = case["upscale"]
    if scale > 1:
        # facexlib shifts by half an enlarged pixel too much; shift its crops along, to compare all the rest
        to_crop[:, :, 2] -= to_crop[:, :, :2].sum(-1) * 0.5 / scale
    size = (source.shape[1] * scale, source.shape[0] * scale)
    background = cv2.resize(source, size, interpolation=cv2.INTER_LANCZOS4)
    pasted = cv2.imread(str(shared / "golden" / "helper" / f"{name}_pasted.png"))[:, :, ::-1].astype(int)
    return FaceCrops(to_tensor(np.stack(crops)), faces, to_crop), to_tensor(background[None]), pasted


def to_tensor(values):
    return torch.from_numpy(values).permute(0, 3, 1, 2).float() / 255


def to_levels(image):
    return (image[0].permute(1, 2, 0).numpy() * 255).clip(0, 255).astype(int)


@pytest.mark.parametrize("name", [*UNPASTED, "old_autochrome_shaw1908_x2"])
def test_inside_a_single_face_it_is_facexlibs_paste(shared, name):
    crops, background, pasted = recorded_crops(shared, name)
    result = paste_faces(background, crops, plain=True)
    ours, inside = to_levels(result.image), result.mask[0].numpy() > 0.99
    if name.startswith("group"):
        # Where faces are close theirs is the last one and its dark seam, ours a mix. Only these rows are recorded.
        reach = [
            F.max_pool2d(paste_faces(background, crops.take([n])).mask, 15, 1, 7)[0] > 0 for n in range(len(crops))
        ]
        inside &= (sum(mask.int() for mask in reach) == 1).numpy()
        ours, inside = ours[320:640], inside[320:640]
    assert inside.sum() > 10_000
    assert np.abs(ours - pasted)[inside].max() <= 3


def test_a_whole_paste_is_facexlibs_where_the_face_lies_within_the_photo(shared):
    crops, background, pasted = recorded_crops(shared, "derived__portrait_wh_rot20_x1")
    assert np.abs(to_levels(paste_faces(background, crops, plain=True).image) - pasted).max() <= 3


def test_small_faces_get_no_dark_seam(shared):
    """facexlib's blur reaches beyond its eroded crop, so that even unchanged crops darken a bright wall around them."""
    crops, background, pasted = recorded_crops(shared, "group_solvay1927_x1")
    wall = (slice(436, 441), slice(322, 352))
    before = to_levels(background)[wall]
    theirs = pasted[436 - 320 : 441 - 320, 322:352]
    ours = to_levels(paste_faces(background, crops).image)[wall]
    assert (before - theirs).max() >= 15
    assert np.abs(before - ours).max() <= 2


@pytest.mark.parametrize("scale", [2, 4])
def test_an_enlarged_background_lines_up_to_a_fiftieth_of_a_pixel(scale):
    """A ramp shows where the crop lands: a shift by half a pixel, as facexlib's, would be 25 times the limit."""
    height, width = 160, 200
    ramp = torch.arange(width).float().div(width).expand(1, 3, height, width)
    faces = Faces((face_at(101.3, 83.1, 90, angle=12),), 1, height, width)
    x = (torch.arange(width * scale).float() + 0.5) / scale - 0.5
    enlarged = (x / width).expand(1, 3, height * scale, width * scale)
    result = paste_faces(enlarged, align_faces(ramp, faces))
    assert result.mask.max() == 1
    shift = (result.image - enlarged).abs().max() * width * scale
    assert shift < 0.02


def test_the_mask_turns_with_the_face():
    """The same share of the face is pasted at any angle; facexlib erodes a turned face's mask from its corners."""
    image = torch.zeros(1, 3, 400, 400)
    areas = []
    for angle in (0, 20, 45):
        faces = Faces((face_at(200, 200, 200, angle=angle),), 1, 400, 400)
        areas.append(paste_faces(image, align_faces(image, faces)).mask.sum().item())
    assert max(areas) / min(areas) < 1.001


def test_the_mask_moves_smoothly_with_the_face():
    image = torch.zeros(1, 3, 200, 200)
    masks = []
    for step in range(5):
        faces = Faces((face_at(100 + step / 10, 100, 80 + step / 10),), 1, 200, 200)
        masks.append(paste_faces(image, align_faces(image, faces)).mask)
    assert max((a - b).abs().max() for a, b in pairwise(masks)) < 0.05


def some_faces(height=120, width=160, frames=1):
    faces = (
        face_at(50, 50, 60, index=0),
        face_at(80, 60, 60, index=1, angle=15),
        face_at(70, 85, 50, index=2),
        face_at(140, 30, 30, index=3, angle=-20),
    )
    return Faces(faces, frames, height, width)


def restored(image, faces, size=64):
    """Crops as a restorer might return them: other pixels at the same places."""
    crops = align_faces(image, faces, size)
    generator = torch.Generator().manual_seed(1)
    return FaceCrops(torch.rand(crops.images.shape, generator=generator), crops.faces, crops.to_crop)


def test_overlapping_faces_composite_independently_of_order():
    image = torch.rand(1, 3, 120, 160)
    crops = restored(image, some_faces())
    expected = paste_faces(image, crops)
    for order in ([3, 2, 1, 0], [1, 3, 0, 2]):
        shuffled = FaceCrops(
            crops.images[order], crops.faces.keep(crops.faces.faces[n] for n in order), crops.to_crop[order]
        )
        result = paste_faces(image, shuffled)
        assert torch.equal(result.image, expected.image)
        assert torch.equal(result.mask, expected.mask)
        assert result.report == expected.report


def test_groups_of_faces_do_not_disturb_each_other():
    """All faces at once equal the overlapping three and the single one pasted one after the other."""
    image = torch.rand(1, 3, 120, 160)
    crops = restored(image, some_faces())
    step = paste_faces(image, crops.take(range(3)))
    single = paste_faces(step.image, crops.take([3]))
    together = paste_faces(image, crops)
    assert torch.equal(together.image, single.image)
    assert torch.equal(together.mask, step.mask + single.mask)


def test_strength_is_a_straight_mix():
    image = torch.rand(1, 3, 120, 160)
    crops = restored(image, some_faces())
    whole, half = paste_faces(image, crops), paste_faces(image, crops, strength=0.5)
    assert torch.allclose(half.image, torch.lerp(image, whole.image, 0.5), atol=1e-6)
    assert torch.equal(half.mask, whole.mask / 2)


def test_each_frame_gets_its_own_faces():
    image = torch.rand(3, 3, 120, 160)
    faces = Faces((face_at(50, 50, 60, frame=0), face_at(90, 70, 60, frame=2)), 3, 120, 160)
    result = paste_faces(image, restored(image, faces))
    assert torch.equal(result.image[1], image[1])
    assert [bool(result.mask[frame].any()) for frame in range(3)] == [True, False, True]


def test_sixteen_bit_gradients_survive_an_unchanged_crop():
    """A gradient of 16-bit steps stays a gradient: no trip through 8 bits on the way."""
    height, width = 200, 256
    gradient = (torch.arange(width) * 3 + 20000).float().div(65535).expand(1, 3, height, width)
    faces = Faces((face_at(128, 100, 128, angle=9),), 1, height, width)
    result = paste_faces(gradient, align_faces(gradient, faces))
    assert result.mask.max() == 1
    levels = (result.image * 65535).round()
    assert (levels - (gradient * 65535).round()).abs().max() <= 1


def test_a_face_beyond_the_edge_changes_only_what_is_there():
    image = torch.rand(1, 3, 100, 100)
    faces = Faces((face_at(5, 50, 80, index=0), face_at(-300, -300, 50, index=1)), 1, 100, 100)
    result = paste_faces(image, restored(image, faces))
    assert result.mask[0, 50, 0] == 1
    assert not result.mask[0, :, 60:].any()
    assert [entry.reason for entry in result.report] == ["", "outside the image"]


def test_a_finer_crop_is_averaged_not_sampled():
    """Restored detail finer than the photo's pixels becomes its mean instead of a false pattern."""
    image = torch.full((1, 3, 100, 100), 0.5)
    faces = Faces((face_at(50, 50, 64, angle=3),), 1, 100, 100)
    crops = align_faces(image, faces, 512)
    stripes = ((torch.arange(512) // 4) % 2).float().expand(1, 3, 512, 512)
    fine = FaceCrops(stripes, faces, crops.to_crop)
    assert (paste_faces(image, fine).image - 0.5).abs().max() < 0.2
    assert (paste_faces(image, fine, plain=True).image - 0.5).abs().max() > 0.45


def test_the_work_grows_with_the_faces_not_with_faces_times_image(monkeypatch):
    """Every warp is of about the face's size, whatever the photo's."""
    areas = []

    def watched(image, matrix, size, **options):
        areas.append(size[0] * size[1])
        return warp(image, matrix, size, **options)

    monkeypatch.setattr("osdface_core.compositing.paste.warp", watched)
    image = torch.rand(1, 3, 1500, 2000)
    paste_faces(image, restored(image, some_faces(1500, 2000)))
    assert len(areas) == 4
    assert max(areas) < 100 * 100


def test_a_batch_of_another_length_is_refused():
    image = torch.rand(1, 3, 120, 160)
    with pytest.raises(ImageError, match="come from 1 image"):
        paste_faces(image.expand(2, -1, -1, -1), restored(image, some_faces()))


def test_the_background_may_have_another_shape():
    """Stretched twice in width and three times in height, the face is stretched with it."""
    image = torch.rand(1, 3, 60, 80)
    faces = Faces((face_at(40, 30, 40),), 1, 60, 80)
    stretched = F.interpolate(image, (180, 160), mode="bilinear")
    result = paste_faces(stretched, align_faces(image, faces))
    assert isinstance(result, Composite)
    rows, columns = (result.mask[0] > 0.5).any(1).sum(), (result.mask[0] > 0.5).any(0).sum()
    assert abs(rows / columns - 1.5) < 0.05
    assert "other proportions than the photo (80x60)" in result.summary().splitlines()[-1]
    rounded = paste_faces(F.interpolate(image, (91, 120), mode="bilinear"), align_faces(image, faces))
    assert rounded.notice == ""


places = st.tuples(st.floats(-60, 220), st.floats(-60, 180), st.floats(2, 300), st.floats(-180, 180), st.floats(0.3, 3))


@settings(max_examples=40, deadline=None)
@given(st.lists(places, min_size=1, max_size=4), st.floats(0, 1), st.floats(0, 0.5), st.integers(1, 3))
def test_wherever_faces_are_a_paste_mixes_and_no_more(seen, strength, feather, scale):
    """Every pixel lies between the photo's and the crops', is untouched where the mask is 0, whatever the order."""
    image = torch.rand(1, 3, 120, 160, generator=torch.Generator().manual_seed(0)) * 2 - 0.5
    faces = Faces(tuple(face_at(x, y, s, index=n, angle=a) for n, (x, y, s, a, _) in enumerate(seen)), 1, 120, 160)
    crops = align_faces(image, faces, 64)
    values = torch.tensor([value for *_, value in seen])[[face.index for face in crops.faces]]
    crops = crops.with_images(values[:, None, None, None].expand(-1, 3, 64, 64).clone())
    background = F.interpolate(image, scale_factor=scale, mode="nearest")
    result = paste_faces(background, crops, strength=strength, feather=feather)
    untouched = (result.mask == 0)[:, None].expand_as(background)
    assert torch.equal(result.image[untouched], background[untouched])
    assert 0 <= result.mask.min() <= result.mask.max() <= 1
    everything = torch.cat([background.flatten(), crops.images.flatten()])
    assert everything.min() - 1e-4 <= result.image.min() <= result.image.max() <= everything.max() + 1e-4
    turned = paste_faces(background, crops.take(reversed(range(len(crops)))), strength=strength, feather=feather)
    assert torch.equal(turned.image, result.image)


def test_a_face_at_the_edge_brings_no_grey_with_it():
    """A photo of one colour stays one colour, wherever its faces lie."""
    image = torch.tensor([0.9, 0.6, 0.4]).view(1, 3, 1, 1).repeat(1, 1, 100, 140)
    faces = Faces((face_at(4, 50, 80, index=0, angle=30), face_at(136, 97, 60, index=1)), 1, 100, 140)
    result = paste_faces(image, align_faces(image, faces, 128))
    assert result.mask[0, 50, 0] > 0.9
    assert (result.image - image).abs().max() < 1e-5


def test_crops_edited_at_another_size_land_in_the_same_place():
    """Crops that went through an upscaler or a detailer come back larger; they still fit their faces."""
    image = F.interpolate(torch.rand(1, 3, 12, 16), (120, 160), mode="bicubic").clamp(0, 1)
    crops = align_faces(image, some_faces(), 64)
    larger = crops.with_images(F.interpolate(crops.images, scale_factor=4, mode="bicubic"))
    assert larger.size == 256
    gap = (paste_faces(image, larger).image - paste_faces(image, crops).image).abs()
    assert gap.max() < 0.03
    assert torch.equal(crops.with_images(crops.images).to_crop, crops.to_crop)
    with pytest.raises(ImageError, match="4 face crops, so 4 square images"):
        crops.with_images(torch.rand(3, 3, 64, 64))


def test_the_feather_widens_the_border():
    image = torch.rand(1, 3, 120, 160)
    crops = restored(image, some_faces())
    sums = [paste_faces(image, crops, feather=feather).mask.sum() for feather in (0, 0.1, 0.3, 0.5)]
    assert sums == sorted(sums, reverse=True)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["mask", "crop_masks", "image", "crops"])
def test_what_holds_no_numbers_is_named_before_any_work(where, value):
    image = torch.rand(1, 3, 120, 160)
    crops = restored(image, some_faces())
    masks = {"mask": torch.ones(1, 120, 160), "crop_masks": torch.ones(4, 64, 64)}
    values = masks.get(where, image if where == "image" else crops.images)
    values.view(-1)[values.numel() // 2] = value
    with pytest.raises(ImageError, match="holds NaN or infinite values"):
        paste_faces(image, crops, **masks)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strength": 2}, "strength 2: it must be a number between 0 and 1"),
        ({"strength": float("nan")}, "strength nan"),
        ({"feather": -0.1}, r"feather -0.1: it must be a number between 0 and 0\.5"),
        ({"feather": float("inf")}, "feather inf"),
        ({"crop_masks": torch.ones(4, 0, 0)}, "4 masks are needed"),
    ],
)
def test_what_is_out_of_range_is_named_before_any_work(options, message):
    image = torch.rand(1, 3, 120, 160)
    with pytest.raises((ImageError, OptionError), match=message):
        paste_faces(image, restored(image, some_faces()), **options)


def test_masks_beyond_0_to_1_count_as_0_or_1():
    image = torch.rand(1, 3, 120, 160)
    crops = restored(image, some_faces())
    mask, crop_masks = torch.randn(1, 120, 160) * 3, torch.randn(4, 64, 64) * 3
    beyond = paste_faces(image, crops, mask=mask, crop_masks=crop_masks)
    within = paste_faces(image, crops, mask=mask.clamp(0, 1), crop_masks=crop_masks.clamp(0, 1))
    assert torch.equal(beyond.image, within.image)
    assert 0 <= beyond.mask.min() < beyond.mask.max() <= 1
