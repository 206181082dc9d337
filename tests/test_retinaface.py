"""Our RetinaFace is facexlib's: names, outputs, priors; and it does not see the canvas around an image."""

import copy
import warnings

import pytest
import torch
from facexlib.detection.retinaface import RetinaFace as FacexlibRetinaFace
from facexlib.detection.retinaface_utils import PriorBox, batched_decode, batched_decode_landm
from torch import nn

from osdface_core.networks.retinaface import RetinaFaceConfig, RetinaFaceNet, decode, fold_norms, priors

SIZE = (203, 330)
"""Height and width: no step of the network divides them."""


@pytest.fixture(scope="module", params=["mobile0.25", "resnet50"])
def networks(request):
    """facexlib's and ours with the same random weights, whose values stay in a network's usual range."""
    torch.manual_seed(0)
    with warnings.catch_warnings(action="ignore"):
        theirs = FacexlibRetinaFace(network_name=request.param, device=torch.device("cpu"))
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1)
            module.bias.data.normal_(0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    with torch.device("meta"):
        ours = RetinaFaceNet(RetinaFaceConfig(request.param)).eval()
    ours.load_state_dict(theirs.state_dict(), assign=True)
    return theirs, ours


@pytest.fixture(scope="module")
def pictures():
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0)) - 0.5


def assert_same(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        assert float((one - other).abs().max()) < 1e-5 * max(float(other.abs().max()), 1)


@torch.no_grad()
def test_it_gives_what_facexlibs_gives(networks, pictures):
    theirs, ours = networks
    assert list(ours.state_dict()) == list(theirs.state_dict())
    wanted = theirs(pictures)
    assert wanted[0].std() > 1e-2
    assert_same(ours(pictures), wanted)
    last = pictures.contiguous(memory_format=torch.channels_last)
    assert_same(copy.deepcopy(ours).to(memory_format=torch.channels_last)(last), wanted)


@torch.no_grad()
def test_an_image_on_a_larger_canvas_gives_what_it_gives_alone(networks, pictures):
    _, ours = networks
    canvas = torch.zeros(2, 3, 256, 448)
    canvas[:, :, : SIZE[0], : SIZE[1]] = pictures
    wanted = ours(pictures)
    assert_same(ours(canvas.clone(), SIZE), wanted)
    assert_same(fold_norms(copy.deepcopy(ours))(canvas, SIZE), wanted)


@torch.no_grad()
def test_priors_and_what_is_made_of_them_are_facexlibs(networks, pictures):
    theirs, ours = networks
    width_height = torch.tensor([SIZE[1], SIZE[0]])
    wanted = PriorBox(theirs.cfg, SIZE).forward()
    assert torch.allclose(priors(SIZE, pictures.device)[:, [0, 1, 2, 2]], wanted * width_height.repeat(2), atol=1e-4)
    boxes, _, landmarks = ours(pictures)
    boxes, landmarks = boxes.clamp(-5, 5), landmarks.clamp(-5, 5)
    chosen = torch.stack([torch.randperm(len(wanted))[:50] for _ in range(2)])
    found = decode(boxes, landmarks, chosen, SIZE)
    all_boxes = batched_decode(boxes, wanted[None], [0.1, 0.2]) * width_height.repeat(2)
    all_landmarks = batched_decode_landm(landmarks, wanted[None], [0.1, 0.2]) * width_height.repeat(5)
    for row in range(2):
        assert torch.allclose(found[row, :, :4], all_boxes[row, chosen[row]], atol=1e-3)
        assert torch.allclose(found[row, :, 4:], all_landmarks[row, chosen[row]], atol=1e-3)


def test_it_can_be_trained_and_a_call_changes_nothing(networks, pictures):
    _, ours = networks
    ours = copy.deepcopy(ours).requires_grad_(True)
    before = {key: value.clone() for key, value in ours.state_dict().items()}
    images = pictures[:1].clone().requires_grad_(True)
    sum(output.square().mean() for output in ours(ours.prepare(images))).backward()
    assert images.grad is not None
    assert all(parameter.grad is not None for parameter in ours.parameters())
    assert all(torch.equal(value, before[key]) for key, value in ours.state_dict().items())


def test_pictures_are_prepared_as_facexlib_does(networks):
    theirs, ours = networks
    image = torch.rand(1, 3, 4, 5)
    assert torch.allclose(ours.prepare(image), (image.flip(1) * 255) - theirs.mean_tensor)


def test_other_bodies_are_named():
    with pytest.raises(ValueError, match=r"body 'vgg'.*resnet50 or mobile0\.25"):
        RetinaFaceConfig("vgg")
