import json
from dataclasses import replace

import pytest

from raybert.config import validate_config
from raybert.selection.store import ScoreStore
from raybert.sweeping.estimate.announce import announce_estimate
from raybert.sweeping.estimate.costs import (
    CROWDING,
    TRIAL_SECONDS,
    UNPROBED,
    WORKERS_SECONDS,
    Costs,
    count_evaluations,
    count_scorings,
    pruned_share,
)
from raybert.sweeping.estimate.describe import describe_estimate, duration
from raybert.sweeping.estimate.estimate import MOST_SHAPES, START_SECONDS, Work, estimate_work, find_work
from raybert.sweeping.estimate.probe import Probe
from raybert.sweeping.estimate.record import measured, write_estimate
from raybert.sweeping.estimate.shapes import shape_key
from raybert.sweeping.estimate.span import Span, makespan, total
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.model_keeper import GIGABYTE
from raybert.sweeping.phases.opening import OpenSweep
from raybert.sweeping.phases.prepare import facts_of_pools
from raybert.sweeping.phases.scoring_jobs import JobPlanner
from raybert.sweeping.plan.budget import Budget
from raybert.sweeping.plan.comparison import plan_sweep
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.placement import Cluster
from raybert.training.ran_on import RanOn
from tests.sweeping.adapting import SECTION, config_of, prepared_of, write_source
from tests.sweeping.planning import plan_of

PROBE = Probe((0.1, 0.2, 0.3), 320.0, (1e-3,), 0.5, 0.25, 1000, 5000, None, 1.0)
TWO = Cluster.of_nodes(({"CPU": 2.0},), is_local=True)


def config_for(**sections):
    document = {"train": {"length": {"steps": 20}, "batch_size": 16}, "selection": {"budget": 32}, **sections}
    return validate_config({"sweep": {"strategies": ["all", "random", "el2n"], "seeds": 2}, **document})


def plan_for(prepared, config):
    return plan_of(config, prepared.facts)


def prepared_for(plan, prepared):
    return dict.fromkeys((spec.data_key for spec in plan.trials), prepared)


def trial(plan, label):
    return next(spec for spec in plan.trials if spec.label == label)


def test_spans_add_and_multiply_end_by_end_and_times_lie_between_their_quartiles():
    assert total([Span(1, 2, 3), Span(0, 1, 4)]) == Span(1, 3, 7)
    assert Span(1, 2, 3) * 2.0 * Span(1, 1, 10) == Span(2, 4, 60)
    assert Span.of_times([1, 2, 3, 4, 10]) == Span(2, 4, 4)
    assert Span.of_times([2, 2, 2, 2, 0.5]) == Span(1.7, 1.7, 2)


def test_the_makespan_is_that_of_trials_that_start_in_order_where_a_slot_is_free():
    durations = [Span.exactly(seconds) for seconds in (5, 1, 1, 4, 2)]
    # slot 1: 5, then 2 (at 5); slot 2: 1, 1, 4 (until 6)
    assert makespan(durations, 2) == Span.exactly(7)
    assert makespan(durations, 1) == Span.exactly(13)
    assert makespan([], 3) == Span.exactly(0)


def test_a_trial_costs_steps_evaluations_scorings_and_files(prepared):
    plan = plan_for(prepared, config_for())
    spec = trial(plan, "random")
    costs = Costs({shape_key(spec): PROBE}, prepared_for(plan, prepared), is_crowded=False)
    data = prepared.data
    forward = 1e-3 * (11 * data.validation.lengths.sum() + data.test.lengths.sum())
    by_hand = 20 * 0.2 + forward + 0.5 + 0.25 + TRIAL_SECONDS.expected
    assert costs.trial(spec).expected == pytest.approx(by_hand)
    slow = 20 * 0.25 + forward + 0.75 + TRIAL_SECONDS.high
    assert costs.trial(spec).high == pytest.approx(slow)
    crowded = replace(costs, is_crowded=True).trial(spec)
    assert crowded.high == pytest.approx((slow - TRIAL_SECONDS.high) * CROWDING.high + TRIAL_SECONDS.high)
    half = replace(spec, budget=Budget.of(24, spec.pool_size))  # two steps a pass, of 16 and 8
    assert costs.trial(spec).expected - costs.trial(half).expected == pytest.approx(20 * 0.2 * 0.25)
    scoring = replace(spec, checkpoints=3)
    assert costs.trial(scoring).expected - by_hand == pytest.approx(3 * 1e-3 * data.train.lengths.sum())


