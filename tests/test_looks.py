"""Identity by many looks at a face: straight on it is what is measured, and what is the same stays the same."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from osdface_core.models.osdface import ModelConfig
from osdface_core.recognition.embedders import MobileFaceNet, load_embedder
from osdface_core.recognition.identity import SIZE, embed_aligned
from osdface_core.training.assemble import Parts
from osdface_core.training.looks import GROW, MOVE, TURN, Look, random_look, unlike
from osdface_core.training.recipe import RecipeError
from osdface_core.training.restorer_stage import RestorerConfig, RestorerStage
from osdface_core.weights.starter import BUNDLE


@pytest.fixture(scope="module")
def embedder(shared):
    return load_embedder(shared / "weights" / "mobilefacenet.safetensors").requires_grad_(False)


def images(seed=0):
    noise = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, (256, 256), mode="bilinear")


def test_straight_on_it_is_identity_as_it_is_measured(embedder):
    good, other = images(0), images(1)
    apart, _ = unlike(embedder, other, good, Look())
    measured = F.cosine_similarity(embed_aligned(embedder, other), embed_aligned(embedder, good))
    assert torch.allclose(apart, (1 - measured).mean(), atol=1e-6)


def test_a_look_turns_about_the_middle_and_stays_in_its_bounds():
    middle = torch.tensor([(SIZE - 1) / 2, (SIZE - 1) / 2, 1.0], dtype=torch.float64)
    assert torch.allclose(Look(turn=1.0, scale=0.5).matrix() @ middle, middle[:2])
    assert torch.allclose(Look(turn=1.0, x=3, y=-2).matrix() @ middle, middle[:2] + torch.tensor([3, -2]))
    torch.manual_seed(0)
    looks = [random_look() for _ in range(200)]
    assert max(abs(look.turn) for look in looks) <= TURN
    assert max(abs(look.scale - 1) for look in looks) <= GROW
    assert max(abs(look.x) for look in looks) <= MOVE
    assert {look.mirrored for look in looks} == {look.blurred for look in looks} == {False, True}


def test_a_mirrored_look_sees_the_other_side():
    """A face that is bright on its left side alone."""
    half_lit = torch.zeros(1, 3, 256, 256)
    half_lit[..., :100] = 1
    straight, mirrored = (look.at(half_lit)[..., 1:-1] for look in (Look(), Look(mirrored=True)))
    assert straight[..., 0].mean() > 0.9 > 0.1 > straight[..., -1].mean()
    assert mirrored[..., -1].mean() > 0.9 > 0.1 > mirrored[..., 0].mean()


def test_the_same_people_are_alike_in_every_look_and_others_can_become_so(embedder):
    good, made = images(0), images(1).requires_grad_()
    torch.manual_seed(0)
    for look in [random_look() for _ in range(6)]:
        same, no_difference = unlike(embedder, good, good, look)
        assert same.abs() < 1e-5
        assert no_difference == 0
        apart, by_features = unlike(embedder, made, good, look)
        assert apart > 0.01
        assert by_features > 0.01
        (gradient,) = torch.autograd.grad(apart + by_features, made)
        nearer = made.detach() - 0.5 * gradient / gradient.norm()
        assert sum(unlike(embedder, nearer, good, look)) < apart + by_features


def test_an_embedder_without_maps_tells_by_its_embeddings_alone():
    class Means(nn.Module):
        def forward(self, faces):
            return faces.mean((2, 3))

    apart, by_features = unlike(Means(), images(0), images(1), Look())
    assert apart > 0
    assert by_features == 0


def test_feature_maps_are_of_every_resolution(embedder):
    maps = embedder.maps(torch.rand(1, 3, SIZE, SIZE))
    assert [features.shape[-1] for features in maps] == [56, 28, 14, 7]
    assert isinstance(embedder, MobileFaceNet)


def test_a_stage_learns_from_looks(shared):
    config = RestorerConfig(
        Parts(model=str(BUNDLE)),
        unet="full",
        mse=0,
        perceptual=0,
        adversarial=0,
        identity=1,
        looks=2,
        identity_features=1,
        embedder=str(shared / "weights" / "mobilefacenet.safetensors"),
    )
    stage = RestorerStage(ModelConfig(), config)
    losses = stage.losses({"lq": images(0), "hq": images(1)}, 0)
    assert losses["identity"] > 0
    assert losses["identity features"] > 0
    (losses["identity"] + losses["identity features"]).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in stage.model.unet.conv_in.parameters())
    assert all(parameter.grad is None for parameter in stage.model.vae.parameters())


def test_feature_maps_are_asked_of_none_that_has_them_not():
    config = RestorerConfig(Parts(model=str(BUNDLE)), unet="full", identity=0, identity_features=1, perceptual=0)
    with pytest.raises(RecipeError, match="identity_features needs identity, and a MobileFaceNet"):
        RestorerStage(ModelConfig(), config)
