"""raybert from Python: small real sweeps, whatever they are called from."""

import asyncio
import json
import os
import runpy
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest

import raybert
from raybert.config import dump_yaml
from tests.e2e import commands
from tests.processes import forked
from tests.ray_workers import warm_python

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("ray_cluster", "no_pixels")]
CONFIG = {
    "name": "small",
    "data": {"train_examples": 240, "validation_examples": 60, "test_examples": 80, "max_length": 32, "split_seed": 7},
    "model": {"encoder": "raybert-tiny"},
    "train": {"length": {"steps": 12}, "learning_rate": 1e-3, "eval_every": 6},
    "sweep": {"strategies": ["random", "el2n"], "seeds": 2},
}


@pytest.fixture(scope="module")
def events() -> list[raybert.Event]:
    return []


@pytest.fixture(scope="module")
def results(tmp_path_factory, events) -> raybert.Sweep:
    """The results of a sweep that was given as a mapping, called as a notebook does it: inside a running event loop."""

    async def cell() -> raybert.Sweep:
        return raybert.sweep(CONFIG, output=tmp_path_factory.mktemp("runs") / "small", progress=events.append)

    return asyncio.run(cell())


def test_a_sweep_returns_its_results_and_how_it_ended(results):
    outcome = results.outcome
    assert (outcome.num_complete, outcome.num_failed, outcome.num_pending, outcome.exit_code) == (6, 0, 0, 0)
    assert results.trials["role"].tolist() == ["proxy"] * 2 + ["trial"] * 4
    assert set(results.summary()["strategy"]) == {"proxy", "random", "el2n"}
    assert pd.read_csv(results.folder / "results" / "summary.csv")["strategy"].tolist() == list(
        results.summary()["strategy"]
    )
    assert (results.folder / "plots" / "accuracy.png").is_file()
    assert raybert.load_config(results.folder / "sweep.yaml") == raybert.load_config(CONFIG)
    assert raybert.status(results).strategies["el2n"] == {"complete": 2}
    assert raybert.report(results.folder).outcome is None


def test_the_command_line_gives_the_same_tables_from_a_file(results, tmp_path):
    (tmp_path / "small.yaml").write_text(dump_yaml(raybert.load_config(CONFIG)))
    done = commands.run("sweep", tmp_path / "small.yaml", "--output", tmp_path / "run")
    assert done.code == 0, done.said
    read = raybert.load_sweep(tmp_path / "run")
    tables = (
        (results.trials, read.trials),
        (results.evaluations, read.evaluations),
        (results.summary(), read.summary()),
    )
    for ours, theirs in tables:
        measured = [column for column in ours if "seconds" in column]
        pd.testing.assert_frame_equal(ours.drop(columns=measured), theirs.drop(columns=measured))
    first_lines = str(results).splitlines()[1:5]
    shown = [line.split()[:-1] for line in done.out.splitlines() if line.split()[:1] == ["el2n"]]  # all but the seconds
    assert shown == [line.split()[:-1] for line in first_lines if line.startswith("el2n")]
    assert len(shown) == 1


def test_a_callback_hears_events_in_their_order(results, events):
    assert all(isinstance(event, raybert.Event) for event in events)
    assert events[0].kind == "phase"
    begun = next(event for event in events if event.kind == "begin")
    assert (begun.done, begun.total, begun.text) == (0, 6, "6 trials")
    compared = results.trials[results.trials["role"] == "trial"]  # a proxy is evaluated once, at its end
    for trial_id in compared["trial_id"]:
        own = [event for event in events if event.trial_id == trial_id]
        assert [event.kind for event in own] == ["started", "evaluated", "evaluated", "ended"]
        assert [(event.done, event.total) for event in own[1:3]] == [(6, 12), (12, 12)]
        assert own[-1].status == "complete"
        rows = results.evaluations[results.evaluations["trial_id"] == trial_id]
        assert own[2].row["validation_accuracy"] == rows["validation_accuracy"].iloc[-1]
    ended = [event for event in events if event.kind == "ended"]
    assert [(event.done, event.total) for event in ended] == [(count, 6) for count in range(1, 7)]
    assert events.index(ended[1]) < next(i for i, event in enumerate(events) if event.kind == "scoring")


def test_the_same_call_again_extends_and_finds_what_is_finished(results):
    told = []
    more = raybert.sweep(CONFIG, output=results.folder, overrides={"sweep.seeds": 3}, progress=told.append)
    assert more.outcome.num_complete == len(more.trials) == 9
    assert next(event for event in told if event.kind == "begin").done == 6
    assert len([event for event in told if event.kind == "started"]) == 3


def test_trials_that_fail_are_in_the_outcome(tmp_path):
    broken = {"train.loss.name": "tests.faults.traps:room_for_none", "sweep.strategies": ["random"], "sweep.seeds": 1}
    failed = raybert.sweep(CONFIG, output=tmp_path / "run", overrides=broken)
    assert (failed.outcome.num_failed, failed.outcome.exit_code) == (1, 5)
    ((group,),) = (failed.outcome.errors,)
    assert group.trial_ids == tuple(failed.trials["trial_id"])
    assert group.message in str(failed)
    assert "1 failed" in repr(failed)


