"""What the trials of a sweep have in common: optimizer steps, passes, or examples."""

from functools import cache

import pytest
import yaml

from raybert.config import dump_yaml, validate_config
from raybert.errors import ConfigError, SweepError
from raybert.sweeping.driver.events import Event, EventProgress
from raybert.sweeping.driver.time_left import TimeLeft
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.spec_file import spec_document, spec_of
from raybert.sweeping.phases.refit import mean_best_share, plan_refit
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.equal import examples_in_steps
from raybert.sweeping.plan.extension import check_extension
from raybert.sweeping.plan.run_notes import run_notes
from raybert.sweeping.plan.specs import PoolFacts
from tests.sweeping.planning import FACTS, plan_of

STRATEGIES = [
    "all",
    "random",
    "random_epoch",
    {"name": "el2n", "schedule": "epoch", "label": "el2n_epoch"},
    {"name": "el2n", "schedule": "rounds", "rounds": 2, "label": "el2n_rounds"},
    {"name": "all", "pre": ["semdedup"], "label": "all_but_copies"},
    "curriculum",
    {"name": "curriculum", "of": "pool", "label": "curriculum_of_all"},
    "loss_threshold",
    "infobatch",
]
"""Of 1000 examples in batches of 30 a pass has 34 steps, one over 100 of them has 4."""


@cache
def trials_of(equal="auto", steps=None):
    length = {"epochs": 2.5, "min_steps": 20} if steps is None else {"steps": steps}
    sweep = {"strategies": STRATEGIES, "seeds": 1, "equal": equal}
    trials = plan_of(validate_config({"train": {"batch_size": 30, "length": length}, "sweep": sweep})).trials
    return {spec.label: spec for spec in trials if spec.role == "trial"}


def lengths_of(equal, steps=None):
    trials = trials_of(equal, steps)
    return {label: (spec.total_steps, spec.passes, spec.examples) for label, spec in trials.items()}


def test_equal_steps_give_every_strategy_of_a_budget_the_same_steps():
    budget, pool = (20, None, None), (85, None, None)  # min_steps is more than 2.5 x 4; 2.5 x 34
    without = {"all", "all_but_copies", "curriculum_of_all", "loss_threshold", "infobatch"}
    assert lengths_of("steps") == {label: pool if label in without else budget for label in trials_of()}


def test_by_default_what_plans_its_passes_without_a_budget_makes_as_many_as_all():
    by_steps, found = lengths_of("steps"), lengths_of("auto")
    by_passes = ("curriculum_of_all", "loss_threshold", "infobatch")
    assert found == by_steps | dict.fromkeys(by_passes, (85, 2.5, None))


def test_where_the_steps_are_given_all_is_equal_in_them():
    assert set(lengths_of("auto", steps=70).values()) == {(70, None, None)}


def test_equal_passes_are_planned_as_steps_where_all_passes_have_one_size():
    assert lengths_of("passes") == {
        "all": (85, None, None),
        "random": (10, None, None),  # 2.5 x 4; `min_steps` says nothing of passes
        "random_epoch": (10, None, None),
        "el2n_epoch": (10, None, None),
        "el2n_rounds": (10, 2.5, None),
        "all_but_copies": (85, 2.5, None),
        "curriculum": (10, 2.5, None),
        "curriculum_of_all": (85, 2.5, None),
        "loss_threshold": (85, 2.5, None),
        "infobatch": (85, 2.5, None),
    }


def test_equal_examples_are_those_that_random_or_all_sees_in_its_steps():
    # 20 steps of 30, 30, 30, 10 are 5 x 100; 85 of 33 x 30 and 10 are 2 x 1000 and 17 x 30.
    budget, pool = (20, None, 500), (85, None, 2510)
    uneven = {"el2n_rounds": budget, "curriculum": budget} | dict.fromkeys(
        ("all_but_copies", "curriculum_of_all", "loss_threshold", "infobatch"), pool
    )
    assert lengths_of("examples") == lengths_of("steps") | uneven


@pytest.mark.parametrize(("steps", "seen"), [(1, 30), (4, 100), (5, 130), (7, 190), (8, 200)])
def test_examples_in_steps_count_short_batches_as_they_are(steps, seen):
    assert examples_in_steps(steps, 100, 30) == seen


def test_only_runs_that_are_trained_otherwise_have_another_id():
    ids = {equal: {label: spec.trial_id for label, spec in trials_of(equal).items()} for equal in ("steps", "auto")}
    changed = {label for label, trial_id in ids["auto"].items() if trial_id != ids["steps"][label]}
    assert changed == {"curriculum_of_all", "loss_threshold", "infobatch"}
    same = {label: spec.trial_id for label, spec in trials_of("passes").items()}
    assert [label for label in same if same[label] == ids["auto"][label]] == [
        "all",
        *sorted(changed, key=list(same).index),
    ]


