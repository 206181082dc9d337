"""OSEDiff's files: what is read of them, the bundle they become, and what is said of those that are wrong."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from conftest import same_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from parity.osediff import load_recipe, read_recording
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from osdface_core import load_model
from osdface_core.errors import (
    KeysError,
    LoraError,
    NotACheckpointError,
    OptionError,
    ShapeError,
    TruncatedFileError,
    UnsafeFileError,
    WeightsNotFoundError,
    WrongBaseError,
)
from osdface_core.models.osediff import OSEDiffConfig, OSEDiffModel
from osdface_core.weights import convert, load_bundle, read_model, require_osdface
from osdface_core.weights import osediff as reading
from osdface_core.weights.export import export
from osdface_core.weights.files import git_blob, read_tensors
from osdface_core.weights.osediff import PROMPTS, load_osediff
from osdface_core.weights.text import encode_texts

PKL = "osediff_face.pkl"


@pytest.fixture
def spoiled(osediff_files: Path, tmp_path: Path) -> Path:
    """A copy of OSEDiff's file and base to spoil."""
    shutil.copy(osediff_files / PKL, tmp_path)
    shutil.copytree(osediff_files / "sd21base", tmp_path / "sd21base")
    return tmp_path


def edit(folder: Path, change) -> None:
    """Write the authors' file anew after `change` was made to what it holds."""
    content = torch.load(folder / PKL, weights_only=True)
    change(content)
    torch.save(content, folder / PKL)


def load(folder: Path) -> OSEDiffModel:
    return load_osediff(folder / PKL, folder / "sd21base", [])


# -- what is read ---------------------------------------------------------------------------------------------------


def with_loras(network, content, kind):
    """diffusers' network with the file's LoRAs beside its weights, as the training program makes them with peft."""
    adapters = {"unet": ("encoder", "decoder", "others"), "vae": ("encoder",)}[kind]
    for adapter in adapters:
        modules = sorted(set(content[f"{kind}_lora_{adapter}_modules"]))
        lora = LoraConfig(r=content[f"rank_{kind}"], target_modules=modules)
        network.add_adapter(lora, adapter_name=f"default_{adapter}")
    network.set_adapters([f"default_{adapter}" for adapter in adapters])
    own = dict(network.named_parameters())
    for key, tensor in content[f"state_dict_{kind}"].items():
        own[key].data.copy_(tensor)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("file", [PKL, "osediff_face_rank2_6.pkl"])
def test_other_weights_compute_what_diffusers_and_peft_do(kit, tmp_path, file):
    """Weights of another seed than the recordings', their LoRAs unmerged."""
    load_recipe(kit).write("tiny", str(tmp_path), seed=3)
    ours = load_osediff(tmp_path / file, tmp_path / "sd21base", ["a woman"])
    content = torch.load(tmp_path / file, weights_only=True)
    unet = with_loras(UNet2DConditionModel.from_pretrained(tmp_path / "sd21base/unet"), content, "unet")
    vae = with_loras(AutoencoderKL.from_pretrained(tmp_path / "sd21base/vae"), content, "vae")
    images, embeds = torch.rand(2, 3, 64, 72) * 2 - 1, ours.texts.embed(None).expand(2, -1, -1)
    with torch.no_grad():
        latents = vae.encode(images).latent_dist.mode() * 0.18215
        noise = unet(latents, 999, embeds).sample
        assert torch.allclose(ours.encode(images, None), latents, atol=2e-4)
        assert torch.allclose(ours.one_step.predict_noise(latents, 999, embeds), noise, atol=2e-4)
        assert torch.allclose(ours.decode(latents), vae.decode(latents / 0.18215).sample, atol=1e-4)


# -- bundles --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundle(osediff_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "osediff.safetensors"
    convert(osediff_files / PKL, osediff_files / "sd21base", path, kind="osediff")
    return path


