"""The whole job as a Python call."""

import json

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT, face_at

import osdface_core
from osdface_core import Faces, ImageError, restore_aligned, restore_image
from osdface_core.compositing.color import match_color
from osdface_core.pipeline import enlarged


@pytest.fixture
def photo():
    return torch.rand(1, 3, 120, 160, generator=torch.Generator().manual_seed(0))


def faces_in(photo, *faces):
    return Faces(faces, photo.shape[0], *photo.shape[2:])


def test_a_real_photo_is_restored_with_a_real_detector(astronaut, starter, detector):
    result = restore_image(astronaut.pixels, starter, detector)
    assert result.summary() == "1 of 1 face restored"
    inside, outside = result.mask[0] == 1, result.mask[0] == 0
    assert (result.image != astronaut.pixels)[0, :, inside].float().mean() > 0.9
    assert torch.equal(result.image[0, :, outside], astronaut.pixels[0, :, outside])
    nose = result.report[0].face.landmarks[2]
    assert inside[int(nose[1]), int(nose[0])]


def test_it_is_the_stages_in_their_order(photo, starter):
    faces = faces_in(photo, face_at(50, 60, 60), face_at(110, 60, 50, index=1))
    crops = osdface_core.align_faces(photo, faces, starter.config.crop_size)
    prompts = osdface_core.encode_prompts(starter.vre, crops, batch_size=2)
    restored = osdface_core.restore_crops(starter.one_step, crops, prompts, batch_size=2)
    expected = osdface_core.paste_faces(photo, match_color(restored, crops))
    result = restore_image(photo, starter, faces=faces, batch_size=2)
    assert torch.equal(result.image, expected.image)
    assert torch.equal(result.mask, expected.mask)


def test_no_face_gives_the_same_tensor_and_runs_no_network(shared, starter, detector):
    rocket = osdface_core.read_photo(shared / "images" / "noface_rocket.jpg").pixels
    seen = []
    hook = starter.unet.register_forward_hook(lambda *_: seen.append(1))
    result = restore_image(rocket, starter, detector)
    hook.remove()
    assert result.image is rocket
    assert "no face to restore" in result.summary()
    assert not seen


def test_choosing_no_face_restores_none(photo, starter):
    result = restore_image(photo, starter, faces=faces_in(photo))
    assert result.image is photo


@pytest.mark.parametrize("change", [{"latent_strength": 0.5}, {"timestep": 200}])
def test_latent_strength_and_timestep_reach_the_restoration(photo, starter, change):
    faces = faces_in(photo, face_at(50, 60, 60))
    assert not torch.equal(
        restore_image(photo, starter, faces=faces, **change).image, restore_image(photo, starter, faces=faces).image
    )


def test_strength_0_gives_the_same_tensor_and_runs_no_network(photo, starter):
    seen = []
    hook = starter.unet.register_forward_hook(lambda *_: seen.append(1))
    result = restore_image(photo, starter, faces=faces_in(photo, face_at(50, 60, 60)), strength=0)
    hook.remove()
    assert result.image is photo
    assert not seen


def test_the_same_call_gives_the_same_bytes(photo, starter):
    faces = faces_in(photo, face_at(50, 60, 60))
    first, second = (restore_image(photo, starter, faces=faces) for _ in range(2))
    assert torch.equal(first.image, second.image)
    sampled = [restore_image(photo, starter, faces=faces, seed=seed).image for seed in (1, 1, 2)]
    assert torch.equal(sampled[0], sampled[1])
    assert not torch.equal(sampled[0], sampled[2])


class StopWorkError(Exception):
    pass


def test_what_the_callback_raises_ends_the_work(photo, starter):
    faces = faces_in(photo, *(face_at(40 + 15 * n, 60, 40, index=n) for n in range(5)))
    passes = []
    hook = starter.unet.register_forward_hook(lambda *_: passes.append(1))

    def interrupt(done, _total):
        if done >= 2:
            raise StopWorkError

    with pytest.raises(StopWorkError):
        restore_image(photo, starter, faces=faces, batch_size=1, on_batch=interrupt)
    hook.remove()
    assert len(passes) == 2


def test_faces_of_a_batch_of_frames_share_passes(starter):
    frames = torch.rand(4, 3, 80, 80)
    faces = Faces(tuple(face_at(40, 40, 50, frame=n) for n in (0, 1, 3)), 4, 80, 80)
    passes = []
    hook = starter.unet.register_forward_hook(lambda *_: passes.append(1))
    result = restore_image(frames, starter, faces=faces, batch_size=3)
    hook.remove()
    assert len(passes) == 1
    assert torch.equal(result.image[2], frames[2])
    assert [bool(mask.any()) for mask in result.mask] == [True, True, False, True]


