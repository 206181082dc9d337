"""Face parsing with facexlib's own networks on pseudo-random weights: the real files are not at hand."""

import pytest
import torch
import torch.nn.functional as F
from conftest import face_at
from facexlib.parsing.bisenet import BiSeNet
from facexlib.parsing.parsenet import ParseNet

from osdface_core import Faces, ImageError, align_faces, paste_faces
from osdface_core.compositing.parsing import PARTS, load_parser, parse_masks
from osdface_core.errors import NotACheckpointError, OptionError, WeightsNotFoundError

NETWORKS = {
    "parsenet": lambda: ParseNet(in_size=512, out_size=512, parsing_ch=19),
    "bisenet": lambda: BiSeNet(num_class=19),
}


@pytest.fixture(scope="module", params=NETWORKS)
def case(request, tmp_path_factory):
    """A kind of parser, facexlib's network and the file of its weights."""
    torch.manual_seed(0)
    network = NETWORKS[request.param]().eval().requires_grad_(False)
    path = tmp_path_factory.mktemp("parser") / "parser.pth"
    torch.save(network.state_dict(), path)
    return request.param, network, path


def crops_of(count=1):
    torch.manual_seed(1)
    image = F.interpolate(torch.rand(count, 3, 20, 20), (200, 200), mode="bicubic").clamp(0, 1)
    faces = tuple(face_at(100, 100, 150, frame=n) for n in range(count))
    return image, align_faces(image, Faces(faces, count, 200, 200), 512)


def test_the_parts_are_facexlibs_labels_in_parsenets_order(case):
    """As facexlib normalises and reads them: both networks' numbers end up with the same names."""
    kind, network, path = case
    _, crops = crops_of()
    mean, std = ((0.5,) * 3, (0.5,) * 3) if kind == "parsenet" else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    seen = {}
    parser = load_parser(path)
    parser.network.register_forward_hook(lambda _, given, got: seen.update(given=given[0], got=got[0]))
    ours = parser(crops.images)
    expected = (crops.images - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    assert torch.allclose(seen["given"], expected, atol=1e-5)
    assert all(
        torch.equal(a, b)
        for a, b in zip(network.state_dict().values(), parser.network.state_dict().values(), strict=True)
    )
    labels = seen["got"].argmax(1)
    theirs = {numbers[kind == "bisenet"]: name for name, numbers in PARTS.items()}
    names = list(PARTS)
    for label in labels.unique().tolist():
        assert {names[number] for number in ours[labels == label].tolist()} == {theirs[label]}


def only(parser, **parts):
    """A parser that answers with rectangles: part = (top, bottom, left, right)."""
    labels = torch.zeros(1, 512, 512, dtype=torch.long)
    for name, (top, bottom, left, right) in parts.items():
        labels[:, top:bottom, left:right] = list(PARTS).index(name)
    parser.forward = lambda images: labels.expand(len(images), -1, -1)
    return parser


def test_the_mask_is_the_face_without_what_covers_it_or_is_to_be_left(case):
    parser = only(load_parser(case[2]), skin=(100, 450, 100, 400), hair=(20, 100, 100, 400), hat=(300, 360, 100, 250))
    image, crops = crops_of()
    whole = parse_masks(parser, crops, feather=0.02)[0]
    assert whole[200, 250] == whole[60, 250] == 1
    assert whole[330, 180] == whole[480, 250] == whole[60, 50] == 0
    bald = parse_masks(parser, crops, leave=["hair"], feather=0.02)[0]
    assert bald[60, 250] == 0
    assert bald[200, 250] == 1
    wide = parse_masks(parser, crops, feather=0.2)[0]
    assert wide[200:300, 250].max() > wide[200, 110]
    with pytest.raises(OptionError, match="leave beard: it must be one of background, skin"):
        parse_masks(parser, crops, leave=["beard"])
    with pytest.raises(OptionError, match="face parser is needed to leave hair alone"):
        parse_masks(None, crops, leave=["hair"])
    other = crops.with_images(1 - crops.images)
    pasted = paste_faces(image, other, crop_masks=parse_masks(parser, crops))
    assert torch.equal(pasted.image[..., 160:, :], image[..., 160:, :])
    assert pasted.mask[0, 85, 100] == 1


def test_faces_are_parsed_in_batches(case):
    _, crops = crops_of(3)
    parser = only(load_parser(case[2]), skin=(100, 450, 100, 400))
    seen = []
    masks = parse_masks(parser, crops, batch_size=2, on_batch=lambda done, count: seen.append((done, count)))
    assert masks.shape == (3, 512, 512)
    assert seen == [(2, 3), (3, 3)]
    assert parse_masks(parser, crops.take([])).shape == (0, 512, 512)


def test_files_that_are_no_parser_are_refused(tmp_path):
    with pytest.raises(WeightsNotFoundError, match="osdface weights download parsenet"):
        load_parser(tmp_path / "none.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(NotACheckpointError, match="no face parser"):
        load_parser(tmp_path / "other.pth")


def test_crops_that_are_no_numbers_and_a_border_out_of_range_are_named(case):
    parser, (_, crops) = load_parser(case[2]), crops_of()
    with pytest.raises(OptionError, match=r"feather nan: it must be a number between 0 and 0\.5"):
        parse_masks(parser, crops, feather=float("nan"))
    with pytest.raises(ImageError, match="face crop holds NaN"):
        parse_masks(parser, crops.with_images(crops.images / 0))
