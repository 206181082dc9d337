"""Recipes: read whole, or refused with the field at fault."""

from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT

from osdface_core import ModelConfig
from osdface_core.cli import main
from osdface_core.training.recipe import RecipeError, built_in, read_recipe
from osdface_core.training.run import run

TINY = ROOT / "tests" / "recipes" / "tiny.yaml"
NAMES = {
    "PHOTOS": "photos",
    "RUN": "run",
    "FACES": "faces",
    "DETECTOR": "detector.pth",
    "EMBEDDER": "face.pth",
    "BASE": "base",
    "ARCFACE": "arcface.pth",
}


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = TINY.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "recipe.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["starter", "osdface"])
def test_built_in_recipes_can_be_read(name: str) -> None:
    recipe = read_recipe(built_in(name), NAMES)
    assert list(recipe.stages)[-1] == "restorer"
    assert recipe.stages["vre"].options["association_weight"] > 0
    if name == "osdface":
        assert recipe.model == ModelConfig()


def test_the_second_edition_of_the_starter_learns_on_windows_and_then_on_whole_faces() -> None:
    stages = read_recipe(built_in("starter_again"), NAMES | {"STARTER": "starter"}).stages
    windows, faces = stages["windows"], stages["faces"]
    assert windows.data == replace(faces.data, window=128, recolour=windows.data.recolour)
    assert faces.data.degradation.mild > 0
    assert faces.options["parts"] == {"model": "run/windows/bundle.safetensors"}
    assert "identity" in {name for name, value in faces.options.items() if value != windows.options.get(name)}
    people = stages["people"]
    assert people.options["parts"] == {"model": "run/faces/bundle.safetensors"}
    assert not (people.options["encoder"])
    assert not (people.options["decoder"])
    assert people.options["looks"] > 1


def test_the_ablation_takes_one_thing_away_at_a_time() -> None:
    stages = read_recipe(built_in("ablation"), NAMES | {"STARTER": "starter"}).stages
    full = stages["full"]
    for name, missing in {"without_identity": "identity", "without_gan": "adversarial"}.items():
        assert stages[name].options == full.options | {missing: 0}
    assert stages["without_prompt"].options | {"parts": {}} == full.options | {"parts": {}, "without_prompt": True}
    assert stages["latent_without_prompt"].options == stages["latent"].options | {"without_prompt": True}
    assert {stages[name].schedule for name in ("full", "without_prompt", "without_identity", "without_gan")} == {
        full.schedule
    }


def test_a_stage_changes_what_all_have_in_common(tmp_path: Path) -> None:
    path = changed(tmp_path, "kind: autoencoder", "kind: autoencoder\n    data: {window: 32, degradation: {passes: 0}}")
    stages = read_recipe(path, NAMES).stages
    assert stages["autoencoder"].data.window == 32
    assert stages["autoencoder"].data.size == stages["vre"].data.size == 64
    assert stages["vre"].data.window is None
    assert stages["autoencoder"].data.degradation.passes == 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("learning_rate", "learnig_rate", r"stages\.autoencoder\.schedule\.learnig_rate is unknown.*learning_rate"),
        ("steps: 4, ", "", r"stages\.autoencoder\.schedule\.steps is missing"),
        ("crop_size: 64", "crop_siez: 64", r"model\.crop_siez is unknown"),
        ("stages:", "stagse:", "stages"),
        ("kind: vre", "kind: [", "cannot be read"),
    ],
)
def test_mistakes_are_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        read_recipe(changed(tmp_path, old, new), NAMES)


