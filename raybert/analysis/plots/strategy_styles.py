"""One colour, marker and dash for each strategy of a sweep, the same in all of its pictures, panels and pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from raybert.sweeping.folder.configurations import table_name

if TYPE_CHECKING:
    from raybert.analysis.results.sweep import Sweep

PALETTE = ("#0033bb", "#ff7700", "#44aa66", "#cc2200", "#cc88cc", "#8888ff", "#662277", "#882222")
"""Found by a search: any two, and the greys of the controls, are at least 22 apart in CIELAB, also for who sees no red,
green or blue (Machado 2009; Okabe and Ito's are 16), and none is so light that a thin line is lost on paper. Those of
one lightness have different dashes."""
_MARKERS = ("o", "s", "^", "D", "v", "p", "<", ">", "h")
_SIZES = {"*": 1.5, "X": 1.15, "P": 1.2, "d": 1.1, "p": 1.15, "D": 0.85, "s": 0.9}
"""Of one size in points markers cover areas that look different."""
_DASHES: tuple[Any, ...] = (
    "-",
    (0, (6, 1.6)),
    (0, (2.6, 1)),
    (0, (7, 1.4, 1.6, 1.4)),
    (0, (7, 1.3, 1.3, 1.3, 1.3, 1.3)),
)
"""Numbers of colours, markers and dashes share no factor: 40 strategies pass before colour and dash come again."""


@dataclass(frozen=True)
class StrategyStyle:
    """How a strategy looks.

    Attributes:
        colour: as `#rrggbb`.
        marker: a marker of matplotlib that can be filled.
        dash: a line style of matplotlib.
    """

    colour: str
    marker: str
    dash: Any

    def line(self, **more: Any) -> dict[str, Any]:
        """Return what `Axes.plot` takes for a line without markers."""
        return {"color": self.colour, "linestyle": self.dash, **more}

    def point(self, fill: float = 1.0, *, size: float = 6.0, **more: Any) -> dict[str, Any]:
        """Return what `Axes.plot` takes for points.

        Args:
            fill: how full a point is, in 0..1: 0 is white with a rim in the colour.
            size: in typographic points, of a circle that covers as much.
            more: passed on.
        """
        inside = self.colour if fill >= 1 else blend(self.colour, fill)
        return {
            "color": self.colour,
            "marker": self.marker,
            "markersize": size * _SIZES.get(self.marker, 1.0),
            "linestyle": "",
            "markerfacecolor": inside,
            "markeredgecolor": self.colour,
            **more,
        }


CONTROLS: Mapping[str, StrategyStyle] = MappingProxyType(
    {
        "random": StrategyStyle("#000000", "X", (0, (4, 1.6))),
        "random_epoch": StrategyStyle("#9c9c9c", "P", (0, (2, 1.2))),
        "all": StrategyStyle("#606060", "*", (0, (1, 1))),
        "proxy": StrategyStyle("#9c9c9c", "d", (0, (7, 1.5, 1, 1.5))),
    }
)
"""What others are compared with is black or grey, in every sweep: colours are for what is being asked about."""


def strategy_styles(names: Sequence[str]) -> dict[str, StrategyStyle]:
    """Return a style for each label.

    Args:
        names: all labels of a sweep in the order of its plan, also for a picture that shows some of them: a style goes
            by the place among those that are no controls.
    """
    others = [name for name in dict.fromkeys(names) if name not in CONTROLS]
    made = {name: style_at(place) for place, name in enumerate(others)}
    return {name: CONTROLS.get(name) or made[name] for name in dict.fromkeys(names)}


def style_at(place: int) -> StrategyStyle:
    """Return the style at a place: of what else is told apart where a picture shows no strategies, such as classes."""
    return StrategyStyle(PALETTE[place % len(PALETTE)], _MARKERS[place % len(_MARKERS)], _DASHES[place % len(_DASHES)])


def styles_of(sweep: Sweep) -> dict[str, StrategyStyle]:
    """Return the style of every strategy of a sweep, by its label in tables, and by that with a point of the grid.

    Runs that only serve a score have none.
    """
    styles = strategy_styles([table_name(spec) for spec in sweep.plan["trials"] if spec.get("role") != "part"])
    known = (one for one in sweep.configurations.by_name.values() if one.strategy in styles)
    return styles | {one.label: styles[one.strategy] for one in known}


def blend(colour: str, fill: float) -> str:
    """Return a colour mixed with white: all of it at 1, none at 0."""
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(255 + fill * (part - 255)):02x}" for part in parts)
