"""What models fill into templates: which group of words they prefer, by how much, and whether that could be chance.

A group's log-probability in a template is log of the mean probability of its words. How frequent a word is counts: a
preference says what a model expects there, not why. Units are prompts: a template, or a pair of sentences.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import logsumexp

from raybert.analysis.statistics.decision import sign_flip_p
from raybert.analysis.statistics.intervals import holm
from raybert.config.pretraining import PretrainingConfig
from raybert.config.probes import ProbeConfig
from raybert.errors import ConfigError
from raybert.evaluation.language_models.estimates import Estimate, mean_losses
from raybert.evaluation.language_models.probe_inputs import ProbeInputs, read_inputs
from raybert.pretraining.fill_in import gap_alone, log_probabilities_in_gaps, pair_scores, top_pieces, word_in_gap
from raybert.pretraining.language_model import LanguageModel, load_language_model

MORE, LESS = "more", "less"
"""The groups of a probe of pairs."""


@dataclass(frozen=True)
class ProbeResults:
    """What models prefer.

    Attributes:
        groups: a row per probe, model, kind and group: share of the prompts that prefer it.
        differences: a row per probe, model, kind and pair of groups: by how much one is preferred.
        models: a row per probe, kind, pair of groups and pair of models: whether they prefer differently.
        prompts: a row per probe, model, prompt and group: what everything above is made of.
        words: a row per probe, model, prompt and word.
        predictions: a row per probe, model, prompt and rank: the most probable pieces.
        notes: what a reader should know.
        plots: pictures that were written.
        folder: where all of it is; None: nothing was written.
    """

    groups: pd.DataFrame
    differences: pd.DataFrame
    models: pd.DataFrame
    prompts: pd.DataFrame
    words: pd.DataFrame
    predictions: pd.DataFrame
    notes: tuple[str, ...]
    plots: tuple[Path, ...] = ()
    folder: Path | None = None


@dataclass
class _Collected:
    """Rows of tables, and of every probe and model what its groups are worth: (seeds, prompts, groups)."""

    words: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    scores: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)


def probe_models(
    config: PretrainingConfig,
    models: Mapping[str, Mapping[int, str]],
    told: Callable[[str], None] = lambda line: None,
) -> ProbeResults:
    """Return what models prefer in the probes of a file.

    Args:
        config: the file.
        models: name -> seed -> folder.
        told: called with a line for every model that is asked.

    Raises:
        ConfigError: there are no probes, a line of one is wrong, or a vocabulary lacks a word.
        ModelError: a model cannot be loaded.
    """
    if not config.probes:
        raise ConfigError(
            "probes: must have a probe, got none; write e.g. `probes: {name: {templates: [...], groups: ...}}`"
        )
    is_plain = config.form == "plain"
    inputs = {name: read_inputs(name, probe, is_plain=is_plain) for name, probe in config.probes.items()}
    collected = _Collected()
    for model_name, seeds in models.items():
        parts: dict[str, list[np.ndarray]] = {name: [] for name in inputs}
        for seed, folder in seeds.items():
            told(f"asking {model_name}, seed {seed}")
            model = load_language_model(folder)
            for name, asked in inputs.items():
                scores = _pairs(model, asked) if asked.pairs else _gaps(name, model_name, seed, model, asked, collected)
                parts[name].append(scores)
                if not asked.pairs and config.probes[name].top:
                    _predict(name, model_name, seed, model, asked, config.probes[name].top, collected)
        for name, found in parts.items():
            collected.scores[name, model_name] = np.stack(found)
    return _results(config.probes, inputs, collected)


def _gaps(
    name: str, model_name: str, seed: int, model: LanguageModel, asked: ProbeInputs, collected: _Collected
) -> np.ndarray:
    """Return (prompts, groups) log of the mean probability of a group's words."""
    owners = [(group, word) for group, words in asked.groups.items() for word in words]
    gaps = [[word_in_gap(model, template, word) for _, word in owners] for template in asked.templates]
    lacking = [n for n, found in enumerate(zip(*gaps, strict=True)) if any(gap.has_unknown for gap in found)]
    if lacking:
        raise ConfigError(
            "\n".join(
                f"probes.{name}.groups.{owners[n][0]}: must have words of the vocabulary of every model, got "
                f"'{owners[n][1]}', which is unknown to {model_name}; leave it out"
                for n in lacking
            )
        )
    cut = {owners[n][1]: gap.num_pieces for n, gap in enumerate(gaps[0]) if gap.num_pieces > 1}
    if cut:
        words = ", ".join(f"'{word}' ({count})" for word, count in cut.items())
        collected.notes[f"{name}: {model_name} cuts {words} into pieces, whose probabilities are multiplied"] = None
    flat = [gap for row in gaps for gap in row]
    values = log_probabilities_in_gaps(model, flat).reshape(len(asked.templates), len(owners))
    for prompt, template in enumerate(asked.templates):
        for number, (group, word) in enumerate(owners):
            gap = gaps[prompt][number]
            row = {"probe": name, "model": model_name, "seed": seed, "prompt": prompt, "template": template}
            row |= {"group": group, "word": word, "pieces": gap.num_pieces}
            collected.words.append({**row, "log_probability": float(values[prompt, number])})
    columns = []
    for group in asked.groups:
        own = [number for number, (owner, _) in enumerate(owners) if owner == group]
        columns.append(logsumexp(values[:, own], axis=1) - np.log(len(own)))
    return np.stack(columns, axis=1)


