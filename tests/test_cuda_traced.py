"""What a pass of the full-size model does on a CUDA card, shown without one (tests/cuda_trace.py): it waits for
nothing, copies no layouts, and stays within its kernels, arithmetic and bytes."""

import pytest
import torch
from cuda_trace import CONVERSION, HALVES, PARTS, Trace, card, trace_pass

from osdface_core.inference.memory import HELD

FACES = 8
OPERATIONS = {"vre": 160, "encode": 90, "unet": 605, "decode": 115}
KERNELS = {"vre": 178, "encode": 125, "unet": 613, "decode": 165}
"""With three for a large norm and one for the bias of a convolution."""
TFLOP = 4.64
"""Of a face."""
DECODE_GB = 6.4
"""That decoding a face reads and writes."""


@pytest.fixture(scope="module")
def half():
    """A pass of a batch in fp16. That it could be traced shows that it asks no tensor for a value."""
    return trace_pass("fp16", FACES)


def test_asking_a_tensor_for_a_value_or_a_size_would_have_been_an_error():
    with card(), Trace([]):
        x = torch.empty(4, device="cuda")
        for wrong in (lambda: x.sum().item(), lambda: bool(x[0]), lambda: torch.nonzero(x), lambda: x + torch.empty(4)):
            with pytest.raises(RuntimeError):
                wrong()


def test_nothing_in_a_pass_is_on_another_device(half):
    assert {device for launch in half.launches for device in launch.devices} == {"cuda"}


def test_a_seeded_pass_waits_for_nothing_either():
    seeded = trace_pass("fp16", 2, seed=7)
    elsewhere = [launch.operation for launch in seeded.launches if launch.devices != {"cuda"}]
    assert set(elsewhere) <= {"_to_copy", "copy_", "randn", "normal_"}  # the noise is drawn on the CPU, and sent


def test_no_image_of_features_is_copied_into_another_layout(half):
    assert not [launch for launch in half.launches if launch.moves_layout and launch.shape[0] == FACES]
    assert not [launch for launch in half.launches if launch.operation == CONVERSION]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_starts_no_more_kernels_than_it_needs(half, part):
    assert half.operations(part) <= OPERATIONS[part]
    assert half.count(part) <= KERNELS[part]


def test_every_norm_is_our_own(half):
    assert not [launch for launch in half.launches if "group_norm" in launch.operation or launch.operation == "silu"]


def test_a_face_costs_no_more_arithmetic_than_the_model_has(half):
    assert sum(half.total(part, "flops") for part in PARTS) <= TFLOP * 1e12 * FACES


def test_decoding_moves_no_more_bytes_than_recorded(half):
    assert half.total("decode", "bytes") <= DECODE_GB * 1e9 * FACES


@pytest.mark.parametrize("part", PARTS)
def test_memory_is_planned_for_what_a_part_holds(half, part):
    planned = HELD[part] * (1 if part == "vre" else 0.5)
    assert half.peaks[part] / FACES <= 1.05 * planned


def test_only_the_embedder_and_x0_are_computed_above_half_precision(half):
    large = FACES * 4 * 64 * 64  # latents: x0 itself is one
    above = [
        launch
        for launch in half.launches
        if launch.part in ("encode", "unet", "decode")
        and launch.shape[:1] == (FACES,)
        and launch.dtype.is_floating_point
        and launch.dtype not in HALVES
        and torch.Size(launch.shape).numel() > large
        and launch.operation != "mean_and_scale"
    ]
    assert above == []
