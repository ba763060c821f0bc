"""One trial, in whatever process it runs: select, train, evaluate, and leave its files."""

from __future__ import annotations

import logging
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from torch import nn

from raybert.config.tasks import CLASSIFICATION
from raybert.data import TokenizedData
from raybert.data.chunked import ChunkedData
from raybert.data.examples import (
    ExampleData,
    answers_of,
    extra_tests_of,
    without_extra_tests,
    without_test,
)
from raybert.data.nulls import null_table, with_nulls
from raybert.durable import atomic_path
from raybert.errors import TrialError
from raybert.files import save_array, write_json, write_text
from raybert.models import Encoder, build_classifier, load_tokenizer
from raybert.models.iris import IrisClassifier, iris_settings
from raybert.selection.keys import HashedIds, draw_keys, keys_for
from raybert.selection.pool import Pool, Selection
from raybert.selection.schedule import make_pass_planner
from raybert.selection.scorers.sampled import GUESSED, agreement_notes
from raybert.selection.store import ScoreStore, SignalGone, SignalRef
from raybert.sweeping.folder.fence import Superseded
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.predictions import EXTRA_PREDICTIONS_FILE, PREDICTIONS_FILE
from raybert.sweeping.folder.spec_file import StoredSpec, write_spec
from raybert.sweeping.folder.trial_folder import EXTRA_METRICS_FILE, TrialFolder
from raybert.sweeping.folder.trial_log import opened_log
from raybert.sweeping.plan.pretrained import PretrainingPrice
from raybert.sweeping.plan.roles import MEASURED_ELSEWHERE, REFIT
from raybert.sweeping.plan.run_notes import notes_on_proxies
from raybert.sweeping.plan.specs import RunSpec
from raybert.sweeping.trial.code_check import check_code
from raybert.sweeping.trial.companions import model_companions
from raybert.sweeping.trial.journal import Journal, log_beginning, log_choice
from raybert.sweeping.trial.predicted import predicted_rows, write_rows
from raybert.sweeping.trial.pretrained import PretrainFirst
from raybert.sweeping.trial.process import check_time, device_of, prepare_process, run_recorded
from raybert.sweeping.trial.records import (
    DynamicsRecorder,
    RecordedPasses,
    frame_of_plans,
    join_rounds,
    selection_frame,
)
from raybert.sweeping.trial.request import WITHOUT_TEST, fit_request, proxy_pooling
from raybert.sweeping.trial.scored_part import SCORING, with_scored_part
from raybert.sweeping.trial.surroundings import Report, ReportStart, ReportStep, TrialSurroundings
from raybert.tables import BEFORE_TRAINING, CONFLICTS, TRIALS
from raybert.training import FitRequest, FitResult, PassPlanner, fit
from raybert.training.checkpoint import remove_last
from raybert.training.measures.metrics import validation_metrics

FitFunction = Callable[[nn.Module, ExampleData, PassPlanner, FitRequest, TrialSurroundings], FitResult]
"""`raybert.training.fit`, or what does the same on several workers."""

_OF_SELECTION = 0x5E1EC7
"""Tells what selecting draws from what splitting, ties or batches draw of the same seed; reads like "select"."""


def run_trial(
    spec: RunSpec,
    data: ExampleData,
    encoder: Encoder,
    signals: tuple[SignalRef, ...],
    sweep: SweepFolder,
    report: Report,
    fit_function: FitFunction = fit,
    report_step: ReportStep | None = None,
    report_start: ReportStart | None = None,
    texts: pa.Table | None = None,
    scored_rows: np.ndarray | None = None,
    price: PretrainingPrice | None = None,
    pretrain_first: PretrainFirst | None = None,
) -> str:
    """Run a trial to its end and return `complete`, `failed` or `stopped`; its own failure is no exception.

    A trial with a result is not run again. A failure leaves its traceback in `error.txt`, and its kind beside it.
    An encoder that is pending is pretrained first, by `pretrain_first`; `price` is what one that is there has cost.

    Raises:
        TrialError: a process that an earlier owner of the sweep left behind does not let go of the folder.
        OSError: the failure cannot be recorded, because the disk is full.
    """
    folder = sweep.trial(spec.trial_id)
    if folder.status() == "complete":
        return "complete"
    surroundings = TrialSurroundings(
        folder,
        sweep.stop_request,
        sweep.fence,
        spec.total_steps,
        report,
        spec.config.limits.trial_seconds,
        report_step=report_step,
        report_start=report_start,
        journal=Journal.of(spec),
    )
    try:
        code = check_code(spec, folder, sweep)
        with surroundings.alive(why=code.why_anew) as why_again:
            if folder.status() == "complete":  # by the process that was waited for
                return "complete"
            write_text(folder.path / "config.yaml", spec.to_yaml())
            if code.begun_by_other:
                folder.forget_training()
            write_spec(folder.path, StoredSpec(spec, data.fingerprint, encoder.fingerprint, signals, code.digests))
            with opened_log(folder.path) as log:
                log_beginning(log, spec, why_again)
                trial = _Trial(spec, data, encoder, signals, surroundings, fit_function, log, texts, scored_rows, price)
                return _run_recorded(trial, code.problem, sweep, pretrain_first)
    except Superseded:
        return "stopped"


