"""A trial that runs code of a user's own never goes on with what other code has begun, and keeps word of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raybert.errors import ConfigError
from raybert.files import read_json
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.spec_file import FILE_NAME
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.plan.own_code import changed, code_of_run, digests
from raybert.sweeping.plan.specs import RunSpec


@dataclass(frozen=True)
class CodeOfTrial:
    """The code of a user's own that this process has imported for a trial.

    Attributes:
        digests: by key.
        begun_by_other: what has changed since an earlier attempt at the trial, in words; empty: nothing.
        problem: why the trial must not run it; empty: it may.
    """

    digests: Mapping[str, str]
    begun_by_other: str = ""
    problem: str = ""

    @property
    def why_anew(self) -> str | None:
        """Why the trial begins from its start, for `restarts.jsonl`; None: it does not."""
        return f"{self.begun_by_other} changed: it is trained from its start" if self.begun_by_other else None


def check_code(spec: RunSpec, folder: TrialFolder, sweep: SweepFolder) -> CodeOfTrial:
    """Return the code of a trial that is about to begin.

    Args:
        spec: of the trial.
        folder: of the trial, with what an earlier attempt has left.
        sweep: whose manifest says what code its driver has imported.
    """
    try:
        code = code_of_run(spec)
    except ConfigError:  # of a loss: the trial fails by it, and records it
        code = []
    if not code:
        return CodeOfTrial({})
    begun, newer = (changed(code, _known(each)) for each in (folder.path / FILE_NAME, sweep.path / "manifest.json"))
    problem = (
        f"{newer[0].what} changed while the sweep ran; bring the old one back and try again with --retry failed "
        "(Python: `retry='failed'`), or give `output` a new folder"
        if newer
        else ""
    )
    return CodeOfTrial(digests(code), begun[0].what if begun else "", problem)


def _known(path: Path) -> Mapping[str, str]:
    return (read_json(path) or {}).get("code") or {}
