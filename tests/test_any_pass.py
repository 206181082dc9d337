"""Whatever tensors and options a stage with networks gets: its defined result, or a named error; never a bare one."""

import math
from dataclasses import fields

import torch
from conftest import face_at
from hypothesis import given, settings
from hypothesis import strategies as st
from test_any_tensor import named, options, tensors

from osdface_core import (
    Faces,
    ModelConfig,
    OSDFaceModel,
    Prompts,
    VREConfig,
    align_faces,
    encode_prompts,
    load_detector,
    restore_aligned,
    restore_crops,
    restore_image,
)
from osdface_core.inference.restorer import as_restorer
from osdface_core.models.diffusion import UNetConfig, VAEConfig
from osdface_core.options import PhotoOptions, Restore

HEIGHT, WIDTH, SIDE = 48, 64, 64
FACES = Faces((face_at(30, 25, 24), face_at(32, 25, 24, frame=1)), 2, HEIGHT, WIDTH)
IMAGE = torch.rand(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
CROPS = align_faces(IMAGE, FACES, SIDE)
UNET = UNetConfig(
    block_out_channels=(8, 16),
    down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
    up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    layers_per_block=1,
    attention_head_dim=2,
    cross_attention_dim=32,
    norm_num_groups=4,
)
VAE = VAEConfig(
    down_block_types=("DownEncoderBlock2D",) * 4,
    up_block_types=("UpDecoderBlock2D",) * 4,
    block_out_channels=(8,) * 4,
    norm_num_groups=4,
)
VRE = VREConfig(32, (1, 2), 1, 32, 64, input_size=32, prompt_channels=32)
torch.manual_seed(0)
MODEL = OSDFaceModel(ModelConfig(vre=VRE, unet=UNET, vae=VAE, crop_size=SIDE))
"""Of OSDFace's own structure, as small as it can be."""
DETECTOR = load_detector("starter")
few = settings(max_examples=12, deadline=None)

counts = st.one_of(st.just(2), st.integers(-3, 5), st.sampled_from([10**6, 2**70, math.nan, 1.5, math.inf, None, "2"]))


@st.composite
def crops(draw):
    images = draw(tensors(2, 3, SIDE, SIDE))
    return named(lambda: CROPS.with_images(images)) or CROPS


def seen(result):
    """Whether what is there of a result holds numbers."""
    return result is None or bool(result.isfinite().all())


@few
@given(tensors(1, 3, HEIGHT, WIDTH), options, st.tuples(*[st.sampled_from([32, 64, 0, -1, math.nan, 2.5])] * 2))
def test_detect(image, threshold, short_side):
    faces = named(lambda: DETECTOR.detect(image, threshold=threshold, short_side=short_side))
    assert faces is None or all(face.is_finite for face in faces)


@few
@given(tensors(1, 3, HEIGHT, WIDTH), st.lists(st.tuples(*[st.floats() | st.floats(-80, 80)] * 4), max_size=2))
def test_look_inside(image, boxes):
    faces = named(lambda: DETECTOR.look_inside(image, [boxes]))
    assert faces is None or all(face.is_finite for face in faces)


@few
@given(crops(), counts)
def test_encode_prompts(crops, batch_size):
    prompts = named(lambda: encode_prompts(MODEL.vre, crops, batch_size=batch_size))
    assert prompts is None or (len(prompts) == len(crops) and seen(prompts.embeds))


@few
@given(crops(), tensors(2, 77, 32), counts, counts)
def test_restore_crops(crops, embeds, batch_size, seed):
    prompts = Prompts(embeds, *[torch.zeros(len(embeds), 77, dtype=torch.int64)] * 2)
    result = named(lambda: restore_crops(MODEL.one_step, crops, prompts, batch_size=batch_size, seed=seed))
    assert result is None or (result.images.shape == crops.images.shape and seen(result.images))


@few
@given(
    crops(),
    st.none() | tensors(2, 77, 32),
    st.sampled_from(["timestep", "latent_strength", "seed", "batch_size"]),
    counts,
)
def test_restorer(crops, embeds, name, value):
    prompts = embeds if embeds is None else Prompts(embeds, *[torch.zeros(len(embeds), 77, dtype=torch.int64)] * 2)
    result = named(lambda: as_restorer(MODEL).restore(crops, Restore(**{name: value}), prompts=prompts))
    assert result is None or (result.images.shape == crops.images.shape and seen(result.images))


@few
@given(tensors(1, 3, SIDE, SIDE), st.booleans(), counts, st.sampled_from(["wavelet", "none", "magic", None]))
def test_restore_aligned(image, exact, seed, color):
    result = named(lambda: restore_aligned(image, MODEL, exact=exact, seed=seed, color=color))
    assert result is None or (result.ndim == 4 and seen(result))


@settings(few, max_examples=6)
@given(
    tensors(2, 3, HEIGHT, WIDTH),
    st.none() | tensors(2, 3, 2 * HEIGHT, 2 * WIDTH),
    st.dictionaries(
        st.sampled_from(sorted(known.name for known in fields(PhotoOptions))),
        options | st.none() | st.text(max_size=3),
        max_size=2,
    ),
)
def test_restore_image(image, background, choices):
    result = named(lambda: restore_image(image, MODEL, faces=FACES, background=background, **choices))
    if result is not None:
        assert result.image.shape == (image if background is None else background).shape or "upscale" in choices
        assert seen(result.image)
        assert seen(result.mask)
