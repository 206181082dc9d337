"""Similarity transforms (turn, scale, shift) that take a face's five landmarks to a template, fitted in closed form.

Points are taken as complex numbers: a similarity is then z -> turn * z + shift.
"""

import numpy as np
import torch
from torch import Tensor

BASES = np.array([(eye, other) for eye in (0, 1) for other in range(eye + 1, 5)])
"""The pairs of landmarks that a fit is tried through: an eye and any other. Nose and mouth lie so close together that
they often fit by chance, and would leave out both eyes."""

TINY = 1e-3
"""Pixels off that are always forgiven: rounding alone leaves some."""


def least_squares(points: np.ndarray, target: np.ndarray) -> Tensor:
    """The similarity [2,3] (float64) that takes `points` [K,2] nearest to `target` [K,2]: least squares.

    Not finite where all the points are one, or none.
    """
    with np.errstate(all="ignore"):
        z, w = points @ [1, 1j], target @ [1, 1j]
        origin, place = z.sum() / len(z), w.sum() / len(w)
        turn = ((z - origin).conj() @ w) / (abs(z - origin) ** 2).sum()
        shift = place - turn * origin
    return torch.tensor([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], dtype=torch.float64)


def least_median(points: np.ndarray, target: np.ndarray) -> Tensor:
    """The same for five landmarks [5,2], of which two may be far off: least median of squares.

    Of the similarities through two landmarks, the one with the least median of squared distances tells which landmarks
    fit (Rousseeuw's bound, 2.5 robust standard deviations); least squares over those gives the result. The pairs are
    those that OpenCV's `estimateAffinePartial2D` draws of five points, and the one it lacks to treat both eyes alike.
    """
    first, second = BASES.T
    with np.errstate(all="ignore"):
        z, w = points @ [1, 1j], target @ [1, 1j]
        turn = (w[second] - w[first]) / (z[second] - z[first])
        squares = abs(turn[:, None] * (z - z[first, None]) + w[first, None] - w) ** 2
        medians = np.sort(squares)[:, 2]
        best = np.where(np.isnan(medians), np.inf, medians).argmin()
        bound = 2.5 * 1.4826 * (1 + 5 / 3) * np.sqrt(medians[best])
    fits = squares[best] <= max(bound, TINY) ** 2
    return least_squares(points[fits], target[fits])
