"""The colour and marker of each strategy beside its name, as in the plots."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raybert.analysis.results.sweep import Sweep


@dataclass(frozen=True)
class Swatch:
    """A marker.

    Attributes:
        colour: as `#rrggbb`.
        path: of an SVG with a view box of -6 -6 12 12.
    """

    colour: str
    path: str


def swatches_of(sweep: Sweep) -> dict[str, Swatch]:
    """Return the marker of every strategy of a sweep, by its label in tables."""
    from raybert.analysis.plots.strategy_styles import styles_of  # its package loads matplotlib

    return {
        name: Swatch(style.colour, _PATHS.get(style.marker, _PATHS["o"])) for name, style in styles_of(sweep).items()
    }


def _polygon(corners: int, *radii: float, turn: float = 0.0) -> str:
    """Return a closed path around 0: its corners stand at the radii in turn, the first one at the top."""
    points = []
    for number in range(corners):
        angle = math.radians(turn - 90 + 360 * number / corners)
        radius = radii[number % len(radii)]
        points.append(f"{radius * math.cos(angle):.2f} {radius * math.sin(angle):.2f}")
    return f"M{'L'.join(points)}Z"


_PLUS = "M-1.8 -5H1.8V-1.8H5V1.8H1.8V5H-1.8V1.8H-5V-1.8H-1.8Z"
_CROSS = "M0 -2.4L2.7 -5.1L5.1 -2.7L2.4 0L5.1 2.7L2.7 5.1L0 2.4L-2.7 5.1L-5.1 2.7L-2.4 0L-5.1 -2.7L-2.7 -5.1Z"
_PATHS: Mapping[str, str] = {
    "o": "M-4.6 0A4.6 4.6 0 1 0 4.6 0A4.6 4.6 0 1 0 -4.6 0Z",
    "s": _polygon(4, 5.8, turn=45),
    "D": _polygon(4, 5.6),
    "d": "M0 -5.6L3.4 0L0 5.6L-3.4 0Z",
    "^": _polygon(3, 5.6),
    "v": _polygon(3, 5.6, turn=180),
    "<": _polygon(3, 5.6, turn=-90),
    ">": _polygon(3, 5.6, turn=90),
    "p": _polygon(5, 5.4),
    "h": _polygon(6, 5.4),
    "*": _polygon(10, 5.8, 2.5),
    "P": _PLUS,
    "X": _CROSS,
}
"""By the marker of matplotlib."""
