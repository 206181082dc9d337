"""What Apple's and Intel's devices lack, held without one: on the operations that a device would get."""

from pathlib import Path

import pytest
import torch
import torchgen
import yaml
from conftest import ROOT, face_at, twin_of
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from osdface_core import Faces, align_faces, devices, paste_faces
from osdface_core.compositing.color import match_color
from osdface_core.compositing.masks import fade_inwards
from osdface_core.compositing.parsing import FaceParser
from osdface_core.detection.overlay import draw_numbers
from osdface_core.inference import prepare
from osdface_core.models.precision import Precision
from osdface_core.recognition.embedders import load_embedder
from osdface_core.recognition.identity import embed_crops
from osdface_core.selection.sharpness import sharpness
from osdface_core.video.denoise import steady_crops
from osdface_core.video.track import thumbnails

CPUS_OWN = {"_scaled_dot_product_flash_attention_for_cpu": "_scaled_dot_product_attention_math_for_mps"}
"""What PyTorch chooses on a CPU, and in its place on MPS."""
BORDER = 1
"""grid_sampler_2d's number for a padding that MPS does not have."""


@pytest.fixture(scope="module")
def on_mps():
    """The operations that PyTorch has for MPS, by its own table: with a kernel of its own, or made of others."""
    table = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native" / "native_functions.yaml"
    entries = yaml.load(table.read_text(encoding="utf-8"), yaml.CSafeLoader)
    by_name = {entry["func"].partition("(")[0]: entry for entry in entries}

    def is_there(entry):
        if "structured_delegate" in entry:
            return is_there(by_name[entry["structured_delegate"]])
        keys = {key.strip() for keys in entry.get("dispatch", {"Composite": ""}) for key in keys.split(",")}
        return "MPS" in keys or any(key.startswith("Composite") for key in keys)

    return {name for name, entry in by_name.items() if is_there(entry)}


class Lacking(TorchDispatchMode):
    """What an MPS device could not do of the operations within. Those in float64 are the host's own."""

    def __init__(self, known):
        super().__init__()
        self.known, self.seen = known, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        name, _, overload = str(func).removeprefix("aten.").partition(".")
        name = CPUS_OWN.get(name, name) + ("" if overload == "default" else f".{overload}")
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
        if any(tensor.dtype == torch.float64 for tensor in tensors):
            if any(tensor.dtype == torch.float32 and tensor.ndim > 2 for tensor in tensors):
                self.seen.add(f"{name} of float64 and an image")
        elif name not in self.known:
            self.seen.add(name)
        elif name == "grid_sampler_2d" and args[3] == BORDER:
            self.seen.add("grid_sampler_2d with border padding")
        elif name == "_adaptive_avg_pool2d" and any(a % b for a, b in zip(args[0].shape[2:], args[1], strict=True)):
            self.seen.add("_adaptive_avg_pool2d of sizes that do not divide")
        return made


IMAGE = torch.rand(2, 3, 121, 163, generator=torch.Generator().manual_seed(0))
FACES = Faces((face_at(60, 60, 50), face_at(100, 60, 90, frame=1)), 2, 121, 163)
CROPS = align_faces(IMAGE, FACES, 64)
OTHERS = CROPS.with_images(CROPS.images.flip(1))
STAGES = {
    "align": lambda: align_faces(IMAGE, FACES, 64),
    "align, shrinking": lambda: align_faces(IMAGE, FACES, 16),
    "color": lambda: match_color(OTHERS, CROPS),
    "adain": lambda: match_color(OTHERS, CROPS, "adain"),
    "paste": lambda: paste_faces(IMAGE, OTHERS, mask=torch.ones(1, 121, 163), crop_masks=torch.ones(2, 32, 32)),
    "paste, larger": lambda: paste_faces(IMAGE.repeat_interleave(2, 2).repeat_interleave(2, 3), OTHERS),
    "masks": lambda: fade_inwards(torch.ones(2, 512, 512)),
    "sharpness": lambda: sharpness(CROPS),
    "numbers": lambda: draw_numbers(IMAGE, FACES),
    "steady": lambda: steady_crops(CROPS),
    "thumbnails": lambda: thumbnails(IMAGE),
}


@pytest.mark.parametrize("name", STAGES)
def test_mps_has_what_a_stage_asks_for(on_mps, name):
    with torch.no_grad(), Lacking(on_mps) as lacking:
        STAGES[name]()
    assert lacking.seen == set()


