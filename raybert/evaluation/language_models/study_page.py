"""`report.html` of a pretraining study: one page, complete in itself, in the form of a sweep's."""

from __future__ import annotations

import base64
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from raybert.analysis.report.layout import (
    Block,
    Cell,
    Head,
    PageRow,
    PageTable,
    Picture,
    Section,
    from_text_table,
    number_cell,
    plain_number,
)
from raybert.analysis.report.page import Fact, Page, Standing
from raybert.analysis.report.pictures import MOST_BYTES, left_out_words, size_of, with_fewer_colours
from raybert.analysis.report.render import render
from raybert.analysis.report.tables import of_frame
from raybert.analysis.results.claims import Claims
from raybert.evaluation.language_models.crosseval import CrossEvaluation
from raybert.evaluation.language_models.probes import ProbeResults
from raybert.evaluation.language_models.publish import differences_of_groups, in_short, matrices, preferences
from raybert.evaluation.language_models.study import CONFIGURATION, StudyResults
from raybert.evaluation.language_models.study_claims import study_claims
from raybert.plain import hide
from raybert.version import __version__

_MOST_ROWS = 300
_COMPARED = "crosseval"
_ASKED = "probes"


def study_html(study: StudyResults, curves: list[Path]) -> str:
    """Return the page of a study, finished or not.

    Args:
        study: what is in its folder.
        curves: pictures of training that were written.
    """
    pictures, left_out = _pictures(study, curves)
    sections = (
        _comparison(study.cross_evaluation, pictures),
        _probe_section(study.probes, pictures),
        _training(study, pictures),
        _corpora(study),
        _configuration(study.folder),
        _versions(study),
        _reproduce(study),
    )
    headline, sentences, scope = study_claims(study)
    page = Page(
        name=study.config.name,
        standing=standing(study),
        claims=Claims(headline, sentences, scope),
        facts=tuple(_facts(study)),
        notes=_notes(study),
        sections=tuple(section for section in sections if not section.is_empty),
        version=__version__,
        written=time.strftime("%d %B %Y, %H:%M UTC", time.gmtime()),
        left_out=tuple(left_out_words(left_out)),
    )
    return render(page)


def standing(study: StudyResults) -> Standing:
    """Return how far a study is."""
    complete = int((study.models["state"] == "complete").sum())
    words = f"{complete:,} of {len(study.models):,} models are complete"
    if complete < len(study.models):
        return Standing(f"Not finished: {words}. The same command goes on.", "warn")
    todo = [] if study.cross_evaluation is not None else ["cross-evaluated"]
    todo += ["probed"] if study.probes is None and study.config.probes else []
    if todo:
        return Standing(f"Trained: {words}; they are not {' and '.join(todo)} yet.", "warn")
    return Standing(f"Finished: {words}.", "good")


def _facts(study: StudyResults) -> Iterator[Fact]:
    config = study.config
    yield Fact("corpora", f"{len(config.corpora):,}")
    yield Fact("seeds", f"{study.models['seed'].nunique():,}")
    first = next(iter(study.summaries.values()), None)
    if first is not None:
        yield Fact("parameters", f"{first['parameters']:,}")
        words = sorted({summary["corpora"]["train"]["words"] for summary in study.summaries.values()})
        yield Fact("words of train", " to ".join(f"{count:,}" for count in dict.fromkeys((words[0], words[-1]))))
    seconds = study.models["seconds"].sum()
    if seconds:
        from raybert.sweeping.estimate.describe import duration

        yield Fact("time in training", duration(float(seconds)))


def _notes(study: StudyResults) -> tuple[str, ...]:
    notes = [note for summary in study.summaries.values() for note in summary.get("notes") or ()]
    for found in (study.cross_evaluation, study.probes):
        notes += found.notes if found is not None else ()
    return tuple(dict.fromkeys(hide(str(note)) for note in notes))


