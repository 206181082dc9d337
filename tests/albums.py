"""Albums of noise, and a restorer that is done at once, to test the stream with; and of portraits, for the command."""

import json
import time

import numpy as np
from conftest import ROOT, face_at
from PIL import Image

from osdface_core import Faces, ImageError
from osdface_core.album.plan import find_inputs
from osdface_core.album.resume import jobs
from osdface_core.album.stream import Stream
from osdface_core.album.work import PhotoWork
from osdface_core.options import PhotoOptions
from osdface_core.pipeline import Stages


class Negatives:
    """A restorer that is done at once: a restored face is the negative of what it was."""

    crop_size, notice, options = 64, "", frozenset({"batch_size"})

    def __init__(self, at_once=4, seconds=0.0):
        self.most, self.seconds, self.batches = at_once, seconds, []

    def at_once(self, faces, batch_size=None):
        return min(batch_size or self.most, faces)

    def restore(self, crops, options, *, prompts=None, on_batch=None):
        size = self.at_once(len(crops), options.batch_size)
        for first in range(0, len(crops), size):
            self.batches.append(len(crops.images[first : first + size]))
            time.sleep(self.seconds)
        if (crops.images.amax((1, 2, 3)) == 0).any():
            raise ImageError("A face is all black.")
        return crops.with_images(1 - crops.images)


def album(folder, counts, size=(120, 160)):
    """Photos of noise with so many faces each, and the faces by the photos' names."""
    folder.mkdir(exist_ok=True)
    faces = {}
    for number, count in enumerate(counts):
        noise = np.random.default_rng(number).integers(1, 255, (*size, 3), np.uint8)
        Image.fromarray(noise).save(folder / f"{number:03}.png")
        own = tuple(face_at(20 + 5 * n, 60, 30, index=n) for n in range(count))
        faces[f"{number:03}.png"] = Faces(own, 1, *size)
    return faces


def portraits(folder, count):
    """Small portraits, and the faces in them beside them, as `--faces` takes them."""
    folder.mkdir()
    photo = Image.open(ROOT / "photos" / "astronaut.png").resize((128, 128))
    data = json.loads((ROOT / "photos" / "astronaut.json").read_text(encoding="utf-8")) | {"height": 128, "width": 128}
    for face in data["faces"]:
        face["box"] = [value / 4 for value in face["box"]]
        face["landmarks"] = [[x / 4, y / 4] for x, y in face["landmarks"]]
    for number in range(count):
        photo.save(folder / f"{number:02}.png")
        (folder / f"{number:02}.json").write_text(json.dumps(data), encoding="utf-8")
    return folder


def stream_of(restorer, faces, **how):
    stages = Stages(restorer, PhotoOptions(), choose=how.pop("choose", None))
    return Stream(PhotoWork(stages, faces.__getitem__), **how)


def jobs_in(folder, output):
    return jobs(find_inputs([folder]).inputs, output, overwrite=False)
