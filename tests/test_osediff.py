"""OSEDiff's face model against recordings of its own program on the same pseudo-random weights."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from parity.harness import read_png
from parity.osediff import SHARE, beyond, levels, read_recording, run_case
from safetensors import safe_open
from torch import Tensor

from osdface_core import read_photo
from osdface_core.errors import OptionError
from osdface_core.models.osediff import prompt_text
from osdface_core.osediff import prepared, recoloured, restore_exactly, tile_starts, tile_weight
from osdface_core.weights.osediff import load_osediff
from osdface_core.weights.text import encode_texts, tokenize

CASES = "face", "face_noprompt", "rank2_6", "rect", "small", "upscale2", "odd", "tiled"


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, kit: Path, osediff_files: Path):
    """(name, what was restored, what the program computed, what we do)."""
    about, recorded = read_recording(kit, request.param)
    model = load_osediff(osediff_files / about["weights"], osediff_files / "sd21base", [about["prompt"]])
    return request.param, about, recorded, run_case(model, kit, about)


def assert_off_by_one(png: Tensor, expected: Tensor) -> None:
    gap = (png.int() - expected.int()).abs()
    assert gap.max() <= 1
    assert (gap > 0).double().mean() < SHARE


def test_every_stage_is_the_programs(case, kit):
    name, _, recorded, seen = case
    if "tile_weights" in recorded:
        seen["tile_weights"] = tile_weight(24)
    assert not beyond(seen, recorded)
    assert {"unet_out", "x0", "image_crop"} <= recorded.keys()
    assert_off_by_one(seen["png"], read_png(kit / "recordings" / f"{name}.nofix.png"))
    if name == "face":  # the program merged the LoRA itself, too
        assert not beyond(seen, read_recording(kit, "face_merged")[1])
        assert_off_by_one(seen["png"], read_png(kit / "recordings" / "face_merged.nofix.png"))


def test_the_picture_is_prepared_as_the_program_does_byte_for_byte(case, kit):
    name, about, _, seen = case
    picture = read_photo(kit / "recordings" / "inputs" / about["input"]).pixels
    sizes = {key: about["options"][key] for key in ("process_size", "upscale") if key in about["options"]}
    expected = kit / "recordings" / f"{name}.prepared.png"
    ours = levels(prepared(picture, **sizes))
    assert torch.equal(ours, read_png(expected) if expected.exists() else levels(picture))
    assert ours.shape == seen["png"].shape


@pytest.mark.parametrize("name", ["face", "rect", "tiled"])
@pytest.mark.parametrize("color", ["adain", "wavelet"])
def test_colours_are_given_back_byte_for_byte(kit, name, color):
    about, _ = read_recording(kit, name)
    picture = read_photo(kit / "recordings" / "inputs" / about["input"]).pixels
    source = prepared(picture, about["options"].get("process_size", 512))
    restored = read_png(kit / "recordings" / f"{name}.nofix.png").permute(2, 0, 1)[None] / 255
    assert torch.equal(
        levels(recoloured(restored, source, color)), read_png(kit / "recordings" / f"{name}.{color}.png")
    )


def test_texts_become_the_programs_tokens_and_embeddings(kit, osediff_files):
    with safe_open(kit / "recordings" / "text.safetensors", "pt") as file:
        prompts = json.loads(file.metadata()["prompts"])
        ids, embeds = file.get_tensor("token_ids"), file.get_tensor("prompt_embeds")
    assert torch.equal(tokenize(osediff_files / "sd21base", prompts), ids.long())
    assert (encode_texts(osediff_files / "sd21base", prompts, 64) - embeds).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["face", "face_noprompt", "rect"])
def test_a_text_is_made_of_tags_and_wish_as_the_program_does(kit, name):
    about, _ = read_recording(kit, name)
    wish = dict(zip(about["arguments"][::2], about["arguments"][1::2], strict=False)).get("--prompt", "")
    assert prompt_text(about["caption"], wish) == about["prompt"]


def test_tiles_cover_an_axis_and_none_goes_over_its_end():
    assert tile_starts(41, 24, 8) == [0, 16, 17]
    assert tile_starts(24, 24, 8) == [0]
    for length in range(24, 120):
        starts = tile_starts(length, 24, 8)
        assert starts[-1] + 24 == length
        assert all(later - start <= 16 for start, later in pairwise(starts))


def test_sizes_that_cannot_be_are_named(osediff, kit):
    picture = read_photo(kit / "recordings" / "inputs" / "small_150x200.png").pixels
    with pytest.raises(OptionError, match=r"overlap 32: .* less than a tile: 18 latents"):
        restore_exactly(picture, osediff, process_size=64, tile=20)
    with pytest.raises(OptionError, match="upscale 0: it must be 1 or more"):
        restore_exactly(picture, osediff, upscale=0)
    with pytest.raises(OptionError, match=r"prompt 'wings': .*no embeddings of this text.*it knows '', 'face"):
        restore_exactly(picture, osediff, prompt="wings", process_size=64)
