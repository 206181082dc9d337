"""Our program against recordings of the authors' program on the same pseudo-random weights."""

from pathlib import Path

import pytest
from parity.harness import CASES, HERE, LIMITS, STRIDE, differences, load_case, read_png, run_case
from safetensors.torch import load_file
from torch import Tensor

from osdface_core import prepare

Outcome = dict[str, Tensor]


@pytest.fixture(scope="module", params=[*CASES, "lq512 prepared", "rect prepared", "cat prepared"])
def outcome(request: pytest.FixtureRequest, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory):
    """(name of the case, what passed every stage of our program), plain or prepared for speed."""
    name, _, prepared = request.param.partition(" ")
    case, scratch = CASES[name], tmp_path_factory.mktemp(name)
    model = load_case(case, tiny_weights, scratch)
    if prepared:
        model = prepare(model)
    return name, run_case(model, HERE / "inputs" / case.image, scratch / "restored.png")


def assert_within_limits(found: dict[str, float]) -> None:
    beyond = {key: gap for key, gap in found.items() if gap > LIMITS[key]}
    assert not beyond, f"beyond the limits: {beyond}"


def test_matches_the_figures(outcome: tuple[str, Outcome]) -> None:
    name, seen = outcome
    figures = load_file(HERE / "figures.safetensors")
    recorded = {key.removeprefix(f"{name}."): value for key, value in figures.items() if key.startswith(f"{name}.")}
    assert {"vre_indices", "latent_noise", "unet_out", "x0", "image_crop", "png"} <= recorded.keys()
    assert_within_limits(differences(seen, recorded, STRIDE))


def test_matches_the_whole_recording(outcome: tuple[str, Outcome], shared: Path) -> None:
    name, seen = outcome
    recordings = shared / "parity" / "recordings"
    recorded = load_file(recordings / f"tiny_{name}.safetensors")
    recorded["png"] = read_png(recordings / f"tiny_{name}.png")
    assert seen["png"].shape == recorded["png"].shape
    assert_within_limits(differences(seen, recorded))


@pytest.mark.parametrize("outcome", ["lq512"], indirect=True)
@pytest.mark.parametrize("other", ["cat", "updown", "low"])
def test_the_limits_tell_programs_apart(outcome: tuple[str, Outcome], other: str) -> None:
    _, seen = outcome
    recorded = load_file(HERE / "figures.safetensors")[f"{other}.unet_out"]
    assert differences(seen, {"unet_out": recorded}, STRIDE)["unet_out"] > 100 * LIMITS["unet_out"]
