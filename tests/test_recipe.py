"""Recipes: read whole, or refused with the field at fault."""

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
        ("steps: 4, ", "", r"stages\.autoencoder\.schedule: .*steps"),
        ("crop_size: 64", "crop_siez: 64", r"model\.crop_siez is unknown"),
        ("stages:", "stagse:", "stages"),
        ("kind: vre", "kind: [", "cannot be read"),
    ],
)
def test_mistakes_are_named(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=message):
        read_recipe(changed(tmp_path, old, new), NAMES)


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
