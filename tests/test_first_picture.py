"""A first picture is better than what it was made of: measured against the photographs before they were degraded."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from host.before_after import picture
from host.templates import TEMPLATES

from osdface_core import align_faces, load_detector
from osdface_core.evaluation.faces import largest_landmarks
from osdface_core.evaluation.perceptual import load_distance
from osdface_core.recognition.embedders import load_embedder
from osdface_core.recognition.identity import embed_aligned

SIZE = 256
ROOM = {"identity": 0.02, "landmarks": 1.0, "perceptual distance": 0.0}
"""How much worse a figure may be: landmarks found in blurred faces wander by about a pixel of the crop, and identity by
0.02 where such a face is moved by two."""


@pytest.fixture(scope="module")
def measures(shared):
    """By name: of crops [N,3,S,S], and what they should be, a figure that is lower where they are more alike."""
    embedder = load_embedder(shared / "weights" / "mobilefacenet.pt")
    judge = shared / "weights" / "detection_mobilenet0.25_Final.pth"
    detector, features = load_detector(judge), load_distance(f"detector:{judge}")

    def identity(images, target):
        return 1 - F.cosine_similarity(embed_aligned(embedder, images), embed_aligned(embedder, target))

    def landmarks(images, target):
        found, wanted = (largest_landmarks(detector, crops) for crops in (images, target))
        return (found - wanted).norm(dim=-1).mean(-1)

    return {"identity": identity, "landmarks": landmarks, "perceptual distance": features}


@pytest.fixture(scope="module")
def originals(shared):
    """The photographs as they were, by the names of the samples made of them: [1,3,H,W]."""
    spec = importlib.util.spec_from_file_location("make_samples", ROOT / "scripts" / "make_samples.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    return {name: pixels(frames[0]) for name, frames in maker.originals(shared).items()}


def pixels(image):
    return torch.from_numpy(np.ascontiguousarray(image)).movedim(-1, 0)[None].float()


@pytest.mark.parametrize("title", [title for title, template in TEMPLATES.items() if not template.needs])
def test_a_first_picture_is_better_than_its_input(inside, originals, measures, title):
    template, base = TEMPLATES[title], Path(inside.folders.base)
    shown = inside.execute(template.prompt, lambda *_: None)["save"]["images"][0]
    target = originals[template.sample]
    faces = load_detector().detect(target)

    def crops(path):
        image = pixels(np.asarray(picture(path), np.float32) / 255)
        image = F.interpolate(image, target.shape[2:], mode="bicubic", antialias=True).clamp(0, 1)
        return align_faces(image, faces, SIZE).images

    before, after = crops(base / "input" / template.sample), crops(base / "output" / shown["filename"])
    wanted = align_faces(target, faces, SIZE).images
    for name, measure in measures.items():
        of_input, of_result = (float(measure(images, wanted).nanmean()) for images in (before, after))
        print(f"{title}: {name} {of_input:.3f} -> {of_result:.3f}")  # noqa: T201 (shown by pytest -s)
        assert of_result < of_input + ROOM[name], name
