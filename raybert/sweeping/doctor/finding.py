"""What an examination finds: a line each, with its remedy where something is not as it should be."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from raybert.errors import ExitCode

Status = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        node: host where; empty: the cluster as a whole.
        status: ok; warning (sweeps run, slower or with less); failure (they will not run, or not all of them).
        text: what was found.
        remedy: what to do about it; empty: nothing.
    """

    check: str
    node: str
    status: Status
    text: str
    remedy: str = ""

    def __str__(self) -> str:
        where = f" ({self.node})" if self.node else ""
        return f"{self.status}: {self.check}{where}: {self.text}" + (f"; {self.remedy}" if self.remedy else "")


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was found.

    Attributes:
        findings: in the order of the examination.
    """

    findings: tuple[Finding, ...]

    def of(self, status: Status) -> tuple[Finding, ...]:
        """Return the findings of a status."""
        return tuple(one for one in self.findings if one.status == status)

    @property
    def exit_code(self) -> ExitCode:
        """How the command ends: warnings are no failures."""
        return ExitCode.FAILED if self.of("failure") else ExitCode.DONE

    @property
    def summary(self) -> str:
        """How much is how, in words."""
        counts = Counter(one.status for one in self.findings)
        failures, warnings = counts["failure"], counts["warning"]
        return (
            f"{counts['ok']} ok, {warnings} warning{'s' * (warnings != 1)}, {failures} failure{'s' * (failures != 1)}"
        )

    def __str__(self) -> str:
        return "\n".join([*map(str, self.findings), self.summary])
