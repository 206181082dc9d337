"""`osdface doctor --prove` is content with what is right, names what is wrong, and tells nothing of the user."""

import getpass
import platform
import re
import tempfile
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch
from conftest import ROOT, twin_of
from test_inference import overflowing

from osdface_core import ModelConfig, OSDFaceModel, VREConfig, load_model
from osdface_core.cli import main
from osdface_core.diagnosis.machine import machine, peak_bytes, peak_memory
from osdface_core.diagnosis.prove import PHOTO, Pass, Proof, prove, without_paths
from osdface_core.inference import prepare
from osdface_core.models.precision import Precision
from osdface_core.networks.config import UNetConfig, VAEConfig
from osdface_core.weights import save_bundle
from osdface_core.weights.catalog import entry_named
from osdface_core.weights.describe import describe_file, describe_weights

CPU = torch.device("cpu")
ON_CPU = ("doctor", "--prove", "--device", "cpu", "--detector", "starter")


def run(*arguments):
    return main([str(argument) for argument in arguments])


def failed(proof: Proof) -> dict[str, str]:
    """What the failed checks of a report say, and what to do."""
    return {check.name: f"{check.says} {check.todo}" for check in proof.checks if check.todo}


def paths_of_this_machine(*more: Path) -> set[str]:
    known = (Path.home(), Path.cwd(), ROOT, PHOTO.parent, Path(tempfile.gettempdir()), *more)
    return {text for path in known if len(path.parts) > 1 for text in (str(path), path.as_posix())}


def assert_private(report: str, *more: Path) -> None:
    assert not {path for path in paths_of_this_machine(*more) if path in report}
    assert platform.node() not in report
    if len(getpass.getuser()) > 4:  # "root" may be part of a word
        assert getpass.getuser() not in report
    assert not re.search(r"(^|[\s(])(/|[A-Za-z]:\\|~)\w", report)


def test_the_starter_holds_and_its_report_names_no_path(capsys, tmp_path):
    assert run(*ON_CPU) == 0
    report = capsys.readouterr().out
    assert report.startswith("### osdface doctor --prove: all is well\n")
    assert report.count("\n- [x] ") == 5
    assert "tokens: 0 of 77 differ" in report
    assert "\n- weights: the starter\n" in report
    assert "\n- detector: the starter\n" in report
    assert f"\n- torch: {torch.__version__}" in report
    rows = [line.split(" | ") for line in report.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[1:]] == ["| VRE features", "| prompt", "| latents", "| noise", "| x0", "| decoded"]
    for row in (rows[1], rows[3], rows[4], rows[6]):
        assert row[1] == "fp32"
        assert min(map(float, row[2:5])) > 0
    assert max(float(row[6].rstrip(" |")) for row in rows[1:]) < 1e-3
    assert_private(report, tmp_path)


def test_weights_that_lead_to_no_numbers_are_named_by_their_stage(starter, tmp_path, capsys):
    """NaN itself is refused when a file is read."""
    spoilt = twin_of(starter).float()
    for layer in (spoilt.unet.conv_norm_out, spoilt.unet.conv_out):
        layer.weight.data *= 1e25  # finite, and so is their sum; their product is not
    save_bundle(spoilt, tmp_path / "janes.safetensors")  # in float32
    assert run(*ON_CPU, "--weights", tmp_path / "janes.safetensors") == 1
    report = capsys.readouterr().out
    assert "- [ ] numbers: noise: not finite **The weights are damaged" in report
    assert re.search(r"\n- weights: a file of your own \(\d+\.\d MB, sha256 [0-9a-f]{16}\)\n", report)
    assert "janes" not in report
    assert_private(report, tmp_path)


def test_numbers_that_only_the_device_loses_are_told_from_damaged_weights(monkeypatch):
    def broken(*arguments, **options):
        model = load_model(*arguments, **options)
        model.unet.conv_out.bias.data[0] = float("nan")
        return model

    monkeypatch.setattr("osdface_core.diagnosis.prove.load_model", broken)
    assert failed(prove(detector="starter"))["numbers"].startswith("noise: not finite This is a fault of the program")


def test_tokens_that_differ_are_counted(monkeypatch):
    """The device's dictionary has its entries in other places."""

    def patched(*arguments, **options):
        model = load_model(*arguments, **options)
        model.vre.quantizer.embedding.data = model.vre.quantizer.embedding.roll(1, 0)
        model.vre.tabulate()
        return model

    monkeypatch.setattr("osdface_core.diagnosis.prove.load_model", patched)
    problems = failed(prove(detector="starter"))
    assert problems.keys() == {"tokens"}  # the entries are the same, under other numbers
    assert re.match(r"\d+ of 77 differ from the CPU's Try", problems["tokens"])
    assert int(problems["tokens"].split()[0]) > 40


def test_another_image_fails(monkeypatch):
    def blurred(*arguments, **options):
        model = load_model(*arguments, **options)
        model.vae.decoder.conv_out.weight.data *= 0.9
        return model

    monkeypatch.setattr("osdface_core.diagnosis.prove.load_model", blurred)
    assert failed(prove(detector="starter")).keys() == {"image"}


