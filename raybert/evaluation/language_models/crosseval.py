"""Models x corpora: how surprised each model is by each corpus, who is better, and whom a model is biased for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from raybert.analysis.statistics.intervals import holm
from raybert.config.crosseval import CrossevalConfig
from raybert.config.pretraining import PretrainingConfig
from raybert.errors import ConfigError
from raybert.evaluation.language_models.estimates import Estimate, mean_losses, mean_of, range_of
from raybert.evaluation.language_models.measuring import measure
from raybert.pretraining.corpora import Corpus

_SEED = re.compile(r"(?P<name>.+)-s(?P<seed>\d+)")
KINDS = ("masked", "pseudo")
UNITS = ("piece", "word")


@dataclass(frozen=True)
class CrossEvaluation:
    """How surprised models are by corpora.

    Attributes:
        perplexities: a row per model, corpus and kind.
        differences: a row per corpus, kind and pair of models.
        domains: a row per model and kind: in and out of its domain, and its worst corpus against its best.
        documents: a row per model, seed, corpus, kind and document: what everything else is made of.
        unit: piece where all models have one tokenizer, else word: what comparisons go by.
        notes: what a reader should know.
        plots: pictures that were written.
        folder: where all of it is; None: nothing was written.
    """

    perplexities: pd.DataFrame
    differences: pd.DataFrame
    domains: pd.DataFrame
    documents: pd.DataFrame
    unit: str
    notes: tuple[str, ...]
    plots: tuple[Path, ...] = ()
    folder: Path | None = None


def find_models(config: PretrainingConfig, folder: Path) -> dict[str, dict[int, str]]:
    """Return name -> seed -> folder of the models that a file names, or that are in its study's folder.

    Raises:
        ConfigError: there are none.
    """
    given = config.crosseval.models
    if given is not None:
        return {
            name: dict(enumerate((places,) if isinstance(places, str) else places)) for name, places in given.items()
        }
    found: dict[str, dict[int, str]] = {}
    for place in sorted((folder / "models").glob("*/model")):
        parts = _SEED.fullmatch(place.parent.name)
        if parts and (place / "config.json").is_file():
            found.setdefault(parts["name"], {})[int(parts["seed"])] = str(place)
    if not found:
        raise ConfigError(
            f"crosseval.models: must name models, or there must be some in '{folder / 'models'}' (`raybert pretrain` "
            "trains them), got none"
        )
    order = [name for name in config.corpora if name in found]
    return {name: dict(sorted(found[name].items())) for name in (*order, *(n for n in found if n not in order))}


def cross_evaluate(
    config: PretrainingConfig,
    corpora: Mapping[str, Corpus],
    models: Mapping[str, Mapping[int, str]],
    told: Callable[[str], None] = lambda line: None,
    kept: Path | None = None,
) -> CrossEvaluation:
    """Return how surprised models are by corpora.

    Args:
        config: the file.
        corpora: of it.
        models: name -> seed -> folder.
        told: called with a line for every model that is measured.
        kept: folder of what models were measured before, which is taken from there; None: nothing is kept.

    Raises:
        ModelError: a model cannot be loaded, or the seeds of one have different tokenizers.
    """
    settings = config.crosseval
    names = settings.of or tuple(corpora)
    documents, keys = measure(settings, {name: corpora[name] for name in names}, models, told, kept)
    unit = "piece" if len(set(keys.values())) == 1 else "word"
    estimates = _estimates(documents, settings)
    num_groups = _count_groups(documents)
    perplexities = _perplexities(documents, estimates, num_groups)
    differences = _differences(estimates, unit)
    domains, notes = _domains(estimates, unit, corpora, settings)
    if unit == "word":
        notes.insert(0, "models have different tokenizers: they are compared by perplexity per word, not per piece")
    if any(len(seeds) == 1 for seeds in models.values()):
        notes.append("of a model with one seed intervals hold for that seed only")
    return CrossEvaluation(perplexities, differences, domains, documents, unit, (*notes, *_notes_on_groups(num_groups)))


Key = tuple[str, str, str, str]
"""Kind, unit, model, corpus."""


def _estimates(documents: pd.DataFrame, settings: CrossevalConfig) -> dict[Key, Estimate]:
    """Return the mean loss of every kind, unit, model and corpus; resamples of a corpus are those of all models."""
    found: dict[Key, Estimate] = {}
    order = {name: number for number, name in enumerate(documents["corpus"].unique())}
    for (kind, model, corpus), rows in _cells(documents):
        by_seed = [part.sort_values("document") for _, part in rows.groupby("seed", sort=True)]
        losses = np.stack([part["loss"].to_numpy() for part in by_seed])
        groups = _group_numbers(by_seed[0]["group"])
        resampling = settings.seed * 1_000_003 + order[corpus]  # another corpus, other documents: other draws
        for unit in UNITS:
            counts = by_seed[0][f"{unit}s"].to_numpy()
            if counts.sum() == 0:
                raise ConfigError(
                    f"crosseval.mask_share: must mask at least one word in corpus '{corpus}', "
                    f"got none in {len(counts)} documents"
                )
            found[kind, unit, model, corpus] = mean_losses(
                losses, counts, resamples=settings.resamples, seed=resampling, groups=groups
            )
    return found


def _group_numbers(groups: pd.Series) -> np.ndarray | None:
    """Return the number of each document's group, one of its own for a document without; None: nobody has one."""
    if groups.isna().all():
        return None
    names = groups.where(groups.notna(), pd.Series([f"alone {n}" for n in range(len(groups))], index=groups.index))
    return pd.factorize(names)[0]


