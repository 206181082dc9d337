"""What several tests share: the shared data where it is, and small models made from the real classes."""

import logging
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import pytest
import torch
from host.client import Server, furnish, start_comfyui, start_standin
from host.native_files import write_native_files
from host.server import Host
from hub import Hub
from parity import recipe
from parity.osediff import load_recipe
from safetensors.torch import save_file
from windows_rules import WindowsRules

import osdface_core
from osdface_core import Face, OSDFaceModel, RetinaFace
from osdface_core.files.names import printable
from osdface_core.geometry.align import FFHQ_TEMPLATE_512
from osdface_core.models.osediff import OSEDiffModel
from osdface_core.weights import load_authors_files, read_model
from osdface_core.weights.files import read_tensors
from osdface_core.weights.osediff import load_osediff

ROOT = Path(__file__).parent.parent
SHARED = Path(os.environ.get("OSDFACE_SHARED", ROOT.parent / "shared")).resolve() / "data"
hypothesis.settings.register_profile("the same", derandomize=True)
hypothesis.settings.load_profile("the same")  # in every run; --hypothesis-profile default looks at others each time
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else int(os.environ.get("OMP_NUM_THREADS", "2")))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared test data: $OSDFACE_SHARED, or ../shared. Tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no shared data: set OSDFACE_SHARED to its folder")
    return SHARED


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The authors' files at the tiny size, filled by the recipe: sd21base/, ckpt/ and ckpt_updown/."""
    folder = tmp_path_factory.mktemp("weights")
    recipe.write_weights("tiny", folder)
    return folder


@pytest.fixture(scope="session")
def kit(shared: Path) -> Path:
    """What OSEDiff's own program was recorded with, and its recordings."""
    return shared / "parity_osediff"