def _comparison(found: CrossEvaluation | None, pictures: dict[str, tuple[Picture, ...]]) -> Section:
    if found is None:
        return Section("comparison", "Cross-evaluation")
    tables = [
        from_text_table(f"matrix-{number}", f"{words}.", table, {})
        for number, (words, table) in enumerate(matrices(found).items())
    ]
    tables += [_domains(found), _differences(found)]
    words = (
        "Words are masked, the same ones for every model, and perplexity says among how many equally likely pieces the "
        "model seems to choose: lower is less surprised. Compare down a column: corpora differ in how hard they are to "
        "guess at all.",
    )
    shown = pictures.get(_COMPARED, ())
    return Section(
        "comparison", "Cross-evaluation", words, first_pictures=shown[:1], tables=tuple(tables), pictures=shown[1:]
    )


def _domains(found: CrossEvaluation) -> PageTable:
    rows = []
    for row in found.domains[found.domains["kind"] == "masked"].to_dict("records"):
        cells = [Cell(str(row["model"])), Cell(str(row["domain"]))]
        cells += [_perplexity(row[f"{side}_perplexity"]) for side in ("in", "out")]
        cells += [_interval(row["out_in_ratio"], row["out_in_low"], row["out_in_high"])]
        cells += [Cell(f"{row['worst']} / {row['best']}" if row["worst"] else "")]
        cells += [_interval(row["bias_ratio"], row["bias_low"], row["bias_high"])]
        rows.append(PageRow(tuple(cells)))
    heads = (
        *(Head("model"), Head("domain"), Head("in", "number"), Head("out", "number"), Head("out / in", "number")),
        *(Head("worst / best"), Head("bias ratio", "number")),
    )
    caption = (
        "Each model in and out of its domain, and its bias ratio: the perplexity of its worst corpus over that of its "
        "best, mixes left out, with 95 % intervals."
    )
    return PageTable("table-domains", caption, heads, tuple(rows))


def _differences(found: CrossEvaluation) -> PageTable:
    rows = []
    for row in found.differences[found.differences["kind"] == "masked"].to_dict("records"):
        cells = [Cell(str(row[name])) for name in ("corpus", "model", "other")]
        cells += [_interval(row["ratio"], row["low"], row["high"])]
        is_settled = row["holm_p"] < 0.05
        tone = "" if not is_settled else "good" if row["ratio"] < 1 else "bad"
        cells += [number_cell(row["holm_p"], f"{row['holm_p']:.3g}", tone)]
        rows.append(PageRow(tuple(cells), "" if is_settled else "dim"))
    heads = (
        *(Head("on"), Head("model"), Head("against"), Head("ratio of perplexities", "number")),
        Head("p (Holm)", "number"),
    )
    caption = "Pairs of models on each corpus; below 1 the first is less surprised. Grey: not settled at 5 %."
    return PageTable("table-differences", caption, heads, tuple(rows), is_tall=len(rows) > 12)


def _probe_section(found: ProbeResults | None, pictures: dict[str, tuple[Picture, ...]]) -> Section:
    if found is None:
        return Section("probes", "Probes")
    tables = [
        from_text_table(f"probe-{number}", f"{words}; *: differs from chance (Holm, 5 %).", table, {})
        for number, (words, table) in enumerate(preferences(found).items())
    ]
    tables += [
        from_text_table(f"groups-{number}", f"{words}.", table, {})
        for number, (words, table) in enumerate(differences_of_groups(found).items())
    ]
    blocks = []
    if not found.models.empty:
        columns = ("probe", "kind", "group", "other_group", "model", "other", "difference", "low", "high", "holm_p")
        caption = "Whether two models prefer differently: difference of their differences, in nat."
        pairs = of_frame("model-pairs", caption, found.models, columns, _MOST_ROWS, "probes/models.csv")
        blocks.append(Block("two models against each other", table=pairs))
    if not found.predictions.empty:
        blocks.append(Block("the most probable pieces", table=_predictions(found.predictions)))
    words = (
        "A probe asks which words a model expects in a gap. A frequent word is expected everywhere, and a name gives "
        "its corpus away: read a difference between models, not a share alone.",
    )
    shown = pictures.get(_ASKED, ())
    return Section("probes", "Probes", words, first_pictures=shown, tables=tuple(tables), blocks=tuple(blocks))


