"""How the nodes behave inside a host: shared weights, progress, interrupts, batches."""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT, face_at
from diffusers import AutoencoderTiny
from host import fakes
from host.graphs import FACE, node, restore_faces, step_by_step
from safetensors.torch import save_file
from torch._subclasses.fake_tensor import FakeTensorMode

from osdface_core import Face, Faces


@pytest.fixture
def runtime(inside):
    return sys.modules["pack.nodes.runtime"]


@pytest.fixture
def folders(inside):
    return sys.modules["pack.nodes.folders"]


def ignore(_kind, _data):
    """Nobody listens."""


def test_all_nodes_share_one_copy_of_the_weights(inside, runtime):
    """Two loaders, three restore nodes and the all-in-one in one graph: one set of networks."""
    prompt = step_by_step(detect={"boxes": FACE})
    prompt["model2"] = node("OSDFaceLoadModel", weights="starter (built in)", base="none", precision="fp32")
    for name, model in (("restore2", "model"), ("restore3", "model2")):
        prompt[name] = {"class_type": "OSDFaceRestore", "inputs": prompt["restore"]["inputs"] | {"model": [model, 0]}}
        prompt[f"show {name}"] = node("PreviewImage", images=[name, 1])
    prompt["all"] = restore_faces(threshold=0.9999)
    prompt["show all"] = node("PreviewImage", images=["all", 0])
    fakes.State.loaded.clear()
    inside.execute(prompt, ignore)
    (model,) = (weights.model for key, weights in runtime._shared.items() if key[0] == "weights")
    loaded = [
        part for patcher in fakes.State.loaded for part in patcher.model.modules() if type(part) is type(model.unet)
    ]
    assert loaded == [model.unet]


def test_weights_are_let_go_with_the_last_output_that_holds_them(inside, runtime):
    inside.execute(step_by_step(detect={"boxes": FACE}), ignore)
    assert len(runtime._shared) > 0
    fakes.State.loaded.clear()
    inside.cache.clear()
    gc.collect()
    assert len(runtime._shared) == 0


def test_a_precision_is_a_copy_of_its_own(runtime):
    auto, fp32 = (runtime.shared_weights("starter (built in)", "none", precision) for precision in ("auto", "fp32"))
    bf16 = runtime.shared_weights("starter (built in)", "none", "bf16")
    assert auto is fp32
    assert bf16 is not fp32
    assert bf16.model.unet.conv_in.weight.dtype == torch.bfloat16


def test_parts_of_their_own_precision_and_a_tiny_decoder(inside, folders):
    """Each choice is a copy of its own, and the VAE's parts are stored as chosen."""
    file = os.path.join(inside.folders.models_dir, "vae_approx", "taesd_decoder.safetensors")
    save_file({k: v.contiguous() for k, v in AutoencoderTiny().decoder.state_dict(prefix="decoder.").items()}, file)
    loader, option = sys.modules["pack.nodes.load"].OSDFaceLoadModel, "taesd_decoder.safetensors"
    assert folders.decoder_options() == [folders.FULL, option]
    halves = loader.execute(
        "starter (built in)", "none", precision="fp32", encode_precision="fp16", decode_precision="bf16"
    ).args[0]
    tiny = loader.execute("starter (built in)", "none", precision="fp32", decoder=option).args[0]
    os.remove(file)
    vae = halves.model.vae
    assert vae.encoder.conv_in.weight.dtype == torch.float16
    assert vae.decoder.conv_in.weight.dtype == torch.bfloat16
    assert tiny is not halves
    assert tiny.model.decoder is not None


def test_what_is_compiled_has_layers_that_can_be_compiled(runtime):
    """And is on the card as a whole; all else is of layers whose weights may stay behind."""
    plain = runtime.shared_weights("starter (built in)", "none", "auto")
    compiled = runtime.shared_weights("starter (built in)", "none", "auto", compiled=True)
    assert [plain.unet.partial, plain.vae.partial, compiled.unet.partial, compiled.vae.partial] == [
        True,
        True,
        False,
        False,
    ]


