"""Encoders that a sweep pretrains: where they lie, how another sweep finds them, and how a run makes its own.

`<results>/models/<fingerprint>/` is the folder of one pretraining (`raybert.pretraining.run`), and belongs to the
results. `<cache>/pretrained/<fingerprint>/` is a plain transformers folder with the same files, for other sweeps.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from raybert.config import ResourcesConfig, SweepPretrainConfig
from raybert.config.pretrain import PretrainedModelConfig
from raybert.durable import atomic_folder, make_folder, remove_folder
from raybert.errors import TrialError
from raybert.files import (
    cache_folder,
    is_as_digested,
    kept_if_possible,
    read_json,
    read_json_lines,
    write_digests,
    write_json,
)
from raybert.locks import Lock, NoLocks
from raybert.models import Encoder
from raybert.polling import Throttle
from raybert.pretraining.corpora import Corpus
from raybert.pretraining.progress import PretrainingProgress
from raybert.pretraining.records import SUMMARY
from raybert.pretraining.request import PretrainRequest
from raybert.pretraining.run import MODEL, forget_checkpoints, pretrain
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.pretrained import PretrainingFacts, PretrainingPrice
from raybert.sweeping.trial.pretraining_run import PretrainingRun
from raybert.sweeping.trial.process import out_of_time
from raybert.sweeping.trial.surroundings import SECONDS_BETWEEN_LOOKS, TrialSurroundings
from raybert.training.pulse import pulse

CACHED = "pretrained"
"""Folder of the cache."""
_BESIDE = ("evaluations.jsonl", "run.json", SUMMARY)
"""What of a pretraining is kept beside its model."""
_SECONDS_OF_WAITING = 1.0
"""At most between two signs of life of a run that waits for another one."""


@dataclass(frozen=True)
class ToPretrain:
    """What the encoders of a data set are pretrained from.

    Attributes:
        base: as `model.encoder` names it.
        corpus: train is trained on, perplexity measured on validation; its test is never read.
        facts: what their fingerprints are made of.
        config: the section `pretrain` of the file, at this point of its grid.
    """

    base: Encoder
    corpus: Corpus
    facts: PretrainingFacts
    config: SweepPretrainConfig

    def planned(self, config: SweepPretrainConfig | None) -> Encoder:
        """Return an encoder before it is there: by what it will be known, with the files that it goes on from."""
        fingerprint = self.facts.fingerprint(config)
        if fingerprint == self.base.fingerprint:
            return self.base
        return replace(self.base, fingerprint=fingerprint, is_pending=True)


@dataclass(frozen=True)
class PretrainedEncoder:
    """An encoder that is there.

    Attributes:
        encoder: with its own files.
        summary: `training_summary.json` of its pretraining.
    """

    encoder: Encoder
    summary: Mapping[str, Any]

    def price(self, num_users: int = 1) -> PretrainingPrice:
        """Return what it has cost, and the share of each of its users."""
        seconds, tokens = float(self.summary["seconds"]), int(self.summary["tokens"])
        settings = self.summary["configuration"]["pretrain"]
        views = (settings["masked"] is not None) + 2 * (settings["contrastive"] is not None)
        return PretrainingPrice(seconds, seconds / max(1, num_users), tokens, views * tokens)


def request_of(
    made_from: ToPretrain, config: SweepPretrainConfig, folder: SweepFolder, resources: ResourcesConfig
) -> PretrainRequest:
    """Return what `raybert.pretraining` is asked to do for a section `pretrain`."""
    path = made_from.base.path
    return PretrainRequest(
        model=PretrainedModelConfig(encoder=str(path)),
        pretrain=config.as_file(),
        corpus=made_from.corpus,
        tokenizer=path,
        seed=config.seed,
        folder=folder.models / made_from.facts.fingerprint(config),
        device="cuda" if resources.num_gpus > 0 else "cpu",
    )


def find_pretrained(encoder: Encoder, folder: SweepFolder) -> PretrainedEncoder | None:
    """Return a pending encoder with its files, of the results or else copied from the cache; None: it has none."""
    if not has_pretrained(encoder, folder):
        return None
    run = folder.models / encoder.fingerprint
    if not is_finished(run):
        try:
            _adopt(cache_folder() / CACHED / encoder.fingerprint, run)
        except (FileNotFoundError, shutil.Error):  # somebody has emptied the cache meanwhile
            return None
    summary = read_json(run / SUMMARY)
    if summary is None:
        return None
    return PretrainedEncoder(replace(encoder, path=run / MODEL, is_pending=False), summary)


def has_pretrained(encoder: Encoder, folder: SweepFolder) -> bool:
    """Tell whether the results or the cache have the files of a pending encoder."""
    kept = cache_folder() / CACHED / encoder.fingerprint
    return is_finished(folder.models / encoder.fingerprint) or is_as_digested(kept)


def is_finished(run: Path) -> bool:
    """Tell whether a pretraining has come to its end, and its model is there."""
    return read_json(run / SUMMARY) is not None and (run / MODEL / "config.json").is_file()


def _adopt(kept: Path, run: Path) -> None:
    """Copy an encoder out of the cache; what was begun in its place goes."""
    remove_folder(run)
    with atomic_folder(run) as fresh:
        shutil.copytree(kept, fresh / MODEL, ignore=shutil.ignore_patterns("digests.json", *set(_BESIDE) - {SUMMARY}))
        for name in _BESIDE:
            if (kept / name).is_file():
                shutil.copy2(kept / name, fresh / name)


def keep_pretrained(run: Path) -> None:
    """Copy an encoder into the cache of this machine, where other sweeps find it."""
    target = cache_folder() / CACHED / run.name
    if is_as_digested(target) or not is_finished(run):
        return
    with kept_if_possible("the pretrained encoder", target.parent), atomic_folder(target) as fresh:
        shutil.copytree(run / MODEL, fresh, dirs_exist_ok=True)
        for name in _BESIDE:
            if (run / name).is_file():
                shutil.copy2(run / name, fresh / name)
        write_digests(fresh)


@dataclass(frozen=True)
class PretrainFirst:
    """Gives a run of a search an encoder of its own, in its process; equal ones are pretrained by one of the runs.

    Attributes:
        made_from: what it goes on from.
        config: the section `pretrain` of the run.
        resources: what the run occupies.
    """

    made_from: ToPretrain
    config: SweepPretrainConfig
    resources: ResourcesConfig

    @property
    def pending(self) -> Encoder:
        """The encoder before it is there."""
        return self.made_from.planned(self.config)

    def for_trial(self, surroundings: TrialSurroundings, folder: SweepFolder) -> PretrainedEncoder | None:
        """Return the encoder of a trial once it is there, by this trial or by another one; None: it is to stop.

        The time that this takes is none of the trial's: `limits.trial_seconds` bounds each for itself.

        Args:
            surroundings: of the trial, at work.
            folder: of the sweep.

        Raises:
            TrialError: its loss is not finite, or its time is used up.
            Superseded: the sweep has a newer owner.
        """
        started, looks, answer = time.monotonic(), Throttle(SECONDS_BETWEEN_LOOKS), False

        def should_stop() -> bool:
            nonlocal answer
            if looks.is_due():
                surroundings.fence.check()
                answer = surroundings.stop_request.exists() or surroundings.folder.is_asked_to_stop()
            return answer

        found = self.encoder(folder, should_stop, surroundings.trial_seconds)
        if surroundings.heart is not None:
            surroundings.heart.leave_out(time.monotonic() - started)
        return found

    def encoder(
        self, folder: SweepFolder, should_stop: Callable[[], bool], trial_seconds: float | None = None
    ) -> PretrainedEncoder | None:
        """Return the encoder once it is there; None: stopped before, and the next call goes on.

        Who waits for another run that is at it is heard meanwhile, as is who pretrains.

        Args:
            folder: of the sweep.
            should_stop: asked between steps, and while it waits.
            trial_seconds: that all attempts of its pretraining may take together; None: as long as it takes.

        Raises:
            TrialError: its loss is not finite, or its time is used up; then its last checkpoint is there.
        """
        request = request_of(self.made_from, self.config, folder, self.resources)
        make_folder(request.folder.parent)
        with _waited_for(request.folder.with_name(f".{request.folder.name}.lock"), should_stop) as is_ours:
            if not is_ours:
                return None
            found = find_pretrained(self.pending, folder)
            if found is not None:
                forget_checkpoints(request.folder)  # of one that was killed between its summary and this
                return found
            make_folder(request.folder)
            write_json(request.folder / "spec.json", {"spec": PretrainingRun(request).spec()})
            clock = _Time(trial_seconds, request.folder)
            if pretrain(request, _Heard(), lambda: should_stop() or clock.is_up()).summary is None:
                if clock.is_up() and not should_stop():
                    raise TrialError(out_of_time(trial_seconds or 0.0, "no end of its pretraining"), kind="time")
                return None
        keep_pretrained(request.folder)
        return find_pretrained(self.pending, folder)


class _Time:
    """Of a pretraining that may take so long.

    Args:
        seconds: of all attempts together; None: there is no end.
        folder: of the run, which knows what earlier attempts have taken until their last evaluation.
    """

    def __init__(self, seconds: float | None, folder: Path) -> None:
        rows = read_json_lines(folder / "evaluations.jsonl")
        before = float(rows[-1]["seconds"]) if rows else 0.0
        self._deadline = None if seconds is None else time.monotonic() + seconds - before

    def is_up(self) -> bool:
        """Tell whether it is used up."""
        return self._deadline is not None and time.monotonic() >= self._deadline


@contextlib.contextmanager
def _waited_for(path: Path, should_stop: Callable[[], bool]) -> Iterator[bool]:
    """Hold a lock for the length of a `with` block; yield False if it is to stop before it has it."""
    lock = Lock(path)
    with contextlib.suppress(NoLocks):  # then two of them may do the same work, to the same end
        while not lock.take(_SECONDS_OF_WAITING):
            pulse()
            if should_stop():
                yield False
                return
    try:
        yield True
    finally:
        lock.release()


class _Heard(PretrainingProgress):
    """Lets whoever watches the run know that its process is alive."""

    def stepped(self, step: int) -> None:
        pulse()
