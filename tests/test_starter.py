"""The starter weights do what they are there for: faces they never saw come out better than they went in."""

from pathlib import Path

import pytest
from conftest import ROOT

from osdface_core import OSDFaceModel, load_embedder
from osdface_core.evaluation import Evaluation, evaluate, measures, restorer
from osdface_core.evaluation.degradation import STRENGTHS
from osdface_core.weights.starter import BUNDLE


@pytest.fixture(scope="module")
def evaluation(starter: OSDFaceModel, shared: Path) -> Evaluation:
    photos = sorted((shared / "faces" / "faces256" / "test").iterdir())[::2]
    weights = shared / "weights"
    taken, _ = measures(
        [f"detector:{weights / 'detection_mobilenet0.25_Final.pth'}"],
        embedder=load_embedder(weights / "mobilefacenet.safetensors"),
    )
    strengths = {name: STRENGTHS[name] for name in ("medium", "heavy")}
    return evaluate(photos, starter.config.crop_size, strengths, {"restored": restorer(starter)}, taken)


@pytest.mark.parametrize("strength", ["medium", "heavy"])
def test_restored_faces_are_nearer_to_the_originals(strength: str, evaluation: Evaluation) -> None:
    before, after = (row for row in evaluation.rows if row["strength"] == strength)
    assert after["detector features ↓"] < 0.7 * before["detector features ↓"]
    assert after["identity ↑"] > before["identity ↑"]


def test_the_bundle_stays_small_and_its_card_beside_it() -> None:
    assert BUNDLE.stat().st_size < 25e6
    assert (ROOT / "osdface_core" / "weights" / "starter" / "README.md").is_file()
