"""Bundles, and the models that come from them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, same_weights
from parity.single_file import TINY
from safetensors.torch import save_file
from windows_rules import mapped_files

from osdface_core import ModelConfig, OSDFaceModel, VREConfig, load_detector, load_model, restore_aligned
from osdface_core.errors import NotACheckpointError, UnreadableFileError
from osdface_core.inference.restorer import as_restorer
from osdface_core.weights import convert, load_authors_files, load_bundle, save_bundle
from osdface_core.weights.files import no_memory, read_tensors, sha256


def test_a_bundle_holds_the_same_model(files, tiny):
    convert(files / "ckpt", files / "sd21base", files / "bundle.safetensors")
    model = load_bundle(files / "bundle.safetensors")
    assert same_weights(model, tiny)
    assert model.config == tiny.config


def test_a_bundle_says_what_it_was_made_from(files):
    convert(files / "ckpt", files / "sd21base", files / "bundle.safetensors")
    metadata = read_tensors(files / "bundle.safetensors")[1]
    sources = {entry["name"]: entry for entry in json.loads(metadata["sources"])}
    assert sources["associate_2.ckpt"]["sha256"] == sha256(files / "ckpt/associate_2.ckpt")
    assert {"embedding_change_weights.pth", "pytorch_lora_weights.safetensors"} < sources.keys()
    assert len(json.loads(metadata["sources"])) == 5
    assert "Open RAIL" in metadata["licences"]


@pytest.mark.parametrize(("dtype", "gap"), [(torch.float16, 1e-3), (torch.bfloat16, 8e-3)])
def test_a_bundle_may_store_less_precision_but_the_vre_keeps_its_own(files, tiny, dtype, gap):
    convert(files / "ckpt", files / "sd21base", files / "bundle.safetensors", dtype=dtype)
    stored = load_bundle(files / "bundle.safetensors")
    assert {parameter.dtype for part in (stored.unet, stored.vae) for parameter in part.parameters()} == {dtype}
    assert torch.equal(stored.vre.encoder.quant_conv.weight, tiny.vre.encoder.quant_conv.weight)
    model = load_model(files / "bundle.safetensors")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    weight, exact = model.unet.conv_in.weight, tiny.unet.conv_in.weight
    assert 0 < (weight - exact).abs().max() < gap * exact.abs().max()


def test_an_interrupted_save_leaves_no_bundle(tiny, tmp_path, monkeypatch):
    def fail(_source, _target):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_bundle(tiny, tmp_path / "bundle.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_notice_travels_with_the_bundle(starter, tmp_path):
    save_bundle(starter, tmp_path / "starter.safetensors", licences="MIT")
    assert "starter weights" in load_bundle(tmp_path / "starter.safetensors").notice


def test_the_starter_is_the_same_every_time_and_leaves_the_random_state_alone(starter):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    assert same_weights(load_model(), starter)
    assert torch.equal(torch.rand(1), expected)


def test_other_files_are_no_bundle(files):
    with pytest.raises(NotACheckpointError, match="osdface weights convert"):
        load_model(files / "ckpt/pytorch_lora_weights.safetensors")
    with pytest.raises(NotACheckpointError, match="osdface weights convert"):
        load_model(files / "ckpt/associate_2.ckpt")


def test_a_bundle_of_a_newer_version_says_so(files):
    convert(files / "ckpt", files / "sd21base", files / "bundle.safetensors")
    tensors, metadata = read_tensors(files / "bundle.safetensors")
    config = json.loads(metadata["config"]) | {"wings": 2}
    save_file(tensors, files / "newer.safetensors", metadata | {"config": json.dumps(config)})
    with pytest.raises(NotACheckpointError, match=r"wings.*newer version"):
        load_bundle(files / "newer.safetensors")


def test_every_size_comes_from_the_config():
    config = ModelConfig(
        vre=VREConfig(base_channels=32, channel_multipliers=(1, 1, 2), tokens=5), unet=TINY.unet, vae=TINY.vae
    )
    with torch.device("meta"):
        model = OSDFaceModel(config)
        full = OSDFaceModel(ModelConfig())
    assert len(model.vre.encoder.encoder.down_blocks) == 3
    count = {name: sum(p.numel() for p in getattr(full, name).parameters()) for name in ("vre", "unet", "vae")}
    assert count["unet"] == 865_910_724
    assert count["vae"] == 83_653_863
    # the checkpoint also holds the second norm of three attentions, which the encoder never uses
    assert count["vre"] == 29_172_416 + 394_496 - 3 * 2 * 512


def test_weights_are_read_lazily_not_copied(tiny_weights, tmp_path):
    """Loading a bundle maps its file: hardly any memory of the process's own, and less time than reading."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc to see the process's memory")
    bundle = tmp_path / "bundle.safetensors"
    convert(tiny_weights / "ckpt", tiny_weights / "sd21base", bundle)
    script = f"""
import re, torch
from osdface_core import load_model
def own(): return int(re.search(r"RssAnon:\\s+(\\d+)", open("/proc/self/status", encoding="utf-8").read())[1]) * 1024
load_model()
before = own()
model = load_model({str(bundle)!r})
print(own() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 0.25 * bundle.stat().st_size


def test_nothing_of_the_package_stays_mapped(starter):
    """Windows could not update the pack while ComfyUI runs."""
    if not Path("/proc/self/maps").exists():
        pytest.skip("needs /proc to see what is mapped")
    detector = load_detector("starter")
    ours = [name for name in mapped_files() if Path(name).is_relative_to(ROOT / "osdface_core")]
    assert not ours
    assert starter.unet is not None
    assert detector is not None


def test_a_bundle_that_is_in_use_stays_and_the_new_one_is_kept_beside_it(tiny_weights, tmp_path, windows_rules):
    bundle = tmp_path / "bundle.safetensors"
    convert(tiny_weights / "ckpt", tiny_weights / "sd21base", bundle)
    used = load_bundle(bundle)
    with pytest.raises(OSError, match=r"bundle.safetensors: .*ComfyUI where it uses this file.*bundle \(1\)"):
        convert(tiny_weights / "ckpt", tiny_weights / "sd21base", bundle, dtype=torch.float16)
    assert same_weights(load_bundle(bundle), used)
    assert load_bundle(tmp_path / "bundle (1).safetensors").unet.conv_in.weight.dtype == torch.float16


@pytest.mark.parametrize("change", ["cut short", "overwritten", "touched"])
@pytest.mark.parametrize("route", ["bundle", "authors"])
def test_a_mapped_file_that_was_changed_in_place_is_noticed_before_the_next_pass(
    starter, tiny_weights, tmp_path, change, route
):
    """Cut short, it would end the process (SIGBUS); overwritten, it would give other faces without a word."""
    if route == "bundle":
        file = tmp_path / "bundle.safetensors"
        save_bundle(starter, file)
        model = load_bundle(file)
    else:
        shutil.copytree(tiny_weights / "sd21base", tmp_path / "base")
        file = tmp_path / "base" / "vae" / "diffusion_pytorch_model.safetensors"
        model = load_authors_files(tiny_weights / "ckpt", tmp_path / "base")
    image = torch.rand(1, 3, 64, 96)
    restore_aligned(image, model, exact=True)
    with file.open("r+b") as written:
        if change == "cut short":
            written.truncate(1000)
        elif change == "overwritten":
            written.seek(5000)
            written.write(b"other")
        else:
            os.utime(file, ns=(0, file.stat().st_mtime_ns + 1))
    for work in (lambda: restore_aligned(image, model, exact=True), lambda: as_restorer(model).vre(1)):
        with pytest.raises(UnreadableFileError, match=f"{file.name}: it has changed since it was loaded"):
            work()


def test_a_new_file_under_its_name_leaves_what_is_mapped_as_it_was(starter, tiny, tmp_path):
    bundle = tmp_path / "bundle.safetensors"
    save_bundle(starter, bundle)
    model, image = load_bundle(bundle), torch.rand(1, 3, 64, 96)
    before = restore_aligned(image, model, exact=True)
    save_bundle(tiny, bundle)
    assert torch.equal(restore_aligned(image, model, exact=True), before)
    bundle.unlink()
    assert torch.equal(restore_aligned(image, model, exact=True), before)


NO_ROOM = """
import resource, sys
from osdface_core.cli import main
used = int(open("/proc/self/statm", encoding="ascii").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,) * 2)
sys.exit(main(["detect", sys.argv[1], "--json", sys.argv[2], "--detector", sys.argv[3]]))
"""


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_for_which_there_is_no_memory_is_not_called_damaged(tmp_path, suffix):
    """A process that may have 300 MB more, and a file of 800: a stand-in for a page file that is too small."""
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc to know how much the process has")
    large, zeros = tmp_path / f"large{suffix}", {"a": torch.zeros(200_000_000)}
    save_file(zeros, large) if suffix == ".safetensors" else torch.save(zeros, large)
    command = [sys.executable, "-c", NO_ROOM, ROOT / "photos" / "astronaut.png", tmp_path / "out.json", large]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, cwd=ROOT)
    large.unlink()
    assert done.returncode == 1
    assert f"{large}: there is no memory left to map it into" in done.stderr
    assert "page file" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        OSError("The paging file is too small for this operation to complete. (os error 1455)"),
        RuntimeError("Couldn't open file mapping: <torch_1>, error code: <1455>"),
        RuntimeError("unable to mmap 8 bytes from file <a>: Cannot allocate memory (12)"),
        OSError("[WinError 1455] The paging file is too small for this operation to complete"),
        MemoryError("Cannot allocate memory (os error 12)"),
    ],
)
def test_what_systems_say_without_memory_is_understood(error):
    assert no_memory(error)
    assert not no_memory(OSError(13, "Permission denied"))


def test_a_file_that_another_program_has_locked_is_named(tmp_path, monkeypatch):
    file = tmp_path / "locked.safetensors"
    file.write_bytes(b"12345678{")

    def locked(_path, *_how, **_more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", locked)
    with pytest.raises(UnreadableFileError, match=r"locked.safetensors: .*Close the program that has it open"):
        load_bundle(file)
