"""How a sweep stands, read from its files while another process runs it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybert.durable import current_folder
from raybert.errors import SweepError
from raybert.files import is_whole_parquet, of_types, read_json, read_json_lines
from raybert.plain import printable
from raybert.sweeping.driver.progress import clock
from raybert.sweeping.folder.failures import FailureGroup, group_failures
from raybert.sweeping.folder.heartbeat import read_beat
from raybert.sweeping.folder.last_evaluation import LastEvaluation, last_evaluation
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.owner import current_attempt, is_alive, read_owner
from raybert.sweeping.folder.restarts import read_restarts
from raybert.sweeping.folder.signs import age_seconds
from raybert.sweeping.folder.trial_folder import TrialFolder, damaged_model_files
from raybert.sweeping.folder.versions import check_version
from raybert.sweeping.folder.whose import check_is_results_folder

_MOST_RESTARTED = 10
"""Lines of the screen; a driver that was killed restarts all that it had running."""
_STATES_AT_REST = ("stopped", "ended")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "phase": str,
    "running": list,
    "is_paused": bool,
    "silent_seconds": dict,
    **dict.fromkeys(("phase_seconds", "remaining_seconds"), (int, float)),
}
"""Of what `state.json` says, for one that is damaged."""
_MOST_SECONDS_BEHIND = 10.0
"""How old `state.json` of a driver at work can be: it writes every five seconds. A clock that was set says more."""


@dataclass(frozen=True)
class RunningTrial:
    """A trial whose process is at work.

    Attributes:
        trial_id: which.
        strategy: its label.
        seed: of the sweep.
        step: optimizer steps done.
        total_steps: T.
        silent_seconds: since its last heartbeat.
        host: where it runs.
        restarted: when and why it was begun again last; empty: it was not.
        last: its newest evaluation; None: there is none yet.
    """

    trial_id: str
    strategy: str
    seed: int
    step: int
    total_steps: int
    silent_seconds: float | None
    host: str | None
    restarted: str = ""
    last: LastEvaluation | None = None


@dataclass(frozen=True)
class RestartedTrial:
    """A trial that was begun more than once, and is not at work now.

    Attributes:
        trial_id: which.
        strategy: its label.
        seed: of the sweep.
        restarts: when and why, oldest first (`trials/<id>/restarts.jsonl`).
    """

    trial_id: str
    strategy: str
    seed: int
    restarts: tuple[str, ...]


@dataclass(frozen=True)
class SweepStatus:
    """How a sweep stands.

    Attributes:
        folder: of the results.
        owner: who runs it, in words; None: nobody.
        left_by: who ran it and ended without leaving, if so.
        owner_silent_seconds: since the owner's last heartbeat.
        phase: what it is doing, or how it ended.
        phase_seconds: for how long; None: it is over.
        remaining_seconds: estimate of the phase, if there is one.
        strategies: label -> number of trials by state.
        running: trials at work.
        restarted: other trials that were begun more than once.
        errors: distinct failures, most frequent first.
        search: by arm, how many suggestions are planned, running, complete, pruned and failed.
        damaged: files that cannot be read.
    """

    folder: Path
    owner: str | None
    left_by: str | None
    owner_silent_seconds: float | None
    phase: str
    phase_seconds: float | None
    remaining_seconds: float | None
    strategies: dict[str, dict[str, int]]
    running: tuple[RunningTrial, ...]
    restarted: tuple[RestartedTrial, ...]
    errors: tuple[FailureGroup, ...]
    search: dict[str, dict[str, int]]
    damaged: tuple[str, ...]

    @property
    def is_study(self) -> bool:
        """Whether its runs are the models of a pretraining file."""
        return SweepFolder(self.folder).is_study

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        errors = [
            {"kind": group.kind, "message": group.message, "trials": list(group.trial_ids)} for group in self.errors
        ]
        return {**dataclasses.asdict(self), "folder": str(self.folder), "errors": errors}

    def __str__(self) -> str:
        return "\n".join(map(printable, status_lines(self)))


def read_status(path: Path) -> SweepStatus:
    """Return how the sweep in a results folder stands.

    Raises:
        SweepError: it is no results folder, or a later raybert wrote it.
    """
    check_holds_sweep(path)
    plan, state = SweepFolder(path).plan(), of_types(read_json(path / "state.json") or {}, _TYPES)
    owner = read_owner(path)
    alive = is_alive(path)
    trials = list((plan or {}).get("trials") or [])
    at_work = set(map(str, state.get("running") or [])) if alive else set()
    folder = SweepFolder(path)
    states = {str(trial["trial_id"]): _state_of(folder, str(trial["trial_id"]), at_work) for trial in trials}
    others = [run for run in folder.unplanned() if run["trial_id"] not in states]
    outside = {trial["trial_id"]: _state_outside(folder, trial["trial_id"], alive=alive) for trial in others}
    counts: dict[str, Counter[str]] = {}
    for trial in trials:
        label = "proxy" if trial.get("role") == "proxy" else str(trial["strategy"])
        counts.setdefault(label, Counter())[states[str(trial["trial_id"])]] += 1
    behind = min(age_seconds(path / "state.json") or 0.0, _MOST_SECONDS_BEHIND)
    return SweepStatus(
        folder=path,
        owner=(str(owner) if owner else "a process that owner.json does not name") if alive else None,
        left_by=str(owner) if owner and not alive else None,
        owner_silent_seconds=age_seconds(path / "owner.json"),
        phase=_phase(state, alive=alive),
        phase_seconds=float(state.get("phase_seconds") or 0.0) + behind if alive else None,
        remaining_seconds=_remaining(state, behind) if alive else None,
        strategies={label: dict(counter) for label, counter in counts.items()},
        running=tuple(
            _running(folder, [*trials, *others], states | outside, state.get("silent_seconds") or {}, behind)
        ),
        restarted=tuple(_restarted(folder, [*trials, *others], states | outside)),
        errors=group_failures(folder.failed([*trials, *others])),
        search=_search(path, plan or {}),
        damaged=tuple(_damaged(folder, states)),
    )


def check_holds_sweep(path: Path) -> None:
    """Refuse to look into what is no results folder, or one of a later raybert.

    Raises:
        SweepError: it is.
    """
    check_is_results_folder(path)
    check_version(path)
    is_begun = SweepFolder(path).plan() is not None or (path / "trials").is_dir()
    if not is_begun and not read_json(path / "state.json") and read_owner(path) is None:
        raise SweepError(f"{path}: must be the results folder of a sweep, but has no plan.json")


def status_lines(status: SweepStatus) -> Iterator[str]:
    """Yield what is to say besides the table of strategies and the failures."""
    if status.owner is not None:
        yield f"running: {status.owner}, last heartbeat {status.owner_silent_seconds or 0:.0f} s ago"
    elif status.left_by is not None:
        yield f"not running: {status.left_by} ended without leaving; the same sweep command continues"
    else:
        yield "not running"
    lasted = f", for {clock(status.phase_seconds)}" if status.owner and status.phase_seconds is not None else ""
    left = f", about {clock(status.remaining_seconds)} left" if status.remaining_seconds is not None else ""
    yield f"phase: {status.phase}{lasted}{left}"
    for trial in status.running:
        silent = f", last heartbeat {trial.silent_seconds:.0f} s ago" if trial.silent_seconds is not None else ""
        where = f" on {trial.host}" if trial.host else ""
        yield (
            f"trial {trial.trial_id} ({trial.strategy} seed {trial.seed}): step {trial.step:,} of "
            f"{trial.total_steps:,}{where}{silent}"
        )
        if trial.last is not None:
            yield f"    {trial.last}"
        if trial.restarted:
            yield f"    begun again {trial.restarted}"
    for past in status.restarted[:_MOST_RESTARTED]:
        yield f"trial {past.trial_id} ({past.strategy} seed {past.seed}) was begun again {'; '.join(past.restarts)}"
    if len(status.restarted) > _MOST_RESTARTED:
        yield f"{len(status.restarted) - _MOST_RESTARTED:,} more were begun again: trials/*/restarts.jsonl"
    for arm, counts in status.search.items():
        words = ", ".join(f"{count} {state}" for state, count in counts.items() if state != "planned" and count)
        yield f"search {arm}: {words or 'nothing yet'} of {counts['planned']} suggestions"
    for name in status.damaged:
        yield f"damaged: {name}; the same sweep command repairs it"


def _state_of(folder: SweepFolder, trial_id: str, at_work: set[str]) -> str:
    state = folder.trial(trial_id).status()
    return "running" if state == "pending" and trial_id in at_work else state


def _state_outside(folder: SweepFolder, trial_id: str, *, alive: bool) -> str:
    """Return the state of a run that the driver does not list: at work if this owner's process has given a sign."""
    state = folder.trial(trial_id).status()
    beat = read_beat(folder.trial(trial_id).path)
    is_at_work = alive and state == "pending" and beat.get("attempt") == current_attempt(folder.path)
    return "running" if is_at_work else state