def _run_recorded(trial: _Trial, problem: str, sweep: SweepFolder, pretrain_first: PretrainFirst | None) -> str:
    """Run a trial, and record its failure; return its status.

    Args:
        trial: to run.
        problem: for which it must not begin; empty: there is none.
        sweep: that it is of.
        pretrain_first: has its encoder pretrained; None: that is there.
    """
    spec, folder = trial.spec, trial.surroundings.folder

    def run() -> bool:
        if problem:
            raise TrialError(problem)
        ready = trial
        if pretrain_first is not None:
            trial.log.info("pretrains its encoder first, or waits for a run that is at it")
            found = pretrain_first.for_trial(trial.surroundings, sweep)
            if found is None:
                return False
            ready = replace(trial, encoder=found.encoder, price=found.price())
            prepare_process(spec.config.resources.cpus_per_worker, spec.model_seed)
        if ready.encoder.is_pending or ready.encoder.fingerprint != (spec.encoder or ready.encoder.fingerprint):
            raise TrialError(f"{ready.encoder.label}: must be pretrained before it is trained (`pretrain`), is not")
        inputs = _training_inputs(spec, ready.data, ready.encoder, ready.scored_rows)
        try:
            return replace(ready, data=inputs).run()
        except SignalGone as error:  # no failure of the trial's: whoever runs it computes the signal again
            trial.log.warning("not begun: %s", error)
            return False

    prepare_process(spec.config.resources.cpus_per_worker, spec.model_seed)
    folder.take_new_names()
    return run_recorded(run, folder, trial.log)


def make_pool(spec: RunSpec, data: ExampleData, signals: tuple[SignalRef, ...]) -> Pool:
    """Return the candidates of a trial with the signals that it reads."""
    arrays: dict[str, np.ndarray] = {"lengths": data.train.lengths}
    for ref in signals:
        arrays.update(_load_signal(ref.store, ref.key))
    hashed, read = _hashed_ids(data), spec.strategy.all_signals()
    notes = agreement_notes(arrays, np.asarray(data.train.labels), read)
    arrays = {name: values for name, values in arrays.items() if not name.startswith(GUESSED)}
    return Pool(
        labels=np.asarray(data.train.labels),
        num_classes=data.num_classes,
        targets=None if data.task == CLASSIFICATION else answers_of(data.train),
        tie_keys=hashed.tie_keys(spec.seed),
        signals=arrays,
        generator=np.random.default_rng([spec.seed, _OF_SELECTION]),
        draw_keys=hashed.draw_keys(spec.seed),
        notes=notes,
    )


_last_hashed: dict[tuple[str, int], HashedIds] = {}
"""Of the data that this process read last: fingerprint of the data and checksum of the ids -> their hashes."""


def _hashed_ids(data: ExampleData) -> HashedIds:
    """Return the hashes of a pool's ids; a reused process makes them once for all its trials on the same data."""
    key = data.fingerprint, zlib.crc32(np.ascontiguousarray(data.example_ids).view(np.uint8).data)
    if key not in _last_hashed:
        hashed = HashedIds.of(data.example_ids)
        _last_hashed.clear()
        _last_hashed[key] = hashed
    return _last_hashed[key]


def missing_values(signals: Mapping[str, np.ndarray]) -> list[str]:
    """Return a line for every signal that some examples have no value of; they rank last."""
    lines = []
    for name, values in sorted(signals.items()):
        count = int(np.isnan(values.reshape(len(values), -1)).all(axis=1).sum()) if values.dtype.kind == "f" else 0
        if count:
            lines.append(f"{count:,} of {len(values):,} examples have no `{name}`: they rank last")
    return lines


def _training_inputs(spec: RunSpec, data: ExampleData, encoder: Encoder, scored_rows: np.ndarray | None) -> ExampleData:
    """Return the data: nulls are added to the pool of a proxy that must have seen them; who needs no test has none."""
    if spec.scored_fraction is not None:
        assert scored_rows is not None, "whoever plans a run with a part that scores it gives the part"
        data = with_scored_part(data, scored_rows)
    elif spec.role in WITHOUT_TEST:
        data = without_test(data)
    if spec.role not in MEASURED_ELSEWHERE:
        data = without_extra_tests(data)
    if spec.null is None:
        return data
    assert isinstance(data, TokenizedData)
    table = data.train
    has_pairs = bool((table.second_starts < table.lengths).any())
    nulls = null_table(table, spec.null, load_tokenizer(encoder), has_pairs=has_pairs)
    return with_nulls(data, nulls, keys_for("nulls", draw_keys(data.example_ids, spec.seed)))


