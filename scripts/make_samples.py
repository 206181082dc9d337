"""Make the sample photos that come with the pack, out of good photographs made bad:

    python scripts/make_samples.py SHARED_DATA

Whoever opens a template for the first time has no photo for it. The people do not exist (CC0); no weights were trained
on them.
"""

import sys
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from osdface_core.evaluation.degradation import Degradation, in_grey  # noqa: E402

SAMPLES = ROOT / "photos" / "samples"
PEOPLE = {
    "osdface_portrait.jpg": ["0046"],
    "osdface_old_photo.jpg": ["0027"],
    "osdface_group.jpg": ["0091", "0014", "0112", "0069", "0110", "0132"],
    "osdface_clip.webm": ["0061"],
}
"""Who is in each sample, in reading order: numbers of synthetic portraits."""
SEPIA = np.array([1.0, 0.93, 0.82], np.float32)
PANEL, MARGIN, COLUMNS = 300, 18, 3
FRAMES, RATE = 24, 12
SEED = 7


def poor(reduction: float, noise: float, jpeg: float) -> Degradation:
    """Blurred, reduced, noisy and compressed, by so much and no more."""
    blur = 0.55 * reduction
    return Degradation((blur, blur), (reduction, reduction), (noise, noise), (jpeg, jpeg), passes=1, isotropic=1)


def group(people: list[np.ndarray]) -> np.ndarray:
    """A page of an album: the portraits in rows."""
    height, width = (MARGIN + (PANEL + MARGIN) * count for count in (len(people) // COLUMNS, COLUMNS))
    page = np.full((height, width, 3), 0.93, np.float32)
    for place, person in enumerate(people):
        top, left = (MARGIN + (PANEL + MARGIN) * number for number in divmod(place, COLUMNS))
        page[top : top + PANEL, left : left + PANEL] = cv2.resize(person, (PANEL, PANEL), interpolation=cv2.INTER_AREA)
    return page


def aged(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A print of long ago: brown, pale and grainy, darker towards its edges."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side, dtype=np.float32) for side in image.shape[:2]), indexing="ij")
    light = 1 - 0.22 * (x**2 + y**2)[..., None]
    grain = cv2.GaussianBlur(rng.normal(0, 0.012, image.shape[:2]).astype(np.float32), (0, 0), 0.8)[..., None]
    return (0.1 + 0.8 * in_grey(image) * light + grain) * SEPIA


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), np.float32) / 255


def originals(shared: Path) -> dict[str, list[np.ndarray]]:
    """The frames [H,W,3], 0..1, as they were, by the names of the samples; a photo has one."""
    made = {}
    for name, numbers in PEOPLE.items():
        folder = shared / "faces" / "faces512" / "test"
        people = [read(folder / f"synthetic_{number}.jpg") for number in numbers]
        made[name] = film(people[0]) if name.endswith(".webm") else [group(people) if len(people) > 1 else people[0]]
    return made


def film(person: np.ndarray) -> list[np.ndarray]:
    """Two seconds in which the camera turns and comes nearer."""
    frames = []
    for number in range(FRAMES):
        part = number / FRAMES
        scale = 384 / (500 - 60 * part)
        matrix = np.array([[scale, 0, -scale * (6 + 40 * part)], [0, scale, -scale * (12 + 30 * part)]])
        frames.append(cv2.warpAffine(person, matrix, (384, 384), flags=cv2.INTER_AREA).clip(0, 1))
    return frames


def write_video(path: Path, frames: list[np.ndarray]) -> None:
    with av.open(path, "w") as container:
        stream = container.add_stream("libvpx-vp9", RATE, options={"crf": "30", "b:v": "0"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(levels(frame), format="rgb24")))
        container.mux(stream.encode())


def levels(image: np.ndarray) -> np.ndarray:
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def main(shared: Path) -> None:
    SAMPLES.mkdir(parents=True, exist_ok=True)
    how = {
        "osdface_portrait.jpg": poor(6, 4, 55),
        "osdface_old_photo.jpg": lambda image, rng: aged(poor(6, 2, 75)(image, rng), rng),
        "osdface_group.jpg": poor(4, 3, 60),
        "osdface_clip.webm": poor(6, 4, 60),
    }
    for number, (name, frames) in enumerate(originals(shared).items()):
        rng = np.random.default_rng((SEED, number))
        made = [how[name](frame, rng) for frame in frames]
        if len(made) > 1:
            write_video(SAMPLES / name, made)
        else:
            Image.fromarray(levels(made[0])).save(SAMPLES / name, quality=88)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
