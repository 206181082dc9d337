"""Curves drawn as SVG: a picture that scales, can be searched, and needs no library."""

from collections.abc import Mapping
from html import escape

import numpy as np

COLORS = "#1f6fb4", "#d1495b", "#2e933c", "#8d5fb0", "#c98a00", "#00838f", "#6d4c41", "#555b66"
WIDTH, HEIGHT, LEFT, TOP, SIDE = 560, 400, 52, 34, 310
"""Pixels: of the picture, and of the square that curves are drawn in."""
POINTS = 400
"""Of a curve, at most."""


def plot(title: str, x_label: str, y_label: str, curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> str:
    """Curves whose values lie in 0..1, by their names."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="system-ui, sans-serif" '
        f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
        f'<text x="{LEFT}" y="20" font-size="14" font-weight="600">{escape(title)}</text>'
    ]
    for step in range(6):
        at = step / 5
        x, y = place(at, at)
        parts.append(
            f'<path d="M{x} {TOP}V{TOP + SIDE}M{LEFT} {y}H{LEFT + SIDE}" stroke="#ddd"/>'
            f'<text x="{x}" y="{TOP + SIDE + 16}" text-anchor="middle">{at:.1f}</text>'
            f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{at:.1f}</text>'
        )
    middle = TOP + SIDE / 2
    parts.append(
        f'<text x="{LEFT + SIDE / 2}" y="{TOP + SIDE + 36}" text-anchor="middle">{escape(x_label)}</text>'
        f'<text transform="translate(14 {middle}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>'
    )
    for number, (name, (x_values, y_values)) in enumerate(curves.items()):
        color = COLORS[number % len(COLORS)]
        kept = np.unique(np.linspace(0, len(x_values) - 1, POINTS).round().astype(int))
        points = " ".join("{},{}".format(*place(x, y)) for x, y in zip(x_values[kept], y_values[kept], strict=True))
        key = TOP + 10 + 20 * number
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2" stroke-linejoin="round"/>'
            f'<path d="M{LEFT + SIDE + 16} {key}h20" stroke="{color}" stroke-width="3"/>'
            f'<text x="{LEFT + SIDE + 42}" y="{key + 4}">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def place(x: float, y: float) -> tuple[float, float]:
    """Where a value lies in the picture."""
    return round(LEFT + SIDE * float(x), 1), round(TOP + SIDE * (1 - float(y)), 1)