def _predictions(predictions: pd.DataFrame) -> PageTable:
    """Return a row per probe, template and model: its most probable pieces, of its first seed."""
    first = predictions[predictions["seed"] == predictions.groupby("model")["seed"].transform("min")]
    rows = []
    for (probe, template, model), part in first.groupby(["probe", "template", "model"], sort=False):
        best = part.sort_values("rank").head(5)
        said = ", ".join(f"{row.piece} {row.probability:.0%}" for row in best.itertuples())
        rows.append(PageRow((Cell(str(template)), Cell(str(model)), Cell(said), Cell(str(probe)))))
    heads = (Head("template"), Head("model"), Head("pieces", "long"), Head("probe"))
    left_out = (
        f"The first {_MOST_ROWS:,} of {len(rows):,} rows; probes/predictions.csv has all."
        if len(rows) > _MOST_ROWS
        else ""
    )
    caption = "The five most probable pieces, of each model's first seed."
    return PageTable("table-predictions", caption, heads, tuple(rows[:_MOST_ROWS]), "Find templates", left_out, True)


def _training(study: StudyResults, pictures: dict[str, tuple[Picture, ...]]) -> Section:
    heads = [Head("model"), Head("seed", "number"), Head("state"), Head("best step", "number")]
    heads += [Head("pieces read", "number"), Head("train loss", "number"), Head("validation loss", "number")]
    heads += [Head("perplexity", "number"), Head("masked accuracy", "number"), Head("s", "number")]
    rows = []
    for row in study.models.to_dict("records"):
        tone = {"complete": "", "interrupted": "bad"}.get(str(row["state"]), "dim")
        accuracy = row["validation_masked_accuracy"]
        rows.append(
            PageRow(
                (
                    Cell(str(row["model"])),
                    plain_number(row["seed"]),
                    Cell(str(row["state"]), None, tone),
                    plain_number(row["step"]),
                    plain_number(row["tokens"]),
                    *(plain_number(row[name]) for name in ("train_loss", "validation_loss")),
                    _perplexity(row["validation_perplexity"]),
                    number_cell(accuracy, "" if pd.isna(accuracy) else f"{accuracy:.1%}"),
                    number_cell(row["seconds"], "" if pd.isna(row["seconds"]) else f"{row['seconds']:,.0f}"),
                )
            )
        )
    caption = (
        "Every model at its best evaluation, on validation of its own corpus: rows of other corpora do not compare."
    )
    table = PageTable("table-models", caption, tuple(heads), tuple(rows), is_tall=len(rows) > 20)
    return Section("training", "Training", first_pictures=pictures.get("training", ()), tables=(table,))


def _corpora(study: StudyResults) -> Section:
    rows = []
    for summary in {str(one["corpus"]): one for one in reversed(list(study.summaries.values()))}.values():
        counts = summary["corpora"]
        cells = [Cell(str(summary["corpus"]))]
        for split in ("train", "validation", "test"):
            cells += [plain_number(counts[split]["documents"]), plain_number(counts[split]["words"])]
        rows.append(PageRow(tuple(cells)))
    heads = [Head("corpus")]
    for split in ("train", "validation", "test"):
        heads += [Head(f"{split} documents", "number"), Head(f"{split} words", "number")]
    words = [
        f"{name}: {'a mix of ' + ' and '.join(corpus.of) if corpus.of else corpus.source}"
        + (f", groups by {corpus.group}" if corpus.group else "")
        + "."
        for name, corpus in study.config.corpora.items()
    ]
    if study.config.form == "plain":
        words.append("All texts are in lower case and without punctuation (form: plain).")
    table = PageTable("table-corpora", "Documents and words of each corpus.", tuple(heads), tuple(reversed(rows)))
    return Section("data", "Corpora", tuple(map(hide, words)), tables=(table,) if rows else ())