@pytest.mark.parametrize("place", ["file", "grid"])
def test_passes_are_refused_where_steps_are_given(place):
    length = {"steps": 70} if place == "file" else None
    sweep = {"equal": "passes", "grid": {} if place == "file" else {"train.length.steps": [70, 90]}}
    with pytest.raises(
        ConfigError, match=r"sweep\.equal: must not be passes with `train\.length\.steps` \(70\).*epochs"
    ):
        plan_of(validate_config({"train": {"length": length or {}}, "sweep": sweep}))


def test_a_note_says_which_runs_are_as_long_as_their_passes():
    notes = run_notes(trials_of().values(), dict.fromkeys({s.data_key for s in trials_of().values()}, FACTS))
    assert [note for note in notes if note.startswith("sweep.equal")] == [
        "sweep.equal: curriculum_of_all, infobatch, loss_threshold: 2.5 passes over what is kept, and not as many steps "
        "as `all`; `steps` makes all trials as long"
    ]


def test_a_stored_run_keeps_its_length_and_one_of_before_has_what_was_the_default():
    spec = trials_of()["loss_threshold"]
    again = spec_of(spec_document(spec))
    assert (again.passes, again.trial_id, again.strategy) == (2.5, spec.trial_id, spec.strategy)
    document = spec_document(spec)
    del document["passes"], document["examples"]
    old = spec_of(document)
    assert (old.passes, old.strategy.inner.refresh) == (None, 1)


def test_the_share_of_a_run_that_is_done_is_counted_as_its_length_is():
    row = {"pass": 1.25, "step": 17, "examples_seen": 1255}
    by_passes, by_examples = trials_of()["infobatch"], trials_of("examples")["infobatch"]
    by_steps = trials_of("steps")["infobatch"]
    assert [spec.share_of(row) for spec in (by_passes, by_examples, by_steps)] == [0.5, 0.5, 0.2]
    assert [spec.position_of(row) for spec in (by_passes, by_examples, by_steps)] == [42, 42, 17]
    last = {"pass": 2.4999, "step": 40, "examples_seen": 2510}  # four digits
    assert [spec.position_of(last) for spec in (by_passes, by_examples)] == [85, 85]


def test_progress_of_a_run_by_passes_is_its_share_of_them():
    spec, told = trials_of()["infobatch"], []
    row = {"pass": 1.25, "step": 17, "examples_seen": 1255, "train_loss": 0.5, "validation_accuracy": 0.75}
    progress = EventProgress(told.append)
    progress.started(spec)
    progress.evaluated(spec, row)
    assert [event.text for event in told] == [
        "infobatch: 1,000 of 1,000 examples, 2.5 passes, at most 85 steps",
        "infobatch pass 1.25/2.5: loss 0.500, validation accuracy 0.750",
    ]
    assert told[1] == Event("evaluated", told[1].text, spec.trial_id, "infobatch", 42, 85, row=row)
    clock = [0.0]
    left = TimeLeft(now=lambda: clock[0])
    left.begin([spec], {})
    left.started(spec.trial_id)
    clock[0] = 10.0
    left.stepped(spec.trial_id, spec.position_of(row))
    assert left.seconds() == pytest.approx(10.0 * 43 / 42)  # 42 of 85 took ten seconds


def test_a_refit_makes_its_passes_over_the_larger_pool_and_ends_at_the_share():
    (spec,) = plan_refit(trials_of()["infobatch"], 0.5, PoolFacts("joined", "encoder", 1200, 3))
    assert (spec.total_steps, spec.passes, spec.last_step) == (100, 2.5, 50)


def test_the_best_share_of_a_run_by_passes_is_that_of_its_passes(tmp_path):
    spec, folder = trials_of()["infobatch"], SweepFolder(tmp_path)
    trial = folder.trial(spec.trial_id)
    trial.path.mkdir(parents=True)
    for number, (step, passes) in enumerate([(30, 1.0), (45, 2.0), (52, 2.5)], start=1):
        trial.append_row({"evaluation": number, "step": step, "pass": passes, "examples_seen": 20 * step})
    trial.finish({"best_step": 45})
    assert mean_best_share(folder, [spec]) == 0.8  # 2 of 2.5; of 85 steps it would be 0.53


def test_what_is_equal_does_not_change_in_a_folder_but_one_without_the_key_goes_on_by_either():
    def file(**sweep):
        return validate_config({"sweep": {"strategies": ["all", "loss_threshold"], **sweep}})

    kept = validate_config(yaml.safe_load(dump_yaml(file())))
    with pytest.raises(SweepError, match=r"sweep\.equal was auto, is steps; give `output` a new folder"):
        check_extension(kept, read_design(file(equal="steps")))
    check_extension(kept, read_design(file()))
    check_extension(file(), read_design(file(equal="steps")))  # as a folder of 0.1 has it
