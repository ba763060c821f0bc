"""The checkpoints that a run has kept, measured on a split of its own data and compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from raybert.data.examples import answers_of
from raybert.data.unseen import UnseenExamples
from raybert.errors import ConfigError, ModelError, SweepError
from raybert.evaluation.any_task import evaluate_answers
from raybert.evaluation.find import Target, find_target
from raybert.evaluation.own_metrics import note_left_out, trusted_metrics
from raybert.evaluation.targets import held_out
from raybert.models import load_model
from raybert.models.own_kind import is_own_model
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.spec_file import StoredSpec, read_spec
from raybert.sweeping.phases.prepare import Prepared
from raybert.sweeping.single.reproduce import prepare_again
from raybert.tables.evaluation import CHECKPOINTS
from raybert.training.inference import Inference
from raybert.training.kept import KeptCheckpoint, kept_checkpoints, reading
from raybert.training.measures.own_metrics import OwnMetric

SPLITS = ("validation", "test")


def evaluate_checkpoints(path: str | Path, split: str = "validation", *, trust: bool = False) -> pd.DataFrame:
    """Return the metrics of every checkpoint that a run has kept, by step: `CHECKPOINTS`, and a user's own metrics.

    `attrs["notes"]` is to be read, `attrs["metric"]` the metric of the run.

    Args:
        path: a results folder (its best run), or the folder of a trial.
        split: validation, or test: whoever picks a checkpoint by its test metrics has no test split any more.
        trust: import metrics of the user's own that the run names, and the class of such a model.

    Raises:
        ConfigError: another split.
        UntrustedCode: the run trained a model of the user's own, and `trust` was not given.
        SweepError: the run has kept none, or its data have changed.
    """
    if split not in SPLITS:
        raise ConfigError(f"split: must be validation or test for checkpoints, got '{split}'")
    target = find_target(path)
    if target.run is None or target.trial_id is None:
        raise SweepError(f"{target.model}: must be a run or one of its trials; a model alone has no checkpoints")
    trial = SweepFolder(target.run).trial(target.trial_id)
    found = kept_checkpoints(trial.checkpoints)
    if not found:
        raise SweepError(
            f"{trial.checkpoints}: has kept no checkpoints; `train.checkpoints: {{every: 500}}` (or `epoch`) keeps them"
        )
    stored, ready = _prepared(target)
    train = stored.spec.config.train
    own, notes = trusted_metrics(target, train.metrics) if trust and train.metrics else ((), ())
    if train.metrics and not trust:
        notes = (note_left_out(train.metrics),)
    rows = []
    for one in found:
        with reading(one.folder):
            rows.append(_row(one, stored, ready, split, trust, own))
    frame = pd.DataFrame(rows)[[*(name for name in CHECKPOINTS.order() if name in rows[0]), *(one.name for one in own)]]
    frame.attrs |= {"notes": [*_notes(len(found), split), *notes], "metric": train.best_metric}
    return frame


def predicted_by_checkpoint(
    target: Target, split: str, *, trust: bool = False
) -> tuple[UnseenExamples, np.ndarray, tuple[str, ...]]:
    """Return the held-out examples (without texts) of a checkpoint's run, its (m, C) for them, and the classes.

    Raises:
        ConfigError: another split than validation and test.
        SweepError: the data of the run have changed.
    """
    if split not in SPLITS:
        raise ConfigError(f"split: must be validation or test of the run of a checkpoint, got '{split}'")
    assert target.run is not None
    assert target.trial_id is not None
    stored, ready = _prepared(target)
    with reading(target.model):
        probs = _probs(target.model, stored, ready, split, trust)
    kept = held_out(target.run, target.trial_id, split)
    examples = UnseenExamples(
        ids=kept["example_id"].to_numpy(),
        texts=(),
        labels=answers_of(getattr(ready.data, split)),
        groups=kept["group"].to_numpy() if "group" in kept else None,
    )
    return examples, probs, tuple(ready.data.output_names)


def _row(
    one: KeptCheckpoint, stored: StoredSpec, ready: Prepared, split: str, trust: bool, own: Sequence[OwnMetric]
) -> dict[str, object]:
    answers = answers_of(getattr(ready.data, split))
    probs = _probs(one.folder, stored, ready, split, trust)
    overall = evaluate_answers(answers, probs, ready.data.output_names, num_resamples=0, own=own).overall
    return {
        "checkpoint": one.folder.name,
        "step": one.step,
        "pass": one.passes,
        "split": split,
        **{str(name): value for name, value in overall["value"].items()},
    }


def _probs(folder: Path, stored: StoredSpec, ready: Prepared, split: str, trust: bool) -> np.ndarray:
    model = load_model(folder, trust_remote_code=trust and is_own_model(folder))
    return Inference(model, ready.data, stored.spec.config.train.precision).probs(getattr(ready.data, split))


def _prepared(target: Target) -> tuple[StoredSpec, Prepared]:
    """Return what a trial is, and its data as they were."""
    assert target.run is not None
    assert target.trial_id is not None
    run = SweepFolder(target.run)
    stored = read_spec(run.trial(target.trial_id).path)
    if stored.spec.config.model.trust_remote_code:  # somebody else's word for it does not count
        raise ModelError(f"{target.run}: its encoder is computed by Python code that comes with it, not run here")
    return stored, prepare_again(stored, run)


def _notes(count: int, split: str) -> list[str]:
    if split != "test":
        return []
    return [
        f"the test split was read for {count} checkpoints: whichever is chosen by it, its test metrics are too good; "
        "choose by validation"
    ]
