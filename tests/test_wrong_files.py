"""Every way a weights file can be wrong is an error that names the file, the tensor, and what to do."""

import json
import os
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import change, load
from parity import recipe
from parity.single_file import TINY, as_single_file
from safetensors.torch import save_file

from osdface_core import OSDFaceError, WeightsError, load_model
from osdface_core.errors import (
    KeysError,
    LoraError,
    NotACheckpointError,
    ShapeError,
    TruncatedFileError,
    UnsafeFileError,
    WeightsNotFoundError,
    WrongBaseError,
)
from osdface_core.weights import load_authors_files
from osdface_core.weights.files import read_tensors
from osdface_core.weights.sd21 import LDM_TELLTALE_KEY


def cut(path: Path, keep: float) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: int(len(content) * keep)])


def test_missing_files_are_named(files):
    with pytest.raises(WeightsNotFoundError, match=r"authors' files change SD 2.1-base.*--base"):
        load_model(files / "ckpt")
    with pytest.raises(WeightsNotFoundError, match="no such file or folder"):
        load_authors_files(files / "ckpt", files / "nowhere")
    (files / "sd21base/vae/config.json").unlink()
    with pytest.raises(WeightsNotFoundError, match=r"vae/config.json.*diffusers folder is missing"):
        load(files)
    (files / "ckpt/embedding_change_weights.pth").unlink()
    with pytest.raises(WeightsNotFoundError, match=r"embedding_change_weights.pth.*osdface weights download osdface"):
        load(files)
    with pytest.raises(WeightsNotFoundError, match="no such file"):
        load_model(files / "nothing.safetensors")


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("ckpt/associate_2.ckpt", "vqvae_LQ.encoder.mid.attn_1.q.weight"),
        ("ckpt/associate_2.ckpt", "vqvae_LQ.encoder.conv_in.weight"),
        ("ckpt/associate_2.ckpt", "vqvae_LQ.quantize.embedding.weight"),
        ("ckpt/embedding_change_weights.pth", "conv2.bias"),
        ("sd21base/unet/diffusion_pytorch_model.safetensors", "conv_out.weight"),
        ("sd21base/vae/diffusion_pytorch_model.safetensors", "decoder.conv_in.bias"),
    ],
)
def test_a_lost_tensor_is_named_with_its_file(files, name, lost):
    change(files / name, lambda tensors: tensors.pop(lost))
    with pytest.raises(KeysError, match="missing") as caught:
        load(files)
    assert caught.value.key is not None
    assert (
        caught.value.key.split(".")[-1]
        == lost.replace("quantize.embedding.weight", "quantizer.embedding").split(".")[-1]
    )
    assert str(caught.value.path) in str(files / name)


def test_a_tensor_nobody_asked_for_is_named(files):
    change(files / "ckpt/associate_2.ckpt", lambda t: t.update({"vqvae_LQ.encoder.extra.weight": torch.zeros(1)}))
    with pytest.raises(KeysError, match=r"1 tensor\(s\) not expected.*extra"):
        load(files)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("ckpt/associate_2.ckpt", "vqvae_LQ.quant_conv.weight"),
        ("ckpt/embedding_change_weights.pth", "conv1.weight"),
        ("sd21base/unet/diffusion_pytorch_model.safetensors", "conv_in.weight"),
        ("sd21base/vae/diffusion_pytorch_model.safetensors", "quant_conv.weight"),
    ],
)
def test_a_wrong_shape_is_named_with_what_was_expected(files, name, key):
    change(files / name, lambda tensors: tensors.update({key: torch.zeros(3, 5, 1)}))
    with pytest.raises(ShapeError, match=r"is \[3, 5.*expected \["):
        load(files)


@pytest.mark.parametrize("keep", [0, 0.00001, 0.001, 0.3, 0.9, 0.999999])
@pytest.mark.parametrize(
    "name",
    [
        "ckpt/associate_2.ckpt",
        "ckpt/embedding_change_weights.pth",
        "ckpt/pytorch_lora_weights.safetensors",
        "sd21base/unet/diffusion_pytorch_model.safetensors",
    ],
)
def test_a_truncated_file_is_never_loaded(files, name, keep):
    cut(files / name, keep)
    with pytest.raises((TruncatedFileError, NotACheckpointError), match=r"copy it again|not a weights file") as caught:
        load(files)
    assert name in str(caught.value)
    if keep > 0.0001:
        assert isinstance(caught.value, TruncatedFileError)


