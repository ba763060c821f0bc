"""Suggestions in turn, ASHA by arm, values over seeds: decided without Ray processes, by a planted objective."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from raybert.errors import ConfigError
from raybert.sweeping.cluster.tune_run import RUN_ENDED
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.arms import Arm
from raybert.sweeping.search.stopping import asha_of, examples_of_run, is_clearly_worse
from raybert.sweeping.search.tune import ArmScheduler
from tests.sweeping.search.driving import (
    RATE,
    TuneTrial,
    arms_of,
    config_of,
    drive,
    events,
    opened,
    rows_of,
    run_whole,
    study_rows,
)

pytestmark = pytest.mark.slow


def by_rate(spec):
    """Better with a higher rate, rising over ten evaluations; each seed has its own level."""
    rate = math.log10(spec.config.train.learning_rate) / 10 + 0.6
    return [rate + 0.01 * i + 0.001 * (spec.seed - 1000) for i in range(10)]


def test_every_arm_has_the_same_number_of_suggestions_at_any_time(tmp_path):
    run_whole(config_of({"suggestions_per_strategy": 5}), tmp_path, by_rate, slots=3)
    counts = {"random": 0, "random_stratified": 0}
    for event in events(tmp_path):
        if event["event"] == "suggest":
            counts[event["arm"]] += 1
            assert max(counts.values()) - min(counts.values()) <= 1
    assert set(counts.values()) == {5}


def test_the_start_up_points_of_all_arms_are_the_same(tmp_path):
    tune = {"space": {**RATE, "strategies.loss_threshold.threshold": {"low": 0.2, "high": 0.9}}}
    sweep = {"strategies": ["loss_threshold", "random"]}
    run_whole(config_of(tune, sweep=sweep), tmp_path, by_rate)
    rates = {}
    for event in events(tmp_path):
        if event["event"] == "suggest":
            rates.setdefault(event["arm"], []).append(event["params"]["train.learning_rate"])
            assert ("strategies.loss_threshold.threshold" in event["params"]) == (event["arm"] == "loss_threshold")
    assert rates["random"] == rates["loss_threshold"]
    assert len(set(rates["random"])) == 4


def brute_force_asha(reports, grace, factor, most, sign):
    """Decisions by Li et al. 2020, over rungs at grace * factor^k: stop what is worse than the rung's best 1/factor."""
    milestones = [grace * factor**k for k in range(int(math.log(most / grace) / math.log(factor) + 1))][::-1]
    rungs = {milestone: {} for milestone in milestones}
    decisions = []
    for number, seen, value in reports:
        stop = False
        for milestone in milestones:
            if seen >= milestone:
                if number not in rungs[milestone]:
                    known = list(rungs[milestone].values())
                    stop = bool(known) and sign * value < np.percentile(known, 100 * (1 - 1 / factor))
                    rungs[milestone][number] = sign * value
                break
        decisions.append(stop)
    return decisions


@pytest.mark.parametrize("metric", ["accuracy", "loss"])
def test_early_stopping_decides_as_a_plain_asha_does(metric):
    (arm, _) = arms_of(config_of({"metric": metric}))
    stopper = asha_of(config_of().sweep.tune.asha, arm)
    assert examples_of_run(arm.readers[0]) == 1000
    generator = np.random.default_rng(3)
    reports, stopped = [], set()
    decided = []
    for step, number in itertools.product(range(1, 11), range(12)):
        if number not in stopped:
            reports.append((number, step * 100, float(generator.random())))
            decided.append(stopper.report(*reports[-1]))
            if decided[-1]:
                stopped.add(number)
    assert decided == brute_force_asha(reports, 100, 3.0, 1000, arm.sign)
    assert 3 <= len(stopped) < 12


def test_examples_of_a_run_count_short_batches_as_they_are():
    config = config_of(train={"length": {"steps": 7}, "batch_size": 64})
    (arm, _) = arms_of(config)  # passes of 100: 64 and 36
    assert examples_of_run(arm.readers[0]) == 3 * 100 + 64


def test_stopped_suggestions_are_pruned_and_complete_ones_carry_the_best_value(tmp_path):
    def falling(spec):
        """The best evaluation is not the last one."""
        values = by_rate(spec)
        return [*values[:6], *(value - 0.2 for value in values[6:])]

    search = run_whole(config_of(), tmp_path, falling)
    pruned = complete = 0
    for (arm, number), (state, value, params, steps, attrs) in study_rows(search).items():
        rate = math.log10(params["train.learning_rate"]) / 10 + 0.6
        assert attrs["status"] == state.lower()
        assert attrs["seeds"] == [1000]
        assert attrs["runs"] == [spec.trial_id for spec in search.suggestions[arm, number].runs]
        if state == "PRUNED":
            pruned += 1
            assert "ASHA" in attrs["why"]
            assert attrs["values"] == []
            assert max(steps) < 1000
            assert attrs["examples_seen"] == max(steps)
        else:
            complete += 1
            assert value == pytest.approx(rate + 0.05)
            assert list(steps) == list(range(100, 1001, 100))
            assert steps[1000] == pytest.approx(value)  # the best so far
    assert (pruned, complete) == (4, 4)
    best = best_params_of(search)
    assert best == search.best()


