"""A detector learns from another one what it sees in scenes, and can be loaded like any."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT

import osdface_core
from osdface_core.training.data import pairs_loader
from osdface_core.training.detector_stage import DetectorStage
from osdface_core.training.engine import train
from osdface_core.training.recipe import Recipe, read_recipe
from osdface_core.training.run import build_stage, run
from osdface_core.training.stage import Batch

RECIPE = ROOT / "tests" / "recipes" / "detector.yaml"


@pytest.fixture(scope="module")
def names(shared: Path, face_photos: Path) -> dict[str, Path]:
    return {"PHOTOS": face_photos, "DETECTOR": shared / "weights" / "detection_mobilenet0.25_Final.pth"}


@pytest.fixture(scope="module")
def trained(names: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("run")
    assert run(RECIPE, folder, replacements=names)
    return folder


@pytest.fixture
def recipe(trained: Path, names: dict[str, Path]) -> Recipe:
    return read_recipe(RECIPE, names | {"RUN": trained})


def new(recipe: Recipe) -> tuple[DetectorStage, Batch]:
    torch.manual_seed(0)
    stage = build_stage(recipe, recipe.stages["detector"]).train()
    return stage, next(iter(pairs_loader(recipe.stages["detector"].data, 2, seed=0)))


def test_one_batch_can_be_learnt(recipe: Recipe) -> None:
    stage, batch = new(recipe)
    optimizer = torch.optim.Adam(stage.trained(), lr=3e-3)
    course = []
    for _ in range(40):
        losses = stage("generator", batch, 0)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        course.append(float(sum(losses.values()).detach()))
    assert course[-1] < 0.5 * course[0]


def test_gradients_reach_every_layer_and_not_the_teacher(recipe: Recipe) -> None:
    stage, batch = new(recipe)
    sum(stage("generator", batch, 5).values()).backward()
    reached = {id(parameter) for parameter in stage.parameters() if parameter.grad is not None}
    assert reached == {id(parameter) for parameter in stage.student.parameters()}


def test_norms_keep_their_statistics_after_their_steps(recipe: Recipe) -> None:
    stage, batch = new(recipe)
    statistics = stage.student.body.stage1[0][1].running_mean
    for step, changes in ((1, True), (2, False)):
        before = statistics.clone()
        stage("generator", batch, step)
        assert torch.equal(before, statistics) != changes


def test_what_the_teacher_does_is_the_least_that_can_be_lost(recipe: Recipe) -> None:
    stage, batch = new(recipe)
    assert all(value > 1e-2 for value in stage("generator", batch, 5).values())
    stage.student.load_state_dict(stage.teacher.state_dict())
    assert all(value < 1e-6 for value in stage("generator", batch, 5).values())


def test_a_run_in_pieces_equals_one_in_one_go(recipe: Recipe, trained: Path, tmp_path: Path) -> None:
    stage, _ = new(recipe)
    shutil.copytree(trained / "detector" / "checkpoint-0000002", tmp_path / "checkpoint-0000002")
    torch.manual_seed(123)
    assert train(stage, recipe.stages["detector"], tmp_path)
    ours, theirs = (
        osdface_core.load_detector(folder / "detector.safetensors") for folder in (tmp_path, trained / "detector")
    )
    for one, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_a_stage_may_have_another_precision_than_the_one_before(recipe: Recipe, trained: Path, tmp_path: Path) -> None:
    stage, _ = new(recipe)
    changed = replace(recipe.stages["detector"].schedule, steps=1, precision="bf16")
    assert train(stage, replace(recipe.stages["detector"], schedule=changed), tmp_path)


def test_the_detector_is_one_to_load(trained: Path) -> None:
    file = trained / "detector" / "detector.safetensors"
    detector = osdface_core.load_detector(file)
    assert file.stat().st_size < 1e6
    assert detector.notice == "a small one"
    assert {parameter.dtype for parameter in detector.parameters()} == {torch.float32}
    assert detector.detect(torch.rand(1, 3, 64, 64), threshold=0.99).frames == 1