def test_a_shape_that_was_not_probed_is_scaled_by_its_word_pieces(prepared):
    config = config_for(sweep={"strategies": ["all"], "seeds": 1, "grid": {"train.batch_size": [16, 64]}})
    plan = plan_for(prepared, config)
    small, large = sorted(plan.trials, key=lambda spec: spec.config.train.batch_size)
    probe = replace(PROBE, batch_units=16 * float(prepared.data.train.lengths.mean()), forward_seconds=(0.0,))
    costs = Costs({shape_key(small): probe}, prepared_for(plan, prepared), is_crowded=False)
    files = 0.75 + TRIAL_SECONDS.high
    full = 300 / 320  # of the last batch of 64 only 44 are there
    assert costs.trial(large).high == pytest.approx(20 * full * 0.25 * 4 * UNPROBED.high + files)


@pytest.mark.parametrize(
    ("every", "steps", "count"), [(None, 20, 10), (None, 25, 9), (None, 5, 5), (7, 20, 3), ("epoch", 20, 10)]
)
def test_evaluations_are_counted_as_the_loop_does(prepared, every, steps, count):
    train = {"length": {"steps": steps}, "batch_size": 16, "eval_every": every}
    spec = trial(plan_for(prepared, config_for(train=train)), "random")
    assert count_evaluations(spec) == count


@pytest.mark.parametrize(
    ("entry", "count"),
    [
        ({"name": "el2n"}, 0),
        ({"name": "el2n", "schedule": "rounds", "rounds": 4}, 3),
        ({"name": "el2n", "schedule": "epoch"}, 9),
        ({"name": "k_center", "schedule": "rounds", "rounds": 4}, 0),
        ({"name": "loss_threshold"}, 0),
        ({"name": "loss_threshold", "refresh": 1, "scorings": 6}, 6),
        ({"name": "random_epoch"}, 0),
    ],
)
def test_scorings_of_the_pool_while_training_are_counted(prepared, entry, count):
    plan = plan_for(prepared, config_for(sweep={"strategies": [entry], "seeds": 1}))
    (spec,) = (spec for spec in plan.trials if spec.role == "trial")
    assert count_scorings(spec) == count


@pytest.mark.parametrize(("entry", "count"), [({}, 0), ({"refresh": 1}, 4), ({"refresh": 3}, 2)])
def test_scorings_of_a_run_over_passes_are_before_every_mth_but_the_first(prepared, entry, count):
    train = {"length": {"epochs": 4.5}, "batch_size": 16}
    sweep = {"strategies": [{"name": "loss_threshold", **entry}], "seeds": 1}
    (spec,) = plan_for(prepared, config_for(train=train, sweep=sweep)).trials
    assert count_scorings(spec) == count  # before passes 1, 2, 3, 4, or before 1 and 4


def test_asha_leaves_at_least_what_synchronous_halving_would():
    # rungs at 0.1, 0.3, 0.9: 0.1 + 0.2/3 + 0.6/9 + 0.1/27
    low = 0.1 + 0.2 / 3 + 0.6 / 9 + 0.1 / 27
    assert pruned_share(0.1, 3.0).low == pytest.approx(low)
    assert pruned_share(0.1, 3.0).expected == pytest.approx((low + 1) / 2)
    assert pruned_share(1.0, 3.0) == Span.exactly(1.0)


def estimate_of(prepared, tmp_path, config):
    plan = plan_for(prepared, config)
    folder, ready = SweepFolder(tmp_path), prepared_for(plan, prepared)
    work = find_work(plan, JobPlanner(ready, folder), ScoreStore(tmp_path / "store"), folder)
    return estimate_work(work, lambda shape, seconds: PROBE, config, ready, TWO), work


def test_phases_hold_all_that_is_left_and_compute_hours_are_sums(prepared, tmp_path):
    config = config_for(resources={"cpus_per_worker": 1})
    estimate, work = estimate_of(prepared, tmp_path, config)
    assert [spec.label for spec in work.unscored] == ["proxy", "proxy", "all", "random", "all", "random"]
    assert [spec.label for spec in work.scored] == ["el2n", "el2n"]
    assert len(work.jobs) == 2
    assert (len(estimate.trial_ids), estimate.slots, estimate.unit) == (8, 2, "CPU-hours")
    assert list(estimate.phases) == ["start", "unscored", "score", "scored"]
    assert estimate.wall_seconds.expected > START_SECONDS.expected + sum(estimate.trial_seconds.values()) / 2
    scoring = 2 * 1e-3 * prepared.data.train.lengths.sum() * CROWDING.expected
    by_hand = (sum(estimate.trial_seconds.values()) + scoring) / 3600
    assert estimate.hours.expected == pytest.approx(by_hand)
    assert estimate.num_examples == sum(spec.total_steps for spec in work.trials) * 16
    assert estimate.wall_seconds.low < estimate.wall_seconds.expected < estimate.wall_seconds.high