def best_params_of(search):
    return {
        name: max(
            (row for row in search.suggestions.values() if row.arm.name == name and row.status == "complete"),
            key=lambda row: row.value,
        ).params
        for name in search.studies
    }


def test_of_two_equal_suggestions_the_earlier_one_is_the_best(tmp_path):
    search = run_whole(config_of(), tmp_path, lambda spec: [0.5] * 5)
    first = search.suggestions["random", 0].params
    assert search.best()["random"] == first
    assert search.incumbents["random"].number == 0


def test_a_failed_run_fails_its_suggestion_and_the_others_go_on(tmp_path):
    def failing(spec):
        return [0.5, math.nan] if spec.config.train.learning_rate > 3e-4 else by_rate(spec)

    search = run_whole(config_of({"asha": None, "seeds_per_suggestion": 2}), tmp_path, failing)
    states = [row[0] for row in study_rows(search).values()]
    assert states.count("FAIL") == 2
    assert states.count("COMPLETE") == 6
    failed = search.failed()
    assert {suggestion.why for suggestion in failed} == {"TrialError: the loss must be finite"}
    assert all(set(suggestion.ended_runs) == {1000} for suggestion in failed)


def test_values_that_cannot_be_together_fail_their_suggestion_and_the_others_go_on(tmp_path, monkeypatch):
    possible = Arm.runs

    def runs(arm, params):
        if params["train.learning_rate"] > 3e-4:
            raise ConfigError("train: must not be all three")
        return possible(arm, params)

    monkeypatch.setattr(Arm, "runs", runs)
    config = config_of({"asha": None})
    search = run_whole(config, tmp_path, by_rate)
    failed = search.failed()
    assert [(one.why, one.arm.name) for one in failed] == [
        ("ConfigError: train: must not be all three", name) for name in ("random", "random_stratified")
    ]
    assert Counter(row[0] for row in study_rows(search).values()) == {"COMPLETE": 6, "FAIL": 2}
    before = events(tmp_path)
    with opened(config, tmp_path) as again:
        assert not again.has_more()
        assert again.next() is None
    assert events(tmp_path) == before


def test_failed_suggestions_are_tried_again_once_with_the_same_values_as_new_ones(tmp_path):
    broken = True

    def failing(spec):
        return [0.5, math.nan] if broken and spec.config.train.learning_rate > 3e-4 else by_rate(spec)

    config = config_of({"asha": None})
    search = run_whole(config, tmp_path, failing)
    failed = {suggestion.arm.name: suggestion for suggestion in search.failed()}
    assert len(failed) == 2
    broken = False
    with opened(config, tmp_path) as again:
        assert not again.has_more()
        assert again.retry_failed("oom") == 0
        assert again.retry_failed("nan") == 2
        assert again.retry_failed("failed") == 0
        drive(again, failing)
        assert not again.failed()
        for name, suggestion in failed.items():
            assert again.suggestions[name, 4].params == suggestion.params
            assert again.suggestions[name, 4].status == "complete"
            assert again.tallies[name].num_pending == 0
            assert again.studies[name].trials()[4].user_attrs["retry_of"] == suggestion.number
    with opened(config, tmp_path) as third:
        assert not third.has_more()
        assert third.retry_failed("failed") == 0


def test_a_suggestion_runs_on_every_tuning_seed_and_carries_their_mean(tmp_path):
    search = run_whole(config_of({"seeds_per_suggestion": 3, "asha": None, "seed_test": None}), tmp_path, by_rate)
    for (_, _), (state, value, params, steps, attrs) in study_rows(search).items():
        rate = math.log10(params["train.learning_rate"]) / 10 + 0.6
        assert state == "COMPLETE"
        assert attrs["seeds"] == [1000, 1001, 1002]
        assert attrs["values"] == pytest.approx([rate + 0.09, rate + 0.091, rate + 0.092])
        assert value == pytest.approx(rate + 0.091)
        assert attrs["examples_seen"] == 3000
        assert list(steps.values()) == pytest.approx([rate + 0.01 * i for i in range(10)])  # of the first seed