@pytest.mark.parametrize(
    ("error", "todo"),
    [
        (RuntimeError("no kernel image in /home/jane/site-packages/x.cu, C:\\Users\\jane\\x\nmore"), "Update PyTorch"),
        (torch.OutOfMemoryError("CUDA out of memory"), "--precision fp16"),
    ],
)
def test_what_a_device_raises_is_reported_and_the_cpu_still_computed(monkeypatch, error, todo):
    def unable(*arguments, **options):
        model = load_model(*arguments, **options)

        def fail(*_inputs):
            raise error

        model.vae.decode = fail
        return model

    monkeypatch.setattr("osdface_core.diagnosis.prove.load_model", unable)
    proof = prove(detector="starter")
    assert failed(proof).keys() == {"device"}
    report = proof.to_markdown()
    assert f"device: {type(error).__name__}: " in report
    assert todo in report
    assert "jane" not in report
    assert proof.plain.image.shape == (1, 3, 256, 256)
    assert re.search(r"\n\| decoded \|.* \|\n", report)


def test_a_part_that_overflows_is_in_the_report(starter, monkeypatch):
    monkeypatch.setattr("osdface_core.models.precision.is_quick", lambda dtype, device: True)
    spoilt = overflowing(starter, "unet")

    def half(*_arguments, **_options):
        return prepare(twin_of(spoilt), Precision.parse("unet=fp16"))

    monkeypatch.setattr("osdface_core.diagnosis.prove.load_model", half)
    proof = prove(detector="starter")
    assert proof.facts["overflow"] == "unet: computed in fp32 from then on"
    assert proof.facts["stored in"] == "encode fp32, unet fp16, decode fp32"
    assert proof.computed["noise"] == "fp32"
    assert "numbers" not in failed(proof)


def test_the_authors_files_are_told_by_their_names_in_the_catalogue(tiny_weights):
    told = describe_weights(tiny_weights / "ckpt", tiny_weights / "sd21base", ModelConfig())
    assert [re.sub(r"\(.+?\)", "", file).strip() for file in told.split(";")] == [
        "associate_2.ckpt of osdface, unverified",
        "pytorch_lora_weights.safetensors of osdface, unverified",
        "embedding_change_weights.pth of osdface, unverified",
        "unet/diffusion_pytorch_model.safetensors of sd21-base, unverified",
        "vae/diffusion_pytorch_model.safetensors of sd21-base, unverified",
    ]
    assert len(re.findall("sha256 [0-9a-f]{16}", told)) == 5
    assert_private(told, tiny_weights)


def test_a_file_of_the_catalogue_is_known_by_its_sha256_under_any_name(shared, tmp_path):
    copy = tmp_path / "mine.pth"
    copy.write_bytes((shared / "weights" / "detection_mobilenet0.25_Final.pth").read_bytes())
    (known,) = entry_named("retinaface-mobile0.25").files
    assert describe_file(copy) == f"retinaface-mobile0.25 ({known.path}, as in the catalogue)"


def test_weights_that_are_missing_are_named(tmp_path, caplog, capsys):
    assert run(*ON_CPU, "--weights", tmp_path / "none.safetensors") == 1
    assert "none.safetensors: there is no such file" in caplog.text
    assert run(*ON_CPU[:-1], tmp_path / "none.pth") == 1
    assert "none.pth: there is no such file" in caplog.text
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights", "mine.safetensors"], "--weights: only with --prove"),
        (["--prove", "--precision", "fp7"], "--precision: "),
        (["--prove", "--device", "abacus"], "--device abacus: "),
    ],
)
def test_wrong_usage_ends_with_2(capsys, arguments, message):
    with pytest.raises(SystemExit, match="2"):
        run("doctor", *arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "width"), [("projected", 1), ("concatenated", 2)])
def test_of_concatenated_prompts_pairs_of_entries_are_compared(kind, width):
    config = ModelConfig(VREConfig(32, (1, 2), 1, 32, 64, input_size=32, prompt_channels=64, prompt_kind=kind))
    unet = UNetConfig(
        block_out_channels=(32, 64),
        cross_attention_dim=64,
        norm_num_groups=8,
        attention_head_dim=4,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )
    torch.manual_seed(0)
    model = OSDFaceModel(replace(config, unet=unet, vae=VAEConfig(latent_channels=4)))
    seen = Pass()
    with torch.no_grad():
        seen.run(model, torch.rand(1, 3, 64, 64))
    assert seen.broken is None
    assert sum(seen.tokens.values()) == 77
    assert {len(token) for token in seen.tokens} == {width}


def test_a_photo_without_a_face_is_a_failed_check(monkeypatch):
    monkeypatch.setattr("osdface_core.diagnosis.prove.PHOTO", ROOT / "docs" / "growth.png")
    problems = failed(prove(detector="starter"))
    assert problems.keys() == {"detection"}
    assert problems["detection"].startswith("0 faces found, of 1")


def test_the_first_line_of_a_message_stays_without_its_paths():
    home = Path.home()
    assert without_paths(f"cannot open {home / 'a b'} twice\nsecond") == "cannot open b twice"
    assert without_paths("in D:\\x\\y.py and a/b: no memory") == "in and no memory"
    assert without_paths("") == ""


def test_memory_and_machine_are_told(monkeypatch):
    assert 50e6 < peak_bytes() < 1e12
    assert "GB of main memory" in peak_memory(CPU)
    monkeypatch.setattr(platform, "release", lambda: "6.1.0-jane-custom")
    assert "jane" not in str(machine(CPU))
    assert "6.1.0" in machine(CPU)["system"]


def test_the_version_is_told_where_the_pack_is_run_from_its_folder(monkeypatch):
    def not_installed(package):
        raise PackageNotFoundError(package)

    monkeypatch.setattr("osdface_core.diagnosis.machine.version", not_installed)
    assert re.fullmatch(r"\d+\.\d+\.\d+, run from its folder", machine(CPU)["osdface"])
