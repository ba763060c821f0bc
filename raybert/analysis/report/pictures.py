"""The plots of a results folder as a part of the page: what they show in words, and no more bytes than it may have."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from raybert.analysis.report.layout import Picture
from raybert.sweeping.folder.contents import PLOTS

MOST_BYTES = 2_700_000
"""Of all pictures: as text they take a third more, and the page stays below 5 MiB."""
_COLOURS = 256
"""Of a picture that is made smaller: a strategy's colour changes by less than 10 of 255 (by 43 with 64 of them)."""
_METRIC = "accuracy"
"""The plot of the sweep's metric, whatever that is."""
_PNG = b"\x89PNG\r\n\x1a\n"
_SECTIONS = (
    ("search", ("search_",)),
    ("cost", ("cost", "pareto", "budget", "equal")),
    ("training", ("learning_curves", "per_pass", "samples", "pair_", "monitor/", "loss")),
    ("selected", ("overlap", "selected", "selection", "embeddings", "kept", "last_losses")),
    (
        "models",
        ("label_f1", "predict", "calibration", "roc", "pr_", "precision_recall", "confusion"),
    ),
)
"""Section of the page -> how names of its plots begin; all others stand with the comparison."""


@dataclass(frozen=True)
class Pictures:
    """The plots that a page shows.

    Attributes:
        by_section: in the order of the files' declaration.
        left_out: paths of those for which there was no room.
    """

    by_section: dict[str, tuple[Picture, ...]]
    left_out: tuple[str, ...]

    def of(self, section: str) -> tuple[Picture, ...]:
        """Return the plots of a section."""
        return self.by_section.get(section, ())


def read_pictures(folder: Path, metric: str, most_bytes: int = MOST_BYTES) -> Pictures:
    """Return the plots in a results folder.

    What is too much becomes smaller, by fewer colours, the largest first; what is still too much is left out, the last
    declared first.

    Args:
        folder: of the results.
        metric: in words, for what a picture is called.
        most_bytes: of all of them.
    """
    found = {path: content for path in _in_order(folder) if (content := path.read_bytes()).startswith(_PNG)}
    for path in sorted(found, key=lambda path: -len(found[path])):
        if sum(map(len, found.values())) <= most_bytes:
            break
        found[path] = with_fewer_colours(found[path])
    left_out = []
    while sum(map(len, found.values())) > most_bytes:
        left_out.append(found.popitem()[0].relative_to(folder).as_posix())
    by_section: dict[str, tuple[Picture, ...]] = {}
    for path, content in found.items():
        name = path.relative_to(folder / "plots").with_suffix("").as_posix()
        section = next((title for title, heads in _SECTIONS if name.startswith(heads)), "comparison")
        made = _picture(name, path.relative_to(folder).as_posix(), content, metric)
        by_section[section] = (*by_section.get(section, ()), made)
    return Pictures(by_section, tuple(reversed(left_out)))


def with_fewer_colours(content: bytes) -> bytes:
    """Return a picture with so few colours that it is about a third as large; lines stay sharp, colours the same."""
    from PIL import Image  # which matplotlib brings

    with Image.open(BytesIO(content)) as image:
        reduced = image.convert("RGB").quantize(_COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    smaller = BytesIO()
    reduced.save(smaller, "PNG", optimize=True)
    return min(content, smaller.getvalue(), key=len)


def _in_order(folder: Path) -> Iterator[Path]:
    """Yield the plots in the order in which they are declared."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted((folder / "plots").rglob("*.png"))}
    for declared in PLOTS:
        for name in [name for name in paths if declared.covers(name)]:
            yield paths.pop(name)


def _picture(name: str, file: str, content: bytes, metric: str) -> Picture:
    caption = next((declared.description for declared in PLOTS if declared.covers(file)), "").replace("`", "")
    width, height = size_of(content)
    title = f"test {metric}" if name == _METRIC else name.rpartition("/")[2].replace("_", " ")
    source = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    alt = f"Plot: {title}. {caption}. The tables of this page have its numbers ({metric})."
    return Picture(
        title[:1].upper() + title[1:], caption[:1].upper() + caption[1:] + ".", alt, source, width, height, file
    )


def size_of(content: bytes) -> tuple[int, int]:
    """Return width and height of a PNG file, in pixels."""
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def left_out_words(paths: Sequence[str]) -> list[str]:
    """Return what to say of plots that the page does not show."""
    return [f"Left out, for the size of the page: {', '.join(paths)}."] if paths else []