def test_seeds_of_a_clearly_worse_suggestion_are_not_finished(tmp_path):
    """Noise of 0.01 between seeds: 0.001 below the best is not clear, 0.3 below is, after two seeds."""
    offsets = iter([0.0, -0.001, -0.3, 0.1])
    noise = {1000: 0.0, 1001: 0.01, 1002: -0.01, 1003: 0.02}
    jitter = {1000: 0.0, 1001: 0.002, 1002: -0.002, 1003: 0.001}
    levels = {}

    def planted(spec):
        rate = spec.config.train.learning_rate
        if rate not in levels:
            levels[rate] = next(offsets)
        offset = levels[rate]
        return [0.5 + offset + noise[spec.seed] + (jitter[spec.seed] if offset else 0.0)]

    config = config_of({"seeds_per_suggestion": 4, "asha": None}, sweep={"strategies": ["random"]})
    search = run_whole(config, tmp_path, planted)
    statuses = {number: suggestion.status for (_, number), suggestion in search.suggestions.items()}
    assert statuses == {0: "complete", 1: "complete", 2: "pruned", 3: "complete"}
    pruned = search.suggestions["random", 2]
    assert list(pruned.ended_runs) == [1000, 1001]
    assert "clearly worse" in pruned.why
    runs = [event for event in events(tmp_path) if event["event"] == "run" and event["number"] == 2]
    assert [event["decision"] for event in runs] == ["continue", "stop"]


def test_the_paired_test_is_scipys():
    from scipy.stats import ttest_rel

    generator = np.random.default_rng(0)
    seeds = range(5)
    for shift in (-0.3, -0.05, 0.0, 0.2):
        best = dict(zip(seeds, generator.random(5), strict=True))
        values = {seed: best[seed] + shift + 0.05 * generator.normal() for seed in seeds}
        p = ttest_rel(list(values.values()), list(best.values()), alternative="less").pvalue
        assert is_clearly_worse(values, best, 1.0, 0.05) == (p < 0.05)
        assert is_clearly_worse(values, best, -1.0, 0.05) == (1 - p < 0.05)
    assert is_clearly_worse({0: 0.5, 1: 0.6}, {0: 0.75, 1: 0.85}, 1.0, 0.05)
    assert not is_clearly_worse({0: 0.5, 1: 0.6}, {0: 0.5, 1: 0.6}, 1.0, 0.05)
    assert not is_clearly_worse({0: 0.1}, {0: 0.9}, 1.0, 0.05)


def test_points_to_evaluate_come_first_and_fill_in_what_they_leave_open(tmp_path):
    space = {**RATE, "train.weight_decay": {"choice": [0.0, 0.01]}}
    points = [{"train.learning_rate": 1e-4}, {"train.learning_rate": 2e-4, "train.weight_decay": 0.01}]
    run_whole(config_of({"space": space, "points_to_evaluate": points}), tmp_path, by_rate)
    suggested = [event["params"] for event in events(tmp_path) if event["event"] == "suggest"]
    assert [params["train.learning_rate"] for params in suggested[:4]] == [1e-4, 1e-4, 2e-4, 2e-4]
    assert [params["train.weight_decay"] for params in suggested[2:4]] == [0.01, 0.01]
    assert len({params["train.learning_rate"] for params in suggested}) == 4


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "gp", "cmaes"])
def test_samplers_by_name_suggest_inside_the_space(sampler, tmp_path):
    if sampler == "cmaes":
        pytest.importorskip("cmaes")
    space = {
        **RATE,
        "train.weight_decay": {"low": 0.0, "high": 0.1},
        "train.batch_size": {"low": 8, "high": 32, "step": 8},
    }
    config = config_of({"space": space, "sampler": sampler, "startup_suggestions": 3, "suggestions_per_strategy": 7})
    search = run_whole(config, tmp_path, by_rate)
    found = [suggestion.params for (arm, _), suggestion in search.suggestions.items() if arm == "random"]
    assert len({params["train.learning_rate"] for params in found}) == 7
    for params in found:
        assert 1e-5 <= params["train.learning_rate"] <= 1e-3
        assert params["train.batch_size"] in (8, 16, 24, 32)


def test_an_equal_suggestion_waits_for_the_runs_of_the_first_one(tmp_path):
    config = config_of({"space": {"train.batch_size": {"choice": [10]}}}, sweep={"strategies": ["random"]})
    with opened(config, tmp_path) as search:
        first = search.next()
        assert search.next() is None
        assert search.has_more()
        search.released(first)
        second = search.next()
        assert (second.number, second.params) == (1, first.params)