def test_a_bundle_holds_the_same_model_and_its_texts(bundle, osediff):
    model = load_bundle(bundle)
    assert isinstance(model, OSEDiffModel)
    assert same_weights(model, osediff)
    assert model.config == osediff.config
    assert model.config.prompts == PROMPTS
    metadata = read_tensors(bundle)[1]
    assert metadata["kind"] == "osediff"
    assert "Apache-2.0" in metadata["licences"]
    assert json.loads(metadata["sources"])[0]["name"] == PKL


def test_a_bundle_may_store_less_precision_but_texts_keep_theirs(osediff_files, osediff, tmp_path):
    out, source = tmp_path / "half.safetensors", osediff_files / PKL
    prompts = ["a man", "a woman"]
    convert(source, osediff_files / "sd21base", out, kind="osediff", dtype=torch.float16, prompts=prompts)
    model = load_bundle(out)
    assert model.config.prompts == ("a man", "a woman")
    assert model.texts.embeds.dtype == torch.float32
    assert model.unet.conv_in.weight.dtype == torch.float16
    assert load_model(out).unet.conv_in.weight.dtype == torch.float32


def test_a_bundle_learns_a_text_where_the_text_encoder_is_named(bundle, osediff_files, kit):
    about, recorded = read_recording(kit, "face")
    model = read_model(bundle, osediff_files / "sd21base", prompts=[about["prompt"]])
    assert model.config.prompts == (*PROMPTS, about["prompt"])
    assert (model.texts.embed(about["prompt"]) - recorded["prompt_embeds"]).abs().max() < 1e-5
    assert torch.equal(model.texts.embed(None), load_bundle(bundle).texts.embed(""))


def test_the_weights_are_known_by_their_content_and_not_by_their_name(spoiled, osediff):
    (spoiled / PKL).rename(spoiled / "anything.bin")
    assert same_weights(read_model(spoiled / "anything.bin", spoiled / "sd21base"), osediff)
    with pytest.raises(WeightsNotFoundError, match=r"change SD 2.1-base.*--base"):
        read_model(spoiled / "anything.bin")


BAD_CONFIGS = {
    "a text for a list": {"prompts": "woman"},
    "numbers for texts": {"prompts": [1, 2]},
    "the same text twice": {"prompts": ["a", "a"]},
    "an endless text": {"prompts": ["a" * 100_000]},
    "endless texts": {"prompts": [str(n) for n in range(5000)]},
    "a timestep too late": {"timestep": 1000},
    "a VRE": {"vre": {}},
    "no UNet": {"unet": None},
    "another latent": {"unet.in_channels": 8},
    "a wrong key": {"wings": 2},
}


