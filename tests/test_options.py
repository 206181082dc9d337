"""Every choice said once: one check for all routes, and what the fields say."""

from dataclasses import fields
from math import inf, nan
from typing import get_args

import pytest
import torch
from conftest import face_at

from osdface_core import Faces, load_model, options, restore_image
from osdface_core.compositing.color import METHODS
from osdface_core.compositing.masks import SHAPES
from osdface_core.compositing.parsing import PARTS
from osdface_core.errors import OptionError
from osdface_core.models.precision import DTYPES
from osdface_core.options import Choose, Detect, Load, Options, Paste, PhotoOptions, Restore, Video
from osdface_core.selection.select import RULES

WRONG = [
    ("strength", 2, "between 0 and 1"),
    ("strength", nan, "between 0 and 1"),
    ("strength", "half", "a number between 0 and 1"),
    ("latent_strength", -0.1, "between 0 and 1"),
    ("timestep", 1500, "between 0 and 999"),
    ("timestep", -5, "between 0 and 999"),
    ("timestep", 399.5, "a whole number between 0 and 999"),
    ("threshold", 5, "between 0 and 1"),
    ("batch_size", -1, "of 1 or more"),
    ("batch_size", nan, "of 1 or more"),
    ("seed", inf, "between 0 and"),
    ("upscale", 1e20, "between 1 and 8"),
    ("min_size", -1, "of 0 or more"),
    ("min_identity", 0.5, "needs an embedder"),
    ("leave", ("hair",), "a face parser is needed to leave hair alone"),
    ("leave", ("wings",), "must be one of background, skin"),
    ("color", "sepia", "must be one of none, wavelet, adain"),
    ("shape", "star", "must be one of square, ellipse"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), WRONG)
def test_what_cannot_be_is_refused_by_its_name_before_any_work(starter, name, value, allowed):
    seen = []
    hook = starter.unet.register_forward_hook(lambda *_: seen.append(1))
    faces = Faces((face_at(50, 60, 60),), 1, 120, 160)
    with pytest.raises(OptionError) as caught:
        restore_image(torch.rand(1, 3, 120, 160), starter, faces=faces, **{name: value})
    hook.remove()
    assert (caught.value.name, seen) == (name, [])
    assert allowed in str(caught.value)


def test_a_device_that_is_none_or_not_there_is_refused_by_its_name():
    for device in ("abacus", "cuda:99"):
        with pytest.raises(OptionError, match=f"device {device}: "):
            load_model(device=device)


def test_a_restorer_refuses_the_options_that_it_does_not_take():
    with pytest.raises(OptionError, match=r"timestep 200: this restorer does not take it.*it takes batch_size, seed"):
        Restore(timestep=200).check_taken({"batch_size", "seed"})
    Restore(seed=3).check_taken({"batch_size", "seed"})


def test_defaults_are_allowed_and_every_option_explains_itself():
    for kind in (Detect, Choose, Restore, Paste, Video, Load, PhotoOptions):
        kind().validate()
        assert issubclass(kind, Options)
        assert all(known.metadata["help"] for known in fields(kind))


@pytest.mark.parametrize(
    ("choice", "done"),
    [
        (options.Color, ("none", *METHODS)),
        (options.Shape, SHAPES),
        (options.Rule, RULES),
        (options.Part, PARTS),
        (options.Dtype, DTYPES),
    ],
    ids=("color", "shape", "rule", "part", "dtype"),
)
def test_every_choice_has_what_does_it_and_nothing_else_is_done(choice, done):
    assert get_args(choice) == tuple(done)
