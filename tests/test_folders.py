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
