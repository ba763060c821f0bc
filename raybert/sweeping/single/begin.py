"""`raybert train --resume-from`: a run that begins from a checkpoint, and whether it goes on with the run of that."""

from __future__ import annotations

from pathlib import Path

from raybert.config import RaybertConfig, StartConfig
from raybert.errors import SweepError
from raybert.files import file_digest, json_digest
from raybert.selection.compose import compose
from raybert.selection.identity import strategy_identity
from raybert.sweeping.folder.spec_file import FILE_NAME, read_spec
from raybert.sweeping.plan.design import Design
from raybert.sweeping.plan.extension import compared, describe_changes, flatten
from raybert.training.kept import KeptCheckpoint, kept_checkpoints
from raybert.training.start import OTHER_WAY

_MAY_DIFFER = ("train.length.", "train.start.")


def begin_with_weights(config: RaybertConfig, model: Path) -> RaybertConfig:
    """Return a configuration whose run begins with the weights of a model, and trains as from the start.

    Args:
        config: the file.
        model: folder of the model, or of a checkpoint.
    """
    found = KeptCheckpoint.read(model)
    files = sorted(model.glob("*.safetensors"))
    digest = json_digest({path.name: file_digest(path) for path in files})[:16] if found is None else found.digest
    return _starting(config, StartConfig(checkpoint=str(model.resolve()), digest=digest, weights_only=True))


def begin_from_checkpoint(config: RaybertConfig, narrowed: Design, folder: Path) -> RaybertConfig:
    """Return a configuration whose run goes on from a checkpoint: weights, optimizer, schedule and order.

    Args:
        config: the file.
        narrowed: to the run that is asked for.
        folder: of the checkpoint.

    Raises:
        SweepError: it is none, or of a run that differs in more than its length; says in what.
    """
    found = KeptCheckpoint.read(folder)
    if found is None:
        raise SweepError(f"{folder}: must be a checkpoint that `train.checkpoints` has kept{_what_is_there(folder)}")
    (entry,) = narrowed.entries
    (seed,) = narrowed.config.sweep.seeds
    strategy = compose(entry.strategy)
    if strategy.schedule != "once":
        raise SweepError(
            f"{folder}: must not be continued with '{entry.label}', which chooses anew while it trains: what it chose "
            "before is not in the checkpoint; take its weights alone (--weights-only; Python: `weights_only=True`)"
        )
    if (folder / FILE_NAME).is_file():
        there = read_spec(folder).spec
        before, after = compared(there.config, narrowed.variants[0].config)
        before, after = (
            {key: value for key, value in each.items() if not key.startswith(_MAY_DIFFER)} for each in (before, after)
        )
        before |= flatten({"strategy": strategy_identity(there.strategy), "seed": there.seed})
        after |= flatten({"strategy": strategy_identity(entry.strategy), "seed": seed})
        changes = describe_changes(before, after)
        if changes:
            raise SweepError(f"{folder}: is a checkpoint of a run that differs from this one: {changes}; {OTHER_WAY}")
    return _starting(config, StartConfig(checkpoint=str(folder.resolve()), digest=found.digest))


def _starting(config: RaybertConfig, start: StartConfig) -> RaybertConfig:
    return config.model_copy(update={"train": config.train.model_copy(update={"start": start})})


def _what_is_there(folder: Path) -> str:
    """Return the checkpoints below a folder that was given in their place, in words."""
    places = [folder, folder / "checkpoint", *sorted(folder.glob("trials/*/checkpoint"))]
    names = [str(one.folder) for place in places for one in kept_checkpoints(place)]
    if names:
        return f"; there are {', '.join(names[:4])}" + (", ..." if len(names) > 4 else "")
    return ", which has none" if folder.is_dir() else ", does not exist"