@pytest.fixture
def elsewhere(monkeypatch):
    """Networks compute as on a device that is no CPU."""
    for place in ("networks.layers.on_cpu", "networks.transformer.on_cpu", "kernels.convolution.on_cpu"):
        monkeypatch.setattr(f"osdface_core.{place}", lambda x: False)
    monkeypatch.setattr("osdface_core.kernels.group_norm.MANY_PIXELS", 1 << 40)
    monkeypatch.setattr(devices, "precise", lambda device: torch.float32)
    monkeypatch.setattr("osdface_core.models.one_step.precise", lambda device: torch.float32)
    monkeypatch.setattr("osdface_core.models.precision.is_quick", lambda dtype, device: True)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_mps_has_what_a_pass_asks_for(on_mps, elsewhere, starter, precision):
    model = prepare(twin_of(starter), Precision.parse(precision))
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad(), Lacking(on_mps) as lacking:
        model.one_step.forward(images, model.vre(images).embeds, None)
    assert lacking.seen == set()


@pytest.mark.parametrize("of", ["detector", "embedder", "parser"])
def test_mps_has_what_the_networks_around_it_ask_for(on_mps, elsewhere, shared, request, of):
    if of == "detector":
        detector = request.getfixturevalue("detector")
        work = lambda: detector.detect(IMAGE, threshold=0.02)  # noqa: E731
    elif of == "embedder":
        embedder = load_embedder(shared / "weights" / "mobilefacenet.safetensors")
        work = lambda: embed_crops(embedder, CROPS)  # noqa: E731
    else:
        parser, images = FaceParser("parsenet").eval().to("meta"), CROPS.images.to("meta")  # it asks for no values
        work = lambda: parser(images)  # noqa: E731
    with torch.no_grad(), Lacking(on_mps) as lacking:
        work()
    assert lacking.seen == set()


@pytest.mark.parametrize(("device", "photos"), [("cpu", "cpu"), ("cuda:1", "cuda:1"), ("mps", "cpu"), ("xpu", "cpu")])
def test_photos_are_with_the_networks_on_cuda_alone(device, photos):
    assert devices.for_photos(device) == torch.device(photos)


@pytest.mark.parametrize("kind", ["cuda", "mps", "xpu"])
def test_the_machines_own_accelerator_is_found(monkeypatch, kind):
    assert devices.best_device() == "cpu" or torch.accelerator.is_available()
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device(kind))
    assert devices.best_device() == kind


class Elsewhere:
    """A tensor of a device that is not here, as far as copies look at it."""

    def __init__(self, kind):
        self.device, self.dtype, self.copies = torch.device(kind), torch.float32, []

    def to(self, *where, **how):
        self.copies.append((where, how))
        return self

    def cpu(self):
        return self.to("cpu")


@pytest.mark.parametrize("kind", ["mps", "xpu"])
def test_a_copy_from_or_to_a_device_that_is_not_cuda_is_waited_for(kind):
    """What does not wait there reads what is not written yet, on MPS without an error."""
    there, here = Elsewhere(kind), Elsewhere("cpu")
    devices.download(there)()
    devices.upload(here, torch.device(kind), torch.float16)
    assert there.copies == [(("cpu",), {})]
    assert here.copies == [((torch.device(kind), torch.float16), {})]
    assert devices.precise(torch.device(kind)) == torch.float32


def test_nothing_else_copies_without_waiting():
    for path in (ROOT / "osdface_core").rglob("*.py"):
        assert path.name == "devices.py" or "non_blocking" not in path.read_text(encoding="utf-8"), path


def test_the_tests_above_see_what_they_should(on_mps):
    with Lacking(on_mps) as lacking:
        torch.linalg.eigvals(torch.rand(3, 3))
        torch.nn.functional.grid_sample(IMAGE, torch.zeros(2, 4, 4, 2), padding_mode="border", align_corners=False)
        torch.nn.functional.interpolate(IMAGE, (7, 7), mode="area")
        torch.rand(3, 3, 3) * torch.rand(3, dtype=torch.float64)
    assert lacking.seen == {
        "linalg_eig",
        "grid_sampler_2d with border padding",
        "_adaptive_avg_pool2d of sizes that do not divide",
        "mul.Tensor of float64 and an image",
    }
