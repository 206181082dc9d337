"""OSEDiff's face model by node, library and command: the same pixels, and what is said where something is wrong."""

import json
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from parity.harness import read_png
from parity.osediff import SEED, SHARE, read_recording

from osdface_core import (
    FaceCrops,
    Faces,
    align_faces,
    load_detector,
    load_model,
    read_photo,
    restore_image,
    write_photo,
)
from osdface_core.cli import main
from osdface_core.errors import ImageError, OptionError
from osdface_core.inference.restorer import as_restorer
from osdface_core.models.osediff import OSEDiffModel
from osdface_core.models.vre import Prompts
from osdface_core.options import Restore
from osdface_core.weights import save_bundle
from osdface_core.weights.osediff import PROMPTS

SIZE = 64
"""Of the crops: the kit's networks take any, and these are quick."""


@pytest.fixture(scope="module")
def bundle(inside, osediff):
    """In the host's models/osdface."""
    folder = Path(inside.folders.models_dir, "osdface")
    folder.mkdir(parents=True, exist_ok=True)
    small = OSEDiffModel(replace(osediff.config, crop_size=SIZE))
    small.load_state_dict(osediff.state_dict(), assign=True)
    save_bundle(small, folder / "osediff.safetensors")
    yield str(folder / "osediff.safetensors")
    (folder / "osediff.safetensors").unlink()


@pytest.fixture(scope="module")
def restorer(bundle):
    return as_restorer(load_model(bundle))


@pytest.fixture(scope="module")
def weights(inside, bundle):
    """What Load OSDFace Model gives for the bundle."""
    return inside.ours["OSDFaceLoadModel"].execute(weights="osediff.safetensors", base="none", precision="fp32").args[0]


@pytest.fixture(scope="module")
def found():
    return load_detector("starter").detect(read_photo(ROOT / "photos" / "astronaut.png").pixels)


@pytest.fixture(scope="module")
def crops(found) -> FaceCrops:
    return align_faces(read_photo(ROOT / "photos" / "astronaut.png").pixels, found, SIZE)


def by_node(inside, crops, model, **inputs):
    made = core_of(inside).FaceCrops.from_json(crops.to_json())
    given = {"batch_size": 4, "sample": False, "seed": 0, "timestep": 399, "latent_strength": 1.0} | inputs
    with torch.inference_mode():
        output = inside.ours["OSDFaceRestore"].execute(model=model, crops=made, **given)
    return output.args[0].images


def core_of(inside):
    """The core as the host has it: a module of its own."""
    return import_module(inside.ours["OSDFaceRestore"].__module__.replace("nodes.restore", "osdface_core"))


def restored(restorer, crops, **options):
    return restorer.restore(crops, Restore(**options)).images


def test_node_and_library_give_the_same_pixels(inside, weights, restorer, crops):
    assert weights.notice == restorer.notice == ""
    assert weights.crop_size == restorer.crop_size == SIZE
    ours = restored(restorer, crops)
    assert torch.equal(by_node(inside, crops, weights), ours)
    assert torch.equal(by_node(inside, crops, weights, sample=True, seed=5), restored(restorer, crops, seed=5))
    assert torch.equal(
        by_node(inside, crops, weights, latent_strength=0.5), restored(restorer, crops, latent_strength=0.5)
    )
    assert not torch.equal(restored(restorer, crops, seed=5), ours)


def test_a_text_that_is_connected_takes_the_place_of_the_weights_own(inside, weights, restorer, crops):
    connected = [[restorer.texts.embed(PROMPTS[2]).clone(), {"pooled_output": torch.zeros(1, 64)}]]
    ours = restored(restorer, crops, prompt=PROMPTS[2])
    assert torch.equal(by_node(inside, crops, weights, conditioning=connected), ours)
    assert not torch.equal(ours, restored(restorer, crops))