BAD = [
    ("steps: 4", "steps: -4", r"stages\.autoencoder\.schedule\.steps is -4"),
    ("steps: 4", "steps: 0", r"schedule\.steps is 0"),
    ("steps: 4", "steps: 4.5", r"schedule\.steps is 4\.5: it must be a whole number"),
    ("steps: 4", "steps: many", r"schedule\.steps is 'many'"),
    ("steps: 4", "steps: true", r"schedule\.steps is True"),
    ("steps: 4", "steps: null", r"schedule\.steps is None"),
    ("batch_size: 2", "batch_size: 0", r"schedule\.batch_size is 0: it must be 1 or more"),
    ("batch_size: 2", "batch_size: [2]", r"schedule\.batch_size is \[2\]"),
    ("learning_rate: 1e-3", "learning_rate: .nan", r"schedule\.learning_rate is nan"),
    ("learning_rate: 1e-3", "learning_rate: .inf", r"schedule\.learning_rate is inf"),
    ("learning_rate: 1e-3", "learning_rate: -1e-3", r"schedule\.learning_rate is -0\.001"),
    ("learning_rate: 1e-3", "learning_rate: fast", r"schedule\.learning_rate is 'fast': it must be a number"),
    ("learning_rate: 1e-3", "discriminator_learning_rate: 0", r"schedule\.discriminator_learning_rate is 0"),
    ("steps: 4", "steps: 4, precision: fp8", r"schedule\.precision is 'fp8': take no, fp16, bf16"),
    ("steps: 4", "steps: 4, decay: wild", r"schedule\.decay is 'wild': take constant"),
    ("steps: 4", "steps: 4, betas: [0.5]", r"schedule\.betas is \[0\.5\]: it must be a list"),
    ("steps: 4", "steps: 4, betas: [0.5, 1.5]", r"schedule\.betas is \(0\.5, 1\.5\)"),
    ("steps: 4", "steps: 4, ema_decay: 2", r"schedule\.ema_decay is 2"),
    ("steps: 4", "steps: 4, clip: 0", r"schedule\.clip is 0"),
    ("steps: 4", "steps: 4, warmup: -1", r"schedule\.warmup is -1"),
    ("steps: 4", "steps: 4, seed: -1", r"schedule\.seed is -1"),
    ("save_every: 2", "save_every: 0", r"schedule\.save_every is 0"),
    (
        "schedule: &schedule {steps: 4,",
        "schedule: 5\n    other: &schedule {steps: 4,",
        r"autoencoder\.other is unknown",
    ),
    ("folders: [$PHOTOS]", "folders: $PHOTOS", r"data\.folders is '.*': it must be a list"),
    ("folders: [$PHOTOS]", "folders: []", r"data\.folders is empty"),
    (
        "folders: [$PHOTOS]",
        "folders: [/nowhere/at/all]",
        r"/nowhere/at/all: there is no such folder. Check data\.folders",
    ),
    ("folders: [$PHOTOS]", "folders: [$PHOTOS], manifest: /no.csv, groups: [a]", r"/no\.csv.*Check data\.manifest"),
    ("size: 64}", "size: 0}", r"data\.size is 0"),
    ("size: 64}", "size: 64, window: 65}", r"data\.window is 65: it must be 1 to 64"),
    ("size: 64}", "size: 64, workers: -1}", r"data\.workers is -1"),
    ("size: 64}", "size: 64, recolour: 1.5}", r"data\.recolour is 1\.5"),
    ("size: 64}", "size: 64, degradation: {jpeg: [0, 95]}}", r"data\.degradation\.jpeg is \(0\.0, 95\.0\)"),
    (
        "size: 64}",
        "size: 64, degradation: {blur: [9, 1]}}",
        r"data\.degradation\.blur is 9\.0, 1\.0: the smaller comes",
    ),
    ("size: 64}", "size: 64, degradation: strong}", r"data\.degradation is 'strong': it must be a table"),
    ("crop_size: 64", "crop_size: -64", r"model\.crop_size is -64"),
    ("crop_size: 64", "crop_size: 64.5", r"model\.crop_size is 64\.5"),
    ("base_channels: 32", "base_channels: 0", r"model\.vre\.base_channels is 0"),
    ("down_block_types: [CrossAttn", "down_block_types: [Crosswise", r"model\.unet\.down_block_types"),
    ("unet: full", "unet: half", r"stages\.base\.options\.unet is 'half': take lora, full"),
    ("latent: 1.0", "latent: -1.0", r"stages\.base\.options\.latent is -1\.0"),
    ("side: lq", "side: left", r"stages\.vre\.options\.side is 'left': take hq, lq"),
    (", hq: $RUN/vre_hq", "", r"stages\.vre\.options\.hq is missing"),
    (
        "discriminator_channels: 8, discriminator",
        "discriminator_channels: 9, discriminator",
        r"reconstruction\.discriminator_channels is 9",
    ),
    ("kind: autoencoder", "kind: 3", r"stages\.autoencoder\.kind is 3: it must be a text"),
    (
        "perceptual_distance: random",
        "perceptual_distanse: random",
        r"stages\.restorer\.options\.perceptual_distanse is unk",
    ),
    ("  restorer:", "  ../restorer:", r"stages\.\.\./restorer: this name"),
    ("stages:", "stages: &all\n  itself: *all", "holds itself"),
]


@pytest.mark.parametrize(("old", "new", "message"), BAD, ids=[new.strip() for _, new, _ in BAD])
def test_what_cannot_be_is_refused_by_its_key_before_any_work(
    old: str, new: str, message: str, tmp_path: Path, face_photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_arguments: object, **_options: object) -> None:
        pytest.fail("training began")

    monkeypatch.setattr("osdface_core.training.run.train", train)
    with pytest.raises(RecipeError, match=message):
        run(changed(tmp_path, old, new), tmp_path / "run", replacements={"PHOTOS": face_photos})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "content", ["", "5", "[]", "stages: 5", "stages: {}", "stages: {a: 5}", "\0", "a: b: c", "\x80"]
)
def test_what_is_no_recipe_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_bytes(content.encode("latin-1"))
    with pytest.raises(RecipeError, match=r"recipe\.yaml: "):
        read_recipe(tmp_path / "recipe.yaml")


def test_names_without_a_value_are_asked_for() -> None:
    with pytest.raises(RecipeError, match=r"\$PHOTOS.*--set"):
        read_recipe(TINY, {"RUN": "run"})


def test_unknown_stages_and_kinds_are_named(tmp_path: Path, face_photos: Path) -> None:
    with pytest.raises(RecipeError, match=r"'vae'.*autoencoder, vre_hq, vre, base, restorer"):
        run(TINY, tmp_path, stage="vae", replacements={"PHOTOS": face_photos})
    path = changed(tmp_path, "kind: autoencoder", "kind: flow")
    with pytest.raises(RecipeError, match=r"'flow'.*autoencoder, vre, restorer"):
        run(path, tmp_path / "run", replacements={"PHOTOS": face_photos})


def test_the_command_says_what_is_wrong(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert main(["train", "nothing", "-o", str(tmp_path)]) == 1
    assert "osdface, starter" in caplog.text
    assert main(["train", str(TINY), "-o", str(tmp_path), "--set", f"PHOTOS={tmp_path}"]) == 1
    assert "no photographs to train on" in caplog.text
