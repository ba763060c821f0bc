"""The beginning of a sweep: own its results folder, see that it is this sweep's, prepare the data, plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybert.durable import remove_folder, sync_tree
from raybert.errors import SweepError
from raybert.sweeping.driver.control import Interruption
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.driver.session import owned_folder
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.older import check_encoder_names
from raybert.sweeping.folder.repair import read_or_note, read_previous_config, set_aside_damaged_results
from raybert.sweeping.folder.spec_file import read_spec
from raybert.sweeping.folder.trial_folder import damaged_model_files
from raybert.sweeping.folder.versions import check_version
from raybert.sweeping.phases.prepare import Prepared, facts_of_pools, notes_on_memory, prepare_plan
from raybert.sweeping.phases.unchanged import changed_versions, check_code, check_data
from raybert.sweeping.plan.comparison import Plan
from raybert.sweeping.plan.design import Design
from raybert.sweeping.plan.extension import check_extension
from raybert.sweeping.plan.own_code import OwnCode, code_of_design
from raybert.sweeping.plan.roles import TRIAL
from raybert.sweeping.plan.run_notes import run_notes
from raybert.sweeping.plan.specs import RunSpec
from raybert.sweeping.trial.companions import are_companions, model_companions


@dataclass(frozen=True)
class OpenSweep:
    """A results folder that this process owns, and what is to be run in it.

    Attributes:
        folder: of the results.
        design: the sweep file, expanded.
        plan: all trials.
        prepared: their data, by key.
        interruption: tells whether the user asked to stop.
        progress: told about every event, and keeps `state.json`.
        code: of a user's own, that its runs run.
    """

    folder: SweepFolder
    design: Design
    plan: Plan
    prepared: dict[str, Prepared]
    interruption: Interruption
    progress: Progress
    code: tuple[OwnCode, ...]


@contextmanager
def open_sweep(design: Design, output: Path, progress: Progress) -> Iterator[OpenSweep]:
    """Own a results folder for the length of a `with` block, with the data of a sweep prepared and its runs planned.

    Raises:
        RaybertError: the folder is in use or of another sweep, or anything is wrong with the data or the budgets.
    """
    limit = design.config.limits.sweep_seconds
    with owned_folder(output.resolve(), progress, limit) as (folder, interruption):
        progress = interruption.progress
        progress.phase("prepare: load, split, tokenize")
        _check_same_sweep(folder, design, progress)
        plan, prepared = prepare_plan(design)
        manifest = read_or_note(folder.path / "manifest.json", progress.note) or {}
        check_data(folder, manifest, prepared)
        for note in changed_versions(manifest):
            progress.note(note)
        code = code_of_design(design)
        check_code(folder, code, progress.note)
        finished = [line for line in folder.planned() if _is_complete(folder, line)]
        # What a search compares in the end has ids that nobody knows yet, but the folder does.
        for note in changed_rules(finished, plan.trials) if not plan.arms else ():
            progress.note(note)
        ids = dict.fromkeys((*(spec.trial_id for spec in plan.trials), *(line["trial_id"] for line in finished)))
        set_aside_damaged_results(folder, ids, progress.note)
        _mend_models(folder, ids, {spec.trial_id: spec for spec in plan.trials}, prepared, progress.note)
        for note in dict.fromkeys(note for ready in prepared.values() for note in ready.splits.notes):
            progress.note(f"note: {note}")
        for note in (*run_notes(plan.trials, facts_of_pools(prepared)), *notes_on_memory(plan.trials, prepared)):
            progress.note(f"note: {note}")
        for label in design.idle_rounds():
            progress.note(
                f"note: '{label}' reads nothing of the current model: its last round has selected what `once` selects"
            )
        yield OpenSweep(folder, design, plan, prepared, interruption, progress, tuple(code))


def _check_same_sweep(folder: SweepFolder, design: Design, progress: Progress) -> None:
    """Refuse a file that changes what the finished trials of a folder mean.

    Raises:
        SweepError: with the lines that differ.
    """
    check_version(folder.path)
    if folder.is_study:
        raise SweepError(f"output: must be the results folder of a sweep, but {folder.path} holds pretrained models")
    before = read_previous_config(folder.path, progress.note)
    if before is not None:
        check_encoder_names(folder.path, before, design.config)
        check_extension(before, design, search_begun=folder.decisions.exists())


def _mend_models(
    folder: SweepFolder,
    trial_ids: Iterable[str],
    specs: Mapping[str, RunSpec],
    prepared: Mapping[str, Prepared],
    note: Callable[[str], None],
) -> None:
    """Write anew what a power cut has emptied beside the weights of finished trials; a model without weights goes."""
    for trial_id in trial_ids:
        trial = folder.trial(trial_id)
        model = trial.checkpoints / "best"
        damaged = damaged_model_files(model) if trial.status() == "complete" else []
        if not damaged:
            continue
        names = ", ".join(path.name for path in damaged)
        if not are_companions(damaged):
            remove_folder(model)
            note(f"note: trials/{trial_id}: {names} of its model were empty; the model is lost, its results stand")
            continue
        try:
            spec = specs.get(trial_id) or read_spec(trial.path).spec
        except SweepError as error:
            note(f"note: trials/{trial_id}: {names} of its model are empty, and are not written anew: {error}")
            continue
        if spec.data_key in prepared:
            ready = prepared[spec.data_key]
            model_companions(spec, ready.data, ready.encoder)(model)
            sync_tree(model)
            note(f"note: trials/{trial_id}: {names} of its model were empty and are written anew")


def changed_rules(finished: Sequence[Mapping[str, Any]], specs: Sequence[RunSpec]) -> list[str]:
    """Return a note for every strategy whose finished trials do not count any more: its rule is another one since.

    Args:
        finished: trials of the folder, by their lines of the plan that is there.
        specs: trials of today's plan.
    """
    ids = {spec.trial_id for spec in specs}
    wanted = [_apart_from_its_id(spec.summary()) for spec in specs if spec.role == TRIAL]
    old = Counter(
        line["strategy"] for line in finished if line["trial_id"] not in ids and _apart_from_its_id(line) in wanted
    )
    return [
        f"note: '{label}' has another rule since {count} of its trials finished: they are trained anew, the old ones "
        "stay in trials/"
        for label, count in old.items()
    ]


def _apart_from_its_id(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: line.get(key) for key in ("role", "strategy", "seed", "fold", "budget", "total_steps", "grid")}


def _is_complete(folder: SweepFolder, line: Mapping[str, Any]) -> bool:
    return folder.trial(str(line["trial_id"])).status() == "complete"
