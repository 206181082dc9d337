"""Face restorers of spandrel's behind the same door as OSDFace: the same pixels as calling spandrel, crop by crop."""

import json

import pytest
import spandrel
import torch
from conftest import ROOT, face_at
from safetensors.torch import save_file
from spandrel.architectures.GFPGAN import GFPGAN, GFPGANArch
from spandrel_files import write_restorer, write_upscaler

import osdface_core
from osdface_core import Faces, ImageError, load_restorer, restore_aligned, restore_image
from osdface_core.cli import main
from osdface_core.errors import (
    MissingLibraryError,
    NotACheckpointError,
    OptionError,
    TruncatedFileError,
    UnsafeFileError,
    WeightsError,
    WeightsNotFoundError,
)
from osdface_core.geometry.align import whole_crops
from osdface_core.inference.spandrel import FaceNetwork, SpandrelRestorer
from osdface_core.options import Restore
from osdface_core.weights.files import read_tensors

SIDE = 128
"""Of crops in these tests: a sixteenth of the work. spandrel's descriptor allows it."""


@pytest.fixture(autouse=True, scope="module")
def small_crops():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("osdface_core.inference.spandrel.USUAL_SIDE", SIDE)
        yield


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_restorer(tmp_path_factory.mktemp("restorer") / "RestoreFormer.pth")


@pytest.fixture(scope="module")
def restorer(file):
    return load_restorer(file)


@pytest.fixture(scope="module")
def crops():
    """The astronaut's face and its mirror image."""
    portrait = osdface_core.read_photo(ROOT / "photos" / "astronaut.png").pixels[:, :, 30:222, 128:320]
    face = torch.nn.functional.interpolate(portrait, (SIDE, SIDE), mode="area")
    return whole_crops(torch.cat([face, face.flip(3)]))


@pytest.fixture(scope="module")
def restored(restorer, crops):
    seen = []
    made = restorer.restore(crops, Restore(batch_size=1), on_batch=lambda *step: seen.append(step))
    assert seen == [(1, 2), (2, 2)]
    return made


def test_it_is_what_spandrel_gives_crop_by_crop(file, crops, restored):
    theirs = spandrel.ModelLoader().load_from_state_dict(read_tensors(file)[0]).eval()
    for ours, crop in zip(restored.images, crops.images, strict=True):
        assert torch.equal(ours, theirs(crop[None])[0])
    assert restored.images.std() > 0.05
    assert restored.faces is crops.faces
    assert torch.equal(restored.to_crop, crops.to_crop)