@pytest.mark.parametrize("change", BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_a_bundle_with_a_bad_configuration_is_refused_at_once(bundle, tmp_path, change):
    tensors, metadata = read_tensors(bundle)
    config = json.loads(metadata["config"])
    for name, value in change.items():
        part, _, key = name.rpartition(".")
        (config[part] if part else config)[key] = value
    bad = tmp_path / "bad.safetensors"
    save_file({"a": next(iter(tensors.values()))}, bad, metadata | {"config": json.dumps(config)})
    with pytest.raises(NotACheckpointError, match="configuration cannot be read"):
        load_bundle(bad)


def test_a_bundle_of_an_unknown_kind_says_so(bundle, tmp_path):
    tensors, metadata = read_tensors(bundle)
    save_file({"a": next(iter(tensors.values()))}, tmp_path / "new.safetensors", metadata | {"kind": "wings"})
    with pytest.raises(NotACheckpointError, match=r"kind that is not known here \('wings'\).*update"):
        load_bundle(tmp_path / "new.safetensors")


def test_what_is_written_is_read_again():
    config = OSEDiffConfig(prompts=("", "a woman"))
    assert OSEDiffConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_where_only_osdface_will_do_it_is_refused(bundle, osediff, tmp_path):
    with pytest.raises(NotACheckpointError, match="another model than OSDFace"):
        require_osdface(osediff, bundle)
    with pytest.raises(NotACheckpointError, match="another model than OSDFace"):
        export(bundle, "sd21", tmp_path)


# -- files that are wrong -------------------------------------------------------------------------------------------


def test_git_knows_a_file_by_the_same_name(spoiled):
    done = subprocess.run(["git", "hash-object", spoiled / PKL], capture_output=True, text=True, check=True)
    assert git_blob(spoiled / PKL) == done.stdout.strip()


def test_the_general_model_is_told_apart(spoiled, monkeypatch):
    monkeypatch.setattr(reading, "GENERAL", git_blob(spoiled / PKL))
    with pytest.raises(NotACheckpointError, match=r"OSEDiff's general model.*osediff-face"):
        load(spoiled)


def test_osdfaces_lora_is_told_apart(spoiled, tiny_weights):
    lora = tiny_weights / "ckpt" / "pytorch_lora_weights.safetensors"
    with pytest.raises(NotACheckpointError, match=r"not OSEDiff's face model.*osediff-face"):
        load_osediff(lora, spoiled / "sd21base")
    torch.save(load_file(lora), spoiled / PKL)
    with pytest.raises(KeysError, match=r"not OSEDiff's face model: it has no state_dict_unet.*osediff-face"):
        load(spoiled)
    with pytest.raises(NotACheckpointError, match="this is a folder"):
        load_osediff(tiny_weights / "ckpt", spoiled / "sd21base")


def test_a_truncated_file_is_named(spoiled):
    content = (spoiled / PKL).read_bytes()
    for size in (0, 100, len(content) // 2, len(content) - 30):
        (spoiled / PKL).write_bytes(content[:size])
        with pytest.raises((TruncatedFileError, NotACheckpointError), match=PKL):
            load(spoiled)
        with pytest.raises((TruncatedFileError, NotACheckpointError), match=PKL):
            read_model(spoiled / PKL, spoiled / "sd21base")


def test_a_file_that_asks_for_code_is_refused(spoiled):
    edit(spoiled, lambda content: content.update(extra=subprocess.Popen))
    with pytest.raises(UnsafeFileError, match="would run"):
        load(spoiled)


def first(content, part, ending):
    return next(key for key in content[f"state_dict_{part}"] if ending in key)


def add_wings(content):
    content["unet_lora_others_modules"].append("wings")
    for letter in "AB":
        content["state_dict_unet"][f"wings.lora_{letter}.default_others.weight"] = torch.zeros(4, 4)


def flat(content):
    key = first(content, "vae", ".lora_A.")
    content["state_dict_vae"][key] = torch.zeros(4)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda c: c.update(rank_unet=8), LoraError, "has rank 4 .*the file says 8"),
        (lambda c: c.update(rank_vae="4"), LoraError, "rank_vae is '4', expected a whole number"),
        (lambda c: c.update(rank_vae=True), LoraError, "rank_vae is True"),
        (lambda c: c.pop("rank_unet"), LoraError, "rank_unet is None"),
        (lambda c: c.pop("state_dict_vae"), KeysError, "state_dict_vae is no table of tensors"),
        (lambda c: c["state_dict_vae"].update(a=3), KeysError, "state_dict_vae is no table of tensors"),
        (
            lambda c: c["state_dict_vae"].update(a=torch.zeros(1)),
            LoraError,
            "1 tensor.s. of state_dict_vae are not part",
        ),
        (lambda c: c["unet_lora_others_modules"].pop(), LoraError, "unet_lora_others_modules and the tensors"),
        (lambda c: c.update(vae_lora_encoder_modules=None), LoraError, "vae_lora_encoder_modules and the tensors"),
        (lambda c: c["state_dict_unet"].pop(first(c, "unet", ".lora_B.")), LoraError, "has no counterpart"),
        (flat, LoraError, "has no counterpart .* to be multiplied with"),
        (add_wings, LoraError, "changes wings, which the base does not have"),
        (
            lambda c: c["state_dict_unet"].pop("conv_in.base_layer.bias"),
            KeysError,
            "conv_in.base_layer.bias is missing",
        ),
        (
            lambda c: c["state_dict_unet"].update({"conv_in.base_layer.weight": torch.zeros(3, 4, 3, 3)}),
            ShapeError,
            r"conv_in.base_layer.weight is \[3, 4, 3, 3\], but the base's",
        ),
        (
            lambda c: c["state_dict_unet"].update({first(c, "unet", ".lora_A."): torch.zeros(4, 3, 3, 3)}),
            LoraError,
            "counterpart make a",
        ),
        (
            lambda c: c["state_dict_unet"][first(c, "unet", ".lora_A.")].fill_(float("nan")),
            NotACheckpointError,
            "holds NaN",
        ),
    ],
)
def test_a_wrong_file_is_named_with_what_to_do(spoiled, change, error, message):
    edit(spoiled, change)
    with pytest.raises(error, match=message) as caught:
        load(spoiled)
    assert caught.value.path.name == PKL


