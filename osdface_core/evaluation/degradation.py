"""Good photographs made bad at random: blur, reduction, noise and JPEG, and what age and hot air do to a picture.

Everything is drawn from the generator that is handed in: the same seed gives the same picture. Images are float32
arrays [H,W,3], 0..1, RGB.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..libraries import library
from ..limits import rising, within

cv2 = library("cv2")

Image = np.ndarray
Range = tuple[float, float]


@dataclass(frozen=True)
class Degradation:
    """The ranges of WaveFace's eq. 15, which the paper applies twice. Lengths are in pixels of a 512 px crop."""

    blur: Range = (0.1, 10.0)
    """Standard deviation of the Gaussian kernel."""
    reduction: Range = (0.8, 16.0)
    """By what the sides are divided; below 1 enlarges."""
    noise: Range = (0.0, 15.0)
    """Standard deviation, in levels of 255."""
    jpeg: Range = (40.0, 95.0)
    """Quality."""
    passes: int = 2
    kernel: int = 41
    """Side of the blur's kernel."""
    isotropic: float = 0.5
    """The share of round kernels; the others are ellipses in any direction."""
    grey: float = 0.0
    """The share of photos that lose their colour."""
    old: float = 0.0
    """The share of photos that age before anything else happens to them."""
    turbulence: float = 0.0
    """How strongly hot air bends the picture, see `turbulent`. Not in the paper's training."""
    mild: float = 0.0
    """The share of photos that are spared a random part of it, one in five of these all of it: so that good faces stay
    as they are. Not in the paper's training."""

    def __post_init__(self) -> None:
        """Raises ValueError."""
        within(self, blur=(1e-3, 1000), reduction=(0.1, 1000), noise=(0, 255), jpeg=(1, 100), passes=(0, 100))
        within(self, kernel=(1, 999), isotropic=(0, 1), grey=(0, 1), old=(0, 1), turbulence=(0, 100), mild=(0, 1))
        rising(self, "blur", "reduction", "noise", "jpeg")

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        """A degraded copy of the same size."""
        if self.mild and rng.random() < self.mild:
            return self.weaker(max(0.0, rng.uniform(-0.25, 1)))(image, rng)
        height, width = image.shape[:2]
        scale = height / 512
        if rng.random() < self.grey:
            image = in_grey(image)
        if rng.random() < self.old:
            image = aged(image, rng)
        if self.turbulence:
            image = turbulent(image, rng, self.turbulence)
        for _ in range(self.passes):
            image = cv2.filter2D(image, -1, self.draw_kernel(rng, scale), borderType=cv2.BORDER_REFLECT_101)
            factor = rng.uniform(*self.reduction)
            small = max(1, round(width / factor)), max(1, round(height / factor))
            image = cv2.resize(image, small, interpolation=cv2.INTER_AREA if factor > 1 else cv2.INTER_LINEAR)
            image = image + rng.normal(0, rng.uniform(*self.noise) / 255, image.shape).astype(np.float32)
            image = through_jpeg(image, round(rng.uniform(*self.jpeg)))
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        return image.clip(0, 1)

    def weaker(self, part: float) -> "Degradation":
        """This much of it, in every picture: 0 leaves them as they are, 1 is all of it."""
        return replace(
            self,
            mild=0.0,
            passes=self.passes if part else 0,
            blur=(max(1e-3, self.blur[0] * part), max(1e-3, self.blur[1] * part)),
            reduction=(self.reduction[0] ** part, self.reduction[1] ** part),
            noise=(self.noise[0] * part, self.noise[1] * part),
            jpeg=(100 - (100 - self.jpeg[0]) * part, 100 - (100 - self.jpeg[1]) * part),
            grey=self.grey * part,
            old=self.old * part,
            turbulence=self.turbulence * part,
        )

    def draw_kernel(self, rng: np.random.Generator, scale: float) -> np.ndarray:
        """A Gaussian kernel [K,K], its lengths multiplied by `scale`. Sums to 1."""
        sigmas = rng.uniform(*self.blur, size=2) * scale
        if rng.random() < self.isotropic:
            sigmas[1] = sigmas[0]
        return gaussian_kernel(round(self.kernel * scale) | 1, sigmas, rng.uniform(0, np.pi))