@pytest.fixture(scope="session")
def osediff_files(kit: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OSEDiff's files at the tiny size, filled by the kit: two .pkl and sd21base/ with a text encoder."""
    folder = tmp_path_factory.mktemp("osediff")
    load_recipe(kit).write("tiny", str(folder))
    return folder


@pytest.fixture(scope="session")
def osediff(osediff_files: Path) -> OSEDiffModel:
    """A small model of OSEDiff's own structure, with pseudo-random weights that react to their input."""
    return load_osediff(osediff_files / "osediff_face.pkl", osediff_files / "sd21base")


@contextmanager
def running(kind: str, base: Path) -> Iterator[Server]:
    """A host of its own, the stand-in or a real ComfyUI where COMFYUI_PATH names a checkout; else the test skips."""
    if kind == "stand-in":
        server = start_standin(base)
    elif "COMFYUI_PATH" in os.environ:
        server = start_comfyui(base, Path(os.environ["COMFYUI_PATH"]))
    else:
        pytest.skip("no ComfyUI: set COMFYUI_PATH to a checkout (and COMFYUI_PYTHON to its Python)")
    yield server
    server.stop()


@pytest.fixture(scope="session", params=["stand-in", "ComfyUI"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running host with our nodes: the stand-in, and a real ComfyUI where COMFYUI_PATH names a checkout."""
    base = tmp_path_factory.mktemp("host")
    furnish(base, SHARED if SHARED.is_dir() else None)
    with running(request.param, base) as server:
        yield server


@pytest.fixture(scope="session")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """The stand-in in this process, to look inside. There can be only one."""
    base = tmp_path_factory.mktemp("inside")
    furnish(base, None)
    return Host(str(base), ROOT)


@pytest.fixture(scope="session")
def server() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub
        hub.shutdown()


@pytest.fixture
def hub(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """An empty hub, on loopback, to which huggingface_hub turns; and no files of this machine's own in the way."""
    server.clear()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setenv("HF_ENDPOINT", server.url)  # for processes that tests start
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("OSDFACE_MODELS", str(tmp_path / "models"))
    for name in ("HOME", "USERPROFILE"):  # nobody has agreed to a licence
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    if folders := sys.modules.get("pack.nodes.folders"):  # nor what an earlier test has found or downloaded
        monkeypatch.setattr(folders, "_found", {})
    return server


@pytest.fixture(scope="session")
def native_host(host: Server, tiny_weights: Path) -> Server:
    """A real ComfyUI that has a small SD 2.1-base and the authors' files."""
    if host.is_standin:
        pytest.skip("the stand-in has no models of ComfyUI's own")
    write_native_files(host.base / "models", tiny_weights)
    return host


@pytest.fixture
def windows_rules(monkeypatch: pytest.MonkeyPatch) -> WindowsRules:
    """From here on files in use are neither removed nor replaced, as on Windows."""
    if not Path("/proc/self/maps").exists():
        pytest.skip("simulated on Linux alone")
    return WindowsRules(monkeypatch)


@pytest.fixture(scope="session")
def starter() -> OSDFaceModel:
    model = osdface_core.load_model()
    assert isinstance(model, OSDFaceModel)
    return model


@pytest.fixture(scope="session")
def detector(shared: Path) -> RetinaFace:
    return osdface_core.load_detector(shared / "weights" / "detection_mobilenet0.25_Final.pth")


@pytest.fixture
def astronaut() -> osdface_core.Photo:
    return osdface_core.read_photo(ROOT / "photos" / "astronaut.png")


@pytest.fixture(scope="session")
def face_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six 64 px portraits to train on: the astronaut, seen and lit differently."""
    folder = tmp_path_factory.mktemp("faces")
    portrait = osdface_core.read_photo(ROOT / "photos" / "astronaut.png").pixels[:, :, 30:222, 128:320]
    for number in range(6):
        view = portrait[:, :, 8 * number :, : 192 - 8 * number] ** (0.7 + 0.15 * number)
        view = torch.nn.functional.interpolate(view.roll(number, 1), (64, 64), mode="area")
        osdface_core.write_photo(folder / f"face_{number}.png", view)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_weights: Path) -> OSDFaceModel:
    """A small model of OSDFace's own structure, with pseudo-random weights that react to their input."""
    model = read_model(tiny_weights / "ckpt", tiny_weights / "sd21base")
    assert isinstance(model, OSDFaceModel)
    return model


def face_at(x: float, y: float, size: float, *, frame: int = 0, index: int = 0, angle: float = 0.0) -> Face:
    """A face whose crop is a square of `size` pixels around (x, y), turned by `angle` degrees."""
    turn = torch.tensor(angle).deg2rad()
    rotation = torch.tensor([[turn.cos(), -turn.sin()], [turn.sin(), turn.cos()]], dtype=torch.float64)
    template = (torch.from_numpy(FFHQ_TEMPLATE_512) - 255.5) / 512 * size
    landmarks = tuple((x + float(dx), y + float(dy)) for dx, dy in template @ rotation.T)
    half = size / 2.9
    return Face(frame, index, (x - half, y - half, x + half, y + half), 0.99, landmarks)


@pytest.fixture
def files(tiny_weights: Path, tmp_path: Path) -> Path:
    """A copy of the authors' files and base to spoil: ckpt/ and sd21base/."""
    for name in ("ckpt", "sd21base"):
        shutil.copytree(tiny_weights / name, tmp_path / name, copy_function=os.link)
    return tmp_path


def twin_of(model: OSDFaceModel) -> OSDFaceModel:
    """A model of its own with copies of the same weights, as it would be read."""
    twin = OSDFaceModel(model.config, model.notice)
    twin.load_state_dict({key: tensor.clone() for key, tensor in model.state_dict().items()}, assign=True)
    return twin.requires_grad_(False)


def same_weights(a: OSDFaceModel, b: OSDFaceModel) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)


def left_behind(network: torch.nn.Module) -> list[str]:
    """The tensors in a network that stay where they are when it moves: neither parameters nor buffers."""
    return [key for part in network.modules() for key, value in vars(part).items() if torch.is_tensor(value)]


def change(path: Path, edit) -> None:
    """Rewrite a weights file after `edit` has changed its table of tensors."""
    tensors, metadata = read_tensors(path)
    tensors = {key: value.clone() for key, value in tensors.items()}
    edit(tensors)
    path.unlink()
    if path.suffix == ".safetensors":
        save_file(tensors, path, metadata)
    else:
        torch.save({"state_dict": tensors} if path.suffix == ".ckpt" else tensors, path)


def load(files: Path) -> OSDFaceModel:
    return load_authors_files(files / "ckpt", files / "sd21base")


@pytest.fixture
def messages(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the command says, spelled out as a terminal shows it: a test's report cannot hold names that are no text."""
    caplog.set_level(logging.INFO)
    logger = logging.getLogger("osdface")
    logger.addFilter(spell_out)
    yield caplog
    logger.removeFilter(spell_out)


def spell_out(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage(), lines=True), None
    return True


@pytest.fixture
def detector_file(shared: Path) -> str:
    return str(shared / "weights" / "detection_mobilenet0.25_Final.pth")