def test_the_whole_photo_by_node_command_and_library(inside, weights, restorer, bundle, tmp_path):
    photo = read_photo(ROOT / "photos" / "astronaut.png").pixels
    detector = inside.ours["OSDFaceLoadDetector"].execute(detector="starter (built in)").args[0]
    with torch.inference_mode():
        output = inside.ours["OSDFaceRestoreFaces"].execute(
            image=photo.movedim(1, -1), model=weights, detector=detector, faces="all", strength=1.0, threshold=0.8
        )
    result = restore_image(photo, restorer, load_detector("starter"))
    assert torch.equal(output.args[0].movedim(-1, 1), result.image)
    out = tmp_path / "out.png"
    command = ["restore", str(ROOT / "photos" / "astronaut.png"), "-o", str(out), "--detector", "starter"]
    assert main([*command, "--weights", bundle]) == 0
    write_photo(tmp_path / "library.png", result.image)
    assert torch.equal(read_photo(out).pixels, read_photo(tmp_path / "library.png").pixels)
    assert json.loads(output.args[4])["faces"]


def test_an_aligned_face_exactly_as_the_program_writes_it(kit, osediff_files, tmp_path):
    about, _ = read_recording(kit, "face")
    out, base = tmp_path / "out.png", str(osediff_files / "sd21base")
    picture, file = kit / "recordings" / "inputs" / about["input"], str(osediff_files / "osediff_face.pkl")
    command = ["restore", str(picture), "-o", str(out), "--aligned", "--exact", "--weights", file, "--base", base]
    assert main([*command, "--prompt", about["prompt"], "--seed", str(SEED), "--color", "wavelet"]) == 0
    gap = (read_png(out).int() - read_png(kit / "recordings" / "face.wavelet.png").int()).abs()
    assert gap.max() <= 1
    assert (gap > 0).double().mean() < SHARE


def refused(capsys, *arguments):
    with pytest.raises(SystemExit):
        main(["restore", str(ROOT / "photos" / "astronaut.png"), "-o", "never.png", *arguments])
    return capsys.readouterr().err


def test_the_command_refuses_what_a_model_does_not_take(capsys, bundle):
    assert "--prompt wings: this restorer does not take it" in refused(capsys, "--prompt", "wings")
    assert "no embeddings of this text" in refused(capsys, "--weights", bundle, "--prompt", "wings")
    assert "--timestep 399: this restorer does not take it" in refused(capsys, "--weights", bundle, "--timestep", "399")
    assert "--color adain: OSDFace's program changes no colours" in refused(capsys, "--exact", "--color", "adain")
    assert "--latent-strength: no choice of the authors'" in refused(capsys, "--exact", "--latent-strength", "0.5")


def test_what_cannot_be_connected_is_named(inside, weights, restorer, crops, starter):
    text = restorer.texts.embed(None)
    with pytest.raises(Exception, match=r"768 wide, this restorer takes 64.*SD 2.1's own CLIP"):
        by_node(inside, crops, weights, conditioning=[[torch.zeros(1, 77, 768), {}]])
    with pytest.raises(Exception, match="combines 2 texts; one is needed"):
        by_node(inside, crops, weights, conditioning=[[text, {}], [text, {}]])
    with pytest.raises(Exception, match=r"texts of shape \[3, 77, 64\] for 1 faces"):
        by_node(inside, crops, weights, conditioning=[[text.expand(3, -1, -1), {}]])
    vre = Prompts(torch.zeros(1, 77, 64), *torch.zeros(2, 1, 77, dtype=torch.int64))
    with pytest.raises(Exception, match="not both"):
        by_node(inside, crops, weights, conditioning=[[text, {}]], prompt=vre)
    with pytest.raises(ImageError, match="OSDFace's VRE's; this restorer takes a text"):
        restorer.restore(crops, Restore(), prompts=vre)
    with pytest.raises(ImageError, match="OSDFace takes no text"):
        as_restorer(starter).restore(crops, Restore(), prompts=Prompts.of_text(text, len(crops)))
    with pytest.raises(Exception, match="timestep 300: this restorer does not take it"):
        by_node(inside, crops, weights, timestep=300)
    with pytest.raises(OptionError, match="no embeddings of this text"):
        restorer.restore(crops, Restore(prompt="wings"))


def test_no_face_needs_no_text(restorer, crops):
    none = crops.faces.keep([])
    empty = replace(crops, images=crops.images[:0], faces=none, to_crop=crops.to_crop[:0])
    assert isinstance(none, Faces)
    assert len(restorer.restore(empty, Restore())) == 0
