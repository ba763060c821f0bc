"""What commands return, as the documents that `--json` prints (`raybert.commands.documents`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybert.commands import documents
from raybert.commands.document import as_json
from raybert.commands.planning import StudySize, SweepSize

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd

    from raybert.analysis.results.beside import ComparedSweeps
    from raybert.analysis.results.sweep import Sweep
    from raybert.annotation.annotate import AnnotationRound
    from raybert.commands.cache import CacheContents, ClearedPart
    from raybert.commands.subsets import StoredSignals
    from raybert.commands.trackers import Tracked
    from raybert.evaluation.evaluate import ModelEvaluation
    from raybert.evaluation.every_strategy import SweepEvaluation
    from raybert.evaluation.explain import Explanation
    from raybert.evaluation.explain_tokens import TokenExplanation
    from raybert.evaluation.language_models.crosseval import CrossEvaluation
    from raybert.evaluation.language_models.probes import ProbeResults
    from raybert.evaluation.language_models.study import StudyResults
    from raybert.pretraining.tokenizer import MeasuredTokenizer
    from raybert.sweeping.doctor.finding import Diagnosis
    from raybert.sweeping.downloads import Downloads
    from raybert.sweeping.driver.listing import ListedSweep
    from raybert.sweeping.driver.status import SweepStatus
    from raybert.sweeping.driver.trial_logs import ShownLogs
    from raybert.sweeping.folder.failures import FailureGroup
    from raybert.sweeping.preview import PlannedSweep
    from raybert.sweeping.preview_study import PlannedStudy
    from raybert.sweeping.single.reproduce import Reproduction
    from raybert.sweeping.single.select import ChosenSubset
    from raybert.sweeping.study import PretrainedModels

Json = dict[str, Any]


def results_document(results: Sweep, metric: str | None = None) -> Json:
    """Return what `raybert results` says of a sweep.

    Args:
        results: of the sweep.
        metric: what strategies are compared by; default: the metric of the sweep.
    """
    return documents.RESULTS.of(**_results(results, metric))


def report_document(results: Sweep, pairs: Sequence[tuple[str, str]] = ()) -> Json:
    """Return what `raybert report` has written, the comparison, and what is to say of the pairs that were asked for."""
    return documents.REPORT.of(
        **_results(results, None),
        pairs=[_pair(results, *labels) for labels in dict.fromkeys(pairs)],
        not_written=results.not_written,
    )


def _pair(results: Sweep, baseline: str, strategy: str) -> Json:
    from raybert.analysis.publish_pairs import picture_of_pair

    pair = results.pair(baseline, strategy)
    return {
        "baseline": pair.baseline,
        "strategy": pair.strategy,
        "rows": pair.comparisons,
        "sentences": pair.sentences,
        "notes": pair.notes,
        "picture": picture_of_pair(results, pair),
    }


def sweep_document(results: Sweep) -> Json:
    """Return what a sweep that has just ended came to."""
    outcome = results.outcome
    assert outcome is not None
    counts = {"complete": outcome.num_complete, "failed": outcome.num_failed, "pending": outcome.num_pending}
    return documents.SWEEP.of(outcome=counts, **_results(results, None), not_written=results.not_written)


def train_document(results: Sweep) -> Json:
    """Return what one run that has just ended came to."""
    from raybert.analysis.results.failures import find_failures
    from raybert.sweeping.plan.roles import TRIAL

    trial = results.trials[results.trials["role"] == TRIAL].iloc[[-1]]
    notes = trial["notes"].iloc[0] if "notes" in trial else None
    best = results.folder / "best"
    return documents.TRAIN.of(
        folder=results.folder,
        status=trial["status"].iloc[0],
        model=best if best.is_dir() else None,
        trial=as_json(trial)[0],
        notes=notes.split("; ") if isinstance(notes, str) else [],
        errors=_errors(find_failures(results)),
        not_written=results.not_written,
    )


def compare_document(compared: ComparedSweeps) -> Json:
    """Return several sweeps beside each other."""
    from raybert.analysis.results.several import data_of, encoder_of

    return documents.COMPARE.of(
        sweeps=[
            {
                "label": label,
                "folder": sweep.folder,
                "name": sweep.name,
                "data": data_of(sweep),
                "encoder": encoder_of(sweep),
                "metric": sweep.metric,
            }
            for label, sweep in compared.sweeps.sweeps.items()
        ],
        metric=compared.metric,
        baseline=compared.baseline,
        rows=compared.rows,
        ranks=compared.ranks,
        sentences=compared.lines,
        plots=compared.plots,
        notes=compared.notes,
    )


def _results(results: Sweep, metric: str | None) -> Json:
    from raybert.analysis.results.failures import find_failures

    counts = results.trials["status"].value_counts()
    return {
        "name": results.name,
        "folder": results.folder,
        "metric": metric or results.metric,
        "replicates": results.replicates,
        "counts": {status: int(counts.get(status, 0)) for status in ("complete", "failed", "pending")},
        "grid_columns": results.grid_columns,
        "summary": results.summary(metric),
        "comparisons": results.compare(None, metric),
        "as_good_as_all": results.as_good_as_all(metric),
        "best": results.best(),
        "claims": results.claims(metric),
        "notes": [*results.notes, *results.selection_notes, *(results.search.notes if results.search else ())],
        "errors": _errors(find_failures(results)),
    }


def _errors(groups: Iterable[FailureGroup]) -> list[Json]:
    return [{"kind": group.kind, "message": group.message, "trials": list(group.trial_ids)} for group in groups]


def plan_document(planned: PlannedSweep) -> Json:
    """Return what a sweep file asks for, and what is left of it will take."""
    from raybert.sweeping.estimate.record import estimate_document

    return documents.PLAN.of(
        name=planned.config.name,
        num_trials=len(planned.trials),
        trials=planned.trials,
        strategies=planned.table,
        search=planned.search,
        data=planned.data,
        notes=planned.notes,
        estimate=None if planned.estimate is None else estimate_document(planned.estimate),
        problem=None if planned.problem is None else str(planned.problem),
    )


def plan_study_document(planned: PlannedStudy) -> Json:
    """Return what a pretraining file asks for, and what is left of it will take."""
    from raybert.sweeping.estimate.record import study_estimate_document

    return documents.PLAN_STUDY.of(
        name=planned.config.name,
        num_models=len(planned.models),
        models=planned.models,
        notes=planned.notes,
        estimate=None if planned.estimate is None else study_estimate_document(planned.estimate),
        problem=None if planned.problem is None else str(planned.problem),
    )


def validate_document(file: Path, size: SweepSize | StudySize) -> Json:
    """Return how much a file asks for at most."""
    if isinstance(size, SweepSize):
        return documents.VALIDATE.of(
            file=file, kind="sweep", num_trials=size.num_trials, num_suggestions=size.num_suggestions, num_models=0
        )
    return documents.VALIDATE.of(
        file=file, kind="pretraining", num_trials=0, num_suggestions=0, num_models=size.num_models
    )


def logs_document(folder: Path, shown: ShownLogs) -> Json:
    """Return logs of trials, as many lines of each as are shown."""
    trials = [
        {"trial_id": trial.trial_id, "name": trial.name, **vars(trial), "lines": trial.lines(shown.last)}
        for trial in shown.trials
    ]
    return documents.LOGS.of(folder=folder, why=shown.why, trials=trials)


def sweeps_document(folder: Path, found: list[ListedSweep]) -> Json:
    """Return the results folders in a folder."""
    return documents.SWEEPS.of(folder=folder, sweeps=found)


def status_document(status: SweepStatus) -> Json:
    """Return how a sweep stands."""
    return documents.STATUS.of(**status.to_json())


def strategies_document(rows: list[Json]) -> Json:
    """Return every strategy."""
    return documents.STRATEGIES.of(strategies=rows)


def signals_document(rows: list[dict[str, str]]) -> Json:
    """Return every signal."""
    return documents.SIGNALS.of(signals=rows)


def scores_document(found: StoredSignals) -> Json:
    """Return what a score store holds."""
    return documents.SCORES.of(folder=found.folder, size_bytes=found.size_bytes, signals=found.entries)


def scores_rm_document(removed: StoredSignals) -> Json:
    """Return which signals are gone."""
    return documents.SCORES_RM.of(folder=removed.folder, freed_bytes=removed.size_bytes, removed=removed.entries)


def cache_document(found: CacheContents) -> Json:
    """Return what the cache holds."""
    return documents.CACHE.of(folder=found.folder, size_bytes=found.size_bytes, parts=found.parts)


def cache_clear_document(cleared: Iterable[ClearedPart]) -> Json:
    """Return what was removed of the cache."""
    return documents.CACHE_CLEAR.of(parts=list(cleared))


def download_document(found: Downloads) -> Json:
    """Return what of a sweep file is on this machine."""
    return documents.DOWNLOAD.of(items=found.items, num_missing=len(found.missing))


def doctor_document(found: Diagnosis) -> Json:
    """Return what a machine or a cluster has and lacks."""
    warnings, failures = found.of("warning"), found.of("failure")
    return documents.DOCTOR.of(findings=found.findings, num_warnings=len(warnings), num_failures=len(failures))


def select_document(subset: ChosenSubset, output: Path) -> Json:
    """Return how much was chosen, of which classes."""
    counts = subset.frame["label"].value_counts().sort_index()
    return documents.SELECT.of(
        output=output,
        num_chosen=len(subset.frame),
        pool_size=subset.pool_size,
        classes={str(name): int(count) for name, count in counts.items()},
        refilled=subset.refilled,
        num_conflicts=None if subset.conflicts is None else len(subset.conflicts),
        signal_seconds=subset.signal_seconds,
    )


def annotate_document(found: AnnotationRound) -> Json:
    """Return where labels are to be written, and the rounds so far."""
    return documents.ANNOTATE.of(
        round=found.number,
        file=found.path,
        labelled=found.labelled,
        rounds=found.history,
        stop=list(found.stop),
        notes=list(found.notes),
    )


def evaluate_document(found: ModelEvaluation, folder: Path) -> Json:
    """Return the evaluation of a model."""
    return documents.EVALUATE.of(
        model=found.target.model,
        folder=folder,
        num_examples=len(found.labels),
        label_names=found.label_names,
        threshold=found.threshold,
        metrics=found.overall.to_dict("index"),
        per_class=found.per_class,
        confusion=found.confusion.to_numpy(),
        per_group=found.per_group,
        by=found.by,
        plots=found.plots,
        notes=found.notes,
    )


def evaluate_all_document(found: SweepEvaluation) -> Json:
    """Return the evaluation of every strategy of a sweep."""
    return documents.EVALUATE_ALL.of(
        folder=found.folder,
        folders=found.folders,
        metrics=found.metrics,
        replicates=found.replicates,
        notes=found.notes,
    )


def checkpoints_document(frame: pd.DataFrame, folder: Path) -> Json:
    """Return the checkpoints of a run, measured."""
    return documents.EVALUATE_CHECKPOINTS.of(folder=folder, checkpoints=frame, notes=frame.attrs["notes"])


def predict_document(frame: pd.DataFrame, output: Path) -> Json:
    """Return how many texts were predicted as what."""
    counts = frame["predicted"].value_counts()
    return documents.PREDICT.of(
        output=output,
        num_texts=len(frame),
        predicted={str(name): int(count) for name, count in counts.items()},
        notes=frame.attrs["notes"],
    )


def explain_document(found: Explanation | TokenExplanation, output: Path | None, plots: Path | None) -> Json:
    """Return what a model read."""
    from raybert.evaluation.explain import Explanation

    is_iris = isinstance(found, Explanation)
    return documents.EXPLAIN.of(
        kind="iris" if is_iris else "attention",
        label_names=found.label_names,
        probs=found.probs,
        documents=found.documents,
        queries=found.queries if isinstance(found, Explanation) else None,
        overlap=found.overlap if isinstance(found, Explanation) else None,
        layer=None if isinstance(found, Explanation) else found.layer,
        output=output,
        plots=plots,
    )


def track_document(found: Tracked) -> Json:
    """Return which trackers have how much of a results folder."""
    return documents.TRACK.of(folder=found.folder, sent=found.sent, failed=found.failed)


def reproduce_document(found: Reproduction) -> Json:
    """Return whether two runs of a trial left the same bits, and what differs."""
    return documents.REPRODUCE.of(
        trial_id=found.spec.trial_id,
        is_identical=found.is_identical,
        status=found.status,
        first=found.first.path,
        again=found.again.path,
        comparisons=found.comparisons,
        error=found.error,
        error_again=found.error_again,
        notes=found.notes,
    )


def pretrain_document(found: PretrainedModels) -> Json:
    """Return the models of a pretraining file."""
    return documents.PRETRAIN.of(
        folder=found.folder,
        models=[
            {"name": model.name, "folder": model.model, "is_new": model.is_new, "summary": model.summary}
            for model in found.models
        ],
        failures=found.failures,
        num_left=found.num_left,
    )


def study_document(found: StudyResults, failures: Mapping[str, str] | None = None) -> Json:
    """Return a study: its models, and what was found of them.

    Args:
        found: what is in its folder.
        failures: of the models that have just failed.
    """
    compared, probed = found.cross_evaluation, found.probes
    return documents.STUDY.of(
        folder=found.folder,
        report=found.report,
        models=found.models,
        failures=failures or {},
        num_left=int((found.models["state"] != "complete").sum()),
        perplexities=None if compared is None else compared.perplexities,
        differences=None if compared is None else compared.differences,
        domains=None if compared is None else compared.domains,
        probe_groups=None if probed is None else probed.groups,
        probe_models=None if probed is None else probed.models,
        notes=[*(compared.notes if compared is not None else ()), *(probed.notes if probed is not None else ())],
    )


def tokenizer_document(found: MeasuredTokenizer) -> Json:
    """Return a tokenizer, and how it cuts every corpus."""
    return documents.TOKENIZER.of(
        folder=found.folder,
        kind=found.kind,
        vocabulary=found.vocabulary,
        is_new=found.is_new,
        trained_on=found.trained_on,
        cuts=found.cuts,
        notes=found.notes,
    )


def crosseval_document(found: CrossEvaluation) -> Json:
    """Return how surprised models are by corpora."""
    return documents.CROSSEVAL.of(
        folder=found.folder,
        unit=found.unit,
        perplexities=found.perplexities,
        differences=found.differences,
        domains=found.domains,
        plots=found.plots,
        notes=found.notes,
    )


def probe_document(found: ProbeResults) -> Json:
    """Return what models prefer in templates and pairs."""
    return documents.PROBE.of(
        folder=found.folder,
        groups=found.groups,
        differences=found.differences,
        models=found.models,
        predictions=found.predictions,
        plots=found.plots,
        notes=found.notes,
    )