def test_crops_of_another_size_come_back_at_the_networks_own(restorer, crops):
    assert restorer.crop_size == SIDE
    small = torch.nn.functional.interpolate(crops.images[:1], (SIDE // 2, SIDE // 2), mode="area")
    made = restorer.restore(whole_crops(small), Restore())
    assert made.size == SIDE
    assert made.to_crop[0].tolist() == [[2.0, 0.0, 0.5], [0.0, 2.0, 0.5]]
    large = torch.nn.functional.interpolate(small, (SIDE, SIDE), mode="bicubic", antialias=True).clamp(0, 1)
    assert torch.equal(made.images, restorer.restore(whole_crops(large), Restore()).images)


def test_a_photo_is_restored_with_it(restorer):
    photo = torch.rand(1, 3, 120, 160, generator=torch.Generator().manual_seed(0))
    faces = Faces((face_at(50, 60, 60),), 1, 120, 160)
    result = restore_image(photo, restorer, faces=faces)
    assert result.summary() == "1 of 1 face restored"
    outside = result.mask[0] == 0
    assert torch.equal(result.image[0, :, outside], photo[0, :, outside])
    assert not torch.equal(result.image, photo)


def test_it_takes_no_options_and_prompts_of_osdface(restorer, crops, starter):
    photo, faces = torch.rand(1, 3, 120, 160), Faces((face_at(50, 60, 60),), 1, 120, 160)
    for name, value in (("timestep", 200), ("seed", 3), ("latent_strength", 0.5), ("fidelity", 0.9)):
        with pytest.raises(OptionError, match=f"{name} .*this restorer does not take it.*it takes batch_size"):
            restore_image(photo, restorer, faces=faces, **{name: value})
    with pytest.raises(OptionError, match="fidelity"):
        restore_image(photo, starter, faces=faces, fidelity=0.9)
    with pytest.raises(ImageError, match="RestoreFormer takes no prompt"):
        restorer.restore(crops, Restore(), prompts=starter.vre(crops.images[:, :, ::2, ::2]))
    with pytest.raises(ImageError, match="leave out exact"):
        restore_aligned(crops.images[:1], restorer, exact=True)


def test_precision_is_what_the_network_is_made_for(file):
    half = load_restorer(file, precision="bf16")
    assert {parameter.dtype for parameter in half.network.parameters()} == {torch.bfloat16}
    with pytest.raises(
        OptionError, match=r"precision fp16: RestoreFormer is not made for it. Choose one of auto, fp32, bf16"
    ):
        load_restorer(file, precision="fp16")
    with pytest.raises(OptionError, match="unet=fp16: RestoreFormer is stored in one precision"):
        load_restorer(file, precision="unet=fp16")
    with pytest.raises(OptionError, match="device abacus"):
        load_restorer(file, device="abacus")


@pytest.fixture(scope="module")
def gfpgan():
    """GFPGAN's own network, as narrow as it can be, for crops of 512 pixels, with noise that shows."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = GFPGAN(num_style_feat=16, channel_multiplier=2, num_mlp=2, input_is_latent=True, narrow=1 / 32)
    state = {k: torch.full_like(v, 0.3) if v.shape == (1,) else v for k, v in network.state_dict().items()}
    about = {"purpose": "FaceSR", "tags": [], "supports_half": False, "supports_bfloat16": True, "scale": 1}
    sizes = spandrel.SizeRequirements(minimum=512)
    return spandrel.ImageModelDescriptor(
        network,
        state,
        GFPGANArch(),
        input_channels=3,
        output_channels=3,
        size_requirements=sizes,
        call_fn=lambda model, image: model(image)[0],
        **about,
    )


def test_gfpgan_sees_the_range_it_was_trained_on_and_gives_the_same_every_time(gfpgan, crops):
    """As GFPGAN's own program calls it, -1..1, where spandrel's descriptor would hand on 0..1."""
    one = whole_crops(torch.nn.functional.interpolate(crops.images[:1], (512, 512), mode="bicubic").clamp(0, 1))
    assert FaceNetwork(gfpgan).crop_size == 512
    first, second = (SpandrelRestorer(FaceNetwork(gfpgan)).restore(one, Restore()).images for _ in range(2))
    assert torch.equal(first, second)
    with torch.no_grad():
        theirs = gfpgan.model(2 * one.images - 1, return_rgb=False, randomize_noise=False)[0]
    assert torch.equal(first, (theirs / 2 + 0.5).clamp(0, 1))
    assert not torch.equal(gfpgan(one.images), gfpgan(one.images))  # its noise is new every time


def test_codeformer_takes_fidelity(tmp_path, crops):
    """Where the user has spandrel_extra_arches, whose code is for non-commercial use: it comes with nothing here."""
    extra = pytest.importorskip("spandrel_extra_arches.architectures.CodeFormer", reason="no spandrel_extra_arches")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = extra.CodeFormer(dim_embd=64, n_layers=1, codebook_size=64)
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, tmp_path / "codeformer.safetensors")
    restorer = load_restorer(tmp_path / "codeformer.safetensors")
    one = whole_crops(torch.nn.functional.interpolate(crops.images[:1], (512, 512), mode="bicubic").clamp(0, 1))
    assert restorer.options == {"batch_size", "fidelity"}
    ours = [restorer.restore(one, Restore(fidelity=fidelity)).images for fidelity in (0.0, 0.5)]
    with torch.no_grad():
        theirs = restorer.network.network(2 * one.images - 1, weight=0.0)[0]
    assert torch.equal(ours[0], (theirs / 2 + 0.5).clamp(0, 1))
    assert not torch.equal(*ours)


# -- bad files ------------------------------------------------------------------------------------------------------


def change(file, target, edit):
    tensors = {key: value.clone() for key, value in read_tensors(file)[0].items()}
    edit(tensors)
    save_file(tensors, target)
    return target


def test_an_upscaler_is_no_face_restorer(tmp_path):
    wrong = write_upscaler(tmp_path / "x4.safetensors")
    with pytest.raises(
        NotACheckpointError, match=r"this is RealESRGAN Compact, which .* knows no faces. Give it as --upscaler"
    ):
        load_restorer(wrong)
    with pytest.raises(NotACheckpointError, match="RealESRGAN Compact"):
        load_restorer(write_upscaler(tmp_path / "denoiser.safetensors", scale=1))


def test_a_file_that_ends_early_or_is_not_there_or_holds_something_else(file, tmp_path):
    short = tmp_path / "short.pth"
    short.write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(TruncatedFileError, match=r"short.pth: .* Download or copy it again"):
        load_restorer(short)
    with pytest.raises(WeightsNotFoundError, match="there is no such file"):
        load_restorer(tmp_path / "nothing.pth")
    save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(NotACheckpointError, match=r"spandrel knows no architecture .* Expected a face restorer"):
        load_restorer(tmp_path / "other.safetensors")
    with pytest.raises(NotACheckpointError, match="OSDFace's own weights go to --weights"):
        load_restorer(ROOT / "osdface_core" / "weights" / "starter" / "starter.safetensors")


def test_restoreformers_own_checkpoint_is_read_and_its_successor_told_apart(file, restorer, crops, tmp_path):
    """As its authors' training writes them: beside the network there are its losses'."""
    own = {f"vqvae.{key}": tensor for key, tensor in read_tensors(file)[0].items()}
    torch.save({"state_dict": own | {"loss.logvar": torch.zeros(1)}, "epoch": 3}, tmp_path / "RestoreFormer.ckpt")
    made = load_restorer(tmp_path / "RestoreFormer.ckpt").restore(crops, Restore()).images
    assert torch.equal(made, restorer.restore(crops, Restore()).images)
    more = {key.replace("up.5", "up.4"): tensor for key, tensor in own.items() if "decoder.up.5.attn" in key}
    torch.save({"state_dict": own | more}, tmp_path / "RestoreFormer++.ckpt")
    with pytest.raises(NotACheckpointError, match=r"this is RestoreFormer\+\+, .* Take RestoreFormer"):
        load_restorer(tmp_path / "RestoreFormer++.ckpt")


def test_codeformer_says_what_it_needs_and_on_which_terms(tmp_path, monkeypatch):
    monkeypatch.setattr("osdface_core.weights.spandrel.is_installed", lambda _name: False)
    keys = ("position_emb", "idx_pred_layer.1.weight", "quantize.embedding.weight", "encoder.blocks.0.weight")
    save_file({key: torch.zeros(1) for key in keys}, tmp_path / "codeformer.safetensors")
    with pytest.raises(NotACheckpointError, match=r"S-Lab 1.0\) allows non-commercial use alone, install") as caught:
        load_restorer(tmp_path / "codeformer.safetensors")
    assert "pip install --no-deps spandrel_extra_arches" in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "error", "says"),
    [
        (lambda t: t.pop("encoder.conv_in.bias"), NotACheckpointError, "fit none of spandrel's architectures"),
        (lambda t: t.update({"decoder.extra": torch.zeros(1)}), NotACheckpointError, "fit none"),
        (lambda t: t.update({"encoder.conv_in.weight": torch.zeros(5)}), NotACheckpointError, "fit none"),
        (lambda t: t["decoder.conv_out.bias"].fill_(float("nan")), NotACheckpointError, "NaN or infinite"),
        (lambda t: t.update({"encoder.down.99999999.block.0.x": torch.zeros(1)}), NotACheckpointError, "beyond 1000"),
    ],
    ids=["missing", "more", "shape", "NaN", "layers"],
)
def test_a_file_that_lies_is_named_with_what_to_do(file, tmp_path, edit, error, says):
    with pytest.raises(error, match=says) as caught:
        load_restorer(change(file, tmp_path / "lying.safetensors", edit))
    assert isinstance(caught.value, WeightsError)
    assert "lying.safetensors" in str(caught.value)


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    torch.save({"quantize.embedding.weight": torch.zeros(1).expand(2**20, 2**20)}, tmp_path / "large.pth")
    with pytest.raises(UnsafeFileError, match="claims more values than the file holds"):
        load_restorer(tmp_path / "large.pth")


def test_without_spandrel_it_says_what_to_install(file, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "spandrel", None)
    with pytest.raises(MissingLibraryError, match="For other face restorers and upscalers, install"):
        load_restorer(file)


# -- the command ----------------------------------------------------------------------------------------------------


def test_the_command_restores_with_it_and_enlarges_the_rest(file, tmp_path):
    upscaler = write_upscaler(tmp_path / "x2.safetensors", scale=2)
    photo, out = ROOT / "photos" / "astronaut.png", tmp_path / "out.png"
    command = ["restore", str(photo), "-o", str(out), "--detector", "starter", "--restorer", str(file), "--report"]
    assert main([*command, "--upscaler", str(upscaler), "--device", "cpu"]) == 0
    assert osdface_core.read_photo(out).pixels.shape == (1, 3, 1024, 1024)
    report = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert report["summary"] == "1 of 1 face restored"
    pixels = osdface_core.read_photo(photo).pixels
    tools = {"detector": osdface_core.load_detector("starter"), "upscaler": osdface_core.load_upscaler(upscaler)}
    by_library = restore_image(pixels, load_restorer(file), **tools).image
    osdface_core.write_photo(tmp_path / "library.png", by_library)
    assert torch.equal(osdface_core.read_photo(out).pixels, osdface_core.read_photo(tmp_path / "library.png").pixels)


def test_frames_and_aligned_faces_too(file, restorer, tmp_path, crops):
    frames = tmp_path / "frames"
    frames.mkdir()
    osdface_core.write_photo(frames / "1.png", osdface_core.read_photo(ROOT / "photos" / "astronaut.png").pixels)
    common = ["--detector", "starter", "--restorer", str(file), "--device", "cpu"]
    assert main(["restore", str(frames), "--frames", "-o", str(tmp_path / "new"), *common]) == 0
    assert (tmp_path / "new" / "1.png").read_bytes() != (frames / "1.png").read_bytes()
    osdface_core.write_photo(tmp_path / "face.png", crops.images[:1])
    assert main(["restore", str(tmp_path / "face.png"), "-o", str(tmp_path / "one.png"), "--aligned", *common[2:]]) == 0
    expected = restore_aligned(osdface_core.read_photo(tmp_path / "face.png").pixels, restorer)
    assert (osdface_core.read_photo(tmp_path / "one.png").pixels - expected).abs().max() < 1 / 255


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--weights", "x", "--compile"], "--weights, --compile: only for OSDFace, leave them out with --restorer"),
        (["--exact"], "--exact: only for OSDFace"),
        (["--timestep", "200"], "--timestep 200: this restorer does not take it"),
        (["--fidelity", "0.8"], "--fidelity 0.8: this restorer does not take it"),
        (["--precision", "fp16"], "--precision fp16: RestoreFormer is not made for it"),
    ],
)
def test_what_does_not_go_together_ends_the_command_before_any_work(file, tmp_path, capsys, flags, says):
    command = ["restore", str(ROOT / "photos" / "astronaut.png"), "-o", str(tmp_path / "out.png")]
    with pytest.raises(SystemExit):
        main([*command, "--restorer", str(file), *flags])
    assert says in capsys.readouterr().err.replace("\n", " ")


def test_the_usual_crop_is_512_pixels_a_side(file, monkeypatch):
    monkeypatch.setattr("osdface_core.inference.spandrel.USUAL_SIDE", 512)
    assert load_restorer(file).crop_size == 512


def test_batches_are_crops_restored_one_by_one(restorer, crops, restored):
    """Nearly: a batch's products are summed in another order."""
    together = restorer.restore(crops, Restore(batch_size=2)).images
    assert (together - restored.images).abs().mean() < 1e-3
