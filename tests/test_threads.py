"""Every stage from four threads at once: its result is that of one, to the bit. Detection: test_detect.py."""

from concurrent.futures import ThreadPoolExecutor
from inspect import signature

import pytest
import torch
import torch.nn.functional as F
from conftest import face_at
from facexlib.parsing.bisenet import BiSeNet

from osdface_core import Faces, align_faces, load_embedder, paste_faces
from osdface_core.compositing.color import match_color
from osdface_core.compositing.parsing import load_parser, parse_masks
from osdface_core.detection.overlay import draw_numbers
from osdface_core.recognition.identity import identity_similarity
from osdface_core.selection.sharpness import sharpness
from osdface_core.video.denoise import steady_crops
from osdface_core.video.track import track_faces

FRAMES, HEIGHT, WIDTH = 2, 120, 160


def faces_of(seed):
    """Two people, in the frames of a clip."""
    places = [(50, 60, 60, 0), (110, 50, 70, 1)]
    faces = (face_at(x + seed + n, y, size, frame=n, index=k) for n in range(FRAMES) for x, y, size, k in places)
    return Faces(tuple(faces), FRAMES, HEIGHT, WIDTH)


def image_of(seed):
    small = torch.rand(FRAMES, 3, 24, 32, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(small, (HEIGHT, WIDTH), mode="bicubic").clamp(0, 1)


IMAGES, FACES = [image_of(seed) for seed in range(4)], [faces_of(seed) for seed in range(4)]
CROPS = [align_faces(image, faces, 64) for image, faces in zip(IMAGES, FACES, strict=True)]
OTHERS = [crops.with_images(crops.images.flip(1)) for crops in CROPS]


@pytest.fixture(scope="module")
def parser(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("parser") / "parser.pth"
    torch.save(BiSeNet(num_class=19).state_dict(), path)
    return load_parser(path)


@pytest.fixture(scope="module")
def embedder(shared):
    return load_embedder(shared / "weights" / "mobilefacenet.safetensors")


STAGES = {
    "align_faces": lambda n: align_faces(IMAGES[n], FACES[n], 64).images,
    "paste_faces": lambda n: paste_faces(IMAGES[n], OTHERS[n]).image,
    "match_color": lambda n: match_color(OTHERS[n], CROPS[n]).images,
    "track_faces": lambda n: track_faces(FACES[n]),
    "steady_crops": lambda n: steady_crops(CROPS[n]).images,
    "sharpness": lambda n: sharpness(CROPS[n]),
    "draw_numbers": lambda n: draw_numbers(IMAGES[n], FACES[n]),
    "parse_masks": lambda n, parser: parse_masks(parser, CROPS[n].take([0])),
    "identity_similarity": lambda n, embedder: identity_similarity(embedder, CROPS[n], OTHERS[n]),
}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_gives_the_same_from_four_threads_as_from_one(name, request):
    networks = [request.getfixturevalue(argument) for argument in signature(STAGES[name]).parameters if argument != "n"]

    def work(n):
        return STAGES[name](n, *networks)

    alone = [work(n) for n in range(4)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(work, range(4)))
    for result, expected in zip(together, alone, strict=True):
        assert torch.equal(result, expected) if torch.is_tensor(result) else result == expected