def test_things_that_are_no_checkpoint_are_named(files):
    path = files / "ckpt/associate_2.ckpt"
    for content, message in (
        (b"<!DOCTYPE html><title>Sign in</title>", "a web page saved under that name"),
        (b"\x80\x02 this is no pickle", "not a sound PyTorch checkpoint|damaged"),
    ):
        path.unlink()
        path.write_bytes(content)
        with pytest.raises(WeightsError, match=message):
            load(files)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.onnx", b"0")
    with pytest.raises(NotACheckpointError, match="archive holds no weights"):
        load(files)
    torch.save([1, 2, 3], path)
    with pytest.raises(NotACheckpointError, match="holds a list"):
        load(files)
    torch.save({"epoch": 3}, path)
    with pytest.raises(NotACheckpointError, match="no tensors"):
        load(files)
    torch.save({"state_dict": {"model.weight": torch.zeros(1)}}, path)
    with pytest.raises(KeysError, match="starts with 'vqvae_LQ"):
        load(files)


@pytest.mark.parametrize("start", [b"\x80", b"PK"])
def test_a_header_length_that_looks_like_another_format_is_not_taken_for_it(tmp_path, start):
    """A safetensors file starts with its header's length, whose bytes can be those of a pickle or a zip."""
    path, tensors = tmp_path / "file.safetensors", {"a": torch.rand(3)}
    length = int.from_bytes(start.ljust(2, b"\1"), "little")
    header = json.dumps({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}}).encode()
    path.write_bytes(length.to_bytes(8, "little") + header.ljust(length) + tensors["a"].numpy().tobytes())
    assert torch.equal(read_tensors(path)[0]["a"], tensors["a"])


class Canary:
    """A pickle of it runs a command when it is read the ordinary way."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_asks_for_code_is_refused_and_runs_nothing(files, zipped):
    canary, path = files / "canary", files / "ckpt/associate_2.ckpt"
    path.unlink()
    torch.save({"state_dict": {"a": torch.zeros(1)}, "b": Canary(canary)}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(UnsafeFileError, match=r"would run \w+\.system"):
        load(files)
    assert not canary.exists()


def test_inert_objects_of_training_frameworks_run_nothing_either(files):
    """Even a name under a harmless package is never imported: a placeholder takes its place."""
    path = files / "harmless.ckpt"
    with recipe.fake_lightning() as checkpoint:
        instance = checkpoint()
        instance.best = 3
        torch.save({"state_dict": {"a": torch.zeros(1)}, "callbacks": [instance]}, path)
    tensors, _ = read_tensors(path)
    assert tensors.keys() == {"a"}
    assert "pytorch_lightning" not in sys.modules


def test_a_v_prediction_base_is_told_apart(files):
    path = files / "sd21base/scheduler/scheduler_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    path.write_text(json.dumps(config | {"prediction_type": "v_prediction"}), encoding="utf-8")
    with pytest.raises(WrongBaseError, match=r"'v_prediction', expected 'epsilon'.*SD 2.1-base"):
        load(files)
    single = as_single_file(files / "sd21base")
    single[LDM_TELLTALE_KEY] = torch.randn(32)
    save_file(single, files / "768.safetensors")
    with pytest.raises(WrongBaseError, match="768, which predicts v"):
        load_authors_files(files / "ckpt", files / "768.safetensors", TINY)


def test_another_stable_diffusion_is_told_apart(files):
    path = files / "sd21base/unet/config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.unlink()
    path.write_text(json.dumps(config | {"cross_attention_dim": 768}), encoding="utf-8")
    with pytest.raises(WrongBaseError, match=r"768 wide, as SD 1.x's; expected 1024"):
        load(files)
    save_file({"a": torch.zeros(1)}, files / "other.safetensors")
    with pytest.raises(NotACheckpointError, match="there is no model"):
        load_authors_files(files / "ckpt", files / "other.safetensors", TINY)


def rank_8(tensors):
    for key, value in tensors.items():
        tensors[key] = (value[:8] if ".lora_A." in key else value[:, :8]).contiguous()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (rank_8, "has rank 8.*expected 16"),
        (lambda t: t.pop(next(k for k in t if ".lora_B." in k)), "no counterpart"),
        (lambda t: t.pop(next(k for k in t if ".lora_A." in k)), "not part of a LoRA pair"),
        (
            lambda t: t.update({f"unet.wings.lora_{x}.weight": torch.zeros(16, 16) for x in "AB"}),
            "wings, which the UNet",
        ),
        (lambda t: t.update({"unet.conv_in.diff": torch.zeros(1)}), "not part of a LoRA pair"),
        (lambda t: t.update({next(k for k in t if ".lora_A." in k): torch.zeros(16, 3)}), "change, but"),
    ],
)
def test_a_wrong_lora_is_named(files, edit, message):
    change(files / "ckpt/pytorch_lora_weights.safetensors", edit)
    with pytest.raises(LoraError, match=message) as caught:
        load(files)
    assert caught.value.key
    assert caught.value.path.name == "pytorch_lora_weights.safetensors"


def test_every_weights_error_can_be_caught_as_one():
    errors = {KeysError, LoraError, NotACheckpointError, ShapeError, TruncatedFileError, UnsafeFileError}
    assert all(issubclass(error, WeightsError) for error in errors | {WrongBaseError, WeightsNotFoundError})
    assert issubclass(WeightsError, OSDFaceError)
