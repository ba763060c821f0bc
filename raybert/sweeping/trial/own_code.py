"""A trial that runs code of a user's own never goes on with what other code has begun, and keeps word of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raybert.errors import ConfigError
from raybert.files import read_json
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.restarts import note_restart
from raybert.sweeping.folder.spec_file import FILE_NAME
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.plan.own_code import changed, code_of_run, digests
from raybert.sweeping.plan.specs import RunSpec


@dataclass(frozen=True)
class CodeOfTrial:
    """The code of a user's own that this process has imported for a trial.

    Attributes:
        digests: by key.
        problem: why the trial must not run it; empty: it may.
    """

    digests: Mapping[str, str]
    problem: str = ""


def begin_with_own_code(spec: RunSpec, folder: TrialFolder, sweep: SweepFolder) -> CodeOfTrial:
    """Return the code of a trial that is about to begin; what other code has trained of it is forgotten.

    Args:
        spec: of the trial.
        folder: of the trial, with what an earlier attempt has left.
        sweep: whose manifest says what code its driver has imported.
    """
    try:
        code = code_of_run(spec)
    except ConfigError:  # of a loss: the trial fails by it, and records it
        return CodeOfTrial({})
    other = changed(code, _known(folder, FILE_NAME)) if code else []
    if other:
        note_restart(folder.path, sweep.attempt, f"{other[0].what} changed: it is trained from its start")
        folder.forget_training()
    newer = changed(code, _known(sweep, "manifest.json")) if code else []
    if not newer:
        return CodeOfTrial(digests(code))
    return CodeOfTrial(
        digests(code),
        f"{newer[0].what} changed while the sweep ran; bring the old one back and try again with --retry failed "
        "(Python: `retry='failed'`), or give `output` a new folder",
    )


def _known(folder: TrialFolder | SweepFolder, name: str) -> Mapping[str, str]:
    return (read_json(folder.path / name) or {}).get("code") or {}
