"""How sure a mean is: paired bootstrap intervals over photos."""

from typing import NamedTuple

import numpy as np


class Difference(NamedTuple):
    """A mean difference between two methods on the same photos, and the interval that holds 95 % of resampled ones."""

    mean: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def difference(values: np.ndarray, reference: np.ndarray, *, resamples: int = 2000, seed: int = 0) -> Difference:
    """The paired difference of figures [N] of one method to those [N] of another on the same photos.

    Photos where either is NaN are left out; without any, all is NaN. The photos are drawn again, with replacement,
    `resamples` times (Efron's percentile bootstrap). Infinite figures have no difference either.
    """
    with np.errstate(invalid="ignore"):
        gaps = values - reference
    gaps = gaps[np.isfinite(gaps)]
    if not len(gaps):
        return Difference(np.nan, np.nan, np.nan)
    drawn = np.random.default_rng(seed).integers(0, len(gaps), (resamples, len(gaps)))
    low, high = np.percentile(gaps[drawn].mean(1), (2.5, 97.5))
    return Difference(float(gaps.mean()), float(low), float(high))
