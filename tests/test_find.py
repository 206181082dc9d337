"""Files that are on the machine already are used where they are, whoever put them there."""

import hashlib
from pathlib import Path

import facexlib
import pytest
from links import link
from test_download import ON_HUB, download
from test_download import entry as entry

from osdface_core import load_detector, load_model
from osdface_core.errors import ChecksumError, TruncatedFileError, WeightsNotFoundError
from osdface_core.weights.catalog import CATALOG, HUB, entry_named
from osdface_core.weights.find import find, locate, models_folder
from osdface_core.weights.verify import verify


@pytest.fixture(autouse=True)
def _bare_machine(hub):
    """No hub cache, no models of this machine's own."""


@pytest.fixture
def data(entry, hub) -> bytes:
    return hub.files[ON_HUB]


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_nothing_is_found_where_nothing_is(entry, tmp_path):
    assert find(entry, [tmp_path / "nowhere"]) is None


def test_a_file_is_found_where_it_belongs_and_in_folders_that_are_named(entry, data, tmp_path):
    other = put(tmp_path / "elsewhere" / "net.pth", data)
    assert find(entry, [tmp_path / "elsewhere"]) == other
    own = put(models_folder() / "nets" / "net.pth", data)
    assert find(entry, [tmp_path / "elsewhere"]) == own


def test_a_half_file_is_not_taken(entry, data, tmp_path):
    put(models_folder() / "nets" / "net.pth", data[:-1])
    assert find(entry) is None


def test_a_file_under_another_name_is_found_by_its_sha256(entry, data, tmp_path):
    """Another pack's copy: same bytes, other folder, other name; beside one of the same size."""
    put(tmp_path / "all" / "facerestore" / "same_size.pth", bytes(len(data)))
    copy = put(tmp_path / "all" / "facerestore" / "deep" / "detector-v1.pth", data)
    assert find(entry, [tmp_path / "all"]) == copy


def test_what_facexlib_and_pytorch_have_downloaded_is_found(shared, tmp_path, monkeypatch):
    detector = (shared / "weights" / "detection_mobilenet0.25_Final.pth").read_bytes()
    wanted = entry_named("retinaface-mobile0.25")
    cached = put(tmp_path / "torch" / "hub" / "checkpoints" / "mobilenet0.25_Final.pth", detector)
    assert find(wanted) == cached
    monkeypatch.setattr("osdface_core.weights.find.find_spec", lambda _name: FakeSpec(tmp_path / "site" / "x.py"))
    own = put(tmp_path / "site" / "weights" / "detection_mobilenet0.25_Final.pth", detector)
    assert find(wanted) == own
    assert load_detector("retinaface_mobile0.25").network


class FakeSpec:
    def __init__(self, origin):
        self.origin = str(origin)


def test_facexlibs_own_folder_is_where_we_look():
    from osdface_core.weights.find import other_packages

    assert Path(facexlib.__file__).parent / "weights" in other_packages()


def test_the_hubs_cache_is_used_without_copying(hub, tiny_weights, tmp_path):
    """Filled by huggingface_hub itself, as other programs do."""
    from huggingface_hub import snapshot_download

    files = {path.name: path.read_bytes() for path in (tiny_weights / "ckpt").iterdir()}
    base = {
        str(path.relative_to(tiny_weights / "sd21base")): path.read_bytes()
        for path in (tiny_weights / "sd21base").rglob("*")
        if path.is_file()
    }
    cache = tmp_path / "hub-cache"
    for repository, content in (("alecccdd/OSDFace", files), ("Manojb/stable-diffusion-2-1-base", base)):
        snapshot = cache / f"models--{repository.replace('/', '--')}" / "snapshots" / ("a" * 40)
        for path, data in content.items():
            put(snapshot / path, data)
        put(snapshot.parents[1] / "refs" / "main", b"a" * 40)
    assert snapshot_download("alecccdd/OSDFace", local_files_only=True, cache_dir=cache)
    assert find(entry_named("osdface")) == cache / "models--alecccdd--OSDFace" / "snapshots" / ("a" * 40)
    assert find(entry_named("sd21-base")) is None  # its VAE is a tiny one: not the size in the catalogue
    assert hub.requests == []


def test_names_of_the_catalogue_stand_for_what_is_found(tiny_weights, monkeypatch):
    folder = models_folder() / "osdface" / "authors"
    folder.parent.mkdir(parents=True)
    link(folder, tiny_weights / "ckpt")
    assert locate("osdface") == folder
    assert load_model("osdface", tiny_weights / "sd21base").config.vre.base_channels == 32
    with pytest.raises(WeightsNotFoundError, match=r"sd21-base: it is not on this machine.*osdface weights download"):
        load_model("osdface", "sd21-base")
    assert locate("some/file.pth") == Path("some/file.pth")


def test_a_file_is_verified_by_the_catalogue_or_by_what_was_first_seen(hub, entry, data, tmp_path):
    path = download(entry, tmp_path)
    assert verify(entry, path) == {path: hashlib.sha256(data).hexdigest()}
    path.write_bytes(bytes(len(data)))
    with pytest.raises(ChecksumError, match="remove it and get it again"):
        verify(entry, path)
    path.write_bytes(data[:-1])
    with pytest.raises(TruncatedFileError, match="1999999 bytes"):
        verify(entry, path)
    path.unlink()
    with pytest.raises(WeightsNotFoundError, match="by hand"):
        verify(entry, path)


def test_first_seen_is_trusted_and_then_held_to_it(tmp_path):
    osdface = entry_named("osdface")
    for file in osdface.files:
        put(tmp_path / file.path, file.path.encode())
    first = verify(osdface, tmp_path)
    assert verify(osdface, tmp_path) == first
    (tmp_path / "associate_2.ckpt").write_bytes(b"another")
    with pytest.raises(ChecksumError, match=r"associate_2.ckpt: its sha256"):
        verify(osdface, tmp_path)


def test_the_catalogue_is_sound(shared):
    assert len({known.name for known in CATALOG}) == len(CATALOG)
    for known in CATALOG:
        assert known.files, known.name
        assert known.licence, known.name
        for source in known.sources:
            assert source.startswith(HUB) or (source.startswith("https://") and source.endswith("/")), source
        for file in known.files:
            assert file.sha256 is None or len(bytes.fromhex(file.sha256)) == 32
    real = shared / "weights" / "detection_mobilenet0.25_Final.pth"
    assert verify(entry_named("retinaface-mobile0.25"), real)
