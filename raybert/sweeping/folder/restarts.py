"""Why a run was begun again: `restarts.jsonl` in its folder, a line for every time but the first."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from raybert.files import append_json_line, read_json_lines
from raybert.sweeping.folder.heartbeat import read_beat

RESTARTS_FILE, ATTEMPTS_FILE = "restarts.jsonl", "attempts.jsonl"


def read_restarts(folder: Path) -> list[dict[str, Any]]:
    """Return of every restart, oldest first, `time`, `why`, the last `step` reported, and `owner` of the sweep."""
    return [line for line in read_json_lines(folder / RESTARTS_FILE) if isinstance(line.get("failed_attempts"), int)]


def note_restart(folder: Path, owner: int | None, why: str | None = None) -> str | None:
    """Write down that a run begins again, and return why; nothing if it begins for the first time.

    Args:
        folder: of the run, before its next process has sent a heartbeat.
        owner: number of the sweep's owner that begins it.
        why: the reason; default: what the run's files say of how it was left.
    """
    num_failed = len(read_json_lines(folder / ATTEMPTS_FILE))
    why = why or _how_it_was_left(folder, num_failed)
    if why is not None:
        step = int(read_beat(folder).get("step") or 0)
        line = {"time": time.strftime("%F %T"), "owner": owner, "step": step, "failed_attempts": num_failed, "why": why}
        append_json_line(folder / RESTARTS_FILE, line, is_durable=True)
    return why


def _how_it_was_left(folder: Path, num_failed: int) -> str | None:
    beat, restarts = read_beat(folder), read_restarts(folder)
    if num_failed > (restarts[-1]["failed_attempts"] if restarts else 0):
        last = read_json_lines(folder / ATTEMPTS_FILE)[-1]
        return f"attempt {num_failed} failed ({last.get('kind')}): {last.get('message')}"
    if not beat:
        return None
    if beat.get("ended"):
        return "it had been asked to save and stop"
    who = f"its process (pid {beat.get('pid')} on {beat.get('host')})"
    return f"{who} had ended without leaving a reason: the sweep was killed or cancelled, or the machine was lost"
