"""Write what `raybert compare` finds: its tables, and from five data sets on critical-difference diagrams."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from raybert.analysis.results.beside import ComparedSweeps
from raybert.durable import atomic_path
from raybert.files import write_text
from raybert.links import refuse_links
from raybert.plain import csv_frame
from raybert.sweeping.folder.whose import refuse_others
from raybert.tables import Table
from raybert.tables.several import COMPARED_SWEEPS, MEAN_RANKS

_PICTURE = "critical_difference"


def publish_compared(compared: ComparedSweeps, folder: Path) -> list[Path]:
    """Write tables (csv, Markdown, LaTeX) and diagrams of sweeps beside each other; return the diagrams.

    Args:
        compared: what to write.
        folder: empty, not there, or of an earlier comparison, of which nothing is left.

    Raises:
        SweepError: it holds other files.
    """
    check_compared_folder(folder)
    refuse_links(folder)
    for table, frame in ((COMPARED_SWEEPS, compared.rows), (MEAN_RANKS, compared.ranks)):
        _write_table(folder, table, frame)
    write_text(folder / "compared.md", compared.to_markdown())
    write_text(folder / "compared.tex", compared.to_latex())
    drawn = _draw(compared, folder)
    for path in folder.glob(f"{_PICTURE}*"):
        if path.with_suffix(".png") not in drawn:
            path.unlink()
    return drawn


def check_compared_folder(folder: Path) -> None:
    """Refuse to put a comparison of sweeps among other files; makes nothing.

    Raises:
        SweepError: the folder is neither empty nor one of a comparison; says what is in it.
    """
    refuse_others(folder, lambda _, names: f"{COMPARED_SWEEPS.name}.csv" in names, "a folder of `raybert compare`")


def _write_table(folder: Path, table: Table, frame: pd.DataFrame) -> None:
    with atomic_path(folder / f"{table.name}.csv") as temporary:
        csv_frame(frame).to_csv(temporary, index=False)


def _draw(compared: ComparedSweeps, folder: Path) -> list[Path]:
    """Draw the ranks of every budget that are tested; a bar over all where no difference is shown."""
    from raybert.analysis.plots.ranks import draw_critical_difference  # matplotlib is slow to import
    from raybert.analysis.plots.saving import save_figure
    from raybert.analysis.plots.strategy_styles import strategy_styles

    styles = strategy_styles([str(name) for name in compared.rows["row"].unique()])
    drawn = []
    for number, (_, test) in enumerate(compared.tests.items()):
        if not test.is_tested:
            continue
        ranks = {str(name): float(rank) for name, rank in test.ranks.items()}
        figure = draw_critical_difference(
            ranks,
            None if test.differs else [list(ranks)],
            difference=test.difference,
            num_data_sets=test.num_data_sets,
            styles={name: styles[name] for name in ranks},
        )
        drawn.append(folder / (f"{_PICTURE}.png" if len(compared.tests) == 1 else f"{_PICTURE}_{number + 1}.png"))
        save_figure(figure, drawn[-1])
    return drawn