STRENGTHS = {
    "light": Degradation(blur=(0.1, 3), reduction=(0.8, 4), noise=(0, 5), jpeg=(70, 95), passes=1),
    "medium": Degradation(blur=(2, 6), reduction=(4, 8), noise=(3, 10), jpeg=(50, 80), passes=1),
    "heavy": Degradation(blur=(4, 10), reduction=(8, 16), noise=(5, 15), jpeg=(40, 60), passes=2),
    "turbulent": Degradation(turbulence=1.0, noise=(3, 10), blur=(0.1, 1), reduction=(1, 2), jpeg=(50, 80), passes=1),
}
"""Three fixed strengths to evaluate at, and hot air."""


def gaussian_kernel(size: int, sigmas: np.ndarray, angle: float) -> np.ndarray:
    """[size,size] float32 that sums to 1: a Gaussian with two standard deviations, the first along `angle`."""
    offsets = np.arange(size) - size // 2
    x, y = np.meshgrid(offsets, offsets)
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kernel = np.exp(-0.5 * ((along / sigmas[0]) ** 2 + (across / sigmas[1]) ** 2))
    return (kernel / kernel.sum()).astype(np.float32)


def through_jpeg(image: Image, quality: int) -> Image:
    levels = (image.clip(0, 1) * 255).round().astype(np.uint8)
    data = cv2.imencode(".jpg", levels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(decoded[..., ::-1], np.float32) / 255


def in_grey(image: Image) -> Image:
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


def aged(image: Image, rng: np.random.Generator) -> Image:
    """What decades do to a print: faded contrast, a brown tint, grain, scratches, sometimes a printer's screen."""
    image = in_grey(image)
    low, high = rng.uniform(0, 0.25), rng.uniform(0.7, 1)
    tint = np.array([1, rng.uniform(0.85, 1), rng.uniform(0.65, 1)], np.float32)
    image = (low + (high - low) * image) * tint
    if rng.random() < 0.3:
        image = screened(image, rng)
    grain = rng.normal(0, rng.uniform(0.01, 0.06), (*image.shape[:2], 1)).astype(np.float32)
    image = image + cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.4, 1.2))[..., None]
    return scratched(image, rng).clip(0, 1)


def scratched(image: Image, rng: np.random.Generator) -> Image:
    """Up to six thin scratches and up to twenty specks, light or dark."""
    height, width = image.shape[:2]
    image = image.copy()
    for _ in range(rng.integers(0, 7)):
        start = rng.uniform(0, 1, 2) * (width, height)
        points = np.cumsum(np.vstack([start, rng.normal(0, 0.04 * height, (12, 2)) + rng.normal(0, 8, 2)]), axis=0)
        shade = rng.choice([0.05, 0.95])
        cv2.polylines(image, [points.astype(np.int32)], False, [shade] * 3, int(rng.integers(1, 3)), cv2.LINE_AA)
    for _ in range(rng.integers(0, 21)):
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        cv2.circle(image, centre, int(rng.integers(1, 4)), [rng.choice([0.1, 0.95])] * 3, -1, cv2.LINE_AA)
    return image


def screened(image: Image, rng: np.random.Generator) -> Image:
    """Halftone: the dots of a printed picture, at a random pitch and angle."""
    height, width = image.shape[:2]
    angle, pitch = rng.uniform(0, np.pi), rng.uniform(2.5, 5) * height / 512 + 1
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    dots = (np.cos(2 * np.pi * u / pitch) + np.cos(2 * np.pi * v / pitch)) / 4 + 0.5
    return np.clip((image - dots[..., None]) * 4 + 0.5, 0, 1).astype(np.float32) * 0.6 + image * 0.4


def turbulent(image: Image, rng: np.random.Generator, strength: float) -> Image:
    """Seen through hot air: a smooth random displacement and a blur that grow with `strength` (0 none, 1 strong)."""
    height, width = image.shape[:2]
    field = rng.normal(0, 1, (height, width, 2)).astype(np.float32)
    smooth = cv2.GaussianBlur(field, (0, 0), height / 32)
    smooth *= strength * height / 64 / max(float(smooth.std()), 1e-6)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    image = cv2.remap(
        image, x + smooth[..., 0], y + smooth[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return cv2.GaussianBlur(image, (0, 0), 1e-3 + strength * height / 128)