def test_what_is_finished_or_kept_in_the_store_is_not_estimated(prepared, tmp_path):
    config = config_for()
    first, _ = estimate_of(prepared, tmp_path, config)
    SweepFolder(tmp_path).trial(first.trial_ids[2]).path.mkdir(parents=True)
    SweepFolder(tmp_path).trial(first.trial_ids[2]).finish({"wall_seconds": 1.0})
    rest, work = estimate_of(prepared, tmp_path, config)
    assert set(first.trial_ids) - set(rest.trial_ids) == {first.trial_ids[2]}
    store = ScoreStore(tmp_path / "store")
    for job, _ in work.jobs:
        for run in job.runs:
            kept = store.folder / job.key / "runs" / run
            kept.mkdir(parents=True)
            (kept / "result.json").write_text("{}")
        (store.folder / job.key / "complete.json").write_text(
            json.dumps({"num_blocks": 0, "num_rows": 300, "seconds": 1.0})
        )
    rest, work = estimate_of(prepared, tmp_path, config)
    assert not work.jobs
    assert {spec.role for spec in work.trials} == {"trial"}


def test_disk_is_what_is_kept_and_at_most_what_is_there_at_once(prepared, tmp_path):
    whole, _ = estimate_of(prepared, tmp_path, config_for())
    small = whole.disk_bytes.expected - (6 + 2 + 1) * 1000  # six trials, two proxies, best/
    assert 8 * 40_000 < small < 8 * 60_000
    assert whole.disk_bytes.high == pytest.approx(1.05 * max(whole.disk_bytes.expected, small + 8000 + 2 * 5000))
    sweep = {"strategies": ["all", "random", "el2n"], "seeds": 2, "keep_best": 2}
    few, _ = estimate_of(prepared, tmp_path, config_for(sweep=sweep))
    assert whole.disk_bytes.expected - few.disk_bytes.expected == 4000
    capped, _ = estimate_of(prepared, tmp_path, config_for(limits={"disk_gb": 3000 / GIGABYTE}))
    assert whole.disk_bytes.expected - capped.disk_bytes.expected == 3000


def test_workers_of_their_own_cost_their_start(prepared, tmp_path):
    plan = plan_for(prepared, config_for(resources={"workers_per_trial": 2}))
    spec = trial(plan, "random")
    probe = replace(PROBE, step_seconds=(0.0,), forward_seconds=(0.0,), build_seconds=0.0, save_seconds=0.0)
    costs = Costs({shape_key(spec): probe}, prepared_for(plan, prepared), is_crowded=False)
    assert costs.trial(spec) == WORKERS_SECONDS


def test_only_the_largest_shapes_are_probed(prepared, tmp_path):
    sizes = [8, 16, 32, 64, 128, 256]
    config = config_for(sweep={"strategies": ["all"], "seeds": 1, "grid": {"train.batch_size": sizes}})
    probed = []
    plan = plan_for(prepared, config)
    work = Work(unscored=plan.trials, scored=())
    probe = lambda shape, seconds: probed.append(shape) or PROBE  # noqa: E731
    estimate = estimate_work(work, probe, config, prepared_for(plan, prepared), TWO)
    assert (len(probed), estimate.num_shapes) == (MOST_SHAPES, len(sizes))
    assert "probed in 4.0 s: 4 model shapes of 6" in describe_estimate(estimate)
    devices = [RanOn("NVIDIA L4", "bf16", "sdpa", size) for size in (16, None)]
    probes = {label: replace(PROBE, ran_on=devices[i > 0]) for i, label in enumerate(estimate.probes)}
    assert describe_estimate(replace(estimate, probes=probes))[-2:] == [
        "trains on NVIDIA L4 in bf16, sdpa attention, micro-batches of at most 16 examples",
        "trains on NVIDIA L4 in bf16, sdpa attention",
    ]


def broken_loss(logits, labels):
    raise ValueError("a loss of my own")


class Notes:
    """The part of a progress that an estimate talks to."""

    def __init__(self):
        self.lines = []

    def note(self, text):
        self.lines.append(text)


