"""Headers that lie and weights that are no numbers: refused with an error that says why."""

import json
from pathlib import Path

import pytest
import torch
from conftest import change, load
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from osdface_core.errors import NotACheckpointError, TruncatedFileError, WeightsError
from osdface_core.weights.files import fill, read_tensors


def safetensors_file(path: Path, header: bytes, data: bytes) -> Path:
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


def entry(start: int, end: int, shape=(4,), dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "header",
    [
        {"a": entry(0, 2**62)},
        {"a": entry(16, 0)},
        {"a": entry(-16, 0)},
        {"a": entry(0, 8)},
        {"a": entry(8, 24)},
        {"a": entry(0, 16), "b": entry(8, 24)},
        {"a": entry(0, 16), "b": entry(0, 16)},
        {"a": entry(0, 16, (2**40, 2**40))},
        {"a": entry(0, 16, (-4,))},
        {"a": entry(0, 16, dtype="F1024")},
        {"a": {"dtype": "F32", "shape": [4]}},
        {"a": entry(0, 16), "__metadata__": {"osdface_bundle": 3}},
        {"a": entry(0, 4)},
    ],
    ids=str,
)
def test_a_header_whose_offsets_lie_is_refused(tmp_path, header):
    path = safetensors_file(tmp_path / "lying.safetensors", json.dumps(header).encode(), bytes(16))
    with pytest.raises((NotACheckpointError, TruncatedFileError), match="copy it again"):
        read_tensors(path)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 0])
def test_a_header_longer_than_its_file_is_refused_before_it_is_read(tmp_path, length):
    path = tmp_path / "long.safetensors"
    path.write_bytes(length.to_bytes(8, "little") + b'{"a":' + bytes(100))
    with pytest.raises((NotACheckpointError, TruncatedFileError)):
        read_tensors(path)


SOUND = json.dumps({"a": entry(0, 16), "b": entry(16, 24, (2, 1)), "__metadata__": {"x": "y"}}).encode()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
OFFSETS = st.integers(0, 30) | st.integers(-(2**63), 2**64)
DTYPES = st.sampled_from(["F64", "F32", "F16", "BF16", "I64", "I8", "U8", "U64", "BOOL", "C64", "F8_E4M3", "F8_E5M2"])
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": DTYPES | st.sampled_from(["F4", "F6_E2M3", "F8_E8M0"]) | st.text(max_size=4),
        "shape": st.lists(OFFSETS, max_size=3),
        "data_offsets": st.lists(OFFSETS, min_size=2, max_size=2),
    }
)


@st.composite
def headers(draw) -> bytes:
    """Sound headers with bytes changed, headers of the right form with any numbers, and any JSON."""
    kind = draw(st.integers(0, 2))
    if kind == 0:
        header = bytearray(SOUND)
        for position in draw(st.lists(st.integers(0, len(SOUND) - 1), min_size=1, max_size=4)):
            header[position] = draw(st.integers(0, 255))
        return bytes(header)
    if kind == 1:
        return json.dumps(draw(st.dictionaries(st.text(max_size=3), ENTRIES, max_size=3))).encode()
    return b"{" + json.dumps(draw(JSON)).encode()


@given(headers(), st.integers(-8, 8), st.binary(min_size=24, max_size=24))
@example(SOUND, 0, bytes(24))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_header_says_the_answer_is_tensors_of_that_file_or_a_named_error(tmp_path, header, lie, data):
    path = tmp_path / "fuzz.safetensors"
    path.write_bytes(max(len(header) + lie, 0).to_bytes(8, "little") + header + data)
    try:
        tensors, metadata = read_tensors(path)
    except WeightsError:
        return
    assert sum(tensor.nbytes for tensor in tensors.values()) <= len(header) + len(data)
    assert all(isinstance(value, str) for value in metadata.values())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("ckpt/associate_2.ckpt", "vqvae_LQ.encoder.conv_in.weight"),
        ("ckpt/embedding_change_weights.pth", "conv2.bias"),
        ("sd21base/vae/diffusion_pytorch_model.safetensors", "decoder.conv_in.bias"),
    ],
)
def test_weights_that_are_no_numbers_are_refused(files, name, key, value):
    change(files / name, lambda tensors: tensors[key].view(-1)[-1:].fill_(value))
    with pytest.raises(NotACheckpointError, match="NaN or infinite") as caught:
        load(files)
    assert caught.value.key


def test_a_lora_of_no_numbers_is_refused(files):
    def spoil(tensors):
        next(value for key, value in tensors.items() if ".lora_B." in key)[0, 0] = float("nan")

    change(files / "ckpt/pytorch_lora_weights.safetensors", spoil)
    with pytest.raises(NotACheckpointError, match=r"pytorch_lora_weights.safetensors: .*NaN or infinite"):
        load(files)


def test_half_precision_weights_near_their_limit_are_numbers(tmp_path):
    """Their sum is beyond float16's range, each of them is not."""
    layer = torch.nn.Linear(100, 1, bias=False, device="meta")
    fill(layer, {"weight": torch.full((1, 100), 60000.0, dtype=torch.float16)}, tmp_path)
    save_file({"weight": torch.full((1, 100), float("nan"), dtype=torch.bfloat16)}, tmp_path / "nan.safetensors")
    with pytest.raises(NotACheckpointError, match="weight holds NaN"):
        fill(layer, read_tensors(tmp_path / "nan.safetensors")[0], tmp_path)
