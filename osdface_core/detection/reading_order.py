"""The order in which a person reads the faces of a photo: row by row from the top, each from left to right."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ..faces import Face

TILTS = np.radians(sorted(range(-20, 21), key=abs))
"""How far rows may fall or rise to the right: no tilt first, for it wins where others are no better."""

ROW = 2.5
"""What a row costs, in squared heights of a face: another one has to bring the faces closer than this to their rows."""

TILT = 0.5
"""What a tilt of ten degrees costs, likewise; one of twenty costs four times as much."""


def number_in_reading_order(faces: Iterable[Face]) -> tuple[Face, ...]:
    """Number the faces of one frame row by row, left to right within a row.

    The rows are those that cost least: every row as much as `ROW`, every face the square of its distance from the
    middle of its row, measured in heights of that row's faces, and two faces of a row as much as a row if they are less
    than half a face apart from left to right, so that one is above the other. Rows may be tilted together by up to
    twenty degrees. So a tall man stays in the row of his neighbours, and two rows that are no face apart stay two where
    there are enough faces to show it. The order does not depend on the order the faces come in.
    """
    known = sorted(faces, key=lambda face: (face.box, -face.score, face.landmarks))
    if not known:
        return ()
    left, top, right, bottom = np.array([face.box for face in known]).T
    across, down = (left + right) / 2, (top + bottom) / 2
    cosine, sine = np.cos(TILTS)[:, None], np.sin(TILTS)[:, None]
    x, y = across * cosine + down * sine, down * cosine - across * sine
    by_height = y.argsort(1, kind="stable")
    x_sorted, y_sorted = (np.take_along_axis(values, by_height, 1) for values in (x, y))
    costs, starts = cheapest_rows(x_sorted, y_sorted, (right - left)[by_height], (bottom - top)[by_height])
    best = (costs + TILT * (np.degrees(TILTS) / 10) ** 2).argmin()
    ordered: list[int] = []
    end = len(known)
    while end:
        start = starts[best, end - 1]
        row = by_height[best, start:end]
        ordered[:0] = row[x[best, row].argsort(kind="stable")].tolist()
        end = start
    return tuple(replace(known[place], index=index) for index, place in enumerate(ordered))


def cheapest_rows(x: np.ndarray, y: np.ndarray, width: np.ndarray, height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows that cost least for N faces, from the top down, at each of T tilts; all arguments are [T,N].

    Returns what they cost [T], and for every face [T,N] the first face of the row that it would be the last one of.
    """
    tilts, count = y.shape
    y = y - y.mean(1, keepdims=True)
    sums = [np.pad(v.cumsum(1), ((0, 0), (1, 0))) for v in (y, y**2, height**2)]
    cost, starts = np.zeros((tilts, count + 1)), np.zeros((tilts, count), np.int64)
    above = np.zeros((tilts, count))  # how many pairs of the row from here on stand one above the other
    for last in range(count):
        near = abs(x[:, : last + 1] - x[:, last, None]) < (width[:, : last + 1] + width[:, last, None]) / 4
        above[:, : last + 1] += near[:, ::-1].cumsum(1)[:, ::-1] - 1
        members = np.arange(last + 1, 0, -1)
        total, squares, heights = (s[:, last + 1, None] - s[:, : last + 1] for s in sums)
        scatter = (squares - total**2 / members) / (heights / members).clip(1e-12)
        each = cost[:, : last + 1] + scatter + ROW * (1 + above[:, : last + 1])
        starts[:, last] = each.argmin(1)
        cost[:, last + 1] = each.min(1)
    return cost[:, -1], starts
