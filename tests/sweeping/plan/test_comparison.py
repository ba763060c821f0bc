import pytest

from raybert.config import validate_config
from raybert.errors import ConfigError, SweepError
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.extension import check_extension
from raybert.sweeping.plan.run_notes import notes_on_proxies
from tests.sweeping.planning import plan_of


def config_of(**sections):
    return validate_config({"sweep": {"strategies": ["all", "random", "el2n"], "seeds": 2}, **sections})


def ids_of(config):
    return {spec.trial_id for spec in plan_of(config).trials}


def test_strategies_times_seeds_and_a_proxy_per_seed():
    plan = plan_of(config_of())
    assert [spec.label for spec in plan.trials] == ["proxy", "proxy", *["all", "random", "el2n"] * 2]
    assert {spec.seed for spec in plan.proxies} == {0, 1}
    el2n = [spec for spec in plan.trials if spec.label == "el2n"]
    assert [spec.proxies for spec in el2n] == [(proxy.trial_id,) for proxy in plan.proxies]


def test_all_strategies_of_a_budget_train_for_the_same_steps():
    steps = {spec.label: spec.total_steps for spec in plan_of(config_of()).trials}
    assert steps["random"] == steps["el2n"] == 96  # 100 would be more than the whole pool's 3 x 32
    assert steps["all"] == 96
    longer = config_of(train={"length": {"epochs": 10}})
    steps = {spec.label: spec.total_steps for spec in plan_of(longer).trials}
    assert (steps["random"], steps["el2n"], steps["all"], steps["proxy"]) == (100, 100, 320, 32)


def test_a_strategy_without_a_budget_appears_once_over_a_grid_of_budgets():
    config = validate_config(
        {
            "sweep": {
                "strategies": ["all", "random"],
                "seeds": 1,
                "grid": {"selection.budget": [0.1, 50], "train.learning_rate": [1e-4, 2e-4]},
            }
        }
    )
    rows = [(spec.label, spec.num_chosen, spec.grid) for spec in plan_of(config).trials]
    assert [row[1] for row in rows if row[0] == "random"] == [100, 100, 50, 50]
    assert [row[2] for row in rows if row[0] == "all"] == [
        {"train.learning_rate": 1e-4},
        {"train.learning_rate": 2e-4},
    ]


def test_one_proxy_serves_all_seeds_and_budgets_if_asked_to():
    config = config_of(selection={"proxy": {"per_seed": False, "num_seeds": 2}})
    plan = plan_of(config)
    assert len(plan.proxies) == 2
    assert len({spec.proxies for spec in plan.trials if spec.label == "el2n"}) == 1


def test_ids_are_stable_and_change_with_what_results_depend_on():
    base = ids_of(config_of())
    assert base == ids_of(config_of(name="other", resources={"concurrent_trials": 1}))
    assert base == ids_of(config_of(train={"checkpoint_seconds": 1}))
    for change in (
        {"train": {"learning_rate": 1e-4}},
        {"train": {"weight_decay": 0.1}},
        {"resources": {"workers_per_trial": 2}},
        {"model": {"dropout": 0.2}},
    ):
        assert base.isdisjoint(ids_of(config_of(**change)))
    budget = ids_of(config_of(selection={"budget": 0.2}))
    assert len(base & budget) == 4  # proxies and `all` do not depend on it


def test_more_seeds_keep_the_old_trials():
    more = validate_config({"sweep": {"strategies": ["all", "random", "el2n", "k_center"], "seeds": 3}})
    assert ids_of(config_of()) < ids_of(more)


def test_an_extension_is_allowed_and_a_change_is_shown():
    check_extension(config_of(), read_design(config_of(sweep={"strategies": ["all"], "seeds": 9})))
    changed = config_of(train={"batch_size": 8, "max_grad_norm": None, "loss": {"name": "focal", "alpha": 0.3}})
    with pytest.raises(SweepError) as refused:
        check_extension(config_of(), read_design(changed))
    assert str(refused.value) == (
        "the sweep file differs from the one that this folder belongs to in more than strategies, seeds and grid values: "
        "train.batch_size was 32, is 8; train.loss.alpha was null, is 0.3; train.loss.name was cross_entropy, is focal; "
        "train.max_grad_norm was 1.0, is null; give `output` a new folder, or undo the change"
    )