def _pairs(model: LanguageModel, asked: ProbeInputs) -> np.ndarray:
    """Return (pairs, 2) pseudo-log-likelihoods of the pieces that both sentences have."""
    return pair_scores(model, [(more, less) for more, less, _ in asked.pairs])[:, :2]


def _predict(
    name: str, model_name: str, seed: int, model: LanguageModel, asked: ProbeInputs, top: int, collected: _Collected
) -> None:
    words = [word for group in asked.groups.values() for word in group]
    gaps = [gap_alone(model, template, words) for template in asked.templates]
    for prompt, (template, found) in enumerate(zip(asked.templates, model.distributions(gaps), strict=True)):
        for rank, (piece, probability) in enumerate(top_pieces(model, found[0], top), start=1):
            row = {"probe": name, "model": model_name, "seed": seed, "prompt": prompt, "template": template}
            collected.predictions.append({**row, "rank": rank, "piece": piece, "probability": probability})


@dataclass(frozen=True)
class _Part:
    """The prompts of a probe (or those of one kind of pairs) as a model answers them.

    Attributes:
        probe: its name.
        model: its name.
        kind: of pairs; `all`: all prompts.
        groups: names.
        scores: (seeds, prompts, groups).
        settings: of the probe.
    """

    probe: str
    model: str
    kind: str
    groups: tuple[str, ...]
    scores: np.ndarray
    settings: ProbeConfig

    def difference(self, one: int, other: int) -> Estimate:
        """Return the mean over prompts of what one group is worth more than another, over seeds and prompts."""
        values = self.scores[:, :, one] - self.scores[:, :, other]
        ones = np.ones(values.shape[1])
        return mean_losses(values, ones, resamples=self.settings.resamples, seed=self.settings.seed)


def _results(
    probes: Mapping[str, ProbeConfig], inputs: Mapping[str, ProbeInputs], collected: _Collected
) -> ProbeResults:
    parts = []
    for (name, model), scores in collected.scores.items():
        asked = inputs[name]
        groups = (MORE, LESS) if asked.pairs else tuple(asked.groups)
        parts.append(_Part(name, model, "all", groups, scores, probes[name]))
        kinds = list(dict.fromkeys(kind for _, _, kind in asked.pairs))
        for kind in kinds if len(kinds) > 1 else ():
            own = np.array([number for number, pair in enumerate(asked.pairs) if pair[2] == kind])
            parts.append(_Part(name, model, kind or "none", groups, scores[:, own], probes[name]))
    notes = list(collected.notes)
    few = sorted({part.probe for part in parts if part.kind == "all" and part.scores.shape[1] < 6})
    if few:
        notes.append(f"{', '.join(few)}: fewer than 6 prompts, with which no preference can be significant at 5 %")
    return ProbeResults(
        groups=_groups(parts),
        differences=_with_holm([row for part in parts for row in _difference_rows(part)], _DIFFERENCE_COLUMNS),
        models=_with_holm(_model_rows(parts), _MODEL_COLUMNS),
        prompts=pd.DataFrame([row for part in parts if part.kind == "all" for row in _prompt_rows(part, inputs)]),
        words=pd.DataFrame(collected.words, columns=_WORD_COLUMNS),
        predictions=pd.DataFrame(collected.predictions, columns=_PREDICTION_COLUMNS),
        notes=tuple(notes),
    )


