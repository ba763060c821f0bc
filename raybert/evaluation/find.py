"""What a path on the command line stands for: a results folder, one of its trials, or the folder of a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raybert.durable import current_folder
from raybert.errors import SweepError
from raybert.files import read_json
from raybert.links import check_no_link
from raybert.sweeping.folder.best import read_best_id
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.whose import refuse_others

_PLAN, _MODEL = "plan.json", "config.json"


@dataclass(frozen=True)
class Target:
    """A trained model, and the run that it is from.

    Attributes:
        model: its folder; it may be gone where only the predictions were kept.
        run: results folder of a sweep or of `raybert train`; None: a model alone.
        trial_id: of the run.
    """

    model: Path
    run: Path | None = None
    trial_id: str | None = None

    @property
    def is_checkpoint(self) -> bool:
        """Whether it is a checkpoint that the run has kept on its way, not its best evaluation."""
        return self.run is not None and self.model.name.startswith("step-")


def find_target(path: str | Path) -> Target:
    """Return the model that a path stands for.

    Args:
        path: a results folder (its best model), a folder below its `trials/`, or a model's folder, wherever that is.

    Raises:
        SweepError: none of these, or a results folder without a best model.
    """
    path = Path(path)
    if not path.is_dir():
        wrong = f": '{path.name}' is a file" if path.is_file() else ", does not exist"
        raise SweepError(f"{path}: must be a results folder, or the folder of a trial or of a model{wrong}")
    path = path.resolve()
    if (path / _PLAN).is_file():
        return _best_of(path)
    if _is_trial(path):
        return Target(current_folder(path / "checkpoint" / "best"), path.parent.parent, path.name)
    if not (path / _MODEL).is_file():
        raise SweepError(
            f"{path}: must be a results folder ({_PLAN}), or the folder of a trial (trials/<id>) or of a model "
            f"({_MODEL}); has {', '.join(sorted(entry.name for entry in path.iterdir())[:6]) or 'nothing'}"
        )
    if (path.name == "best" or path.name.startswith("step-")) and _is_trial(path.parent.parent):
        return Target(path, path.parents[3], path.parents[1].name)
    if (path / "trial_id").is_file() and (path.parent / _PLAN).is_file():
        return _best_of(path.parent)
    return Target(path)


def default_folder(path: str | Path) -> Path:
    """Return where `raybert evaluate` writes: `evaluation/` in a model's results folder, or in the working folder."""
    run = find_target(path).run
    folder = (run or Path.cwd()) / "evaluation"
    if run is not None:
        check_no_link([folder])
    return folder


def check_evaluation_folder(folder: Path) -> None:
    """Refuse to put an evaluation among files that are not one of raybert's; makes nothing.

    Raises:
        SweepError: the folder is neither empty nor one of an evaluation; says what is in it.
    """

    def is_own(place: Path, names: set[str]) -> bool:
        found = [(read_json(place / name) or {}).keys() for name in ("metrics.json", "about.json")]
        # Metrics are written first of all.
        return "intervals" in found[0] or "trial_id" in found[1] or names == {"checkpoints.csv"}

    refuse_others(folder, is_own, "a folder of `raybert evaluate`")


def _best_of(run: Path) -> Target:
    return Target(current_folder(run / "best"), run, read_best_id(SweepFolder(run)))


def _is_trial(path: Path) -> bool:
    return path.parent.name == "trials" and (path.parent.parent / _PLAN).is_file()
