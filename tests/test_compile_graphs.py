"""What torch.compile sees of the networks: no breaks, and few graphs over batches of all sizes."""

import pytest
import torch
from conftest import twin_of

from osdface_core.inference import prepare

BATCHES = (8, 8, 3, 1)
GRAPHS = 3
"""A first one for eight faces, one for any number, one for a single face."""


def works(model):
    """Each network's work for a batch, as `compile_or_not` has it compiled."""
    torch.manual_seed(0)
    images = torch.rand(max(BATCHES), 3, 64, 64)
    latents = torch.randn(max(BATCHES), model.config.unet.in_channels, 8, 8)
    context = torch.randn(max(BATCHES), 77, model.config.unet.cross_attention_dim)
    shifts = model.unet.time_shifts(399, latents)
    return {
        "encoder": (model.vae.encoder.whole, lambda n: (images[:n],)),
        "unet": (model.unet, lambda n: (latents[:n], shifts, context[:n])),
        "decoder": (model.vae.decoder.whole, lambda n: (latents[:n],)),
    }


@pytest.mark.parametrize("part", ["encoder", "unet", "decoder"])
@torch.no_grad()
def test_batches_of_all_sizes_take_few_graphs_and_no_break(starter, part):
    model = prepare(twin_of(starter))
    network, inputs = works(model)[part]
    graphs = []

    def backend(module, _examples):
        graphs.append(module)
        return module.forward

    torch._dynamo.reset()
    compiled = torch.compile(network, backend=backend, fullgraph=True)
    for count in BATCHES:
        made = compiled(*inputs(count))
        assert (made - network(*inputs(count))).abs().max() < 1e-2  # weights that make much of rounding
    assert len(graphs) <= GRAPHS
