"""Token selection against its definition, and what the embedder sees and returns."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from osdface_core.models.vre import VRE, VectorQuantizer, VREConfig

SMALL = VREConfig(base_channels=32, channel_multipliers=(1, 1, 2), codes=24, code_channels=32, tokens=9, input_size=32)


def small_vre(**changes):
    torch.manual_seed(0)
    vre = VRE(VREConfig(**{**vars(SMALL), **changes})).eval().requires_grad_(False)
    torch.nn.init.normal_(vre.quantizer.embedding)
    return vre


def select_by_definition(features, codebook, tokens):
    """One image: cells by distance to their nearest entry, each entry once, until there are enough."""
    distances = torch.cdist(features.double(), codebook.double()).square()
    nearest, entries = distances.min(1)
    chosen, cells = [], []
    for cell in nearest.argsort(stable=True).tolist():
        if entries[cell].item() not in chosen:
            chosen.append(entries[cell].item())
            cells.append(cell)
    padding = [-1] * max(0, tokens - len(chosen))
    return chosen[:tokens] + padding, cells[:tokens] + padding


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6), codes=st.integers(2, 40), tokens=st.integers(1, 40), spread=st.sampled_from([0.1, 3])
)
def test_selection_is_its_definition(seed, codes, tokens, spread):
    """Few and many entries, more and fewer than there are tokens, for every image of a batch on its own."""
    generator = torch.Generator().manual_seed(seed)
    quantizer = VectorQuantizer(VREConfig(codes=codes, code_channels=6))
    quantizer.embedding.data = torch.randn(codes, 6, generator=generator)
    features = spread * torch.randn(3, 25, 6, generator=generator)
    token_ids, positions = quantizer.select(features, tokens)
    for image in range(3):
        expected = select_by_definition(features[image], quantizer.embedding.data, tokens)
        assert (token_ids[image].tolist(), positions[image].tolist()) == expected


def test_selection_never_waits_for_the_device():
    """On the meta device there are no values: anything that needs one (a loop over tokens, .item()) fails."""
    with torch.device("meta"):
        vre = VRE(SMALL)
        prompts = vre.prompt(torch.empty(2, 64, 32))
    assert prompts.embeds.shape == (2, 9, 1024)
    assert prompts.token_ids.shape == (2, 9)


def test_equal_distances_keep_the_order_of_the_cells():
    quantizer = VectorQuantizer(VREConfig(codes=4, code_channels=2))
    quantizer.embedding.data = torch.tensor([[0.0, 0], [10, 0], [0, 10], [10, 10]])
    features = torch.tensor([[[10.0, 11], [1, 0], [0, 11], [11, 0], [0, 1]]])
    token_ids, positions = quantizer.select(features, 3)
    assert token_ids.tolist() == [[3, 0, 2]]
    assert positions.tolist() == [[0, 1, 2]]


def test_padding_is_the_zero_vector():
    vre = small_vre()
    entry = vre.quantizer.embedding[3].expand(1, 64, -1)
    prompts = vre.prompt(entry + 0.01)
    assert prompts.token_ids.tolist() == [[3] + [-1] * 8]
    assert prompts.positions.tolist() == [[0] + [-1] * 8]
    nothing = vre.projector(torch.zeros(1, 8, 32))
    assert torch.allclose(prompts.embeds[:, 1:], nothing)
    constant = F.silu(vre.projector.conv2(F.silu(vre.projector.conv1.bias)))
    assert torch.allclose(nothing[0, 0], constant, atol=1e-6)


def test_the_first_layer_sees_minus_three_to_one():
    """As the authors' program feeds it: normalised twice."""
    vre, seen = small_vre(), []
    vre.encoder.encoder.conv_in.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    vre(torch.cat([torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32), torch.full((1, 3, 32, 32), 0.5)]))
    assert [seen[0][image].unique().tolist() for image in range(3)] == [[-3], [1], [-1]]


def test_any_size_is_brought_to_the_input_size():
    vre = small_vre()
    image = torch.rand(1, 3, 48, 64)
    squeezed = F.interpolate(image, (32, 32), mode="bilinear", align_corners=False)
    assert torch.equal(vre(image).embeds, vre(squeezed).embeds)


def test_every_image_of_a_batch_is_on_its_own():
    vre = small_vre()
    images = torch.rand(3, 3, 32, 32)
    together = vre(images)
    for n in range(3):
        alone = vre(images[n : n + 1])
        assert torch.equal(together.token_ids[n], alone.token_ids[0])
        assert torch.equal(together.positions[n], alone.positions[0])
        assert torch.allclose(together.embeds[n], alone.embeds[0], atol=1e-6)


def test_concatenated_prompts_pair_the_nearest_cells_and_keep_repeats():
    vre = small_vre(prompt_kind="concatenated")
    assert vre.projector is None
    features = torch.randn(2, 64, 32, generator=torch.Generator().manual_seed(5))
    prompts = vre.prompt(features)
    distances, entries = vre.quantizer.nearest(features)
    cells = distances.argsort(dim=1)[:, :18]
    expected = entries.gather(1, cells)
    assert torch.equal(prompts.token_ids, expected)
    assert any(len(set(row)) < 18 for row in expected.tolist())
    assert prompts.embeds.shape == (2, 9, 64)
    codebook = vre.quantizer.embedding
    assert torch.equal(prompts.embeds[0, 4], torch.cat([codebook[expected[0, 4]], codebook[expected[0, 13]]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_images_of_any_precision_are_embedded_in_float32(dtype):
    vre = small_vre()
    image = (torch.randint(0, 256, (1, 3, 32, 32)) / 256).to(dtype)
    prompts = vre(image)
    assert prompts.embeds.dtype == torch.float32
    assert torch.equal(prompts.token_ids, vre(image.float()).token_ids)