def test_a_run_in_another_thread_is_stopped_and_resumed(tmp_path):
    config = {**CONFIG, "train": {**CONFIG["train"], "length": {"steps": 4000}, "eval_every": 1}}
    folder, found, has_begun = tmp_path / "run", [], threading.Event()

    def listen(event: raybert.Event) -> None:
        if event.kind == "evaluated":
            has_begun.set()

    def work() -> None:
        found.append(raybert.train(config, output=folder, progress=listen))

    thread = threading.Thread(target=work)
    thread.start()
    assert has_begun.wait(120)
    raybert.stop(folder)
    thread.join(120)
    (stopped,) = found
    assert (stopped.outcome.num_pending, stopped.outcome.exit_code) == (1, 3)
    assert raybert.status(folder).owner is None
    with pytest.raises(raybert.SweepError, match="holds an unfinished run; continue it with --resume"):
        raybert.train(config, output=folder)
    # A shorter run from here on would be another one; what counts is that it goes on and can be stopped again.
    again = []

    def stop_soon(event: raybert.Event) -> None:
        again.append(event)
        if event.kind == "evaluated" and len([e for e in again if e.kind == "evaluated"]) == 1:
            threading.Thread(target=raybert.stop, args=(folder,)).start()

    resumed = raybert.train(config, output=folder, resume=True, progress=stop_soon)
    first = next(event for event in again if event.kind == "evaluated")
    assert first.done > 1
    assert resumed.outcome.exit_code == 3


def test_evaluating_and_predicting_take_a_file_a_table_or_texts(results, tmp_path):
    texts = ["Draw a histogram of values.", "Fit the model to data.", "Open a network socket."]
    frame = raybert.predict(results, texts)
    assert frame["text"].tolist() == texts
    assert frame.attrs["notes"] == []
    table = pd.DataFrame({"text": texts, "label": pd.Categorical(frame["predicted"])}, index=[5, 6, 7])
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    table.to_csv(tmp_path / "texts.csv", index=False)
    for source in (table, tmp_path / "texts.txt", str(tmp_path / "texts.csv"), pd.Series(texts), tuple(texts)):
        again = raybert.predict(results.folder, source, output=tmp_path / "predicted.parquet")
        pd.testing.assert_frame_equal(again, frame)
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "predicted.parquet"), frame)
    for data in (table, tmp_path / "texts.csv"):
        found = raybert.evaluate(results, data, resamples=0)
        assert found.metric("accuracy")[0] == 1.0
        assert found.plots == ()
    own = raybert.evaluate(results, resamples=0, output=tmp_path / "evaluation")
    assert own.metric("accuracy")[0] == pytest.approx(
        raybert.load_sweep(results.folder).trials.set_index("trial_id").loc[own.target.trial_id, "test_accuracy"]
    )
    assert {plot.name for plot in own.plots} <= {path.name for path in (tmp_path / "evaluation").iterdir()}
    assert not (results.folder / "evaluation").exists()
    assert "accuracy" in own._repr_html_()


def test_a_subset_comes_as_a_table(tmp_path):
    subset = raybert.select_subset(CONFIG, "el2n", budget=0.25, output=tmp_path / "subset.parquet")
    assert subset.frame["rank"].tolist() == list(range(1, 61))
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "subset.parquet"), subset.frame)
    assert repr(subset) == "<ChosenSubset: 60 of 240 examples>"


def test_a_plan_is_tables_and_an_estimate(tmp_path):
    planned = raybert.plan(CONFIG, output=tmp_path / "run")
    assert planned.trials["strategy"].tolist() == ["proxy"] * 2 + ["random", "el2n"] * 2
    assert planned.table.set_index("strategy")["num_trials"].to_dict() == {"proxy": 2, "random": 2, "el2n": 2}
    assert planned.estimate.wall_seconds.expected > 0
    assert f"estimate: {len(planned.estimate.trial_ids)} trials" in str(planned)  # proxies may be in the score store
    assert "<th>strategy</th>" in planned._repr_html_()
    assert not (tmp_path / "run").exists()
    too_large = raybert.plan(CONFIG, overrides={"resources.cpus_per_worker": 4096})
    assert (too_large.estimate, len(too_large.trials)) == (None, 6)
    assert "4096 CPU" in str(too_large.problem)
    assert raybert.validate(CONFIG) == raybert.SweepSize(num_trials=4, num_suggestions=0)


SCRIPT = """
import asyncio, io, json, sys, threading
import raybert

printed = sys.stdout = io.StringIO()
CONFIG = json.loads('''%s''')
first = raybert.sweep(CONFIG, output="one")


async def cell():
    return raybert.sweep(CONFIG, output="two")


second, third = asyncio.run(cell()), []
thread = threading.Thread(target=lambda: third.append(raybert.sweep(CONFIG, output="three")))
thread.start()
thread.join()

import ray

sys.stdout = sys.__stdout__
print(json.dumps({
    "printed": printed.getvalue(),
    "accuracies": [results.trials["test_accuracy"].tolist() for results in (first, second, *third)],
    "exit_codes": [results.outcome.exit_code for results in (first, second, *third)],
    "has_ray": ray.is_initialized(),
}))
"""


def _run_script(python: str, script: Path) -> None:
    """Run a script in a forked process, from its folder; the Ray that it starts has forked workers."""
    sys.executable = python
    os.chdir(script.parent)
    runpy.run_path(str(script), run_name="__main__")


def test_a_plain_script_runs_three_sweeps_each_with_a_ray_of_its_own(tmp_path):
    small = {**CONFIG, "sweep": {"strategies": ["random"], "seeds": 1}}
    (tmp_path / "script.py").write_text(SCRIPT % json.dumps(small))
    with forked(_run_script, warm_python(), tmp_path / "script.py") as script:
        code, lines = script.end()
    assert code == 0, lines
    said = json.loads(lines.splitlines()[-1])
    assert said["printed"] == ""  # without a listener nothing is
    assert said["exit_codes"] == [0, 0, 0]
    assert not said["has_ray"]
    assert said["accuracies"][0] == said["accuracies"][1] == said["accuracies"][2]
