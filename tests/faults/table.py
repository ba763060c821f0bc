"""The table at the end of the fault suite: what was tried, what came through, and how much finished work was lost."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass

import pytest

FAULT = "fault"
COLUMNS = ("fault", "tried", "survived", "lost")


@dataclass
class Fault:
    """Counts of one fault, over all the times that it is brought about.

    Attributes:
        name: of the fault.
        tried: how often it was brought about.
        survived: after how many of them the final state was as promised.
        lost: finished trials that were gone, or repeated, afterwards.
    """

    name: str
    tried: int = 0
    survived: int = 0
    lost: int = 0

    @contextlib.contextmanager
    def once(self) -> Iterator[None]:
        """Count one time: brought about on entering, survived unless the block raises."""
        self.tried += 1
        yield
        self.survived += 1


@pytest.fixture
def faults(request: pytest.FixtureRequest) -> Iterator[list[Fault]]:
    """The counts of this test's faults, named by its markers from top to bottom."""
    markers = [marker for marker in request.node.iter_markers() if marker.name == FAULT]
    counts = [Fault(marker.args[0]) for marker in reversed(markers)]
    yield counts
    # Properties travel with the report, from the processes of pytest-xdist too.
    for one in counts:
        request.node.user_properties.append((FAULT, [one.name, one.tried, one.survived, one.lost]))


@pytest.fixture
def fault(faults: list[Fault]) -> Fault:
    """The counts of this test's only fault."""
    (only,) = faults
    return only


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Count a test with a fault that does not count by itself: once brought about, and survived if it passes."""
    report = yield
    if report.when == "call" and not report.skipped and "faults" not in getattr(item, "fixturenames", ()):
        for marker in item.iter_markers(FAULT):
            item.user_properties.append((FAULT, [marker.args[0], 1, int(report.passed), 0]))
    return report


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{FAULT}(name): the fault that a test of the fault suite brings about")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, if faults were tried."""
    counts: dict[str, list[int]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", None) != "teardown":
                continue
            for key, value in report.user_properties:
                if key == FAULT:
                    row = counts.setdefault(value[0], [0, 0, 0])
                    counts[value[0]] = [have + more for have, more in zip(row, value[1:], strict=True)]
    if not counts:
        return
    terminalreporter.section("faults")
    width = max(len(name) for name in (*counts, COLUMNS[0]))
    terminalreporter.write_line(f"{COLUMNS[0]:<{width}}" + "".join(f"{name:>10}" for name in COLUMNS[1:]))
    for name, row in sorted(counts.items()):
        terminalreporter.write_line(f"{name:<{width}}" + "".join(f"{number:>10}" for number in row))