def test_the_v_prediction_base_and_other_bases_are_told_apart(spoiled):
    scheduler, unet = spoiled / "sd21base/scheduler/scheduler_config.json", spoiled / "sd21base/unet/config.json"
    config = json.loads(scheduler.read_text(encoding="utf-8"))
    scheduler.write_text(json.dumps(config | {"prediction_type": "v_prediction"}), encoding="utf-8")
    with pytest.raises(WrongBaseError, match=r"'v_prediction', expected 'epsilon'.*SD 2.1-base"):
        load(spoiled)
    scheduler.write_text(json.dumps(config), encoding="utf-8")
    sizes = json.loads(unet.read_text(encoding="utf-8"))
    unet.write_text(json.dumps(sizes | {"cross_attention_dim": 768}), encoding="utf-8")
    with pytest.raises(WrongBaseError, match=r"768 wide, as SD 1.x's; expected 64"):
        load(spoiled)


def test_what_is_wrong_with_a_text_encoder_is_named(spoiled):
    def load_with_texts():
        return encode_texts(spoiled / "sd21base", ["a woman"], 64)

    base = spoiled / "sd21base"
    config = base / "text_encoder" / "config.json"
    sizes = json.loads(config.read_text(encoding="utf-8"))
    for change, message in (
        ({"hidden_size": 128}, r"texts are 128 wide, the UNet's context 64.*sd21-base-text"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers is 1000000: it must be"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu': it must be"),
        ({"max_position_embeddings": 300}, "max_position_embeddings is 300: it must be 77"),
        ({"num_attention_heads": 5}, "64 channels cannot be shared by 5 heads"),
    ):
        config.write_text(json.dumps(sizes | change), encoding="utf-8")
        with pytest.raises(WrongBaseError, match=message):
            load_with_texts()
    config.write_text(json.dumps(sizes | {"num_hidden_layers": 2}), encoding="utf-8")
    with pytest.raises(KeysError, match="not expected"):
        load_with_texts()
    config.write_text(json.dumps(sizes), encoding="utf-8")
    (base / "tokenizer" / "merges.txt").unlink()
    with pytest.raises(
        WeightsNotFoundError, match=r"merges.txt: this file of the tokenizer is missing.*sd21-base-text"
    ):
        load_with_texts()
    shutil.rmtree(base / "text_encoder")
    with pytest.raises(WeightsNotFoundError, match=r"model.safetensors: this file of the text encoder is missing"):
        load_with_texts()
    with pytest.raises(WeightsNotFoundError, match="this file of the text encoder is missing"):
        load_osediff(spoiled / PKL, base)
    model = load(spoiled)  # without a text of its own
    with pytest.raises(OptionError, match=r"come without a text: connect a CONDITIONING"):
        model.texts.embed(None)
