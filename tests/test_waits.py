"""The host never waits for the device within a pass: nothing in it asks a tensor for a value or a size that depends on
values. Shown without a GPU, on the operations that a GPU would get; with one, tests/test_fast.py asks CUDA itself."""

import sys
from dataclasses import replace

import pytest
import torch
from conftest import ROOT, twin_of
from torch.utils._python_dispatch import TorchDispatchMode

from osdface_core.inference import prepare
from osdface_core.models.precision import Precision
from osdface_core.models.vre import VectorQuantizer, VREConfig

WAITING = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
INDEX = torch.ops.aten.index.Tensor
"""Its size depends on values only where it is given a mask."""


class Waits(TorchDispatchMode):
    """Every operation within that would make the host wait for a device."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        by_mask = func is not INDEX or any(i is not None and i.dtype == torch.bool for i in args[1])
        if WAITING & set(func.tags) and by_mask:
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("seed", [None, 7])
def test_the_host_never_waits_within_a_pass(starter, monkeypatch, precision, seed):
    for place in ("networks.layers.on_cpu", "networks.transformer.on_cpu", "kernels.convolution.on_cpu"):
        monkeypatch.setattr(f"osdface_core.{place}", lambda x: False)
    monkeypatch.setattr("osdface_core.kernels.group_norm.MANY_PIXELS", 1 << 40)
    monkeypatch.setattr("osdface_core.models.precision.is_quick", lambda dtype, device: True)
    model = prepare(twin_of(starter), Precision.parse(precision))
    schedule = starter.alphas_cumprod.tolist()  # the schedule is the host's own: asking it is no waiting
    step = replace(model.one_step, alphas_cumprod=schedule)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), Waits() as waits:
        restored, _ = step.forward(images, model.vre(images).embeds, seed)
        assert waits.seen == []
        restored.isnan().any().item()
    assert waits.seen == ["aten._local_scalar_dense.default"]


def test_choosing_tokens_asks_for_no_value_where_the_authors_loop_asks_for_hundreds():
    sys.path.append(str(ROOT / "benchmarks"))
    from authors_procedure import select_tokens

    torch.manual_seed(0)
    quantizer, features = VectorQuantizer(VREConfig()).requires_grad_(False), torch.randn(256, 512)
    torch.nn.init.normal_(quantizer.embedding)
    with Waits() as ours:
        token_ids, _ = quantizer.select(features[None], 77)
    with Waits() as theirs:
        chosen = select_tokens(features, quantizer.embedding)
    assert torch.equal(chosen, quantizer(token_ids)[0])
    assert ours.seen == []
    assert len(theirs.seen) >= 2 * 77
