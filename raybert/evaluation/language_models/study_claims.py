"""What a study allows to say, in sentences: whether each model is best on its own corpus, and what probes settle."""

from __future__ import annotations

from collections.abc import Iterator

from raybert.evaluation.language_models.crosseval import CrossEvaluation
from raybert.evaluation.language_models.probes import ProbeResults
from raybert.evaluation.language_models.study import StudyResults

_LEVEL = 0.05


def study_claims(study: StudyResults) -> tuple[str, tuple[str, ...], str]:
    """Return the verdict, a sentence for each finding, and what they hold for."""
    found = study.cross_evaluation
    seeds = study.models["seed"].nunique()
    scope = f"{len(study.config.corpora)} corpora, {seeds} {'seed' if seeds == 1 else 'seeds'} of each model"
    if found is None:
        return "Nothing has been compared yet.", (), f"{scope}."
    units = "groups of documents" if (found.perplexities["groups"] > 0).any() else "documents"
    scope += (
        f"; perplexity of masked words per {found.unit}, intervals over {units} and seeds, Holm's correction at 5 %."
    )
    sentences = [*_bias_sentences(found), *(_probe_sentences(study.probes) if study.probes is not None else ())]
    return _headline(found), tuple(sentences), scope


def _headline(found: CrossEvaluation) -> str:
    """Return whether the best model of each corpus is the one that was trained on it."""
    rows = found.perplexities[found.perplexities["kind"] == "masked"]
    own = [str(corpus) for corpus in rows["corpus"].unique() if corpus in set(rows["model"])]
    if not own:
        return "No model was trained on one of the corpora."
    value = f"{found.unit}_perplexity"
    best = {corpus: str(part.sort_values(value)["model"].iloc[0]) for corpus, part in rows.groupby("corpus")}
    wrong = [corpus for corpus in own if best[corpus] != corpus]
    if wrong:
        words = ", ".join(f"on {corpus} it is {best[corpus]}" for corpus in wrong)
        return f"The least surprised model is not always the corpus's own: {words}."
    settled = _settled(found, own)
    every = "Each model is the least surprised one on its own corpus"
    if settled == len(own):
        return f"{every}, significantly so against every other model."
    return f"{every}; on {settled} of {len(own)} corpora significantly so against every other model."


def _settled(found: CrossEvaluation, corpora: list[str]) -> int:
    """Return on how many corpora their own model is significantly better than every other."""
    pairs = found.differences[found.differences["kind"] == "masked"]
    count = 0
    for corpus in corpora:
        of_own = pairs[(pairs["corpus"] == corpus) & ((pairs["model"] == corpus) | (pairs["other"] == corpus))]
        count += bool((of_own["holm_p"] < _LEVEL).all())
    return count


def _bias_sentences(found: CrossEvaluation) -> Iterator[str]:
    for row in found.domains[found.domains["kind"] == "masked"].to_dict("records"):
        if row["worst"]:
            yield (
                f"{row['model']} is {row['bias_ratio']:.2f} times ({row['bias_low']:.2f} to {row['bias_high']:.2f}) as "
                f"surprised by {row['worst']} as by {row['best']}."
            )


def _probe_sentences(found: ProbeResults) -> Iterator[str]:
    pairs = found.models[found.models["kind"] == "all"] if not found.models.empty else found.models
    for probe, rows in pairs.groupby("probe", sort=False):
        settled = rows[rows["holm_p"] < _LEVEL]
        named = "; ".join(
            f"{row['model']} prefers {row['group'] if row['difference'] > 0 else row['other_group']} more than "
            f"{row['other']}"
            for row in settled.head(4).to_dict("records")
        )
        yield f"{probe}: {len(settled)} of {len(rows)} pairs of models differ" + (f" ({named})." if named else ".")
