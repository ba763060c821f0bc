"""Commands on language models: compare them over corpora, and ask what they fill in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from raybert.config import takes_safe
from raybert.config.load import Overrides
from raybert.config.pretraining import PretrainingConfig, PretrainingSource, load_pretraining
from raybert.files import check_place
from raybert.sweeping.storage.arguments import publishes

if TYPE_CHECKING:
    from raybert.evaluation.language_models.crosseval import CrossEvaluation
    from raybert.evaluation.language_models.probes import ProbeResults

RESULTS, PROBES = "crosseval", "probes"
KEPT = "scores"
"""In the folder of the results: what each model was asked about each corpus, by content."""


@publishes
@takes_safe
def crosseval(
    config: PretrainingSource,
    *,
    output: str | Path | None = None,
    overrides: Overrides = (),
    told: Callable[[str], None] = lambda line: None,
    safe: bool = False,
) -> CrossEvaluation:
    """Measure how surprised each model is by each corpus, and compare them: perplexity per piece and per word.

    The same words are masked for every model. What a model in a folder has been asked before is kept in
    `crosseval/scores`, by the content of model and texts, and is not asked again. Tables (parquet, csv), the matrix in
    Markdown and as a picture go to `crosseval/` in the study's folder.

    Args:
        config: a pretraining file, a mapping like one, or a configuration.
        output: folder of the study, with what `pretrain` has trained; default: `runs/<name>`.
        overrides: keys to override, as for `load_config`.
        safe: refuse code that the file names (`module:attribute`, `model.trust_remote_code`), and weights that are no
            safetensors.
        told: called with a line for every model that is measured.

    Returns:
        Tables `perplexities`, `differences` and `domains`, and the `documents` behind them.

    Raises:
        RaybertError: what is wrong with the file, a corpus or a model.

    Example:
        >>> found = raybert.crosseval("corpora.yaml", overrides={"crosseval.models": {"mine": "runs/mine"}})
        >>> found.perplexities[["model", "corpus", "word_perplexity"]]
    """
    settings = load_pretraining(config, overrides)
    folder = study_folder(settings, output)
    check_place(folder / RESULTS / "perplexities.csv", "output")
    from raybert.evaluation.language_models.crosseval import cross_evaluate, find_models
    from raybert.evaluation.language_models.publish import write_cross_evaluation
    from raybert.pretraining.corpora import read_corpora

    models = find_models(settings, folder)
    found = cross_evaluate(settings, read_corpora(settings), models, told, folder / RESULTS / KEPT)
    plots = write_cross_evaluation(found, folder / RESULTS)
    return replace(found, plots=tuple(plots), folder=folder / RESULTS)


@publishes
@takes_safe
def probe(
    config: PretrainingSource,
    *,
    output: str | Path | None = None,
    overrides: Overrides = (),
    told: Callable[[str], None] = lambda line: None,
    safe: bool = False,
) -> ProbeResults:
    """Ask models what they fill into templates, and which of two sentences they prefer.

    The models are those of `crosseval`. Tables (parquet, csv), a summary in Markdown and a picture of each probe go to
    `probes/` in the study's folder.

    Args:
        config: a pretraining file with `probes`, a mapping like one, or a configuration.
        output: folder of the study, with what `pretrain` has trained; default: `runs/<name>`.
        overrides: keys to override, as for `load_config`.
        safe: refuse code that the file names (`module:attribute`, `model.trust_remote_code`), and weights that are no
            safetensors.
        told: called with a line for every model that is asked.

    Returns:
        Tables `groups` (shares of prompts that prefer each), `differences`, `models`, `prompts`, `words` and
        `predictions`.

    Raises:
        RaybertError: what is wrong with the file (a line for each template, word or pair), or a model.

    Example:
        >>> found = raybert.probe("corpora.yaml")
        >>> found.groups[["probe", "model", "group", "preferred_fraction", "holm_p"]]
    """
    settings = load_pretraining(config, overrides)
    folder = study_folder(settings, output)
    check_place(folder / PROBES / "groups.csv", "output")
    from raybert.evaluation.language_models.crosseval import find_models
    from raybert.evaluation.language_models.probes import probe_models
    from raybert.evaluation.language_models.publish import write_probes

    found = probe_models(settings, find_models(settings, folder) if settings.probes else {}, told)
    plots = write_probes(found, folder / PROBES)
    return replace(found, plots=tuple(plots), folder=folder / PROBES)


def study_folder(config: PretrainingConfig, output: str | Path | None) -> Path:
    """Return the folder of a study."""
    return Path("runs") / config.name if output is None else Path(output)
