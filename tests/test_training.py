"""Training: every stage learns, trains what it should, goes on where it was, and leaves files that work."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT, same_weights
from torch import Tensor

import osdface_core
from osdface_core import OSDFaceModel
from osdface_core.training.checkpoint import last_checkpoint
from osdface_core.training.data import pairs_loader
from osdface_core.training.engine import train
from osdface_core.training.recipe import Recipe, StageRecipe, read_recipe
from osdface_core.training.run import build_stage, run
from osdface_core.training.stage import Stage
from osdface_core.weights import load_bundle

TINY = ROOT / "tests" / "recipes" / "tiny.yaml"
STAGES = ("autoencoder", "vre_hq", "vre", "base", "restorer", "again")


@pytest.fixture(scope="session")
def trained(face_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of the tiny recipe."""
    folder = tmp_path_factory.mktemp("run")
    assert run(TINY, folder, replacements={"PHOTOS": face_photos})
    return folder


@pytest.fixture
def recipe(trained: Path, face_photos: Path) -> Recipe:
    return read_recipe(TINY, {"PHOTOS": face_photos, "RUN": trained})


def new(recipe: Recipe, name: str) -> Stage:
    torch.manual_seed(0)
    return build_stage(recipe, recipe.stages[name])


def altered(entry: StageRecipe, **schedule) -> StageRecipe:
    return replace(entry, schedule=replace(entry.schedule, **schedule))


def trained_values(stage: Stage) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in stage.trained()]


@pytest.mark.parametrize("name", STAGES)
def test_one_batch_can_be_learnt(name: str, recipe: Recipe) -> None:
    stage, entry = new(recipe, name), recipe.stages[name]
    batch = next(iter(pairs_loader(entry.data, 2, seed=0)))
    optimizer = torch.optim.Adam(stage.trained(), lr=3e-3)
    key = {"base": "latent", "restorer": "mse", "again": "mse"}.get(name, "l1")
    course = []
    stage.train()
    for _ in range(40):
        losses = stage("generator", batch, 0)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        stage.after_step(lambda tensor: tensor)
        course.append(float(losses[key].detach()))
    assert course[-1] < 0.7 * course[0]


@pytest.mark.parametrize("name", STAGES)
def test_gradients_reach_only_what_is_to_be_trained(name: str, recipe: Recipe) -> None:
    stage, entry = new(recipe, name), recipe.stages[name]
    batch = next(iter(pairs_loader(entry.data, 2, seed=0)))
    stage.train()
    mine = {id(parameter) for parameter in stage.trained()}
    sum(stage("generator", batch, 5).values()).backward()
    reached = {key for key, parameter in stage.named_parameters() if parameter.grad is not None}
    assert reached <= {key for key, parameter in stage.named_parameters() if id(parameter) in mine}
    assert len(reached) > 0.9 * len(mine)
    if stage.discriminator is None:
        return
    stage.zero_grad()
    sum(stage("discriminator", batch, 5).values()).backward()
    theirs = {id(parameter) for parameter in stage.discriminator.parameters()}
    assert {id(parameter) for parameter in stage.parameters() if parameter.grad is not None} == theirs


def test_the_restorer_trains_lora_and_prompt_mlp_and_nothing_else(recipe: Recipe) -> None:
    stage = new(recipe, "restorer")
    mine = {id(parameter) for parameter in stage.trained()}
    names = [key for key, parameter in stage.named_parameters() if id(parameter) in mine]
    assert names
    assert all(".lora_" in name or name.startswith("model.vre.projector.") for name in names)
    assert any("to_q" in name for name in names)
    assert any("conv1" in name for name in names)


def test_without_a_prompt_the_prompt_is_zero_in_training_and_in_the_model_that_comes_of_it(
    recipe: Recipe, tmp_path: Path
) -> None:
    entry = recipe.stages["restorer"]
    stage = build_stage(recipe, replace(entry, options=entry.options | {"without_prompt": True}))
    assert not any(parameter.requires_grad for parameter in stage.model.vre.projector.parameters())
    photo = next(iter(pairs_loader(entry.data, 1, seed=0)))["lq"]
    stage.save(tmp_path)
    assert not load_bundle(tmp_path / "bundle.safetensors").vre(photo).embeds.any()
    assert new(recipe, "restorer").model.vre(photo).embeds.any()


def test_a_vae_goes_on_from_a_finished_stage(trained: Path, recipe: Recipe) -> None:
    entry = recipe.stages["autoencoder"]
    again = build_stage(recipe, replace(entry, options=entry.options | {"start": str(trained / "autoencoder")}))
    assert same_weights(again.vae, new(recipe, "base").model.vae)
    assert all(parameter.requires_grad for parameter in again.vae.parameters())


def test_the_divergence_counts_the_same_at_every_size(recipe: Recipe) -> None:
    stage = new(recipe, "autoencoder").eval()
    photo = next(iter(pairs_loader(recipe.stages["autoencoder"].data, 1, seed=0)))["hq"]
    with torch.no_grad():
        small, large = (stage.losses({"hq": image}, 0)["kl"] for image in (photo, photo.repeat(1, 1, 2, 2)))
    assert float(large) == pytest.approx(float(small), rel=0.2)


def test_frozen_networks_stay_in_evaluation_mode(recipe: Recipe) -> None:
    stage = new(recipe, "vre").train()
    assert stage.autoencoder.encoder.training
    assert not stage.reconstruction.distance.training
    assert not stage.guide.training