def test_nothing_global_is_changed(inside):
    """Threads, precisions and flags of PyTorch are ComfyUI's and its other packs' as well."""

    def state():
        return {
            "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
            "precision": (torch.get_default_dtype(), torch.get_float32_matmul_precision()),
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "mkldnn": (torch.backends.mkldnn.enabled, torch.backends.mkldnn.deterministic),
            "cudnn": [getattr(torch.backends.cudnn, name) for name in ("enabled", "benchmark", "deterministic")],
            "tf32": (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32),
            "attention": (torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled()),
            "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
            "environment": {key: value for key, value in os.environ.items() if "OMP" in key or "TORCH" in key},
        }

    before = state()
    inside.execute(step_by_step(detect={"boxes": FACE}), ignore)
    assert state() == before


def test_progress_moves_with_every_batch_of_faces(inside):
    steps = []
    boxes = [FACE | {"x": 100 + 40 * n} for n in range(5)]
    prompt = step_by_step(detect={"boxes": boxes}, restore={"batch_size": 2})
    del prompt["detect"]["inputs"]["detector"]  # so that the boxes are trusted

    def tell(kind, data):
        if kind == "progress" and data["node"] == "restore":
            steps.append((data["value"], data["max"]))

    inside.execute(prompt, tell)
    assert steps == [(2, 5), (4, 5), (5, 5)]


def test_an_interrupt_ends_the_node_at_the_next_batch(inside):
    steps = []
    boxes = [FACE | {"x": 90 + 40 * n} for n in range(5)]
    prompt = step_by_step(detect={"boxes": boxes}, restore={"batch_size": 1})
    del prompt["detect"]["inputs"]["detector"]  # so that the boxes are trusted

    def tell(kind, data):
        if kind == "progress" and data["node"] == "restore":
            steps.append(data["value"])
            fakes.State.interrupted = data["value"] == 2

    with pytest.raises(fakes.Interrupted):
        inside.execute(prompt, tell)
    assert steps == [1, 2]
    assert not fakes.State.interrupted


