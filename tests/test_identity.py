"""Identity: real embeddings of real faces, the same through our alignment, and faces that lost theirs kept out."""

import re
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import face_at
from facexlib.recognition.arcface_arch import Backbone
from safetensors.torch import load_file, save_file

from osdface_core import Faces, ImageError, align_faces, load_embedder, paste_faces, read_photo
from osdface_core.errors import NotACheckpointError, ShapeError, WeightsNotFoundError
from osdface_core.recognition.identity import check_identity, embed_aligned, embed_crops, identity_similarity


@pytest.fixture(scope="module")
def embedder(shared):
    return load_embedder(shared / "weights" / "mobilefacenet.safetensors")


@pytest.fixture(scope="module")
def recorded(shared):
    return np.load(shared / "golden" / "mobilefacenet.npz")


@pytest.fixture(scope="module")
def crops_of(shared, detector):
    @cache
    def crops(photo):
        image = read_photo(shared / "images" / photo).pixels
        return align_faces(image, detector.detect(image), 256)

    return crops


def cosine(a, b):
    return F.cosine_similarity(a, b).item()


def test_the_network_is_the_recorded_one(embedder, recorded):
    faces = torch.from_numpy(recorded["crops_bgr"][..., ::-1].copy()).permute(0, 3, 1, 2) / 255
    ours = F.normalize(embedder(faces) + embedder(faces.flip(3)))
    assert np.abs(ours.numpy() - recorded["embeddings"]).max() < 1e-4


@pytest.mark.parametrize("photo", ["portrait_wh.jpg", "astronaut.png", "old_autochrome_shaw1908.png"])
def test_our_alignment_gives_nearly_the_recorded_embeddings(embedder, recorded, crops_of, photo):
    """The recorded faces were cut from the photos directly and fitted by another method."""
    place = list(recorded["names"]).index(f"{photo}#0")
    face = torch.from_numpy(recorded["crops_bgr"][place, ..., ::-1].copy()).permute(2, 0, 1)[None] / 255
    ours = embed_crops(embedder, crops_of(photo))
    assert cosine(ours, embedder(face)) > 0.9
    assert cosine(ours, embed_aligned(embedder, crops_of(photo).images)) > 0.95


def test_people_are_told_apart(embedder, crops_of):
    photos = ("portrait_wh.jpg", "small_wh_240p.jpg", "astronaut.png")
    person, again, other = (embed_crops(embedder, crops_of(photo)) for photo in photos)
    assert cosine(person, again) > 0.8
    assert cosine(person, other) < 0.3


def test_the_crops_size_hardly_matters(embedder, shared, detector):
    image = read_photo(shared / "images" / "astronaut.png").pixels
    small, large = (embed_crops(embedder, align_faces(image, detector.detect(image), size)) for size in (256, 512))
    assert cosine(small, large) > 0.99


@pytest.fixture
def pair(crops_of):
    """Two faces in one photo, side by side: before, and after the second has become somebody else."""
    person, other = crops_of("portrait_wh.jpg").images, crops_of("astronaut.png").images
    faces = Faces((face_at(128, 128, 256), face_at(384, 128, 256, index=1)), 1, 256, 512)
    before = align_faces(torch.cat([person, person], dim=3), faces, 256)
    return before, before.with_images(torch.cat([before.images[:1] * 0.9, other]))


def test_the_report_says_how_alike_each_face_is(embedder, pair):
    before, after = pair
    checked = check_identity(embedder, before, after)
    assert len(checked) == 2
    report = paste_faces(torch.zeros(1, 3, 256, 512), checked).report
    assert report[0].identity > 0.9
    assert report[1].identity < 0.3
    assert [round(value, 6) for value in check_identity(embedder, before, before).identity] == [1, 1]


def test_a_face_that_became_somebody_else_is_left_as_it_was(embedder, pair):
    before, after = pair
    photo = torch.rand(1, 3, 256, 512)
    result = paste_faces(photo, check_identity(embedder, before, after, 0.4))
    assert [entry.restored for entry in result.report] == [True, False]
    assert result.report[1].identity < 0.3
    assert result.summary().startswith("1 of 2 faces restored, identity at least 1.00")
    assert re.search(r"; face 1 left: identity 0\.\d\d is below 0\.40$", result.summary())
    assert torch.equal(result.image[..., 256:], photo[..., 256:])
    assert not torch.equal(result.image[..., :256], photo[..., :256])


def test_likeness_finds_a_person_among_others(embedder, pair, crops_of):
    before, after = pair
    similarity = identity_similarity(embedder, after, crops_of("small_wh_240p.jpg"))
    assert similarity[0] > 0.8
    assert similarity[1] < 0.3
    assert identity_similarity(embedder, after.take([]), before) == []
    with pytest.raises(ImageError, match="no face in the reference"):
        identity_similarity(embedder, after, before.take([]))


def test_crops_without_a_face_or_of_other_faces(embedder, pair):
    before, after = pair
    assert len(check_identity(embedder, before.take([]), after.take([]))) == 0
    with pytest.raises(ImageError, match="not of the same faces"):
        check_identity(embedder, before, after.take([1]))


def test_without_an_embedder_there_is_nothing_to_ask_for(pair):
    before, after = pair
    assert check_identity(None, before, after) is after
    with pytest.raises(ImageError, match="min_identity needs a face embedder"):
        check_identity(None, before, after, 0.5)


def test_a_loss_can_follow_the_embedding(embedder, crops_of):
    """Gradient steps on a blurred face bring it nearer to the sharp one."""
    target = embed_aligned(embedder, crops_of("astronaut.png").images)
    image = F.avg_pool2d(crops_of("astronaut.png").images, 15, 1, 7).requires_grad_()
    first = cosine(embed_aligned(embedder, image), target)
    for _ in range(2):
        similarity = F.cosine_similarity(embed_aligned(embedder, image), target).mean()
        (gradient,) = torch.autograd.grad(similarity, image)
        image = (image + 3 * gradient / gradient.norm()).detach().requires_grad_()
    assert cosine(embed_aligned(embedder, image), target) > first + 0.1


def test_arcface_sees_what_facexlibs_does(tmp_path):
    """It was trained on BGR from -1 to 1."""
    torch.manual_seed(0)
    network = Backbone(50, 0.6, "ir_se").eval()
    save_file(network.state_dict(), tmp_path / "recognition_arcface_ir_se50.safetensors")
    faces = torch.rand(2, 3, 112, 112)
    with torch.no_grad():
        expected = network(torch.stack([faces[:, 2], faces[:, 1], faces[:, 0]], dim=1) * 2 - 1)
        assert torch.equal(load_embedder(tmp_path / "recognition_arcface_ir_se50.safetensors")(faces), expected)


def test_files_that_are_no_embedder_are_named(tmp_path, shared):
    with pytest.raises(WeightsNotFoundError, match=r"no such face embedder.*Get it with"):
        load_embedder(tmp_path / "nothing.pth")
    with pytest.raises(NotACheckpointError, match="no face embedder"):
        load_embedder(shared / "weights" / "detection_mobilenet0.25_Final.pth")
    tensors = load_file(shared / "weights" / "mobilefacenet.safetensors")
    tensors["bn.weight"] = torch.zeros(64)
    save_file(tensors, tmp_path / "narrow.safetensors")
    with pytest.raises(ShapeError, match=r"bn.weight is \[64\]"):
        load_embedder(tmp_path / "narrow.safetensors")