def _phase(state: dict[str, Any], *, alive: bool) -> str:
    phase = str(state.get("phase") or "unknown")
    return phase if alive or phase in _STATES_AT_REST else f"ended in the middle of: {phase}"


def _remaining(state: dict[str, Any], behind: float) -> float | None:
    """Return what is left of the estimate; while the sweep waits, no time passes."""
    remaining = state.get("remaining_seconds")
    if remaining is None:
        return None
    return max(0.0, float(remaining) - (0.0 if state.get("is_paused") else behind))


def _running(
    folder: SweepFolder,
    trials: list[dict[str, Any]],
    states: dict[str, str],
    silences: dict[str, float],
    behind: float,
) -> Iterator[RunningTrial]:
    for trial in trials:
        trial_id = str(trial["trial_id"])
        if states[trial_id] != "running":
            continue
        path = folder.trial(trial_id).path
        beat, silent = read_beat(path), None
        if beat:  # the driver counts silences by a clock that nobody sets
            seen = silences.get(trial_id)
            silent = age_seconds(path / "heartbeat.json") if seen is None else seen + behind
        step, total = int(beat.get("step") or 0), int(trial.get("total_steps") or beat.get("total_steps") or 0)
        restarts = _restarts_of(path)
        yield RunningTrial(
            trial_id,
            str(trial["strategy"]),
            int(trial.get("seed") or 0),
            step,
            total,
            silent,
            beat.get("host"),
            restarts[-1] if restarts else "",
            _last_evaluation(folder.trial(trial_id)),
        )


