"""What several tests share: the shared data where it is, and small models made from the real classes."""

import os
from pathlib import Path

import pytest
import torch
from parity import recipe

import osdface_core
from osdface_core import OSDFaceModel, RetinaFace

ROOT = Path(__file__).parent.parent
torch.set_num_threads(2)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared test data: $OSDFACE_SHARED, or ../shared. Tests that need it skip where it is absent."""
    folder = Path(os.environ.get("OSDFACE_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip("no shared data: set OSDFACE_SHARED to its folder")
    return folder / "data"


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authors' files at the tiny size, filled by the recipe: sd21base/, ckpt/ and ckpt_updown/."""
    folder = tmp_path_factory.mktemp("weights")
    recipe.write_weights("tiny", folder)
    return folder


@pytest.fixture(scope="session")
def starter() -> OSDFaceModel:
    return osdface_core.load_model()


@pytest.fixture(scope="session")
def detector(shared: Path) -> RetinaFace:
    return osdface_core.load_detector(shared / "weights" / "detection_mobilenet0.25_Final.pth")


@pytest.fixture
def astronaut() -> osdface_core.Photo:
    return osdface_core.read_photo(ROOT / "examples" / "astronaut.png")
