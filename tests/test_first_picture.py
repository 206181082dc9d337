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
from osdface_core.evaluation.perceptual import load_distance
from osdface_core.recognition.embedders import load_embedder
from osdface_core.recognition.identity import embed_aligned

SIZE = 256
CHANGED = 0.005
"""By how much a face that was restored differs, on average; 0..1."""


@pytest.fixture(scope="module")
def judge(shared):
    """A detector that the starter's own detector learned from."""
    return load_detector(shared / "weights" / "detection_mobilenet0.25_Final.pth")


@pytest.fixture(scope="module")
def measures(shared, judge):
    """By name: of a photo [1,3,H,W], what it should be and faces in that, a figure that is lower where they are more
    alike."""
    embedder = load_embedder(shared / "weights" / "mobilefacenet.pt")
    features = load_distance(f"detector:{shared / 'weights' / 'detection_mobilenet0.25_Final.pth'}")

    def identity(photo, target, faces):
        embeddings = [embed_aligned(embedder, align_faces(image, faces, SIZE).images) for image in (photo, target)]
        return 1 - F.cosine_similarity(*embeddings)

    def perceptual(photo, target, faces):
        return features(*(align_faces(image, faces, SIZE).images for image in (photo, target)))

    def landmarks(photo, target, faces):
        """Pixels of a crop, of the face that is found nearest to each."""
        crops = align_faces(target, faces, SIZE)
        found = [torch.tensor(face.landmarks) for face in judge.detect(photo, threshold=0.5)]
        off = []
        for face, to_crop in zip(faces.faces, crops.to_crop, strict=True):
            errors = [(torch.tensor(face.landmarks) - other) @ to_crop[:, :2].T.float() for other in found]
            off.append(min(error.norm(dim=-1).mean() for error in errors))
        return torch.stack(off)

    return {"identity": identity, "landmarks": landmarks, "perceptual distance": perceptual}


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
def test_a_first_picture_is_better_than_its_input(inside, originals, judge, measures, title):
    template, base = TEMPLATES[title], Path(inside.folders.base)
    shown = inside.execute(template.prompt, lambda *_: None)["save"]["images"][0]
    target = originals[template.sample]
    before, after = (
        F.interpolate(
            pixels(np.asarray(picture(base / path), np.float32) / 255),
            target.shape[2:],
            mode="bicubic",
            antialias=True,
        ).clamp(0, 1)
        for path in (f"input/{template.sample}", f"output/{shown['filename']}")
    )
    faces = judge.detect(target)
    of_face = [align_faces(image, faces, SIZE).images for image in (before, after)]
    faces = faces.keep([face for face, a, b in zip(faces, *of_face, strict=True) if (a - b).abs().mean() > CHANGED])
    assert len(faces)
    for name, measure in measures.items():
        of_input, of_result = (float(measure(photo, target, faces).mean()) for photo in (before, after))
        print(f"{title}: {name} {of_input:.3f} -> {of_result:.3f}")  # noqa: T201 (shown by pytest -s)
        assert of_result < of_input, name