def _count_groups(documents: pd.DataFrame) -> dict[str, int]:
    """Return corpus -> how many groups its measured documents are of; 0: they have none."""
    masked = documents[documents["kind"] == "masked"]
    found = {}
    for corpus, part in masked.groupby("corpus", sort=False):
        numbers = _group_numbers(part.drop_duplicates("document")["group"])
        found[str(corpus)] = 0 if numbers is None else int(numbers.max()) + 1
    return found


_FEW_GROUPS = 10
"""Of fewer, t with so few degrees of freedom is all that can be said."""


def _notes_on_groups(num_groups: Mapping[str, int]) -> list[str]:
    grouped = {corpus: count for corpus, count in num_groups.items() if count}
    if not grouped:
        return []
    notes = [
        "intervals and tests draw whole groups of documents, which are alike: "
        + ", ".join(f"{count} of {corpus}" for corpus, count in grouped.items())
    ]
    alone = [corpus for corpus, count in num_groups.items() if not count]
    if alone:
        notes[0] += f"; documents of {', '.join(alone)} count as independent"
    few = [corpus for corpus, count in grouped.items() if count < _FEW_GROUPS]
    if few:
        notes.append(f"{', '.join(few)}: fewer than {_FEW_GROUPS} groups, so that intervals are wide")
    return notes


