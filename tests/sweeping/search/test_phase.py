"""The tune phase on real training runs: what it writes, what it leaves alone, what the comparison takes over."""

import io
import json
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import optuna
import pytest
from rich.console import Console

import raybert
from raybert.config import StrategyConfig, validate_config
from raybert.data.examples import without_test
from raybert.errors import DataError
from raybert.selection.catalogue import build_strategy
from raybert.sweeping.driver.progress import SearchCounts
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan import entries, grid
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.grid import Variant
from raybert.sweeping.plan.roles import TUNE
from raybert.sweeping.plan.run_maker import RunMaker
from raybert.sweeping.runner import run_sweep
from raybert.sweeping.trial.run import run_trial
from raybert.terminal.sweep_progress import PlainProgress, search_counts_table
from tests.sweeping.search.driving import events

SPACE = {
    "train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "strategies.el2n.direction": {"choice": ["hard", "easy"]},
}


def config_of(**tune):
    return validate_config(
        {
            "name": "searched",
            "data": {"max_length": 32, "train_examples": 200, "validation_examples": 60, "test_examples": 60},
            "train": {"length": {"steps": 10}, "batch_size": 16, "eval_every": 2},
            "resources": {"concurrent_trials": 1},  # a process takes longer to begin than these runs take
            "selection": {"budget": 0.2, "proxy": {"per_seed": False}},  # one serves search and comparison
            "sweep": {
                "strategies": ["random", "el2n"],
                "seeds": 2,
                "tune": {
                    "suggestions_per_strategy": 3,
                    "startup_suggestions": 2,
                    "seeds_per_suggestion": 2,
                    "space": SPACE,
                    **tune,
                },
            },
        }
    )


def run(config, folder):
    lines = io.StringIO()
    outcome = run_sweep(read_design(config), folder, PlainProgress(Console(file=lines, width=200)))
    return outcome, lines.getvalue()


@pytest.fixture(scope="module")
def searched(ray_cluster, tmp_path_factory):
    folder = tmp_path_factory.mktemp("searched")
    with counted_expansions() as counts:
        outcome, printed = run(config_of(), folder)
    assert outcome.exit_code == 0, printed
    (folder / "printed.txt").write_text(printed)
    (folder / "expansions.json").write_text(json.dumps(counts))
    return folder


@contextmanager
def counted_expansions():
    """Counts, wherever it is called from, how often the grid and the strategies of a sweep file are expanded."""
    counts = Counter()

    def count(name, function):
        def counting(*arguments):
            counts[name] += 1
            return function(*arguments)

        return counting

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "product", count("grids", grid.product))
        patch.setattr(entries, "_read_entry", count("strategies", entries._read_entry))
        yield counts


pytestmark = [pytest.mark.slow, pytest.mark.ray]


@pytest.mark.long
def test_a_sweep_file_is_expanded_once_in_a_whole_sweep_with_a_search(searched):
    counts = json.loads((searched / "expansions.json").read_text())
    assert counts == {"grids": 1, "strategies": 2}  # it has two strategies


def test_phases_follow_each_other_and_suggestions_are_counted(searched):
    printed = (searched / "printed.txt").read_text()
    phases = [
        "tune: proxies",
        "score: signals",
        "tune: search",
        "[6/6]",
        "compare",
    ]
    places = [printed.find(phase) for phase in phases]
    assert -1 not in places
    assert places == sorted(places)
    assert printed.count("[6/6]") == 1


def load_studies(folder):
    """The studies by arm, as anybody reads them with Optuna."""
    url = f"sqlite:///{folder / 'study.db'}"
    found = [optuna.load_study(study_name=name, storage=url) for name in optuna.get_all_study_names(url)]
    return {study.user_attrs["arm"]: study for study in sorted(found, key=lambda study: study.user_attrs["order"])}


def test_the_studies_hold_every_suggestion_with_its_runs(searched):
    studies = load_studies(searched)
    assert list(studies) == ["random", "el2n"]
    for arm, study in studies.items():
        assert study.user_attrs == {
            "strategy": arm,
            "grid": {},
            "metric": "accuracy",
            "order": list(studies).index(arm),
            "arm": arm,
        }
        assert [trial.number for trial in study.trials] == [0, 1, 2]
        for trial in study.trials:
            assert trial.state.is_finished()
            folders = [SweepFolder(searched).trial(run) for run in trial.user_attrs["runs"]]
            if trial.state == optuna.trial.TrialState.COMPLETE:
                rows = [max(row["validation_accuracy"] for row in folder.rows()) for folder in folders]
                assert trial.user_attrs["values"] == pytest.approx(rows)
                assert trial.value == pytest.approx(np.mean(rows))
                assert [folder.status() for folder in folders] == ["complete"] * 2
            else:
                assert "pruned" in {folder.status() for folder in folders}
            assert not any(folder.checkpoints.exists() for folder in folders)
    assert all(
        study.trials[0].params["train.learning_rate"] == studies["random"].trials[0].params["train.learning_rate"]
        for study in studies.values()
    )