@dataclass(frozen=True)
class _Trial:
    spec: RunSpec
    data: ExampleData
    encoder: Encoder
    signals: tuple[SignalRef, ...]
    surroundings: TrialSurroundings
    fit_function: FitFunction
    log: logging.Logger
    texts: pa.Table | None
    scored_rows: np.ndarray | None
    price: PretrainingPrice | None = None

    def run(self) -> bool:
        """Return whether the trial came to its end (False: stopped, resumable)."""
        started = time.monotonic()
        spec, folder = self.spec, self.surroundings.folder
        pool = make_pool(spec, self.data, self.signals)
        planner, chosen = make_pass_planner(
            spec.strategy,
            pool,
            spec.num_chosen,
            total_steps=spec.total_steps,
            batch_size=spec.config.train.batch_size,
            proxy_pooling=proxy_pooling(spec),
        )
        if spec.checkpoints is not None:
            planner = DynamicsRecorder(planner, folder.path / "dynamics")
        recorded = RecordedPasses(planner, folder.path / "epoch_plans")  # as raybert 0.1 called it
        selection_seconds = time.monotonic() - started
        log_choice(self.log, spec, chosen, selection_seconds)
        model = self._build_model().to(_device(spec))
        self.surroundings.model_files = model_companions(spec, self.data, self.encoder)
        request = fit_request(spec, self.encoder, self.texts)
        result = self.fit_function(model, self.data, recorded, request, self.surroundings)
        if result.stopped:
            check_time(self.surroundings, result.optimizer_steps)
            self.log.info("stopped at step %d, resumable", result.optimizer_steps)
            return False
        self.surroundings.fence.check()
        folder.complete_rows(result.rows)
        chosen = self._write_selection(folder, chosen, recorded)
        self._write_losses(folder, result)
        self._write_predictions(folder, result)
        augmented = [] if spec.augment is None else [f"trained on changed examples: {spec.augment.describe()}"]
        found = (*dict.fromkeys(pool.notes), *notes_on_proxies(spec))
        notes = (*result.notes, *found, *augmented, *missing_values(pool.signals))
        row = self._result(result, chosen, notes, selection_seconds, time.monotonic() - started)
        if spec.config.resources.workers_per_trial > 1 or result.micro_batch_size is not None:
            self.log.info("ran %s", result.ran_on)  # of other processes, and with the micro-batch that did fit
        for note in notes:
            self.log.warning("%s", note)
        if self.scored_rows is not None:
            count, value = int(self.scored_rows.sum()), row["suggestion_value"]
            self.log.info("scores its suggestion by %.4f, on %d validation examples that chose nothing", value, count)
        metric, best = spec.config.train.best_metric, result.best_row
        value, seconds = best[f"validation_{metric}"], row["wall_seconds"]
        self.log.info("complete: validation %s %.4f at step %d, after %.1f s", metric, value, best["step"], seconds)
        folder.finish(row)  # after the last line of the log, which is on disk then
        recorded.clear()  # like the checkpoint: who dies before the result is there needs both
        remove_last(folder.checkpoints)
        return True

    def _build_model(self) -> Any:
        """Return the model with its initial weights."""
        config, seed = self.spec.config.model, self.spec.model_seed
        if isinstance(self.data, ChunkedData):
            data = self.data
            return IrisClassifier(iris_settings(config, data.width, data.num_classes, is_pair=data.is_pair), seed)
        return build_classifier(self.encoder, self.data.output_names, seed, config, self.data.task)

    def _write_selection(
        self, folder: TrialFolder, chosen: Selection | None, recorded: RecordedPasses
    ) -> Selection | None:
        """Write what was trained on: once, what each round added, or every pass; return the whole selection if any."""
        rounds = None if chosen is not None else join_rounds(recorded.plans())
        if rounds is not None:
            chosen, numbers = rounds
            frame = selection_frame(chosen.positions, numbers, chosen.scores, chosen.weights)
        elif chosen is not None:
            frame = selection_frame(chosen.positions, BEFORE_TRAINING, chosen.scores, chosen.weights)
        else:
            frame = frame_of_plans(recorded.plans())
        frame = frame[frame["position"] < self.spec.pool_size]  # a proxy's added nulls are no examples
        frame.insert(0, "example_id", self.data.example_ids[frame["position"].to_numpy()])
        with atomic_path(folder.path / "selection.parquet") as temporary:
            frame.to_parquet(temporary, index=False)
        if chosen is not None and chosen.pool_scores is not None:
            save_array(folder.path / "pool_scores.npy", chosen.pool_scores.astype(np.float32))
        if chosen is not None and chosen.conflicts is not None:
            pairs = pd.DataFrame(self.data.example_ids[chosen.conflicts], columns=CONFLICTS.order())
            with atomic_path(folder.path / "conflicts.csv") as temporary:
                pairs.to_csv(temporary, index=False)
        return chosen

    def _write_losses(self, folder: TrialFolder, result: FitResult) -> None:
        """Write each example's last training loss and its pass, in pool order."""
        pool = slice(self.spec.pool_size)  # a proxy's added nulls are no examples
        folder.write_losses(result.train_losses[pool], result.train_loss_passes[pool])

    def _write_predictions(self, folder: TrialFolder, result: FitResult) -> None:
        """Write label and probabilities of the chosen evaluation on validation and test, where they were held out."""
        parts = []
        scored = self.scored_rows
        for split, table, probs, rows in (
            ("validation", self.data.validation, result.validation_probs, None if scored is None else ~scored),
            ("test" if scored is None else SCORING, self.data.test, result.test_probs, scored),
        ):
            if probs is not None and (split != "validation" or self.spec.role != REFIT):
                parts.append(predicted_rows(split, table, probs, rows))
        write_rows(parts, folder.path / PREDICTIONS_FILE)
        tables = extra_tests_of(self.data)
        if result.extra:
            extra = [predicted_rows(name, tables[name], measured.probs) for name, measured in result.extra.items()]
            write_rows(extra, folder.path / EXTRA_PREDICTIONS_FILE)
            values = {name: measured.metrics for name, measured in result.extra.items()}
            write_json(folder.path / EXTRA_METRICS_FILE, values)

    def _result(
        self,
        result: FitResult,
        chosen: Selection | None,
        notes: tuple[str, ...],
        selection_seconds: float,
        wall_seconds: float,
    ) -> dict[str, Any]:
        """Return what `result.json` holds: the row of `results/trials.parquet`, as far as a run knows it."""
        best = result.best_row
        held_out = {} if self.spec.role == REFIT else best
        values = {
            **self.spec.summary(),
            "status": "complete",
            "best_pass": best["pass"],
            "best_step": best["step"],
            **{key: value for key, value in held_out.items() if key.startswith("validation_")},
            **self._last_measured(result),
            "examples_seen": result.examples_seen,
            "optimizer_steps": result.optimizer_steps,
            "samples_per_pass": list(result.samples_per_pass),
            "examples_scored": result.examples_scored + sum(ref.examples_scored for ref in self.signals),
            **({"notes": "; ".join(notes)} if notes else {}),
            **({} if result.ran_on is None else result.ran_on.columns()),
            "refilled": chosen.refilled if chosen is not None else 0,
            "train_seconds": result.train_seconds,
            "evaluation_seconds": result.evaluation_seconds,
            "selection_seconds": selection_seconds + result.selection_seconds,
            "signal_seconds": sum(ref.seconds for ref in self.signals),
            "signal_seconds_shared": sum(ref.shared_seconds for ref in self.signals),
            "wall_seconds": wall_seconds,
            **self._pretraining(),
        }
        return TRIALS.row(values)

    def _pretraining(self) -> dict[str, float]:
        """Return what the encoder has cost, if it was pretrained for the sweep."""
        if self.price is None:
            return {}
        return {
            "pretraining_seconds": self.price.seconds,
            "pretraining_seconds_shared": self.price.shared_seconds,
            "pretraining_tokens": self.price.tokens,
            "pretraining_examples": round(self.price.forward_tokens / float(np.mean(self.data.train.lengths))),
        }

    def _last_measured(self, result: FitResult) -> dict[str, float]:
        """Return what the best evaluation is measured by once: on test, or on the part that scores a suggestion."""
        measured, metric = result.test_metrics or {}, self.spec.config.train.best_metric
        if self.scored_rows is None:
            return {f"test_{name}": value for name, value in measured.items()}
        if metric not in measured:
            assert result.test_probs is not None
            measured = validation_metrics(answers_of(self.data.test), result.test_probs, [metric])
        return {"suggestion_value": measured[metric]}


def _device(spec: RunSpec) -> torch.device:
    """Return where a run's model is made; that of several workers is sent to them from here, where no GPU may be."""
    resources = spec.config.resources
    return torch.device("cpu") if resources.workers_per_trial > 1 else device_of(resources)


@lru_cache(maxsize=4)
def _load_signal(store: ScoreStore, key: str) -> dict[str, np.ndarray]:
    """Return a signal; a reused process reads it once for all its trials."""
    arrays = store.load(key)
    for array in arrays.values():
        array.flags.writeable = False
    return arrays
