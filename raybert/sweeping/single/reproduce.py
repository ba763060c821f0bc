"""`raybert reproduce`: one trial of a sweep again, alone and in this process, from what its folder says."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from raybert.errors import ExitCode, SweepError
from raybert.files import cache_folder, read_json, writable_cache
from raybert.links import check_no_link
from raybert.selection.store import ScoreStore, SignalGone, SignalRef
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.driver.session import owned_folder
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.manifest import describe_run
from raybert.sweeping.folder.spec_file import StoredSpec, read_spec
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.folder.versions import check_version
from raybert.sweeping.phases.prepare import Prepared, prepare_variants
from raybert.sweeping.phases.refit import join_validation
from raybert.sweeping.plan.grid import Variant
from raybert.sweeping.plan.own_code import changed, code_of_run
from raybert.sweeping.plan.planned_run import PlannedRun
from raybert.sweeping.plan.roles import REFIT, TRIAL, TUNE
from raybert.sweeping.plan.specs import PoolFacts, RunSpec, identified
from raybert.sweeping.single.differences import Comparison, compare_trials
from raybert.sweeping.single.process import torch_as_it_was
from raybert.sweeping.single.train import check_machine
from raybert.sweeping.trial.pretrained import PretrainedEncoder, PretrainFirst, find_pretrained
from raybert.sweeping.trial.run import run_trial
from raybert.sweeping.trial.scored_part import scored_rows

FOLDER = "reproductions"


@dataclass(frozen=True)
class Reproduction:
    """A trial, or a model of a study, and the same again.

    Attributes:
        spec: of both.
        title: what a person calls it.
        first: folder of the trial.
        again: folder of the new run.
        status: of the new run: complete, failed or stopped.
        comparisons: of what both left.
        error: first line of the trial's failure; empty: it did not fail.
        error_again: likewise of the new run.
        notes: what is not as it was when the trial ran.
    """

    spec: PlannedRun
    title: str
    first: TrialFolder
    again: TrialFolder
    status: str
    comparisons: tuple[Comparison, ...]
    error: str
    error_again: str
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        found = "identical" if self.is_identical else "different"
        return f"<Reproduction of {self.first.path}: {found}, {self.status}, in {self.again.path}>"

    @property
    def is_identical(self) -> bool:
        """Whether every bit that both runs left is the same, failures included."""
        same = all(not part.differences for part in self.comparisons)
        return self.status != "stopped" and same and self.error == self.error_again

    @property
    def exit_code(self) -> ExitCode:
        """What `raybert reproduce` ends with."""
        if self.status == "stopped" and self.first.status() != "pruned":
            return ExitCode.INTERRUPTED
        return ExitCode.DONE if self.is_identical else ExitCode.DIFFERENT


def reproduce_trial(
    run: SweepFolder, trial_id: str, progress: Progress, *, output: Path | None = None, address: str | None = None
) -> Reproduction:
    """Run a trial again in a folder of its own, and compare what it leaves with what the trial left.

    A trial without a result (failed, pruned, never finished) is compared as far as it came; a failed one should fail
    with the same error. Ray is started only for a trial of several workers.

    Args:
        run: results folder of the sweep.
        trial_id: of the trial, whatever its role.
        progress: told about every event.
        output: folder of the new run; default: reproductions/<id> in the results folder. What an earlier
            reproduction left there is deleted.
        address: of a Ray cluster, for a trial of several workers.

    Raises:
        SweepError: the trial never began, its signals are gone, or data or encoder are not what they were.
    """
    check_version(run.path)
    first = run.trial(trial_id)
    if output is None:
        check_no_link([run.path / FOLDER, run.path / FOLDER / trial_id])
    stored = _read(first)
    spec, error = _without_limits(stored.spec), error_of(first)
    path = (output or run.path / FOLDER / trial_id).resolve()
    if (path / "plan.json").exists():
        raise SweepError(f"{path}: must not be the results folder of a sweep; give `output` another folder")
    if spec.config.resources.workers_per_trial == 1:
        check_machine(spec.config.resources)
    signals = tuple(_find(signal, first, run) for signal in stored.signals)
    with torch_as_it_was(), owned_folder(path, progress) as (folder, _):
        again = folder.trial(trial_id)
        shutil.rmtree(again.path, ignore_errors=True)
        progress.phase("prepare: load, split, tokenize")
        ready = prepare_again(stored, run)
        status = _run(
            spec,
            ready,
            signals,
            folder,
            _RunListener(progress, spec, folder, last_evaluation_of(first)),
            address,
            find_pretrained(ready.encoder, run) if ready.encoder.is_pending else None,
        )
        again_error = error_of(again) if status == "failed" else ""
        progress.ended(spec, status, again_error)
    return Reproduction(
        spec=spec,
        title=f"{spec.label} budget {spec.num_chosen:,} {spec.replicate} {spec.trial_id}",
        first=first,
        again=again,
        status=status,
        comparisons=tuple(compare_trials(first, again)),
        error=error,
        error_again=again_error,
        notes=(*_changed_rule(stored), *_changed_code(stored), *changed_surroundings(run)),
    )


def _read(first: TrialFolder) -> StoredSpec:
    """Return the stored specification.

    Raises:
        SweepError: there is none; says which run to reproduce instead.
    """
    try:
        return read_spec(first.path, trust=True)  # where it may not be trusted, an import in this block is an error
    except SweepError:
        proxy = first.failure().caused_by if first.status() == "failed" else None
        if proxy is None:
            raise
        raise SweepError(
            f"{first.path}: the trial has never begun, because a run that it reads failed; reproduce that one: {proxy}"
        ) from None


def error_of(folder: TrialFolder) -> str:
    """Return the first line of a failure; empty: it did not fail."""
    return folder.failure().message if folder.status() == "failed" else ""


def _without_limits(spec: RunSpec) -> RunSpec:
    """Return the specification without the time that a trial of a sweep may take."""
    limits = spec.config.limits.model_copy(update={"trial_seconds": None})
    return replace(spec, config=spec.config.model_copy(update={"limits": limits}))


def _find(signal: SignalRef, first: TrialFolder, run: SweepFolder) -> SignalRef:
    """Return a signal, from the store that the trial read or from another one that has it.

    Raises:
        SweepError: it is gone; says how to compute it again.
    """
    for store in (signal.store, ScoreStore(run.signals), ScoreStore(cache_folder() / "scores")):
        with contextlib.suppress(SignalGone):
            store.load(signal.key)  # damaged is as good as gone
            return replace(signal, store=store)
    place = signal.store.folder
    raise SweepError(
        f"{first.path}: its signal {signal.key} must be in the score store {place}, but is gone; this "
        f"computes it again: raybert sweep {run.path / 'resolved.yaml'} --output {run.path}-signals "
        f"--set selection.store={place}"
    )


def prepare_again(stored: StoredSpec, run: SweepFolder) -> Prepared:
    """Return the data of a trial, as they were when it ran.

    Raises:
        SweepError: source, tokenizer or encoder are not what they were.
    """
    spec, config = stored.spec, stored.spec.config
    prepared = prepare_variants([Variant(spec.grid, config, spec.fold)], writable_cache())
    (ready,) = prepared.values()
    if spec.role == REFIT:
        ready = join_validation(config, ready)
    for what, then, now in (
        (f"data.source '{config.data.source}' (or the tokenizer)", stored.data_fingerprint, ready.data.fingerprint),
        (f"model.encoder '{config.model.encoder}'", stored.encoder_fingerprint, ready.encoder.fingerprint),
    ):
        if then != now:
            raise SweepError(f"{run.path}: the content of {what} changed since the trial ran; bring the old one back")
    if config.model.kind == "iris":
        from raybert.sweeping.phases.embed_chunks import embed_chunks_here

        store = ScoreStore(cache_folder() / "scores")
        ready = embed_chunks_here(spec.data_key, ready, config, store)
    return ready


def last_evaluation_of(first: TrialFolder) -> int | None:
    """Return how far an unfinished trial came; None: it finished, or should fail by itself."""
    if first.status() in ("complete", "failed"):
        return None
    return max((int(row["evaluation"]) for row in first.rows()), default=None)


@dataclass(frozen=True)
class _RunListener:
    """Passes on what the new run reports, and ends it where an unfinished first run ended."""

    progress: Progress
    spec: RunSpec
    folder: SweepFolder
    last: int | None

    def evaluated(self, row: Mapping[str, Any]) -> None:
        self.progress.evaluated(self.spec, row)
        if self.last is not None and row["evaluation"] >= self.last:
            self.folder.stop_request.touch()


def _run(
    spec: RunSpec,
    ready: Prepared,
    signals: tuple[SignalRef, ...],
    folder: SweepFolder,
    listener: _RunListener,
    address: str | None,
    pretrained: PretrainedEncoder | None,
) -> str:
    """Run a trial again, with the encoder that its sweep has pretrained; without that it pretrains its own."""
    listener.progress.begin([spec], {})
    listener.progress.started(spec)
    options: dict[str, Any] = {"texts": ready.splits.train, "encoder": ready.encoder}
    if pretrained is not None:
        options |= {"encoder": pretrained.encoder, "price": pretrained.price()}
    elif ready.pretraining is not None and spec.encoder and spec.config.pretrain is not None:
        options["pretrain_first"] = PretrainFirst(ready.pretraining, spec.config.pretrain, spec.config.resources)
    if spec.scored_fraction is not None:
        options["scored_rows"] = scored_rows(ready.splits.validation, spec.config.data, spec.scored_fraction)
    with ExitStack() as stack:
        if spec.config.resources.workers_per_trial > 1:
            from raybert.sweeping.cluster.connect import check_resources, connected
            from raybert.training.ddp import fit_distributed

            check_resources(spec.config.resources, stack.enter_context(connected(address)))
            options["fit_function"] = partial(fit_distributed, resources=spec.config.resources)
        else:
            options["report_step"] = partial(listener.progress.stepped, spec)
        return run_trial(spec, ready.data, signals=signals, sweep=folder, report=listener.evaluated, **options)


def _changed_rule(stored: StoredSpec) -> list[str]:
    """Say it if the trial would have another id today: its results are then those of an earlier rule."""
    spec = stored.spec
    if spec.role not in (TRIAL, TUNE, REFIT):
        return []  # what only serves signals chooses nothing by a rule
    facts = PoolFacts(
        stored.data_fingerprint,
        stored.encoder_fingerprint,
        spec.pool_size,
        num_classes=0,
        columns=spec.columns,
        extra_tests=spec.extra_tests,
    )
    if identified(spec, facts).trial_id == spec.trial_id:
        return []
    return [f"'{spec.label}' has another rule since the trial ran (see the changelog); differences are expected"]


def _changed_code(stored: StoredSpec) -> list[str]:
    return [
        f"{one.what} changed since the trial ran; differences are expected"
        for one in changed(code_of_run(stored.spec), stored.code)
    ]


def changed_surroundings(run: SweepFolder) -> list[str]:
    """Return what of the software and the machine is not as it was, which alone may change the bits."""
    then, now = read_json(run.path / "manifest.json"), describe_run(None)
    if then is None:
        return []
    known = {"python": (then.get("python"), now["python"])}
    known |= {name: (version, now["versions"].get(name)) for name, version in then.get("versions", {}).items()}
    known |= {key: (then.get("hardware", {}).get(key), now["hardware"][key]) for key in ("machine", "system")}
    return [f"{name} was {before}, is {after}" for name, (before, after) in known.items() if before != after]