def _configuration(folder: Path) -> Section:
    text = hide((folder / CONFIGURATION).read_text(encoding="utf-8", errors="replace"))
    return Section("configuration", "Configuration", blocks=(Block("resolved.yaml: with every key", text),))


def _versions(study: StudyResults) -> Section:
    first = next(iter(study.summaries.values()), None)
    if first is None:
        return Section("versions", "Versions")
    known = {**(first.get("versions") or {}), **{f"trained on: {k}": v for k, v in (first.get("ran_on") or {}).items()}}
    rows = [PageRow((Cell(str(name).replace("_", " ")), Cell(hide(str(value))))) for name, value in known.items()]
    table = PageTable("table-versions", "What it ran with and on.", (Head("what"), Head("value", "long")), tuple(rows))
    return Section("versions", "Versions", blocks=(Block("versions and hardware", table=table),))


def _reproduce(study: StudyResults) -> Section:
    folder = shlex.quote(str(study.folder))
    lines = (
        "# everything, by the file with every key, into a new folder",
        f"raybert study {shlex.quote(str(study.folder / CONFIGURATION))} --output NEW_FOLDER",
        "",
        "# this page, from what the commands left",
        f"raybert report {folder}",
    )
    return Section("reproduce", "How to reproduce", blocks=(Block("commands", "\n".join(lines), is_open=True),))


def _perplexity(value: float | None) -> Cell:
    return Cell("", "") if value is None or pd.isna(value) else number_cell(value, in_short(float(value)))


def _interval(value: float, low: float, high: float) -> Cell:
    return Cell("", "") if pd.isna(value) else number_cell(value, f"{value:.2f} ({low:.2f} to {high:.2f})")


def _pictures(study: StudyResults, curves: list[Path]) -> tuple[dict[str, tuple[Picture, ...]], list[str]]:
    """Return section -> its pictures, and paths of those for which there was no room."""
    paths = dict.fromkeys(curves, "training")
    for name, found in ((_COMPARED, study.cross_evaluation), (_ASKED, study.probes)):
        paths |= dict.fromkeys(found.plots if found is not None else (), name)
    content = {path: path.read_bytes() for path in paths}
    for path in sorted(content, key=lambda path: -len(content[path])):
        if sum(map(len, content.values())) <= MOST_BYTES:
            break
        content[path] = with_fewer_colours(content[path])
    left_out = []
    while sum(map(len, content.values())) > MOST_BYTES:
        left_out.append(content.popitem()[0].relative_to(study.folder).as_posix())
    made: dict[str, tuple[Picture, ...]] = {}
    for path, data in content.items():
        made[paths[path]] = (*made.get(paths[path], ()), _picture(path, data, study.folder, paths[path]))
    return made, list(reversed(left_out))


_CAPTIONS = {
    "training": "Perplexity and masked accuracy on validation of each model's own corpus, mean over seeds; the band is "
    "from the lowest to the highest seed",
    _COMPARED: "Perplexity of each model (rows) on each corpus (columns) with its 95 % interval; the colour says how "
    "much worse than the best model of the corpus, which is framed",
    _ASKED: "The share of prompts in which each model prefers a group of words, with its 95 % interval; dashed: "
    "chance; full markers differ from it",
}


def _picture(path: Path, content: bytes, folder: Path, kind: str) -> Picture:
    width, height = size_of(content)
    title = path.stem.lstrip("0123456789").replace("_", " ").strip() or path.stem
    source = f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
    alt = f"Plot: {title}. {_CAPTIONS[kind]}. The tables of this section have its numbers."
    file = path.relative_to(folder).as_posix()
    return Picture(title[:1].upper() + title[1:], _CAPTIONS[kind] + ".", alt, source, width, height, file)