@pytest.mark.parametrize("name", ["vre", "restorer"])
def test_a_run_in_pieces_equals_one_in_one_go(name: str, recipe: Recipe, tmp_path: Path) -> None:
    entry = altered(recipe.stages[name], warmup=2, decay="cosine")
    whole = new(recipe, name)
    assert train(whole, entry, tmp_path / "whole")
    first = new(recipe, name)
    shutil.copytree(tmp_path / "whole" / "checkpoint-0000002", tmp_path / "parts" / "checkpoint-0000002")
    torch.manual_seed(123)
    assert train(first, entry, tmp_path / "parts")
    for one, other in zip(trained_values(whole), trained_values(first), strict=True):
        assert torch.equal(one, other)


def test_a_run_stops_in_time_and_the_same_call_goes_on(recipe: Recipe, tmp_path: Path) -> None:
    entry = recipe.stages["base"]
    assert not train(new(recipe, "base"), entry, tmp_path, minutes=0)
    assert last_checkpoint(tmp_path) is not None
    assert not (tmp_path / "finished").exists()
    assert train(new(recipe, "base"), entry, tmp_path)
    assert (tmp_path / "finished").exists()


def test_a_full_disk_loses_nothing_that_was_saved(recipe: Recipe, tmp_path: Path) -> None:
    entry = recipe.stages["base"]
    assert not train(new(recipe, "base"), altered(entry, steps=10**6), tmp_path, minutes=0.01)
    saved = last_checkpoint(tmp_path)
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    resource = pytest.importorskip("resource")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limit[1]))
    try:
        with pytest.raises(OSError, match="Make room"):
            train(new(recipe, "base"), altered(entry, steps=10**6, save_every=1), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert last_checkpoint(tmp_path) == saved
    assert before == {path.name: path.read_bytes() for path in saved.iterdir()}
    assert not train(new(recipe, "base"), altered(entry, steps=10**6), tmp_path, minutes=0.01)
    assert last_checkpoint(tmp_path) > saved


def test_what_is_finished_is_not_trained_again(trained: Path, face_photos: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*") if path.is_file()}
    assert run(TINY, trained, replacements={"PHOTOS": face_photos})
    assert before == {path: path.stat().st_mtime_ns for path in trained.rglob("*") if path.is_file()}


def test_the_bundle_restores(trained: Path, face_photos: Path) -> None:
    model = osdface_core.load_model(trained / "restorer" / "bundle.safetensors")
    photo = osdface_core.read_photo(next(face_photos.iterdir())).pixels
    restored = osdface_core.restore_aligned(photo, model)
    assert restored.shape == (1, 3, 64, 64)
    assert restored.isfinite().all()


def test_the_bundle_is_the_base_with_the_lora_merged(trained: Path) -> None:
    base = osdface_core.load_model(trained / "base" / "bundle.safetensors")
    merged = osdface_core.load_model(trained / "restorer" / "bundle.safetensors")
    assert not same_weights(base, merged)
    assert torch.equal(base.vae.decoder.conv_in.weight, merged.vae.decoder.conv_in.weight)
    assert torch.equal(base.vre.quantizer.embedding, merged.vre.quantizer.embedding)
    assert torch.equal(base.unet.conv_in.weight, merged.unet.conv_in.weight)
    key = "down_blocks.0.resnets.0.conv1.weight"
    assert not torch.equal(base.unet.state_dict()[key], merged.unet.state_dict()[key])


def test_pictures_and_a_log_are_left(trained: Path) -> None:
    for name in STAGES:
        assert (trained / name / "step-0000004.png").is_file()
        assert [path.name for path in sorted((trained / name).glob("checkpoint*"))] == [
            "checkpoint-0000002",
            "checkpoint-0000004",
        ]


def test_latents_are_scaled_to_a_deviation_of_about_one(trained: Path, recipe: Recipe) -> None:
    model = new(recipe, "base").model
    batch = next(iter(pairs_loader(recipe.stages["base"].data, 6, seed=0)))
    power = float(model.encode(2 * batch["hq"] - 1, None).square().mean())
    assert 0.3 < power < 3


IN_PIECES = """
import sys
from pathlib import Path
from osdface_core.cli import main
arguments, folder = sys.argv[1:], Path(sys.argv[sys.argv.index("-o") + 1], "base")
assert main([*arguments, "--minutes", "0"]) == 0
assert not (folder / "finished").exists() and any(folder.glob("checkpoint-*"))
assert main(arguments) == 0
assert (folder / "finished").exists()
"""


def test_two_processes_learn_what_one_learns_of_the_same_batches(
    trained: Path, recipe: Recipe, face_photos: Path, tmp_path: Path
) -> None:
    """In pieces, too. The base stage draws no random numbers, so both must go the same way, to rounding (which Adam
    magnifies)."""
    for name in ("autoencoder", "vre"):
        shutil.copytree(trained / name, tmp_path / name)
    (tmp_path / "in_pieces.py").write_text(IN_PIECES, encoding="utf-8")
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += ["--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0", str(tmp_path / "in_pieces.py")]
    command += ["train", str(TINY), "-o", str(tmp_path), "--stage", "base", "--set", f"PHOTOS={face_photos}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(command, env=environment, check=True, timeout=300)
    start = flat(new(recipe, "base").model)
    one, two = (flat(load_bundle(folder / "base" / "bundle.safetensors")) for folder in (trained, tmp_path))
    assert (one - start).norm() > 0.1
    assert (one - two).norm() < 0.05 * (one - start).norm()


def flat(model: OSDFaceModel) -> Tensor:
    """All that the base stage trains, in one vector."""
    return torch.nn.utils.parameters_to_vector([*model.unet.parameters(), *model.vre.projector.parameters()]).detach()