_WORD_COLUMNS = ["probe", "model", "seed", "prompt", "template", "group", "word", "pieces", "log_probability"]
_PREDICTION_COLUMNS = ["probe", "model", "seed", "prompt", "template", "rank", "piece", "probability"]
_GROUP_COLUMNS = [
    *("probe", "model", "kind", "group", "prompts", "preferred_fraction", "chance", "low", "high", "binomial_p")
]
_DIFFERENCE_COLUMNS = [
    *("probe", "model", "kind", "group", "other_group", "prompts", "difference", "low", "high", "seeds_deviation"),
    *("preferred_fraction", "sign_flip_p"),
]
_MODEL_COLUMNS = [
    *("probe", "kind", "group", "other_group", "model", "other", "prompts", "difference", "low", "high", "sign_flip_p")
]


def _groups(parts: Sequence[_Part]) -> pd.DataFrame:
    """Return the rows of all groups; of two the second has the test of the first, once in Holm's family."""
    table = _with_holm([row for part in parts for row in _group_rows(part)], _GROUP_COLUMNS)
    own = ["probe", "model", "kind"]
    is_repeated = (table.groupby(own)["group"].transform("size") == 2) & (table.groupby(own).cumcount() == 1)
    table["holm_p"] = holm(table["binomial_p"].where(~is_repeated).to_numpy(dtype=np.float64))
    table["holm_p"] = table["holm_p"].where(~is_repeated, table["holm_p"].shift())
    return table


def _group_rows(part: _Part) -> list[tuple[Any, ...]]:
    """Return of every group the share of the prompts that prefer it, by mean over seeds; the first of equal ones."""
    preferred = part.scores.mean(axis=0).argmax(axis=1)
    total, chance = len(preferred), 1 / len(part.groups)
    rows = []
    for number, group in enumerate(part.groups):
        count = int((preferred == number).sum())
        test = stats.binomtest(count, total, chance)
        ends = test.proportion_ci(0.95, method="exact")
        values = (count / total, chance, float(ends.low), float(ends.high), float(test.pvalue))
        rows.append((part.probe, part.model, part.kind, group, total, *values))
    return rows


def _difference_rows(part: _Part) -> list[tuple[Any, ...]]:
    rows = []
    for one, other in combinations(range(len(part.groups)), 2):
        values = (part.scores[:, :, one] - part.scores[:, :, other]).mean(axis=0)
        found = part.difference(one, other)
        names = (part.probe, part.model, part.kind, part.groups[one], part.groups[other], len(values))
        share = float((values > 0).mean())
        rows.append((*names, found.value, *found.interval(), found.seeds_deviation, share, _flips(values)))
    return rows


def _model_rows(parts: Sequence[_Part]) -> list[tuple[Any, ...]]:
    """Return whether two models prefer differently, paired over prompts."""
    rows = []
    for first, second in combinations(parts, 2):
        if (first.probe, first.kind) != (second.probe, second.kind):
            continue
        for one, other in combinations(range(len(first.groups)), 2):
            found = first.difference(one, other) - second.difference(one, other)
            low, high = found.interval()
            values = [(part.scores[:, :, one] - part.scores[:, :, other]).mean(axis=0) for part in (first, second)]
            names = (first.probe, first.kind, first.groups[one], first.groups[other], first.model, second.model)
            rows.append((*names, len(values[0]), found.value, low, high, _flips(values[0] - values[1])))
    return rows


def _prompt_rows(part: _Part, inputs: Mapping[str, ProbeInputs]) -> list[dict[str, Any]]:
    asked = inputs[part.probe]
    means = part.scores.mean(axis=0)
    rows = []
    for prompt, values in enumerate(means):
        texts = asked.pairs[prompt][:2] if asked.pairs else [asked.templates[prompt]] * len(part.groups)
        for number, group in enumerate(part.groups):
            row = {"probe": part.probe, "model": part.model, "prompt": prompt, "group": group, "text": texts[number]}
            rows.append(
                {
                    **row,
                    "kind": asked.pairs[prompt][2] if asked.pairs else "",
                    "log_probability": float(values[number]),
                    "is_preferred": bool(values.argmax() == number),
                }
            )
    return rows


def _flips(values: np.ndarray) -> float:
    """Return the two-sided p-value of sign flips over prompts; 1 where all are 0."""
    if len(values) < 2 or not np.any(values):
        return 1.0
    return float(sign_flip_p(values))


def _with_holm(rows: list[tuple[Any, ...]], columns: list[str]) -> pd.DataFrame:
    """Return a table with Holm's p of its last column, over all rows."""
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(holm_p=holm(table[columns[-1]].to_numpy(dtype=np.float64)))