def test_sixteen_frames_with_any_number_of_faces_keep_shape_order_and_share_passes(inside, runtime):
    """Frames with 0 to 5 faces: same shape and order, untouched frames the same, ceil(faces / batch) passes."""

    nodes = {name: sys.modules[f"pack.nodes.{name}"] for name in ("detect", "crop", "restore", "paste", "load")}
    frames = torch.rand(16, 240, 320, 3)
    counts = [n % 6 for n in range(16)]
    boxes = [[{"x": 10 + 50 * k, "y": 60, "width": 60, "height": 80} for k in range(count)] for count in counts]
    model = nodes["load"].OSDFaceLoadModel.execute("starter (built in)", "none", precision="auto").args[0]
    faces = nodes["detect"].OSDFaceDetect.execute(frames, threshold=0.8, boxes=boxes).args[0]
    crops = nodes["crop"].OSDFaceCrop.execute(frames, faces, 256).args[0]
    passes = []
    hook = model.model.unet.register_forward_hook(lambda *_: passes.append(1))
    restored = nodes["restore"].OSDFaceRestore.execute(model, crops, sample=False, seed=0, batch_size=4).args[0]
    hook.remove()
    pasted = nodes["paste"].OSDFacePaste.execute(frames, restored, strength=1.0, feather=0.1)
    image, mask, report = pasted.args
    assert len(json.loads(report)["summary"].splitlines()) == 16
    shown = pasted.ui["text"][0].splitlines()
    assert shown[2] == "… 13 more in the report …"
    assert (len(shown), shown[-1]) == (4, "frame 15: 3 of 3 faces restored")
    assert len(passes) == -(-sum(counts) // 4)
    assert image.shape == frames.shape
    assert mask.shape == (16, 240, 320)
    for n, count in enumerate(counts):
        assert torch.equal(image[n], frames[n]) == (count == 0)


def test_alpha_follows_the_pixels_to_their_device(inside):
    """Under --gpu-only what nodes make is on the graphics card, what other nodes give may be in main memory."""
    with FakeTensorMode():
        image, after = torch.ones(1, 8, 8, 4), torch.zeros(1, 3, 8, 8, device="cuda")
        pasted = sys.modules["pack.nodes.sockets"].with_pixels(image, after.clone(), after)
    assert pasted.shape == image.shape
    assert pasted.device.type == "cuda"


def test_importing_the_pack_is_light(inside):
    """No diffusers, facexlib or network for ComfyUI's start: they are imported when a node first needs them."""

    script = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests")!r})
import tempfile
from pathlib import Path
from host.server import Host
Host(tempfile.mkdtemp(), Path({str(ROOT)!r}))
print({{"diffusers", "facexlib", "torchvision"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.fixture
def empty_files(inside):
    """Files as a person has them in ComfyUI's folders, with nothing in them. The folders."""
    models = Path(inside.folders.models_dir)
    authors = ("bundle.safetensors", "associate_2.ckpt", "pytorch_lora_weights.safetensors")
    files = [models / "osdface" / "mine.safetensors", models / "checkpoints" / "v2-1_512.safetensors"]
    files += [models / "osdface" / "authors" / name for name in authors]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    yield models
    for file in files:
        file.unlink(missing_ok=True)
    files[-1].parent.rmdir()


def test_options_name_what_is_there(hub, inside, folders, empty_files):
    models = empty_files
    assert folders.weights_options() == [
        "starter (built in)",
        "authors/bundle.safetensors",
        "mine.safetensors",
        "authors' files in osdface/authors",
    ]
    assert folders.base_options() == ["none", "checkpoints/v2-1_512.safetensors"]
    assert folders.detector_options() == ["detection_mobilenet0.25_Final.pth", "starter (built in)"]
    loader = inside.ours["OSDFaceLoadModel"]
    assert "choose it as base" in loader.validate_inputs("authors' files in osdface/authors", "none")
    assert loader.validate_inputs("authors' files in osdface/authors", "checkpoints/v2-1_512.safetensors") is True
    before = loader.fingerprint_inputs("mine.safetensors", "none", "auto")
    with open(f"{models}/osdface/mine.safetensors", "wb") as file:
        file.write(b"changed")
    assert loader.fingerprint_inputs("mine.safetensors", "none", "auto") != before
    os.remove(f"{models}/osdface/mine.safetensors")
    assert "osdface weights download osdface" in loader.validate_inputs("mine.safetensors", "none")


def test_crop_faces_says_of_each_face_why_it_is_left_out(inside, caplog):
    outside, collapsed = face_at(900, 30, 24, index=0), Face(0, 1, (10.0, 10.0, 40.0, 40.0), 0.9, ((25.0, 25.0),) * 5)
    faces = Faces((outside, collapsed, face_at(30, 25, 24, index=2), face_at(50, 25, 24, index=3)), 1, 48, 64)
    faces = faces.keep(faces.faces[:3], "not selected")
    crops = inside.ours["OSDFaceCrop"].execute(torch.rand(1, 48, 64, 3), faces, 64).args[0]
    assert [face.index for face in crops.faces] == [2]
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert any("face 0 of image 0" in line and "outside the image" in line for line in said)
    assert any("face 1 of image 0" in line and "do not fit a face" in line for line in said)


def test_detect_faces_says_where_boxes_are_trusted(inside):
    image, boxes = torch.rand(1, 96, 96, 3), {"x": 20, "y": 20, "width": 40, "height": 50}
    detect = inside.ours["OSDFaceDetect"]
    trusted = detect.execute(image, threshold=0.8, boxes=boxes)
    assert [face.box for face in trusted.args[0]] == [(20, 20, 60, 70)]
    assert trusted.ui["text"] == ["1 face\nno detector is connected: every box is taken for an upright face"]
