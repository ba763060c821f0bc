from raybert.sweeping.phases.opening import changed_rules
from tests.sweeping.plan.test_ids import config_of, facts_of
from tests.sweeping.planning import plan_of


def test_finished_trials_of_an_earlier_rule_are_named_and_others_are_not():
    sweep = {"strategies": ["random", "forgetting", "k_center"], "seeds": 2}
    specs = plan_of(config_of(sweep), facts_of).trials
    lines = [spec.summary() for spec in specs]
    assert changed_rules(lines, specs) == []
    aged = [line | {"trial_id": "f" * 12} if line["strategy"] == "forgetting" else line for line in lines]
    assert changed_rules(aged, specs) == [
        "note: 'forgetting' has another rule since 2 of its trials finished: they are trained anew, the old ones stay "
        "in trials/"
    ]
    (other,) = [line for line in aged if line["strategy"] == "forgetting" and line["seed"] == 1]
    elsewhere = [other | {"budget": 7, "grid": {"selection.budget": 7}}]  # not asked for any more
    assert changed_rules(elsewhere, specs) == []