def test_of_many_changes_six_are_named_and_the_rest_is_counted():
    changed = config_of(
        train={"batch_size": 8, "learning_rate": 1e-3, "weight_decay": 0.0, "betas": [0.8, 0.9], "precision": "fp32"},
        data={"source": "a.csv", "text": "body", "label": "class"},
    )
    with pytest.raises(SweepError, match=r"train\.betas was \[0\.9, 0\.999\], is \[0\.8, 0\.9\].*; and 2 more; give"):
        check_extension(config_of(), read_design(changed))


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"sweep": {"grid": {"train.learning_rat": [1]}}}, r"sweep\.grid: train\.learning_rat: unknown key"),
        ({"sweep": {"grid": {"sweep.seeds": [1]}}}, r"sweep\.grid\.sweep\.seeds: must be a key of data"),
        (
            {"sweep": {"grid": {"train.batch_size": [0]}}},
            r"sweep\.grid: train\.batch_size: must be > 0, got 0",
        ),
        (
            {"sweep": {"strategies": ["all", "el2m"]}},
            r"sweep\.strategies\[1\]: unknown 'el2m'; did you mean 'el2n'\?",
        ),
        (
            {"sweep": {"strategies": [{"name": "el2n", "label": "x"}, {"name": "random", "label": "x"}]}},
            r"sweep\.strategies\[1\]\.label: must be unique",
        ),
        ({"sweep": {"strategies": [{"name": "random", "label": "proxy"}]}}, "must not begin with 'proxy'"),
        ({"selection": {"budget": 5000}}, r"selection\.budget: must be in 1\.\.1000 \(pool size\), got 5000"),
    ],
)
def test_an_impossible_plan_is_one_clear_line(sections, message):
    with pytest.raises(ConfigError, match=message):
        plan_of(validate_config(sections))


def labels_of(plan):
    return [spec.label for spec in plan.trials if spec.role != "trial"]


def test_signals_decide_which_runs_there_are_and_strategies_share_them():
    plan = plan_of(
        config_of(sweep={"strategies": ["el2n", "grand", "rho_loss", "forgetting", "aum", "label_errors"], "seeds": 1})
    )
    assert labels_of(plan) == ["proxy", *["proxy_fold"] * 2, "proxy_dynamics", *["proxy_fold"] * 5]
    runs = {spec.label: len(spec.proxies) for spec in plan.trials if spec.role == "trial"}
    assert runs == {"el2n": 1, "grand": 1, "rho_loss": 3, "forgetting": 1, "aum": 1, "label_errors": 5}
    folds = [spec for spec in plan.trials if spec.label == "proxy_fold"]
    assert sorted(spec.num_chosen for spec in folds) == [500, 500, *[800] * 5]
    dynamics = next(spec for spec in plan.trials if spec.label == "proxy_dynamics")
    # Six checkpoints over three epochs: passes of half the pool, 16 steps of 32 each.
    assert (dynamics.checkpoints, dynamics.num_chosen, dynamics.total_steps) == (6, 500, 96)


def test_proxies_may_be_cross_fitted_several_times():
    plan = plan_of(
        config_of(
            sweep={"strategies": ["k_center", "el2n"], "seeds": 1}, selection={"proxy": {"folds": 4, "num_seeds": 2}}
        )
    )
    assert labels_of(plan) == ["proxy_fold"] * 8
    sources = {spec.label: spec.signal_runs for spec in plan.trials if spec.role == "trial"}
    assert sources["k_center"] == ()
    assert sources["el2n"][0].num_folds == 4


def test_a_proxy_may_give_the_embeddings():
    selection = {"proxy": {"num_seeds": 2}, "embedding": {"of": "proxy"}}
    plan = plan_of(config_of(sweep={"strategies": ["k_center", "el2n"], "seeds": 1}, selection=selection))
    sources = {spec.label: spec.signal_runs for spec in plan.trials if spec.role == "trial"}
    assert labels_of(plan) == ["proxy"] * 2
    assert sources["k_center"] == sources["el2n"]


@pytest.mark.parametrize(
    ("strategy", "selection", "message"),
    [
        ("k_center", {"embedding": {"of": "proxy"}}, "one proxy of the whole pool for 'k_center'.*folds, got 2"),
        ({"name": "ifd", "null_input": "mask"}, {}, "proxies of the whole pool have seen"),
        (
            {"name": "ccs", "score": {"name": "ifd", "null_input": "empty"}},
            {},
            "proxies of the whole pool have seen",
        ),
        ("rho_loss", {"scorers": {"irreducible": {"epochs": 2}}}, "twins' loss from itself"),
    ],
)
def test_cross_fitted_proxies_are_refused_where_they_make_no_sense(strategy, selection, message):
    config = config_of(
        sweep={"strategies": [strategy], "seeds": 1}, selection={"proxy": {"folds": 2, "epochs": 2}, **selection}
    )
    with pytest.raises(ConfigError, match=message):
        plan_of(config)


