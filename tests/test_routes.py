"""The same photo with the same options by node, command and library: the same pixels, the same report."""

import json

import pytest
import torch
from conftest import ROOT
from PIL import Image

from osdface_core import load_detector, read_photo, restore_image, write_photo
from osdface_core.cli import main
from osdface_core.selection.select import select_faces

SETS = [
    {},
    {"strength": 0.5, "threshold": 0.9},
    {"color": "wavelet"},
    {"color": "adain", "shape": "ellipse"},
    {"any_rotation": True, "batch_size": 2},
    {"faces": "leftmost", "strength": 0.7},
    {"min_identity": 0.99},
    {"min_identity": 0.2, "color": "wavelet", "batch_size": 1},
    {"numbers": "0,2", "feather": 0.3},
    {"min_size": 100, "upscale": 1.5, "faces": "largest"},
]


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """Three faces side by side: the astronaut, mirrored, and darker."""
    portrait = read_photo(ROOT / "photos" / "astronaut.png").pixels[:, :, :256, 96:352]
    path = tmp_path_factory.mktemp("routes") / "three.png"
    write_photo(path, torch.cat([portrait, portrait.flip(3), portrait * 0.6], 3))
    return path


@pytest.fixture(scope="module")
def faces(photo):
    return load_detector("starter").detect(read_photo(photo).pixels)


@pytest.fixture(scope="module")
def networks(inside, shared):
    """The node's networks, the library's embedder, and its file."""
    from osdface_core import load_embedder

    module = inside.ours["OSDFaceRestoreFaces"].__module__.rsplit(".", 1)[0]
    runtime = __import__(f"{module}.runtime", fromlist=["runtime"])
    weights = runtime.shared_weights("starter (built in)", "none", "fp32")
    file = shared / "weights" / "mobilefacenet.safetensors"
    return weights, runtime.Resident(load_detector("starter")), runtime.Resident(load_embedder(file)), file


def test_there_are_three_faces(faces):
    assert len(faces) == 3


@pytest.mark.parametrize("options", SETS, ids=str)
def test_three_routes_give_the_same_pixels_and_the_same_report(inside, photo, networks, starter, tmp_path, options):
    weights, detector, embedder, file = networks
    pixels, choice = read_photo(photo).pixels, options.get("numbers") or options.get("faces")
    measured = "min_identity" in options
    widgets = {"faces": "all", "strength": 1.0, "threshold": 0.8, "batch_size": 4} | options
    choices = {name: value for name, value in widgets.items() if name not in ("faces", "numbers")}

    with torch.inference_mode():
        output = inside.ours["OSDFaceRestoreFaces"].execute(
            image=pixels.movedim(1, -1),
            model=weights,
            detector=detector,
            embedder=embedder if measured else None,
            **widgets,
        )
    by_node, report_of_node = output.args[0].movedim(-1, 1), json.loads(output.args[4])

    found = load_detector("starter").detect(
        pixels, threshold=choices["threshold"], any_rotation=options.get("any_rotation", False)
    )
    result = restore_image(
        pixels,
        starter,
        faces=found if choice is None else select_faces(found, choice)[0],
        embedder=embedder.use() if measured else None,
        **choices,
    )
    assert torch.equal(by_node, result.image)
    assert report_of_node == json.loads(json.dumps(result.report_json()))

    flags = []
    for name, value in choices.items():
        flags += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    flags += ["--select", choice] if choice else []
    flags += ["--embedder", str(file)] if measured else []
    out = tmp_path / "out.png"
    command = ["restore", str(photo), "-o", str(out), "--detector", "starter", "--report", *flags]
    assert main(command) == 0
    write_photo(tmp_path / "library.png", result.image)
    assert Image.open(out).tobytes() == Image.open(tmp_path / "library.png").tobytes()
    written = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert {name: written[name] for name in report_of_node} == report_of_node