def test_more_suggestions_go_on_where_the_search_ended(tmp_path):
    run_whole(config_of({"suggestions_per_strategy": 6, "startup_suggestions": 2}), tmp_path / "whole", by_rate)
    run_whole(config_of({"suggestions_per_strategy": 4, "startup_suggestions": 2}), tmp_path / "parts", by_rate)
    before = events(tmp_path / "parts")
    search = run_whole(
        config_of({"suggestions_per_strategy": 6, "startup_suggestions": 2}), tmp_path / "parts", by_rate
    )
    assert events(tmp_path / "parts")[: len(before)] == before
    assert untimed(events(tmp_path / "parts")) == untimed(events(tmp_path / "whole"))
    assert [tally.num_ended for tally in search.tallies.values()] == [6, 6]


def untimed(found):
    return [{key: value for key, value in event.items() if key != "seconds"} for event in found]


def test_a_new_arm_catches_up(tmp_path):
    run_whole(config_of(sweep={"strategies": ["random"]}), tmp_path, by_rate)
    before = len(events(tmp_path))
    search = run_whole(config_of(), tmp_path, by_rate)
    assert {event["arm"] for event in events(tmp_path)[before:]} == {"random_stratified"}
    assert [tally.num_ended for tally in search.tallies.values()] == [4, 4]


def test_a_graceful_stop_leaves_suggestions_running_and_the_next_driver_begins_with_them(tmp_path):
    config = config_of()
    with opened(config, tmp_path) as search:
        drive(search, by_rate, slots=2, most=7)
        unfinished = [key for key, suggestion in search.suggestions.items() if suggestion.status is None]
        assert len(unfinished) == 2
        assert [search.studies[arm].trials()[number].state.name for arm, number in unfinished] == ["RUNNING"] * 2
    with opened(config, tmp_path) as search:
        assert [(one.arm.name, one.number) for one in (search.next(), search.next())] == unfinished
    with opened(config, tmp_path) as search:
        drive(search, by_rate, should_stop=lambda: True)
        assert [key for key, one in search.suggestions.items() if one.status is None] == unfinished


def test_a_run_with_workers_is_asked_to_stop_by_a_file_and_what_it_reports_later_changes_nothing(tmp_path):
    config = config_of({"suggestions_per_strategy": 2}, sweep={"strategies": ["random"]})
    with opened(config, tmp_path) as search:
        scheduler = ArmScheduler(search, has_workers=True)
        for number, level in ((0, 0.9), (1, 0.1)):
            suggestion = search.next()
            trial = TuneTrial(str(number), {"arm": "random", "number": number})
            run = search.folder.trial(suggestion.runs[0].trial_id)
            run.path.mkdir(parents=True)
            for row in rows_of(suggestion.runs[0], [level + 0.01 * i for i in range(10)], "accuracy"):
                assert scheduler.on_trial_result(None, trial, {**row, "raybert_seed": 1000}) == "CONTINUE"
            assert run.is_asked_to_stop() == (number == 1)
            status = "stopped" if number else "complete"
            scheduler.on_trial_result(None, trial, {RUN_ENDED: status, "raybert_seed": 1000})
            search.released(suggestion)
        assert [row[0] for row in study_rows(search).values()] == ["COMPLETE", "PRUNED"]
        assert list(study_rows(search)["random", 1][3].values()) == [0.1]
        run.forget_pruning()
        assert (run.status(), run.is_asked_to_stop()) == ("pending", False)


def test_suggestions_count_by_the_examples_that_were_kept_for_it_and_are_stopped_by_the_others(tmp_path):
    config = config_of({"validation": 0.5, "seeds_per_suggestion": 2, "asha": None, "seed_test": None})
    values = {}

    def curve(spec):
        """What chose its evaluation says 0.9 of each; the other half tells them apart."""
        run = SweepFolder(tmp_path).trial(spec.trial_id)
        values[spec.trial_id] = (len(values) + spec.seed - 1000) / 100
        run.finish({"suggestion_value": values[spec.trial_id]})
        return [0.5, 0.9]

    with opened(config, tmp_path) as search:
        drive(search, curve)
        (arm, _) = search.arms
        ended = [one for (name, _), one in search.suggestions.items() if name == arm.name]
        assert [one.value for one in ended] == [
            pytest.approx(np.mean([values[spec.trial_id] for spec in one.runs])) for one in ended
        ]
        assert [one.curves[1000] for one in ended] == [{500: 0.5, 1000: 0.9}] * 4
        assert search.best()[arm.name] == max(ended, key=lambda one: one.value).params
        best = search.best()
    with opened(config, tmp_path) as again:
        assert again.best() == best
    assert all(run.scored_fraction == 0.5 for one in ended for run in one.runs)
    assert all(run.scored_fraction is None for run in arms_of(config_of())[0].runs(ended[0].params))
