"""What was sent to a tracker: `tracking/<tracker>.json`, by which the same runs are gone on with."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raybert.files import of_types, read_json, replace_json

FOLDER = "tracking"
"""In the results folder; also for what trackers keep on this machine."""


@dataclass
class SentRun:
    """What was sent of a trial.

    Attributes:
        run: id that the tracker gave its run.
        step: of the last evaluation that was sent; -1: none yet.
        status: how it was said to have ended; empty: it was not.
    """

    run: str
    step: int = -1
    status: str = ""


@dataclass
class Book:
    """What was sent of a sweep to one tracker; nothing in it is a credential.

    Attributes:
        path: of the file.
        place: where the runs are.
        token: a word that tells this results folder from others with the same trials.
        sweep: id of the sweep's own run; empty: it has none yet.
        model: trial whose model was sent as the best one.
        runs: by trial.
    """

    path: Path
    place: str
    token: str = field(default_factory=lambda: secrets.token_hex(3))
    sweep: str = ""
    model: str = ""
    runs: dict[str, SentRun] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path, tracker: str, place: str) -> Book:
        """Return the book of a results folder; of another place, or damaged, an empty one.

        Args:
            folder: of the results.
            tracker: name.
            place: where its runs are now.
        """
        path = folder / FOLDER / f"{tracker}.json"
        found = _of_types(read_json(path), dict.fromkeys(("place", "token", "sweep", "model"), str) | {"runs": dict})
        if found.get("place") != place or not found.get("token"):
            return cls(path, place)
        runs = {key: run for key, value in found.get("runs", {}).items() if (run := _sent_run(value)) is not None}
        return cls(path, place, found["token"], found.get("sweep", ""), found.get("model", ""), runs)

    def write(self) -> None:
        """Write the file; a power cut may lose the last change, and what it was about is sent again."""
        self.path.parent.mkdir(exist_ok=True)  # not its parents: a folder that was deleted stays so
        runs = {key: vars(run) for key, run in self.runs.items()}
        content = {"place": self.place, "token": self.token, "sweep": self.sweep, "model": self.model, "runs": runs}
        replace_json(self.path, content)


def _sent_run(value: Any) -> SentRun | None:
    found = _of_types(value, {"run": str, "step": int, "status": str})
    return SentRun(**found) if "run" in found else None


def _of_types(value: Any, types: Mapping[str, type]) -> dict[str, Any]:
    """Return those keys of a mapping that are known, and as they are written."""
    known = of_types(value, types) if isinstance(value, dict) else {}
    return {key: known[key] for key in types if known.get(key) is not None}
