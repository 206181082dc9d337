"""The starter weights do what they are there for: faces they never saw come out better than they went in, by as much as
their card says."""

import shutil
from pathlib import Path

import pytest
from conftest import ROOT

from osdface_core import OSDFaceModel, load_embedder
from osdface_core.evaluation import Evaluation, Method, Task, evaluate, measures, restorer, synthetic
from osdface_core.evaluation.degradation import STRENGTHS
from osdface_core.evaluation.tables import INPUT, SECONDS
from osdface_core.weights.starter import BUNDLE

CARD = ROOT / "osdface_core" / "weights" / "starter" / "README.md"
DOZEN = {
    "test": ("0014", "0027", "0046", "0061", "0069", "0091", "0110", "0112", "0132", "0162"),
    "val": ("0021", "0041"),
}
"""Synthetic people (CC0) that the starter was not trained on."""
HELD = ("medium", "heavy")
ROUNDING = 0.01
"""Relative: of the card's figures, and between processors."""


@pytest.fixture(scope="module")
def evaluation(starter: OSDFaceModel, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    folder, weights = tmp_path_factory.mktemp("dozen"), shared / "weights"
    for split, numbers in DOZEN.items():
        for number in numbers:
            shutil.copy(shared / "faces" / "faces256" / split / f"synthetic_{number}.jpg", folder)
    taken, _ = measures(
        ["psnr", "ssim", f"detector:{weights / 'detection_mobilenet0.25_Final.pth'}"],
        embedder=load_embedder(weights / "mobilefacenet.safetensors"),
    )
    photos = synthetic(folder, {name: STRENGTHS[name] for name in HELD})
    methods = {"starter": Method(restorer(starter))}
    return evaluate(Task(photos, starter.config.crop_size, methods, taken), folder / "out")


@pytest.fixture(scope="module")
def card() -> dict[str, dict[str, float]]:
    """The card's figures of the dozen, by strength and name of the measure."""
    section = CARD.read_text(encoding="utf-8").partition("## A dozen synthetic faces")[2]
    lines = section.partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    names, found = rows[0][2:], {}
    for strength, method, *values in rows[2:]:
        if method == "**starter**":
            found[strength] = dict(zip(names, map(float, values), strict=True))
    return found


@pytest.mark.parametrize("strength", HELD)
def test_a_dozen_faces_come_out_as_well_as_the_card_says(
    strength: str, evaluation: Evaluation, card: dict[str, dict[str, float]]
) -> None:
    assert set(card[strength]) == set(evaluation.names) - {SECONDS}
    for name, figure in card[strength].items():
        measured = evaluation.mean(strength, "starter", name)
        worse = figure - measured if name.endswith("↑") else measured - figure
        assert worse <= ROUNDING * abs(figure), f"{name} is {measured:.4g}, the card says {figure}"


@pytest.mark.parametrize("strength", HELD)
def test_restored_faces_are_nearer_to_the_originals(strength: str, evaluation: Evaluation) -> None:
    features, identity = (
        [evaluation.mean(strength, method, name) for method in (INPUT, "starter")]
        for name in ("RetinaFace features ↓", "identity ↑")
    )
    assert features[1] < 0.7 * features[0]
    assert identity[1] > identity[0]


def test_the_bundle_stays_small_and_its_card_beside_it() -> None:
    assert BUNDLE.stat().st_size < 25e6
    assert CARD.is_file()