def test_a_model_that_cannot_be_probed_is_a_note_and_a_mistake_of_the_estimate_is_none(prepared, tmp_path):
    config = config_for(train={"batch_size": 16, "loss": {"name": f"{__name__}:broken_loss"}})
    plan, notes = plan_for(prepared, config), Notes()
    opened = OpenSweep(SweepFolder(tmp_path), read_design(config), plan, prepared_for(plan, prepared), None, notes, ())
    announce_estimate(opened, TWO, started=0.0)
    (line,) = notes.lines
    assert line.startswith("note: no estimate, the probe failed (")
    assert line.endswith("batch 16, precision auto): ValueError: a loss of my own")
    assert not (tmp_path / "estimate.json").exists()
    with pytest.raises(KeyError):  # data that are not there: no model's fault
        announce_estimate(replace(opened, prepared={}), TWO, started=0.0)


def test_a_sweep_that_goes_on_keeps_its_first_estimate_and_adds_its_time(prepared, tmp_path):
    folder = SweepFolder(tmp_path)
    estimate, _ = estimate_of(prepared, tmp_path, config_for())
    read = lambda: json.loads((tmp_path / "estimate.json").read_text())  # noqa: E731
    write_estimate(folder, estimate, 0.0)
    with measured(folder, started=0.0):
        pass
    spent = read()["spent_seconds"]
    assert spent > 0
    assert (read()["is_running"], read()["is_whole"]) == (False, True)
    write_estimate(folder, replace(estimate, trial_ids=estimate.trial_ids[3:]), 0.0)
    with measured(folder, started=0.0):
        pass
    assert read()["spent_seconds"] > 1.9 * spent
    assert read()["trial_ids"] == list(estimate.trial_ids)
    write_estimate(folder, replace(estimate, trial_ids=estimate.trial_ids[4:]), 0.0)
    write_estimate(folder, replace(estimate, trial_ids=estimate.trial_ids[5:]), 0.0)  # the one before was killed
    assert not read()["is_whole"]
    write_estimate(folder, replace(estimate, trial_ids=("another",)), 0.0)
    assert (read()["trial_ids"], read()["is_whole"], read()["spent_seconds"]) == (["another"], True, 0.0)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(4.2, "4 s"), (99, "99 s"), (150, "2.5 min"), (1200, "20 min"), (9000, "2.5 h"), (3 * 86400, "3.0 days")],
)
def test_durations_read_well(seconds, words):
    assert duration(seconds) == words


def test_encoders_that_are_pretrained_are_priced_by_their_word_pieces_each_once(tmp_path, tiny_bert):
    section = {**SECTION, "length": {"steps": 50}, "evaluate_on": 1, "eval_every": 10}
    grid = {"strategies": ["random"], "seeds": 2, "grid": {"pretrain.length.steps": [0, 50, 100]}}
    config = config_of(write_source(tmp_path / "source"), tiny_bert.path, section, sweep=grid)
    prepared, _ = prepared_of(config, tmp_path)
    plan = plan_sweep(read_design(config), facts_of_pools(prepared))
    folder = SweepFolder(tmp_path / "run")
    work = find_work(plan, JobPlanner(prepared, folder), ScoreStore(tmp_path / "store"), folder)
    assert [config.length.steps for _, config, _ in work.encoders] == [50, 100]
    spec = next(spec for spec in plan.trials if spec.encoder)
    costs = Costs({shape_key(spec): PROBE}, prepared, is_crowded=False)
    # 50 steps of 8 x 24 pieces, forward and backward, and 5 evaluations of one sequence; 1 ms a piece forward.
    seconds = (3 * 50 * 8 * 24 + 5 * 24) * 1e-3
    assert costs.pretraining(spec.config.pretrain, spec).expected == pytest.approx(seconds)
    both = config_of(tmp_path / "source", tiny_bert.path, {**section, "contrastive": {"group": 4}}).pretrain
    assert costs.pretraining(both, spec).expected == pytest.approx((3 * 3 * 50 * 8 * 24 + 5 * 24) * 1e-3)
    estimate = estimate_work(work, lambda shape, seconds: PROBE, config, prepared, TWO)
    assert len(estimate.encoder_seconds) == 2
    lines = describe_estimate(estimate)
    assert any(line.strip().startswith("pretraining of the encoder: ") for line in lines)
    assert estimate.forecast.trials["unscored"].keys() >= estimate.encoder_seconds.keys()
    assert "pretrain" not in estimate.forecast.phases  # it would count twice