def _last_evaluation(trial: TrialFolder) -> LastEvaluation | None:
    """Return the newest evaluation of a run at work, by the metric that chooses its best one."""
    rows = trial.rows()
    config = ((read_json(trial.path / "spec.json") or {}).get("spec") or {}).get("config")
    metric = ((config or {}).get("train") or {}).get("best_metric")
    return last_evaluation(rows[-2:], str(metric)) if metric is not None else None


def _restarted(folder: SweepFolder, trials: list[dict[str, Any]], states: dict[str, str]) -> Iterator[RestartedTrial]:
    for trial in trials:
        trial_id = str(trial["trial_id"])
        restarts = () if states[trial_id] == "running" else _restarts_of(folder.trial(trial_id).path)
        if restarts:
            yield RestartedTrial(trial_id, str(trial["strategy"]), int(trial.get("seed") or 0), restarts)


def _restarts_of(path: Path) -> tuple[str, ...]:
    return tuple(f"{line.get('time')}: {line.get('why')}" for line in read_restarts(path))


def _search(path: Path, plan: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return how far the search of every arm is, from the log of its decisions."""
    counts = {str(arm["arm"]): Counter(planned=int(arm["suggestions"])) for arm in plan.get("search") or []}
    open_numbers: dict[str, set[int]] = {arm: set() for arm in counts}
    for line in read_json_lines(path / "decisions.jsonl"):
        arm = line.get("arm")
        if arm not in counts:
            continue
        if line.get("event") == "suggest":
            open_numbers[arm].add(line["number"])
            if line.get("retry_of") is not None:  # the new number stands for it
                counts[arm]["failed"] -= 1
        elif line.get("event") == "end":
            open_numbers[arm].discard(line["number"])
            counts[arm][str(line.get("status"))] += 1
    return {arm: {**counter, "running": len(open_numbers[arm])} for arm, counter in counts.items()}


def _damaged(folder: SweepFolder, states: dict[str, str]) -> Iterator[str]:
    for name in ("plan.json", "manifest.json", "state.json", "owner.json"):
        read = folder.plan() if name == "plan.json" else read_json(folder.path / name)
        if (folder.path / name).exists() and read is None:
            yield name
    for name in ("pool.parquet", "held_out.parquet"):
        if (folder.path / name).exists() and not is_whole_parquet(folder.path / name):
            yield name
    for trial_id, state in states.items():
        for path in folder.trial(trial_id).damaged() if state == "complete" else ():
            yield str(path.relative_to(folder.path))
    for model in (current_folder(folder.path / "best"), *(folder.trial(id_).checkpoints / "best" for id_ in states)):
        for path in damaged_model_files(model):
            yield str(path.relative_to(folder.path))