def test_runs_of_the_search_have_no_test_results_and_are_in_no_table(searched):
    results = raybert.load_sweep(searched)
    runs = [
        run for study in load_studies(searched).values() for trial in study.trials for run in trial.user_attrs["runs"]
    ]
    complete = [
        SweepFolder(searched).trial(run) for run in runs if SweepFolder(searched).trial(run).status() == "complete"
    ]
    assert complete
    for folder in complete:
        assert not [key for key in folder.result() if key.startswith("test_")]
        assert set(results.predictions(folder.path.name)["split"]) == {"validation"}
    assert not set(runs) & set(results.trials["trial_id"])
    assert results.trials.query("role == 'trial'")["test_accuracy"].notna().all()


def test_the_comparison_trains_with_the_best_values_on_other_seeds(searched):
    plan = json.loads((searched / "plan.json").read_text())
    assert plan["search"] == [{"arm": arm, "strategy": arm, "grid": {}, "suggestions": 3} for arm in ("random", "el2n")]
    trials = [trial for trial in plan["trials"] if trial["role"] == "trial"]
    assert [(trial["strategy"], trial["seed"]) for trial in trials] == [
        ("random", 0),
        ("el2n", 0),
        ("random", 1),
        ("el2n", 1),
    ]
    best = {arm: study.best_params for arm, study in load_studies(searched).items()}
    for trial in trials:
        text = (searched / "trials" / trial["trial_id"] / "config.yaml").read_text()
        stored = validate_config(raybert.config.load.read_yaml(searched / "trials" / trial["trial_id"] / "config.yaml"))
        assert stored.train.learning_rate == best[trial["strategy"]]["train.learning_rate"]
        direction = best["el2n"]["strategies.el2n.direction"]
        assert trial["strategy"] == "random" or f"'direction': '{direction}'" in text


def test_the_same_command_runs_nothing_and_more_suggestions_only_the_difference(searched):
    before = events(searched)
    stamps = {path: path.stat().st_mtime_ns for path in searched.glob("trials/*/result.json")}
    outcome, printed = run(config_of(), searched)
    assert outcome.exit_code == 0
    assert events(searched) == before
    assert "tune:" not in printed
    assert {path: path.stat().st_mtime_ns for path in searched.glob("trials/*/result.json")} == stamps
    outcome, printed = run(config_of(suggestions_per_strategy=4), searched)
    assert outcome.exit_code == 0
    assert events(searched)[: len(before)] == before
    assert [len(study.trials) for study in load_studies(searched).values()] == [4, 4]
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_a_run_of_the_search_never_reads_the_test_split(prepared, tmp_path):
    """Its data have none: a run that reads it fails, and the run of a search does not."""
    config = validate_config(config_of().model_dump(mode="json") | {"sweep": {}})
    maker = RunMaker(Variant({}, config), prepared.facts, seed=1000)
    spec = maker.trial("random", build_strategy(StrategyConfig(name="random")), (), TUNE)
    data = without_test(prepared.data)
    with pytest.raises(DataError, match=r"data\.test: must not be read while hyperparameters are tuned"):
        len(data.test)
    folder = SweepFolder(tmp_path)
    assert run_trial(spec, data, prepared.encoder, (), folder, lambda row: None) == "complete"
    assert "test" not in (folder.trial(spec.trial_id).path / "result.json").read_text()
    compared = replace(spec, role="trial", trial_id="compared")
    assert run_trial(compared, data, prepared.encoder, (), folder, lambda row: None) == "failed"
    assert "must not be read while" in folder.trial("compared").error()
    for role in ("tune", "part"):  # they hide the split themselves; parts train what signals of tuning seeds read
        hidden = replace(spec, trial_id=f"whole-{role}", role=role)
        assert run_trial(hidden, prepared.data, prepared.encoder, (), folder, lambda row: None) == "complete"
        assert "test" not in (folder.trial(hidden.trial_id).path / "result.json").read_text()


def test_the_live_table_has_a_row_for_every_arm():
    tally = SearchCounts(total=6)
    tally.counts.update(complete=2, pruned=1, failed=1, running=1)
    console = Console(file=io.StringIO(), width=100)
    console.print(search_counts_table({"el2n selection.budget=0.1": tally}))
    row = console.file.getvalue().splitlines()[1].split()
    assert row == ["el2n", "selection.budget=0.1", "2", "1", "1", "1", "6"]