def test_faces_go_into_a_background_of_another_size(photo, starter):
    faces = faces_in(photo, face_at(50, 60, 60))
    background = F.interpolate(photo, scale_factor=2, mode="bicubic")
    result = restore_image(photo, starter, faces=faces, background=background)
    assert result.image.shape == (1, 3, 240, 320)
    assert result.mask[0, 120, 100] == 1
    assert torch.equal(result.image[:, :, :, 200:], background[:, :, :, 200:])


@pytest.mark.parametrize("factor", [1.3, 1.37, 2.9])
def test_an_enlarged_photo_lies_where_its_faces_are_pasted(factor):
    """A ramp has its place's value everywhere, at factors that do not divide, too."""
    ramp = torch.linspace(0, 1, 101).expand(1, 3, 77, 101)
    large = enlarged(ramp, factor)
    place = (torch.arange(large.shape[3]) + 0.5) * 101 / large.shape[3] - 0.5
    off = (large[0, 0, 0] * 100 - place).abs()[8:-8]
    assert off.max() < 0.06  # source pixels; half of one where factor and size disagree


def test_an_aligned_face_of_which_no_numbers_come_is_an_error(starter, monkeypatch):
    monkeypatch.setattr(type(starter), "decode", lambda _model, latents: latents.new_full((1, 3, 256, 256), torch.nan))
    with pytest.raises(ImageError, match="gave NaN instead of faces"):
        restore_aligned(torch.rand(1, 3, 256, 256), starter)


def test_an_upside_down_photo_is_left_alone_and_says_why(shared, starter, detector):
    """The detector is sure of the face, but its landmarks have collapsed."""
    image = osdface_core.read_photo(shared / "images" / "derived" / "portrait_wh_rot180.jpg").pixels
    result = restore_image(image, starter, detector)
    assert result.image is image
    assert result.report[0].face.score > 0.9
    assert "upside down" in result.summary()


def test_the_crops_to_restore_can_be_chosen(photo, starter):
    faces = faces_in(photo, face_at(50, 60, 60), face_at(110, 60, 50, index=1))
    result = restore_image(photo, starter, faces=faces, choose=lambda crops: crops.without({0: "for a reason"}))
    assert result.summary() == "1 of 2 faces restored; face 0 left: for a reason"


def test_without_detector_or_faces_there_is_an_error(photo, starter):
    with pytest.raises(ImageError, match="give a detector, or the faces"):
        restore_image(photo, starter)


def test_no_gradients_are_kept(photo, starter):
    with torch.enable_grad():
        result = restore_image(photo, starter, faces=faces_in(photo, face_at(50, 60, 60)))
    assert not result.image.requires_grad


def test_an_aligned_face_comes_back_at_the_models_size(starter):
    for side in (100, 256, 700):
        restored = restore_aligned(torch.rand(1, 3, side, side), starter)
        assert restored.shape == (1, 3, 256, 256)
        assert restored.min() >= 0
        assert restored.max() <= 1


def test_an_aligned_face_must_be_square_unless_exact(starter):
    image = torch.rand(1, 3, 256, 320)
    with pytest.raises(ImageError, match="must be square; this image is 320x256"):
        restore_aligned(image, starter)
    assert restore_aligned(image, starter, exact=True).shape == (1, 3, 256, 320)


def test_a_16_bit_gradient_survives_around_the_face(tmp_path, starter):
    gradient = torch.linspace(0.2, 0.3, 160).expand(1, 3, 120, 160)
    photo = osdface_core.Photo((gradient * 65535).round() / 65535, bits=16)
    osdface_core.write_photo(tmp_path / "in.png", photo.pixels, photo)
    read = osdface_core.read_photo(tmp_path / "in.png")
    result = restore_image(read.pixels, starter, faces=faces_in(read.pixels, face_at(50, 60, 40)))
    osdface_core.write_photo(tmp_path / "out.png", result.image, read)
    again = osdface_core.read_photo(tmp_path / "out.png")
    untouched = (result.mask[0] == 0).nonzero()
    rows, columns = untouched.T
    assert torch.equal(again.pixels[:, :, rows, columns], read.pixels[:, :, rows, columns])
    assert len(again.pixels[0, 0, 0].unique()) == 160


def test_the_photo_carried_here_is_the_one_its_faces_belong_to(astronaut):
    faces = Faces.from_json(json.loads((ROOT / "photos" / "astronaut.json").read_text(encoding="utf-8")))
    assert (faces.height, faces.width) == tuple(astronaut.pixels.shape[2:])
