"""Plans with cross-validation: every fold is a data set with trials and proxies of its own."""

from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest

from raybert.config import validate_config
from raybert.errors import ConfigError, SweepError
from raybert.files import cache_folder
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.head import write_pool
from raybert.sweeping.phases.prepare import prepare_variants
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.extension import check_extension
from raybert.sweeping.plan.grid import Variant, expand_grid
from raybert.sweeping.plan.specs import PoolFacts
from raybert.sweeping.single.select import choose_subset
from tests.sweeping import planning

SIZES = (1000, 970, 1010)


def config_of(folds: int | None = 3, **sections):
    sweep = {"strategies": ["all", "random", "el2n", "aum"], "seeds": 2}
    return validate_config({"sweep": sweep, "data": {"folds": folds}, **sections})


def plan_of(config):
    return planning.plan_of(config, lambda v: PoolFacts(f"data {v.fold}", "encoder", SIZES[v.fold], 2))


def test_strategies_times_seeds_times_folds_and_proxies_of_every_fold():
    plan = plan_of(config_of())
    counts = Counter((spec.label, spec.seed, spec.fold) for spec in plan.trials)
    labels = ("all", "random", "el2n", "aum", "proxy", "proxy_dynamics")
    assert counts == {(label, seed, fold): 1 for label in labels for seed in (0, 1) for fold in range(3)}
    assert len({spec.trial_id for spec in plan.trials}) == 36


def test_a_trial_reads_only_runs_of_its_own_fold():
    plan = plan_of(config_of(selection={"proxy": {"folds": 2, "num_seeds": 2, "per_seed": False}}))
    runs = {spec.trial_id: spec for spec in plan.trials}
    for spec in plan.trials:
        for run in spec.proxies:
            assert (runs[run].fold, runs[run].data_key) == (spec.fold, spec.data_key)
    assert Counter(spec.fold for spec in plan.proxies if spec.label == "proxy_fold") == dict.fromkeys(range(3), 4)


def test_budgets_and_steps_are_the_same_in_every_fold_though_their_pools_are_not():
    plan = plan_of(config_of(selection={"budget": 0.1}))
    assert {spec.num_chosen for spec in plan.trials if spec.label == "el2n"} == {97}
    assert [spec.num_chosen for spec in plan.trials if spec.label == "all" and spec.seed == 0] == [1000, 970, 1010]
    assert {spec.pool_size for spec in plan.trials if spec.label == "random"} == set(SIZES)
    for label in ("all", "random", "el2n", "aum", "proxy", "proxy_dynamics"):
        assert len({spec.total_steps for spec in plan.trials if spec.label == label}) == 1
    with pytest.raises(ConfigError, match=r"selection\.budget: must be in 1\.\.970 \(pool size\), got 990"):
        plan_of(config_of(selection={"budget": 990}))


def test_folds_come_before_grid_points_and_every_fold_has_its_own_data():
    config = config_of(2, sweep={"strategies": ["random"], "seeds": 1, "grid": {"selection.budget": [0.1, 0.2]}})
    variants = expand_grid(config)
    assert [(variant.fold, variant.grid["selection.budget"]) for variant in variants] == [
        (0, 0.1),
        (0, 0.2),
        (1, 0.1),
        (1, 0.2),
    ]
    assert len({variant.data_key for variant in variants}) == 2
    assert [spec.fold for spec in plan_of(config).trials] == [0, 0, 1, 1]


def test_without_folds_the_data_key_is_what_it_was_before_there_were_any():
    assert Variant({}, validate_config({})).data_key == replace(Variant({}, validate_config({})), fold=1).data_key
    plain, folded = (expand_grid(config_of(folds))[0].data_key for folds in (None, 3))
    assert plain != folded
    assert folded != expand_grid(config_of(4))[0].data_key


def test_other_folds_do_not_extend_a_sweep():
    with pytest.raises(SweepError, match=r"differs from.*data\.folds was 3, is 5"):
        check_extension(config_of(3), read_design(config_of(5)))


def test_one_subset_is_not_selected_from_many_pools():
    with pytest.raises(ConfigError, match=r"data\.folds: must be left out .* got 3; override it with null"):
        choose_subset(config_of(), "random", 0, progress=None)


@pytest.mark.parametrize("folds", [1, 21])
def test_folds_out_of_range_are_refused(folds):
    with pytest.raises(ConfigError, match=r"data\.folds"):
        config_of(folds)


def test_every_fold_is_prepared_and_its_pool_written(tmp_path):
    rows = [{"text": f"{name} says {i} things", "label": name} for name in ("a", "b") for i in range(40)]
    pd.DataFrame(rows).to_csv(tmp_path / "d.csv", index=False)
    config = config_of(data={"source": str(tmp_path / "d.csv"), "folds": 2, "max_length": 16})
    variants = expand_grid(config)
    prepared = prepare_variants(variants, cache_folder())
    pools = {variant.fold: prepared[variant.data_key] for variant in variants}
    tested = [set(ready.splits.test["example_id"].to_pylist()) for ready in pools.values()]
    assert [len(ids) for ids in tested] == [40, 40]
    assert not tested[0] & tested[1]
    write_pool(pools, SweepFolder(tmp_path).path / "pool.parquet")
    written = pd.read_parquet(tmp_path / "pool.parquet")
    for fold, ready in pools.items():
        own = written[written["fold"] == fold]
        assert own["example_id"].tolist() == ready.splits.train["example_id"].to_pylist()
        assert not set(own["example_id"]) & tested[fold]
        assert own["length"].tolist() == ready.data.train.lengths.tolist()