def _cells(documents: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """Yield kind, model and corpus with their rows, of all seeds."""
    for names, rows in documents.groupby(["kind", "model", "corpus"], sort=False):
        kind, model, corpus = map(str, names)
        yield (kind, model, corpus), rows


def _perplexities(
    documents: pd.DataFrame, estimates: Mapping[Key, Estimate], num_groups: Mapping[str, int]
) -> pd.DataFrame:
    rows = []
    for (kind, model, corpus), part in _cells(documents):
        one = part[part["seed"] == part["seed"].iloc[0]]
        row = {"model": model, "corpus": corpus, "kind": kind, "num_seeds": part["seed"].nunique()}
        row |= {
            "documents": len(one),
            "groups": num_groups[corpus],
            "words": int(one["words"].sum()),
            "pieces": int(one["pieces"].sum()),
        }
        for unit in UNITS:
            estimate = estimates[kind, unit, model, corpus]
            low, high = estimate.interval()
            documents_low, documents_high = estimate.documents_interval()
            row |= {
                f"{unit}_perplexity": np.exp(estimate.value),
                f"{unit}_low": np.exp(low),
                f"{unit}_high": np.exp(high),
                f"{unit}_documents_low": np.exp(documents_low),
                f"{unit}_documents_high": np.exp(documents_high),
                f"{unit}_documents_deviation": estimate.documents_deviation,
                f"{unit}_seeds_deviation": estimate.seeds_deviation,
            }
        rows.append(row)
    return pd.DataFrame(rows)


def _differences(estimates: Mapping[Key, Estimate], unit: str) -> pd.DataFrame:
    """Return every pair of models on every corpus; Holm's family are all of a kind."""
    columns = ["corpus", "kind", "model", "other", "ratio", "low", "high", "p", "holm_p"]
    parts = []
    for kind in dict.fromkeys(key[0] for key in estimates):
        models = list(dict.fromkeys(key[2] for key in estimates))
        rows = []
        for corpus in dict.fromkeys(key[3] for key in estimates):
            for model, other in combinations(models, 2):
                found = estimates[kind, unit, model, corpus] - estimates[kind, unit, other, corpus]
                low, high = np.exp(found.interval())
                rows.append((corpus, kind, model, other, float(np.exp(found.value)), low, high, found.p_value()))
        table = pd.DataFrame(rows, columns=columns[:-1])
        parts.append(table.assign(holm_p=holm(table["p"].to_numpy(dtype=np.float64))))
    return pd.concat(parts, ignore_index=True)[columns]


def _domains(
    estimates: Mapping[Key, Estimate], unit: str, corpora: Mapping[str, Corpus], settings: CrossevalConfig
) -> tuple[pd.DataFrame, list[str]]:
    """Return a row per model and kind, and notes where another model is better on a model's own corpus."""
    sources = [name for name in dict.fromkeys(key[3] for key in estimates) if not corpora[name].parts]
    rows, notes = [], []
    for kind in dict.fromkeys(key[0] for key in estimates):
        for model in dict.fromkeys(key[2] for key in estimates):
            of_corpus = {name: estimates[kind, unit, model, name] for name in sources}
            domain = settings.domains.get(model, model if model in corpora else "")
            inside = [name for name in sources if domain and name in _all_parts(domain, corpora)]
            row: dict[str, object] = {"model": model, "kind": kind, "domain": domain}
            row |= _in_and_out(of_corpus, inside) | _worst_and_best(of_corpus)
            rows.append(row)
            if kind == "masked" and len(inside) == 1:
                others = {m: estimates[kind, unit, m, inside[0]].value for m in dict.fromkeys(k[2] for k in estimates)}
                best = min(others, key=lambda name: others[name])
                if best != model:
                    ratio = float(np.exp(others[model] - others[best]))
                    notes.append(
                        f"{inside[0]}: the model of the corpus, {model}, is not the best on it, but {best}, whose "
                        f"perplexity is {1 - 1 / ratio:.1%} lower"
                    )
    return pd.DataFrame(rows), notes


def _all_parts(name: str, corpora: Mapping[str, Corpus]) -> set[str]:
    """Return the corpora with a source that a corpus is made of."""
    return {found for part in corpora[name].parts for found in _all_parts(part, corpora)} or {name}


def _in_and_out(of_corpus: Mapping[str, Estimate], inside: Sequence[str]) -> dict[str, float]:
    """Return perplexity in and out of a domain (geometric means over corpora), and out / in with its interval."""
    outside = [name for name in of_corpus if name not in inside]
    names = ("in_perplexity", "out_perplexity", "out_in_ratio", "out_in_low", "out_in_high", "out_in_p")
    if not inside or not outside:
        return dict.fromkeys(names, float("nan"))
    within, without = (mean_of([of_corpus[name] for name in part]) for part in (inside, outside))
    found = without - within
    low, high = np.exp(found.interval())
    values = (np.exp(within.value), np.exp(without.value), np.exp(found.value), low, high, found.p_value())
    return dict(zip(names, map(float, values), strict=True))


def _worst_and_best(of_corpus: Mapping[str, Estimate]) -> dict[str, object]:
    """Return the corpora that surprise a model most and least, and the ratio of their perplexities."""
    order = sorted(of_corpus, key=lambda name: of_corpus[name].value)
    if len(order) < 2:
        return {"worst": "", "best": "", **dict.fromkeys(("bias_ratio", "bias_low", "bias_high"), float("nan"))}
    found = range_of(list(of_corpus.values()))
    low, high = np.exp(found.interval())
    ratio = {
        "bias_ratio": float(np.exp(found.value)),
        "bias_low": float(np.maximum(1.0, low)),
        "bias_high": float(high),
    }
    return {"worst": order[-1], "best": order[0], **ratio}
