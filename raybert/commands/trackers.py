"""`raybert track`: send a results folder to trackers, later than the sweep or once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybert.commands.arguments import Folder, folder_of
from raybert.config import Overrides, apply_overrides, importing, load_stored_config, validate_model
from raybert.config.packages import check_trackers
from raybert.config.pretraining import load_pretraining
from raybert.config.track import TRACKERS, TrackConfig
from raybert.errors import ConfigError, ExitCode, SweepError
from raybert.sweeping.storage.arguments import reads

if TYPE_CHECKING:
    from raybert.tracking.courier import Courier

_PLACES = ("uri", "server", "space", "entity", "folder")
"""Keys that name a place."""


@dataclass(frozen=True)
class Tracked:
    """What was sent of a results folder.

    Attributes:
        folder: of the results.
        sent: tracker -> trials (of a study: models) that it has now.
        failed: trackers that did not get all.
        noun: what its runs are: trial, or model.
    """

    folder: Path
    sent: dict[str, int]
    failed: tuple[str, ...]
    noun: str = "trial"

    @property
    def exit_code(self) -> ExitCode:
        """How the command ends."""
        if not self.failed:
            return ExitCode.DONE
        return ExitCode.FAILED if len(self.failed) == len(self.sent) else ExitCode.SOME_FAILED

    def __str__(self) -> str:
        lines = [f"{name}: {count:,} {self.noun}s of {self.folder} are there" for name, count in self.sent.items()]
        return "\n".join(f"{line}, not all was sent" if line.split(":")[0] in self.failed else line for line in lines)


@reads("models")
def track(
    folder: Folder,
    to: str | Sequence[str] = (),
    *,
    overrides: Overrides = (),
    trust: bool = False,
    note: Callable[[str], None] | None = None,
) -> Tracked:
    """Send what trackers do not have yet of a results folder: trials that have ended, tables, plots, the best model.

    Of a study: models that have ended, tables and plots of `crosseval` and `probe`, the page.

    Args:
        folder: a sweep or its results folder, or that of a pretraining file.
        to: trackers (mlflow, wandb, trackio, clearml, tensorboard); default: those of the folder's own file.
        overrides: keys of `track`, as for `load_config`: `{"track.mlflow.uri": "https://host"}`.
        trust: send to servers and write to folders that the folder's own file names.
        note: called with what goes wrong on the way, in a line.

    Returns:
        How many trials each tracker has now.

    Raises:
        ConfigError: no tracker, or an unknown one, or a package is missing.
        SweepError: it is no results folder, a process is at work there, or its file names places and is not trusted.

    Example:
        >>> raybert.track("runs/strategies", "mlflow", overrides={"track.mlflow.experiment": "selection"}).sent
        {'mlflow': 30}
    """
    from raybert.sweeping.driver.status import check_holds_sweep
    from raybert.sweeping.folder.layout import SweepFolder
    from raybert.sweeping.folder.owner import is_alive
    from raybert.tracking.courier import Courier
    from raybert.tracking.delivery import noun_of, trial_ids
    from raybert.tracking.makers import deliveries

    path = folder_of(folder).resolve()
    check_holds_sweep(path)
    if is_alive(path):
        raise SweepError(f"{path}: must have ended, but a process is at work there, which sends what its file asks for")
    config = _section(path, (to,) if isinstance(to, str) else to, overrides, trust=trust)
    check_trackers(config)
    tell = (lambda _: None) if note is None else (lambda line: note(line.removeprefix("note: ")))
    couriers = [Courier(delivery, tell) for delivery in deliveries(config, SweepFolder(path))]
    ids = trial_ids(path)
    for courier in couriers:
        for trial_id in courier.delivery.pending(ids):
            courier.hear(trial_id)
        courier.start()
        courier.finish(has_results=True)
    failed = [courier.delivery.name for courier in couriers if not courier.is_done(None)]
    sent = {courier.delivery.name: _num_sent(courier, ids) for courier in couriers}
    return Tracked(path, sent, tuple(failed), noun_of(SweepFolder(path)))


def _num_sent(courier: Courier, ids: Sequence[str]) -> int:
    return sum(bool(run.status) for trial_id, run in courier.delivery.book.runs.items() if trial_id in ids)


def _section(path: Path, to: Sequence[str], overrides: Overrides, *, trust: bool) -> TrackConfig:
    """Return the trackers that are asked for: those of the folder's own file, or those that are named."""
    for name in to:
        if name not in TRACKERS:
            raise ConfigError(f"to: must be of {', '.join(TRACKERS)}, got '{name}'")
    own = _own_section(path).model_dump(mode="json", exclude_none=True)
    wanted = [name for name in TRACKERS if (name in to if to else name in own)]
    if not wanted:
        raise ConfigError(f"to: must name a tracker ({', '.join(TRACKERS)}): the file of {path} has no `track`")
    document = apply_overrides({"track": {name: own.get(name, {}) for name in wanted}}, overrides)
    if document.keys() != {"track"}:
        raise ConfigError(f"overrides: must be keys of `track`, got {', '.join(sorted(document.keys() - {'track'}))}")
    found = validate_model(TrackConfig, document["track"], "track")
    if not trust:
        _refuse_places(path, found, own)
    return found


def _own_section(path: Path) -> TrackConfig:
    """Return what the file of a results folder says of trackers; nothing that it names is imported."""
    from raybert.sweeping.folder.layout import SweepFolder

    place = path / "resolved.yaml"
    if not SweepFolder(path).is_study:
        return load_stored_config(place).track
    with importing("labels"):
        return load_pretraining(place).track


def _refuse_places(path: Path, found: TrackConfig, own: Mapping[str, Any]) -> None:
    """Refuse to send where the file of a folder says, which may be somebody else's: with it would go credentials.

    Raises:
        SweepError: names the keys.
    """
    named = [
        f"track.{name}.{key}"
        for name, config in found.asked_for()
        for key in _PLACES
        if (place := getattr(config, key, None)) is not None and place == own.get(name, {}).get(key)
    ]
    if named:
        raise SweepError(
            f"{path}: its file says where to send ({', '.join(named)}); add --trust (Python: `trust=True`) if you know "
            "the place, or name another one"
        )
