"""A model part by part on a device, and how many faces fit there."""

from dataclasses import replace

import pytest
import torch
from conftest import twin_of

from osdface_core import load_model, prepare
from osdface_core.devices import free_bytes
from osdface_core.inference import networks
from osdface_core.inference.memory import HELD, SPARE, face_bytes, faces_at_once, faces_that_fit
from osdface_core.inference.offload import Offload, in_parts
from osdface_core.models.osdface import ModelConfig, OSDFaceModel
from osdface_core.models.precision import Precision

CPU = torch.device("cpu")
GPU = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@torch.no_grad()
def restore(model, images):
    return model.one_step(images, model.vre(images).embeds)


@pytest.fixture
def images():
    return torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def at_home(modules, homes):
    return {parameter.data_ptr() == homes[parameter] for module in modules for parameter in module.parameters()}


def test_each_part_is_there_for_its_work_alone_and_the_image_is_the_same_to_the_bit(tiny, images):
    """On a CPU, too, what is on the device is a copy, so that it can be told from what stayed."""
    whole = prepare(twin_of(tiny)).to(GPU)
    model = prepare(twin_of(tiny), device=GPU)
    model.vre.to(GPU)
    turns = Offload(networks(model), GPU)
    model.onload = turns.onload
    homes = {parameter: parameter.data_ptr() for parameter in model.parameters()}
    seen = []

    def look(*_):
        seen.append({part: at_home(modules, homes) for part, modules in networks(model).items()})

    for module in (model.vae.encoder, model.unet, model.vae.decoder):
        module.register_forward_pre_hook(look)
    assert torch.equal(restore(model, images), restore(whole, images.to(GPU)))
    expected = [{part: {part != present} for part in networks(model)} for present in networks(model)]
    assert [found for n, found in enumerate(seen) if found not in seen[:n]] == expected
    turns.clear()
    assert at_home([model], homes) == {True}


def test_a_part_that_is_mended_stays_mended(tiny, images, monkeypatch):
    monkeypatch.setattr("osdface_core.models.precision.is_quick", lambda dtype, device: True)
    plain = twin_of(tiny)
    plain.unet.conv_in.weight.data *= 60000 / plain.unet.conv_in.weight.abs().max()
    model = prepare(plain, Precision.parse("unet=fp16"))
    model.onload = Offload(networks(model), CPU).onload
    first, second = restore(model, images), restore(model, images)
    assert first.isfinite().all()
    assert torch.equal(first, second)


def test_parts_can_be_asked_for_and_nonsense_is_refused(starter):
    model = load_model(placement="parts")
    assert model.onload is not None
    assert faces_at_once(model) == 1
    image = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(2))
    assert torch.equal(restore(model, image), restore(load_model(placement="whole"), image))
    assert not in_parts(starter, CPU, "auto")
    with pytest.raises(ValueError, match="auto, whole, parts"):
        load_model(placement="half")


@pytest.fixture(scope="module")
def full_size():
    with torch.device("meta"):
        return OSDFaceModel(ModelConfig())


def test_more_memory_takes_more_faces_up_to_a_limit(full_size):
    one = face_bytes(full_size)
    assert one == max(HELD.values())
    rooms = [0.0, SPARE + 0.9 * one, SPARE + 2.5 * one, SPARE + 7 * one, 1e12]
    assert [faces_that_fit(full_size, room) for room in rooms] == [1, 1, 2, 7, 8]
    assert faces_that_fit(full_size, 1e12, most=5) == 5
    assert faces_that_fit(full_size, None) == faces_at_once(full_size) == 4  # on meta, as on any unknown device
    assert free_bytes(CPU) is None


def test_half_precision_takes_half_and_small_crops_less(full_size):
    half = OSDFaceModel(full_size.config)
    half.precision = Precision.parse("fp16")
    assert face_bytes(half) == pytest.approx(HELD["decode"] / 2)
    half.config = replace(half.config, crop_size=256)
    assert face_bytes(half) == pytest.approx(HELD["decode"] / 8)


@pytest.mark.parametrize(("free", "expected"), [(8e9, False), (4.9e9, True)])
def test_a_card_with_no_room_for_the_whole_gets_parts(full_size, monkeypatch, free, expected):
    """3.9 GB of weights and one face."""
    monkeypatch.setattr("osdface_core.inference.offload.free_bytes", lambda device: free)
    assert in_parts(full_size, CPU, "auto") == expected
