"""What a machine or a cluster has and lacks, a line each, with what to do about it."""

from __future__ import annotations

from raybert.sweeping.doctor.finding import Diagnosis, Finding
from raybert.terminal.console import Console, say

_STYLES = {"ok": "", "warning": "yellow", "failure": "red"}


def print_finding(finding: Finding) -> None:
    """Print what one check found, and below it the remedy."""
    console = Console()
    where = f" ({finding.node})" if finding.node else ""
    say(console, f"{finding.status:<8}{finding.check}{where}: {finding.text}", _STYLES[finding.status])
    if finding.remedy:
        say(console, f"        {finding.remedy}", _STYLES[finding.status])


def print_diagnosis(diagnosis: Diagnosis) -> None:
    """Print how much is how."""
    say(Console(), diagnosis.summary)
