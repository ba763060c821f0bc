"""What a results folder holds, for commands on one run; read without loading anything that takes time."""

from __future__ import annotations

from pathlib import Path

from raybert.config import RaybertConfig, SweepConfig, load_stored_config
from raybert.errors import ConfigError, SweepError, UntrustedCode
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.spec_file import code_named_by
from raybert.sweeping.plan.extension import compared, describe_changes, flatten
from raybert.sweeping.plan.roles import TRIAL


def find_trial(target: Path, trial_id: str | None) -> tuple[SweepFolder, str]:
    """Return the results folder and the id of a trial, or of a model of a study.

    Args:
        target: `runs/x/trials/<id>` (of a study `runs/x/models/<name>`), or the results folder `runs/x`.
        trial_id: with a results folder: the id, or its beginning.

    Raises:
        SweepError: no such trial, or several.
    """
    target = target.resolve()
    study = SweepFolder(target if trial_id is not None else target.parents[1])
    if study.is_study:
        return study, _find_model(study, target.name if trial_id is None else trial_id)
    if trial_id is None:
        if target.parent.name != "trials" or not target.is_dir():
            raise SweepError(f"{target}: must be the folder of a trial (RUN/trials/ID), or be followed by a trial's id")
        return SweepFolder(target.parents[1]), target.name
    found = sorted(path.name for path in (target / "trials").glob(f"{trial_id}*") if path.is_dir())
    if len(found) != 1:
        raise SweepError(
            f"{target}: must have one trial whose id is or begins with '{trial_id}', got {len(found)}; "
            "results/trials.csv lists them"
        )
    return SweepFolder(target), found[0]


def _find_model(study: SweepFolder, name: str) -> str:
    """Return the name of a model of a study.

    Raises:
        SweepError: it has none of that name, and not one alone that begins with it.
    """
    names = sorted(path.parent.name for path in study.models.glob("*/spec.json"))
    found = [name] if name in names else [one for one in names if one.startswith(name)]
    if len(found) != 1:
        raise SweepError(
            f"{study.path}: must have one model whose name is or begins with '{name}', got {len(found)}; it has "
            f"{', '.join(names) or 'none yet'}"
        )
    return found[0]


def check_trust(run: SweepFolder, trial_id: str) -> None:
    """Refuse to run code that a trial's folder names: whoever wrote the folder chose it.

    Raises:
        UntrustedCode: with the names, and how to allow it.
    """
    folder = run.trial(trial_id).path
    names = code_named_by(folder)
    if names:
        raise UntrustedCode(
            f"{folder}: names code that running the trial again would run here: {', '.join(names)}; read it, and allow "
            "it with --trust (Python: `trust=True`)",
            names,
        )


def is_finished(folder: SweepFolder, config: RaybertConfig, *, resume: bool) -> bool:
    """Tell whether the folder holds this run, complete; an unfinished one may be there only to be resumed.

    Raises:
        SweepError: the folder holds something else than what was asked for; says how to go on.
    """
    path = folder.path
    if not (path / "plan.json").is_file():
        if resume:
            raise SweepError(f"{path}: holds no run to resume; leave `resume` out to begin one")
        return False
    try:
        there = load_stored_config(path / "resolved.yaml")
    except ConfigError:
        raise SweepError(f"{path / 'resolved.yaml'}: damaged; delete plan.json beside it to begin anew") from None
    if there.sweep.model_copy(update={"report": config.sweep.report}) != config.sweep:
        raise SweepError(f"{path}: holds {_describe_other(there.sweep, config.sweep)}; give `output` another folder")
    states = [folder.trial(trial["trial_id"]).status() for trial in folder.planned() if trial["role"] == TRIAL]
    is_finished = states == ["complete"]
    if not resume:
        rest = (
            f"a finished run; see it with `raybert evaluate {path}`, or give `output` another folder"
            if is_finished
            else "an unfinished run; continue it with --resume (Python: `resume=True`), or give `output` another folder"
        )
        raise SweepError(f"{path}: holds {rest}")
    _check_unchanged(path, there, config, is_finished=is_finished)
    return is_finished


def _check_unchanged(path: Path, there: RaybertConfig, wanted: RaybertConfig, *, is_finished: bool) -> None:
    """Refuse to go on with a run by another file: its results would be those of neither.

    Raises:
        SweepError: with the keys that differ, and the way out.
    """
    before, after = compared(there, wanted)
    changes = describe_changes(before, after)
    if not changes:
        return
    state = "a finished" if is_finished else "an unfinished"
    remedy = "give `output` a new folder, or undo the change"
    if any(key.startswith("train.length.") and before[key] != after[key] for key in before):
        # T is in every learning rate (steps done / T), in the warm-up and in the points of evaluation and averaging.
        remedy += "; a run of another length has other learning rates from its first step on, so none is made longer"
        if is_finished:
            remedy += (
                f" (`raybert train FILE --resume-from {path} --weights-only` begins a new one with what this one has "
            )
            remedy += "learned, and without the flag with all of a checkpoint that `train.checkpoints` has kept)"
    raise SweepError(f"{path}: holds {state} run of another file: {changes}; {remedy}")


def _describe_other(there: SweepConfig, wanted: SweepConfig) -> str:
    """Return what a folder holds in place of the run that was asked for."""
    (asked,) = wanted.strategies
    names = [f"strategy {sweep.strategies[0].name}, seed {sweep.seeds[0]}" for sweep in (there, wanted)]
    if there.grid or len(there.strategies) * len(there.seeds) > 1:
        names[0] = "a whole sweep"
    elif names[0] == names[1]:
        was, now = (flatten(entry.model_dump(mode="json")) for entry in (there.strategies[0], asked))
        return f"another run of {names[0]}: {describe_changes(was, now)}"
    return f"another run ({names[0]}) than {names[1]}"
