"""Steady crops: noise goes, what moves stays."""

import torch
from clips import photo, still
from conftest import face_at

from osdface_core import FaceCrops, Faces, align_faces
from osdface_core.video.denoise import steady_crops


def crops_of(clip, index=0, size=256):
    faces = tuple(face_at(222, 105, 170, frame=n, index=index) for n in range(len(clip)))
    return align_faces(clip, Faces(faces, len(clip), *clip.shape[2:]), size)


def flicker(images):
    return (images[1:] - images[:-1]).abs().mean().item()


def test_noise_and_flicker_fall(shared):
    picture = photo(shared, "astronaut.png", (256, 384))
    noisy = crops_of(still(picture, 16, noise=0.04))
    clean = crops_of(picture.expand(16, -1, -1, -1)).images
    steady = steady_crops(noisy)
    assert steady.faces is noisy.faces
    assert flicker(steady.images) < flicker(noisy.images) / 10
    assert (steady.images - clean).abs().mean() < (noisy.images - clean).abs().mean() / 2


def test_a_blink_stays_in_its_frames(shared):
    """The eyes, covered in two frames, are neither mixed into the others nor lost in their own."""
    picture = photo(shared, "astronaut.png", (256, 384))
    clean = picture.repeat(11, 1, 1, 1)
    clean[5:7, :, 82:100, 190:255] = torch.tensor([0.75, 0.55, 0.45])[:, None, None]
    noise = still(torch.zeros_like(picture), 11, 0) + 0.03 * torch.randn(clean.shape, generator=torch.manual_seed(0))
    steady, clean = steady_crops(crops_of((clean + noise).clamp(0, 1))).images, crops_of(clean).images
    changed = (clean[5] - clean[4]).abs().amax(0) > 0.1
    assert changed.sum() > 1000
    for frame in (4, 5, 6, 7):
        assert (steady[frame] - clean[frame])[:, changed].abs().mean() < 0.03
    assert (clean[5] - clean[4])[:, changed].abs().mean() > 0.15


def test_faces_are_averaged_only_with_themselves_and_without_a_break():
    values = torch.tensor([0.50, 0.51, 0.52, 0.50, 0.51])
    faces = [face_at(50, 50, 60, frame=frame, index=index) for frame, index in ((0, 0), (1, 0), (4, 0), (0, 1), (1, 1))]
    crops = align_faces(torch.zeros(5, 3, 100, 100), Faces(tuple(faces), 5, 100, 100), 64)
    crops = crops.with_images(values[:, None, None, None].expand(5, 3, 64, 64).clone())
    steady = steady_crops(crops, smoothing=50, tolerance=1).images.mean((1, 2, 3))
    assert torch.allclose(steady, torch.tensor([0.505, 0.505, 0.52, 0.505, 0.505]), atol=1e-4)


def test_without_smoothing_nothing_changes():
    crops = FaceCrops(torch.rand(0, 3, 64, 64), Faces((), 1, 10, 10), torch.zeros(0, 2, 3))
    assert steady_crops(crops) is crops
    crops = crops_of(torch.rand(2, 3, 256, 384))
    assert steady_crops(crops, smoothing=0) is crops
