"""Whatever tensors and options a stage gets: its defined result, or a named error; never a bare one."""

import math

import torch
from conftest import face_at
from hypothesis import given, settings
from hypothesis import strategies as st

from osdface_core import Faces, OSDFaceError, align_faces, paste_faces
from osdface_core.compositing.color import match_color
from osdface_core.compositing.masks import shape_mask
from osdface_core.detection.overlay import draw_numbers
from osdface_core.selection.sharpness import sharpness
from osdface_core.video.denoise import steady_crops
from osdface_core.video.track import find_cuts, thumbnails, track_faces

HEIGHT, WIDTH = 48, 64
FACES = Faces((face_at(30, 25, 24), face_at(32, 25, 24, frame=1)), 2, HEIGHT, WIDTH)
IMAGE = torch.rand(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
CROPS = align_faces(IMAGE, FACES, 16)
few = settings(max_examples=25, deadline=None)

odd = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0, -1.0, 1e6, -1e6, 1e-45, 0.5])
options = st.one_of(odd, st.floats(), st.integers(-(10**6), 10**6))
shares = st.one_of(st.just(0.4), st.just(0.4), options)
sides = st.sampled_from([0, 1, 2, 3, 7, 16, 33])


@st.composite
def tensors(draw, *shape):
    """A tensor of about this shape with odd values in it, in a type that may be another."""
    if draw(st.integers(0, 3)) == 0:
        shape = tuple(draw(sides) if draw(st.booleans()) else side for side in shape)
    if draw(st.integers(0, 7)) == 0:
        shape = shape[1:]
    values = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    if draw(st.booleans()):
        values[values > 0.9] = draw(odd)
    return values.to(draw(st.sampled_from([torch.float32] * 5 + [torch.float64, torch.uint8, torch.float16])))


@st.composite
def crops(draw):
    """Crops of any pixels and size, as another restorer might hand them on."""
    side = draw(st.sampled_from([16, 16, 16, 8, 9, 40]))
    images = draw(tensors(2, 3, side, side))
    try:
        return CROPS.with_images(images)
    except OSDFaceError:
        return CROPS


def named(work):
    """What work gives; None where it raises what a caller is told to expect."""
    try:
        return work()
    except OSDFaceError:
        return None


@few
@given(tensors(2, 3, HEIGHT, WIDTH), st.one_of(st.integers(-3, 70), st.sampled_from([10**6, math.nan])))
def test_align_faces(image, size):
    result = named(lambda: align_faces(image, FACES, size))
    if result is not None:
        assert result.images.isfinite().all()


@few
@given(
    tensors(2, 3, HEIGHT, WIDTH),
    crops(),
    st.none() | tensors(2, HEIGHT, WIDTH),
    st.none() | tensors(2, 16, 16),
    options,
    options,
)
def test_paste_faces(image, crops, mask, crop_masks, strength, feather):
    result = named(
        lambda: paste_faces(image, crops, mask=mask, crop_masks=crop_masks, strength=strength, feather=feather)
    )
    if result is not None:
        assert result.image.shape == image.shape
        assert result.mask.isfinite().all()
        assert 0 <= result.mask.min() <= result.mask.max() <= 1
        assert torch.equal(result.image.movedim(1, 0)[:, result.mask == 0], image.movedim(1, 0)[:, result.mask == 0])


@few
@given(crops(), crops(), st.sampled_from(["wavelet", "adain", "none", "magic"]), shares)
def test_match_color(restored, source, method, strength):
    result = named(lambda: match_color(restored, source, method, strength))
    if result is not None:
        assert result.images.shape == restored.images.shape
        assert result.images.isfinite().all()


@few
@given(crops())
def test_sharpness(crops):
    values = named(lambda: sharpness(crops))
    assert values is None or (len(values) == 2 and all(value >= 0 for value in values))


@few
@given(crops(), options, options)
def test_steady_crops(crops, smoothing, tolerance):
    result = named(lambda: steady_crops(crops, smoothing=smoothing, tolerance=tolerance))
    if result is not None:
        assert result.images.shape == crops.images.shape
        assert result.images.isfinite().all()


@few
@given(tensors(2, 3, HEIGHT, WIDTH))
def test_draw_numbers(image):
    result = named(lambda: draw_numbers(image, FACES))
    assert result is None or result.shape == image.shape


@few
@given(st.integers(1, 70), st.sampled_from(["square", "ellipse", "star", ""]), options)
def test_shape_mask(size, shape, feather):
    mask = named(lambda: shape_mask(size, shape, feather))
    assert mask is None or (0 <= mask.min() <= mask.max() <= 1 and mask.shape == (size, size))


@few
@given(options, options, st.lists(st.integers(-5, 5), max_size=3))
def test_track_faces(smoothing, max_gap, cuts):
    result = named(lambda: track_faces(FACES, smoothing=smoothing, max_gap=max_gap, cuts=cuts))
    assert result is None or all(face.is_finite for face in result)


@few
@given(tensors(2, 3, HEIGHT, WIDTH))
def test_find_cuts(image):
    result = named(lambda: find_cuts(thumbnails(image)))
    assert result is None or all(0 < cut < len(image) for cut in result)