def test_proxies_may_train_on_a_sample_and_score_all_which_is_said():
    strategies = ["el2n", "k_center", "forgetting"]

    def plan_with(**proxy):
        return plan_of(config_of(sweep={"strategies": strategies, "seeds": 1}, selection={"proxy": proxy}))

    plan = plan_with(examples=64, epochs=2, num_seeds=2)
    assert labels_of(plan) == ["proxy_sample", "proxy_sample", "proxy_dynamics"]
    proxies = [spec for spec in plan.trials if spec.label == "proxy_sample"]
    assert [(spec.num_chosen, spec.total_steps, spec.role) for spec in proxies] == [(64, 4, "part")] * 2
    notes = {spec.label: notes_on_proxies(spec) for spec in plan.trials}
    assert notes["k_center"] == notes["forgetting"] == notes["proxy_sample"] == ()
    assert notes["el2n"][0].startswith("selection.proxy.examples: proxies train on 64 of 1,000 examples and score all:")
    whole, more = plan_with(epochs=2), plan_with(examples=1000, epochs=2)
    ids = [{spec.label: spec.trial_id for spec in found.trials} for found in (plan, whole, more)]
    assert ids[1] == ids[2]  # as many as there are: the whole pool
    assert ids[0]["el2n"] != ids[1]["el2n"]
    assert ids[0]["k_center"] == ids[1]["k_center"]
    assert labels_of(more) == ["proxy", "proxy_dynamics"]


def test_a_sample_is_refused_where_a_proxy_must_have_seen_the_whole_pool():
    strategies, sampled = [{"name": "ifd", "null_input": "mask"}], {"proxy": {"examples": 50}}
    with pytest.raises(ConfigError, match="'ifd.*compares with a null, which proxies of the whole pool have seen"):
        plan_of(config_of(sweep={"strategies": strategies, "seeds": 1}, selection=sampled))
    with pytest.raises(ConfigError, match=r"selection\.proxy\.examples: must be left out with .*got 50 and folds: 3"):
        config_of(selection={"proxy": {"examples": 50, "folds": 3}})


def test_a_null_inside_a_score_makes_a_proxy_that_has_seen_it():
    score = {"name": "ifd", "null_input": "empty"}
    plan = plan_of(config_of(sweep={"strategies": [{"name": "ccs", "score": score}], "seeds": 1}))
    assert labels_of(plan) == ["proxy_null"]


def test_what_a_strategy_does_not_read_does_not_fix_its_place_in_the_grid():
    grid = {"selection.embedding.pooling": ["mean", "cls"], "train.learning_rate": [1e-4, 2e-4]}
    plan = plan_of(config_of(sweep={"strategies": ["random", "k_center"], "seeds": 1, "grid": grid}))
    grids = {label: [spec.grid for spec in plan.trials if spec.label == label] for label in ("random", "k_center")}
    assert grids["random"] == [{"train.learning_rate": 1e-4}, {"train.learning_rate": 2e-4}]
    assert len(grids["k_center"]) == 4
    assert all(len(grid) == 2 for grid in grids["k_center"])


def test_one_strategy_under_two_labels_is_refused():
    entries = [{"name": "random", "label": "a"}, {"name": "random", "label": "b"}]
    with pytest.raises(ConfigError, match=r"strategies\[1\]: 'b' is the same strategy as 'a'; leave one of them out"):
        plan_of(config_of(sweep={"strategies": entries}))


def test_a_null_makes_a_proxy_of_its_own_which_saw_one_null_in_ten():
    entries = [{"name": "ifd"}, {"name": "ifd", "null_input": "empty"}, {"name": "ifd", "null_input": "mask"}, "el2n"]
    plan = plan_of(config_of(sweep={"strategies": entries, "seeds": 1}))
    assert labels_of(plan) == ["proxy", "proxy_null", "proxy_null"]
    null = next(spec for spec in plan.trials if spec.null == "mask")
    assert null.total_steps == 35  # (1000 + 111) / 32


def test_the_budget_kind_follows_the_schedule_and_parameters():
    entries = [
        "el2n",
        {"name": "el2n", "schedule": "epoch"},
        "curriculum",
        {"name": "curriculum", "of": "pool"},
        "infobatch",
    ]
    plan = plan_of(config_of(sweep={"strategies": entries, "seeds": 1}))
    kinds = [(spec.summary()["budget_kind"], spec.num_chosen) for spec in plan.trials if spec.role == "trial"]
    assert kinds == [("distinct", 100), ("per_epoch", 100), ("distinct", 100), ("none", 1000), ("none", 1000)]


def test_what_a_strategy_does_not_read_does_not_change_its_trials():
    base = ids_of(config_of())
    changed = ids_of(
        config_of(selection={"scorers": {"perplexity": {"mask_every": 3}}, "embedding": {"pooling": "cls"}})
    )
    assert base == changed
    embedding = {"sweep": {"strategies": ["k_center"], "seeds": 1}}
    assert ids_of(config_of(**embedding)) != ids_of(config_of(**embedding, selection={"embedding": {"pooling": "cls"}}))


def test_what_is_computed_from_proxy_embeddings_has_the_proxy_too():
    config = config_of(
        sweep={"strategies": ["aflite_readability"], "seeds": 1}, selection={"embedding": {"of": "proxy"}}
    )
    assert labels_of(plan_of(config)) == ["proxy"]


def test_dynamics_have_a_checkpoint_in_every_epoch():
    with pytest.raises(ConfigError, match=r"checkpoints: must be >= epochs \(7\), got 6"):
        config_of(selection={"scorers": {"dynamics": {"epochs": 7}}})
