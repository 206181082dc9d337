"""Checkpoints made to do harm: each is refused with an error that says why, and nothing in it is ever run."""

import io
import os
import pickle
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from osdface_core.errors import NotACheckpointError, UnsafeFileError, WeightsError
from osdface_core.weights.files import read_tensors


class Runs:
    """A pickle of it calls something when it is read the ordinary way."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.fixture
def canary(tmp_path) -> Path:
    """Appears if anything in a file is run."""
    return tmp_path / "canary"


def calls(canary: Path):
    return [
        Runs(os.system, f"touch {canary}"),
        Runs(open, str(canary), "w"),
        Runs(eval, f"open({str(canary)!r}, 'w')"),  # noqa: S307
        Runs(getattr, Runs(__import__, "os"), "system"),
        Runs(torch.load, str(canary)),
        Runs(torch.hub.load, str(canary), "entry"),
    ]


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("form", ["zip", "pickle", "hidden behind a tensor"])
def test_a_pickle_that_runs_something_is_refused(tmp_path, canary, number, form):
    content = {"state_dict": {"a": torch.zeros(1), "b": calls(canary)[number]}}
    path = tmp_path / "weights.ckpt"
    if form == "hidden behind a tensor":
        # the call sits inside the arguments of what looks like a tensor of PyTorch's own
        tensor = Runs(torch._utils._rebuild_parameter, calls(canary)[number], False, {})
        content = {"state_dict": {"a": tensor}}
    torch.save(content, path, _use_new_zipfile_serialization=form != "pickle")
    with pytest.raises(UnsafeFileError, match=r"would run .*do not use this file"):
        read_tensors(path)
    assert not canary.exists()


def test_the_corpus_is_alive(tmp_path, canary):
    """The same pickle does its deed where it is read the ordinary way."""
    torch.save({"b": calls(canary)[0]}, tmp_path / "weights.ckpt")
    torch.load(tmp_path / "weights.ckpt", weights_only=False)
    assert canary.exists()


def test_a_class_of_a_harmless_package_cannot_smuggle_a_call(tmp_path, canary, monkeypatch):
    """A package that shadows a training framework's name is not imported, and its classes not built."""
    package = tmp_path / "pytorch_lightning"
    package.mkdir()
    (package / "__init__.py").write_text(f"open({str(canary)!r}, 'w')\nclass Checkpoint: pass\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    pickled = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01cpytorch_lightning\nCheckpoint\nq\x02)\x81q\x03u."
    repack(torch_zip(tmp_path), tmp_path / "weights.ckpt", {"archive/data.pkl": pickled})
    with pytest.raises(NotACheckpointError, match="no tensors"):
        read_tensors(tmp_path / "weights.ckpt")
    assert not canary.exists()
    assert "pytorch_lightning" not in sys.modules


def torch_zip(folder: Path) -> Path:
    """A sound checkpoint of one tensor, [4] float32; its archive's members start with archive/."""
    torch.save({"a": torch.arange(4.0)}, folder / "archive.pt")
    return folder / "archive.pt"


def repack(source: Path, target: Path, replaced: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, replaced.pop(name, None) or old.read(name))
        for name, content in replaced.items():
            new.writestr(name, content)


def test_the_repacked_checkpoint_is_sound(tmp_path):
    repack(torch_zip(tmp_path), tmp_path / "same.pt", {})
    assert read_tensors(tmp_path / "same.pt")[0]["a"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("member", ["archive/data.pkl", "archive/data/0", "archive/bomb"])
def test_a_zip_bomb_is_not_unpacked(tmp_path, member):
    path = tmp_path / "bomb.ckpt"
    repack(torch_zip(tmp_path), path, {member: bytes(200_000_000)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 500_000
    with pytest.raises(UnsafeFileError, match=r"compressed.*200"):
        read_tensors(path)


def test_members_that_overlap_are_a_bomb_too(tmp_path):
    """Every entry of the directory points at the same bytes: a small file, large when read."""
    repack(torch_zip(tmp_path), tmp_path / "one.pt", {"archive/big": bytes(1_000_000)})
    content = (tmp_path / "one.pt").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.pt") as archive:
        start = archive.start_dir
    directory = content[start:]
    end = directory.rindex(b"PK\x05\x06")
    entries, last = directory[:end], bytearray(directory[end:])
    count = 5 * len(zipfile.ZipFile(tmp_path / "one.pt").namelist())
    last[8:10] = last[10:12] = count.to_bytes(2, "little")
    last[12:16] = (5 * len(entries)).to_bytes(4, "little")
    (tmp_path / "bomb.ckpt").write_bytes(content[:start] + 5 * entries + last)
    with pytest.raises(UnsafeFileError, match="more than the file holds"):
        read_tensors(tmp_path / "bomb.ckpt")


@pytest.mark.parametrize("name", ["../../evil", "/etc/cron.d/evil", "archive/../../evil", "C:\\evil", "..\\evil"])
def test_names_that_lead_out_of_the_archive_are_refused(tmp_path, name):
    path = tmp_path / "inside" / "weights.ckpt"
    path.parent.mkdir()
    repack(torch_zip(tmp_path), path, {name: b"evil"})
    with pytest.raises(UnsafeFileError, match="outside of itself"):
        read_tensors(path)
    assert not (tmp_path / "evil").exists()


def pickled_tensor(size: int, stride: int, elements: int) -> bytes:
    """The data.pkl of a tensor with a size of its own over the storage data/0."""

    class Persistent:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, given):
            return ("storage", torch.FloatStorage, "0", "cpu", elements) if isinstance(given, Persistent) else None

    buffer = io.BytesIO()
    arguments = (Persistent(), 0, (size,), (stride,), False, {})
    Pickler(buffer, 2).dump({"a": Runs(torch._utils._rebuild_tensor_v2, *arguments)})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("size", "stride", "elements"), [(10**12, 1, 4), (4, 10**12, 4), (10**6, 1, 10**6), (-1, 1, 4)]
)
def test_a_tensor_larger_than_its_bytes_is_refused(tmp_path, size, stride, elements):
    path = tmp_path / "lying.ckpt"
    repack(torch_zip(tmp_path), path, {"archive/data.pkl": pickled_tensor(size, stride, elements)})
    with pytest.raises(WeightsError, match=r"lying.ckpt.*(damaged|not a sound)"):
        read_tensors(path)


def test_an_object_that_asks_for_all_memory_is_refused(tmp_path):
    path = tmp_path / "greedy.ckpt"
    torch.save({"a": Runs(bytearray, 2**62)}, path)
    with pytest.raises(WeightsError, match=r"greedy.ckpt"):
        read_tensors(path)


@given(
    st.booleans(), st.lists(st.tuples(st.floats(0, 0.999), st.binary(min_size=1, max_size=3)), min_size=1, max_size=4)
)
@example(zipped=True, changes=[(0.984375, b"\x02")])  # an archive that spans several disks
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_bytes_of_a_checkpoint_are_wrong_the_answer_is_tensors_or_a_named_error(tmp_path, zipped, changes):
    path = tmp_path / "fuzz.ckpt"
    torch.save({"a": torch.arange(4.0), "b": {"c": [1, "d"]}}, path, _use_new_zipfile_serialization=zipped)
    content = bytearray(path.read_bytes())
    for share, replacement in changes:
        position = int(share * len(content))
        content[position : position + len(replacement)] = replacement
    path.write_bytes(content)
    try:
        read_tensors(path)
    except WeightsError:
        return


def test_a_pytorch_that_can_be_made_to_run_code_reads_no_checkpoint(monkeypatch, tmp_path):
    """Before 2.6, `weights_only=True` was not enough (CVE-2025-32434)."""
    torch.save({"weight": torch.zeros(2)}, tmp_path / "net.pth")
    monkeypatch.delattr(torch.serialization, "get_unsafe_globals_in_checkpoint")
    with pytest.raises(UnsafeFileError, match=r"Update PyTorch to 2\.6"):
        read_tensors(tmp_path / "net.pth")
