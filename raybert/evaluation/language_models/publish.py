"""What comparisons of language models leave: tables as parquet and csv, a matrix in Markdown, pictures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from raybert.analysis.markdown import table as markdown_table
from raybert.analysis.markdown import words as words_of
from raybert.display import Row, TextTable
from raybert.durable import make_folder
from raybert.evaluation.language_models.crosseval import CrossEvaluation
from raybert.evaluation.language_models.probes import ProbeResults
from raybert.evaluation.language_models.study import ABOUT
from raybert.files import write_frame, write_json, write_text

_WORDS = {"masked": "Perplexity of masked words", "pseudo": "Pseudo-perplexity"}


def write_cross_evaluation(found: CrossEvaluation, folder: Path) -> list[Path]:
    """Write tables and pictures of a cross-evaluation, and return the paths of the pictures."""
    from raybert.evaluation.language_models.crosseval_plots import write_matrix_plots

    make_folder(folder)
    tables = {
        "perplexities": found.perplexities,
        "differences": found.differences,
        "domains": found.domains,
    }
    for name, table in tables.items():
        for ending in ("parquet", "csv"):
            write_frame(table, folder / f"{name}.{ending}")
    write_frame(found.documents, folder / "documents.parquet")
    write_text(folder / "matrix.md", matrix_in_markdown(found))
    write_json(folder / ABOUT, {"unit": found.unit, "notes": list(found.notes)})
    return write_matrix_plots(found.perplexities, found.unit, folder)


def matrix_in_markdown(found: CrossEvaluation) -> str:
    """Return perplexities, models x corpora, with their intervals, and the notes."""
    parts = [f"{words}\n\n{markdown_table(table)}" for words, table in matrices(found).items()]
    return "\n\n".join([*parts, "\n".join(f"- {words_of(note)}" for note in found.notes)]).strip() + "\n"


def matrices(found: CrossEvaluation) -> dict[str, TextTable]:
    """Return what each matrix says, in words -> a row per model and a column per corpus: `54.1 (52.0 to 56.4)`."""
    units = "groups of documents" if (found.perplexities["groups"] > 0).any() else "documents"
    matrices = {}
    for kind, words in _WORDS.items():
        rows = found.perplexities[found.perplexities["kind"] == kind]
        if not rows.empty:
            matrices[f"{words} per {found.unit} (95 % over {units} and seeds)"] = _matrix(rows, found.unit)
    return matrices


def in_short(perplexity: float) -> str:
    """Return a perplexity in about three digits."""
    return f"{perplexity:,.0f}" if perplexity >= 100 else f"{perplexity:.1f}"


def _matrix(rows: pd.DataFrame, unit: str) -> TextTable:
    corpora = list(dict.fromkeys(map(str, rows["corpus"])))
    cells = {
        (row["model"], row["corpus"]): "{} ({} to {})".format(
            *(in_short(row[f"{unit}_{name}"]) for name in ("perplexity", "low", "high"))
        )
        for row in rows.to_dict("records")
    }
    lines = [Row((str(model), *(cells[model, corpus] for corpus in corpora))) for model in dict.fromkeys(rows["model"])]
    return TextTable(("model", *corpora), tuple(lines))


def write_probes(found: ProbeResults, folder: Path) -> list[Path]:
    """Write tables and pictures of probes, and return the paths of the pictures."""
    from raybert.evaluation.language_models.probe_plots import write_probe_plots

    make_folder(folder)
    for name in ("groups", "differences", "models", "prompts", "words", "predictions"):
        for ending in ("parquet", "csv"):
            write_frame(getattr(found, name), folder / f"{name}.{ending}")
    write_text(folder / "summary.md", probes_in_markdown(found))
    write_json(folder / ABOUT, {"notes": list(found.notes)})
    return write_probe_plots(found.groups, folder)


def probes_in_markdown(found: ProbeResults) -> str:
    """Return which groups each model prefers in each probe, by how much, and the notes."""
    parts = [
        f"{words}\n\n{markdown_table(table)}"
        for words, table in {**preferences(found), **differences_of_groups(found)}.items()
    ]
    return "\n\n".join([*parts, "\n".join(f"- {words_of(note)}" for note in found.notes)]).strip() + "\n"


def preferences(found: ProbeResults) -> dict[str, TextTable]:
    """Return what each table says -> a row per model: the share of prompts that prefer each group; *: Holm, 5 %."""
    tables = {}
    for (probe, kind), rows in found.groups.groupby(["probe", "kind"], sort=False):
        groups = list(dict.fromkeys(map(str, rows["group"])))
        cells = {
            (row["model"], row["group"]): f"{row['preferred_fraction']:.0%} ({row['low']:.0%} to {row['high']:.0%})"
            + ("*" if row["holm_p"] < 0.05 else "")
            for row in rows.to_dict("records")
        }
        about = f"{probe}" if kind == "all" else f"{probe}, {kind}"
        lines = [
            Row((str(model), *(cells[model, group] for group in groups))) for model in dict.fromkeys(rows["model"])
        ]
        prompts, chance = rows["prompts"].iloc[0], rows["chance"].iloc[0]
        words = f"{about}: share of {prompts:,} prompts that prefer each (chance {chance:.0%})"
        tables[words] = TextTable(("model", *groups), tuple(lines))
    return tables


def differences_of_groups(found: ProbeResults) -> dict[str, TextTable]:
    """Return what each table says -> a row per model and pair of groups: by how much one is more probable."""
    tables = {}
    for probe, rows in found.differences[found.differences["kind"] == "all"].groupby("probe", sort=False):
        lines = [
            Row(
                (
                    str(row["model"]),
                    f"{row['group']} - {row['other_group']}",
                    f"{row['difference']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})",
                    f"{row['holm_p']:.3g}",
                )
            )
            for row in rows.to_dict("records")
        ]
        words = f"{probe}: difference of log-probabilities (nat, 95 %), p by sign flips with Holm"
        tables[words] = TextTable(("model", "groups", "difference", "p"), tuple(lines), left=frozenset({0, 1}))
    return tables
