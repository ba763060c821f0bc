import io

import pandas as pd
import pytest
from rich.console import Console

from raybert.analysis import find_failures, load_sweep, publish_results
from raybert.analysis.results.failures import end_of_log, reproduce_command
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.terminal import failures as terminal
from tests.analysis.folders import make_spec, write_error, write_plan, write_result

NAN = "TrialError: step {}: the training loss must be finite, got nan for {} examples ({})"


def write_failures(folder, errors):
    """Write a sweep whose trials failed with these errors, by strategy and seed; None: complete."""
    specs = {key: make_spec(*key) for key in errors}
    write_plan(folder, list(specs.values()))
    for key, error in errors.items():
        if error is None:
            write_result(folder, specs[key], 0.8)
        else:
            write_error(folder, specs[key], error)
    return folder


def test_groups_are_counted_and_led_by_a_trial_that_failed_itself(tmp_path):
    read = "TrialError: its proxy 0123456789ab failed: "
    folder = write_failures(
        tmp_path,
        {
            ("random", 0): "KeyError: 'label'",
            ("el2n", 0): read + NAN.format(7, 32, "866ffea194ce6ea2"),
            ("proxy", 0): NAN.format(7, 32, "866ffea194ce6ea2"),
            ("proxy", 1): NAN.format(9, 32, "4668dd70fbf7fe1b"),
            ("all", 0): None,
        },
    )
    first, second = find_failures(load_sweep(folder))
    assert [failure.trial_id for failure in first.failures] == ["proxy-40-0", "proxy-40-1", "el2n-40-0"]
    assert (first.num_readers, first.message) == (1, NAN.format(7, 32, "866ffea194ce6ea2"))
    assert len(second.failures) == 1
    assert reproduce_command("my run", second.first) == "raybert reproduce 'my run' random-40-0"


@pytest.mark.slow
def test_node_kind_attempts_and_the_end_of_the_log_are_told(tmp_path):
    folder = write_failures(tmp_path, {("random", 0): "ValueError: no"})
    trial = folder / "trials" / "random-40-0"
    (trial / "log.txt").write_text("1 INFO begun\n" + "".join(f"line {i}\n" for i in range(9)) + "pkg.ValueError: no\n")
    for _ in range(3):
        TrialFolder(trial).fail("ValueError: no\nTraceback (most recent call last):\n  ...\n", "nan", "gpu7")
    (group,) = find_failures(load_sweep(folder))
    assert (group.kind, group.first.failure.node, group.first.failure.attempts) == ("nan", "gpu7", 3)
    assert end_of_log(folder, group.first) == tuple(f"line {i}" for i in range(3, 9))
    (trial / "failure.json").write_text("{")
    (trial / "log.txt").unlink()
    (group,) = find_failures(load_sweep(folder))
    assert (group.kind, end_of_log(folder, group.first)) == ("error", ("Traceback (most recent call last):", "  ..."))


@pytest.mark.long
@pytest.mark.slow
def test_the_table_names_every_trial_and_is_empty_without_failures(tmp_path):
    folder = write_failures(tmp_path / "failed", {("random", i): f"ValueError: {i}" for i in range(3)})
    publish_results(folder)
    (row,) = pd.read_csv(folder / "results" / "errors.csv").to_dict("records")
    assert (row["num_trials"], row["trials"]) == (3, "random-40-0 random-40-1 random-40-2")
    assert row["reproduce"] == f"raybert reproduce {folder} random-40-0"
    publish_results(write_failures(tmp_path / "complete", {("random", 0): None}))
    assert pd.read_csv(tmp_path / "complete" / "results" / "errors.csv").empty


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40)])
def test_the_screen_holds_the_largest_groups_and_counts_the_rest(tmp_path, monkeypatch, width, height):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("LINES", str(height))
    kinds = "abcdefghijklm"
    errors = {(kind, i): f"{kind}Error: wrong" for kind in kinds for i in range(1 + (kind == "c"))}
    folder = write_failures(tmp_path, errors)
    out = io.StringIO()
    monkeypatch.setattr(terminal, "Console", lambda: Console(file=out))
    terminal.print_failures(load_sweep(folder))
    lines = out.getvalue().splitlines()
    assert lines[0] == "failed: 14 trials, 13 distinct errors"
    assert lines[1:3] == ["cError: wrong", "    in 2 trials: c x 2"]
    assert len(lines) <= height
    shown = sum(line.endswith("Error: wrong") for line in lines)
    assert f"and {13 - shown} more distinct errors of {13 - shown} trials: " in lines[-1]
    assert shown >= 2
