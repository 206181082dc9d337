"""Options that name files: a workflow from Windows finds them elsewhere, and the other way round."""

import sys
from pathlib import Path

import pytest


@pytest.fixture
def folders(inside, monkeypatch):
    """The nodes' own list of files, where the host lists them as on Windows."""
    inside.object_info()
    module = sys.modules["pack.nodes.folders"]
    models = Path(inside.folders.models_dir)
    files = (
        "osdface/sub/mine.safetensors",
        "osdface/sub/deep/associate_2.ckpt",
        "osdface/._mine.safetensors",
        "checkpoints/sd/v2-1.safetensors",
        "facedetection/sub/detection_Resnet50_Final.pth",
        "vae_approx/sub/taesd_decoder.safetensors",
    )
    for file in files:
        (models / file).parent.mkdir(parents=True, exist_ok=True)
        (models / file).touch()
    listed = inside.folders.get_filename_list
    monkeypatch.setattr(
        module.folder_paths, "get_filename_list", lambda key: [f.replace("/", "\\") for f in listed(key)]
    )
    yield module
    for file in files:
        (models / file).unlink()


def test_options_have_the_same_names_on_every_system(folders):
    options = [*folders.weights_options(), *folders.base_options(), *folders.detector_options()]
    options += folders.decoder_options()
    assert not [option for option in options if "\\" in option or "._" in option]
    assert {
        "sub/mine.safetensors",
        "authors' files in osdface/sub/deep",
        "checkpoints/sd/v2-1.safetensors",
        "sub/detection_Resnet50_Final.pth",
        "sub/taesd_decoder.safetensors",
    } <= set(options)


@pytest.mark.parametrize("between", ["/", "\\"])
def test_both_kinds_of_slash_mean_the_same(folders, between):
    for path_of, option, name in (
        (folders.weights_path, "sub/mine.safetensors", "mine.safetensors"),
        (folders.weights_path, "authors' files in osdface/sub/deep", "deep"),
        (folders.base_path, "checkpoints/sd/v2-1.safetensors", "v2-1.safetensors"),
        (folders.decoder_path, "sub/taesd_decoder.safetensors", "taesd_decoder.safetensors"),
        (lambda file: folders.file_path("facedetection", file), "sub/detection_Resnet50_Final.pth", None),
    ):
        path = path_of(option.replace("/", between))
        assert path.name == (name or "detection_Resnet50_Final.pth")
        assert path.exists()


def test_a_workflow_from_windows_is_valid(folders, inside):
    loader = inside.ours["OSDFaceLoadModel"]
    assert loader.validate_inputs("sub\\mine.safetensors", "checkpoints\\sd\\v2-1.safetensors") is True
    assert loader.validate_inputs("starter (built in)", "none", "sub\\taesd_decoder.safetensors") is True
    native = inside.ours["OSDFaceModelFromComfy"]
    assert native.validate_inputs("authors' files in osdface\\sub\\deep") is True


@pytest.fixture
def bare(hub, inside, monkeypatch):
    """A machine that has none of the files."""
    inside.object_info()
    module = sys.modules["pack.nodes.folders"]
    monkeypatch.setattr(module.folder_paths, "get_filename_list", lambda key: [])
    monkeypatch.setattr(sys.modules["pack.osdface_core.weights.find"], "other_packages", list)
    return module


def test_what_is_not_here_is_not_offered(bare):
    """So that the frontend can say what a workflow lacks, and where to get it."""
    assert bare.weights_options() == [bare.STARTER]
    assert bare.base_options()[:2] == [bare.NO_BASE]
    assert bare.detector_options() == [bare.STARTER]
    assert bare.embedder_options() == bare.parser_options() == bare.authors_options() == [bare.NOTHING]


@pytest.mark.parametrize(
    ("node", "option", "entry"),
    [
        ("OSDFaceLoadModel", "osdface (wherever it is)", "osdface"),
        ("OSDFaceLoadModel", "authors' files in osdface/authors", "osdface"),
        ("OSDFaceLoadModel", "mine.safetensors", "osdface"),
        ("OSDFaceModelFromComfy", "osdface (wherever it is)", "osdface"),
        ("OSDFaceModelFromComfy", "none on this machine", "osdface"),
        ("OSDFaceLoadDetector", "detection_Resnet50_Final.pth", "retinaface-resnet50"),
        ("OSDFaceLoadEmbedder", "recognition_arcface_ir_se50.pth", "arcface"),
        ("OSDFaceLoadEmbedder", "none on this machine", "arcface"),
        ("OSDFaceLoadParser", "parsing_parsenet.pth", "parsenet"),
        ("OSDFaceLoadParser", "parsing_bisenet.pth", "bisenet"),
        ("OSDFaceLoadParser", "none on this machine", "parsenet"),
    ],
)
def test_what_was_ever_offered_is_answered_with_how_to_get_it(bare, inside, node, option, entry):
    """By the check itself: the host's own would only say that it is not in the list."""
    name = {"Detector": "detector", "Embedder": "embedder", "Parser": "parser"}.get(node.split("Load")[-1], "weights")
    others = {"base": "sd21-base (wherever it is)"} if node == "OSDFaceLoadModel" else {}
    answer = inside.ours[node].validate_inputs(**{name: option}, **others)
    assert f"osdface weights download {entry}`" in answer


def test_a_base_that_nothing_needs_is_not_asked_for(bare, inside):
    """A workflow that has had the authors' files, and now has the starter or a bundle."""
    loader = inside.ours["OSDFaceLoadModel"]
    for base in ("sd21-base (wherever it is)", "checkpoints/gone.safetensors", None):
        assert loader.validate_inputs("starter (built in)", base) is True
        assert loader.validate_inputs(None, base) is True
        assert loader.fingerprint_inputs("starter (built in)", base, "auto") == ((), (), "auto")


@pytest.mark.parametrize(
    ("node", "name"),
    [("OSDFaceModelFromComfy", "weights"), ("OSDFaceLoadDetector", "detector"), ("OSDFaceLoadParser", "parser")],
)
def test_what_another_node_will_say_is_not_known_before_the_run(bare, inside, node, name):
    assert inside.ours[node].validate_inputs(**{name: None}) is True
    assert not inside.ours[node].fingerprint_inputs(**{name: None})


def test_what_was_found_under_another_name_is_offered_from_then_on(bare, inside, monkeypatch):
    """A search through all folders is made where somebody asks for a file, not where a page lists them."""
    file = Path(inside.folders.models_dir, "somewhere", "retina.pth")
    file.parent.mkdir(exist_ok=True)
    file.touch()
    monkeypatch.setattr(sys.modules["pack.osdface_core.weights.find"], "by_sha256", lambda _entry, _roots: file)
    assert bare.detector_options() == [bare.STARTER]
    assert bare.file_path("facedetection", "detection_Resnet50_Final.pth") == file
    assert bare.detector_options() == ["detection_Resnet50_Final.pth", bare.STARTER]
    file.unlink()
    assert bare.detector_options() == [bare.STARTER]
