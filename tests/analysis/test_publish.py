import errno
import json

import numpy as np
import pandas as pd
import pytest

from raybert.analysis import load_sweep, publish_results
from raybert.analysis.results.kept import last_losses
from raybert.config import dump_yaml, validate_config
from raybert.errors import SweepError
from raybert.sweeping.folder.outcome import Outcome
from raybert.sweeping.folder.trial_folder import TrialFolder
from tests.analysis.folders import (
    make_spec,
    write_error,
    write_plan,
    write_pool,
    write_pool_scores,
    write_result,
    write_sample_sweep,
    write_selection,
)

POOL = 400
SCORES = np.random.default_rng(0).permutation(POOL)
PICTURES = {
    *("accuracy", "cost", "samples_per_pass", "learning_curves", "per_pass"),
    *("selected_classes", "selected_lengths", "selected_examples"),
}


def write_small(folder, choices, scores=None, label_names=("ham", "spam"), pool=True):
    """Write a sweep of complete trials: what each strategy chose, and the scores of those that have some."""
    specs = [make_spec(name, budget=len(chosen)) for name, chosen in choices.items()]
    write_plan(folder, specs, label_names)
    for spec in specs:
        write_result(folder, spec, 0.8)
        write_selection(folder, spec, choices[spec["strategy"]])
        if scores and spec["strategy"] in scores:
            write_pool_scores(folder, spec, scores[spec["strategy"]])
    if pool:
        write_pool(folder, [i % 2 for i in range(POOL)], [5 + i % 30 for i in range(POOL)])
    return folder


def results(folder, name):
    return pd.read_csv(folder / "results" / f"{name}.csv")


@pytest.mark.slow
def test_a_whole_sweep_is_published(tmp_path):
    folder = write_sample_sweep(tmp_path / "sweep", ("random", "random_epoch", "el2n", "aum"), budgets=(20, 40))
    sweep = publish_results(folder)
    assert {path.stem for path in (folder / "plots").iterdir()} == PICTURES | {"overlap", "forest", "ranks", "budget"}
    overlap = results(folder, "overlap")
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "results" / "overlap.parquet"), overlap)
    assert overlap.groupby("budget").size().to_dict() == {20: 6, 40: 6}
    assert overlap["num_seeds"].eq(3).all()
    row = overlap.set_index(["budget", "strategy_a", "strategy_b"]).loc[(40, "el2n", "aum")]
    assert (row["jaccard"], row["spearman"]) == (1, 1)
    notes = (folder / "results" / "notes.txt").read_text().splitlines()
    assert notes == [*sweep.notes, *sweep.selection_notes]
    assert any(note.startswith("el2n and aum: one ranking of the whole pool") for note in notes)


@pytest.mark.long
@pytest.mark.slow
def test_plots_are_in_the_formats_that_the_file_names(tmp_path):
    folder = write_small(tmp_path, {"random": range(40), "el2n": range(20, 60)})
    for formats in (["svg"], []):
        (folder / "resolved.yaml").write_text(dump_yaml(validate_config({"sweep": {"plots": formats}})))
        publish_results(folder)
        written = {path.name for path in (folder / "plots").iterdir()}
        assert {path.partition(".")[2] for path in written} == set(formats)
        assert ("accuracy.svg" in written) == bool(formats)


@pytest.mark.slow
def test_a_folder_that_may_only_be_read_is_reported_without_being_written(tmp_path, monkeypatch):
    folder = write_small(tmp_path / "sweep", {"random": range(40), "el2n": range(20, 60)})
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def refuse(path):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr("raybert.analysis.publish.atomic_path", refuse)
    sweep = publish_results(folder)
    assert sweep.not_written == f"Read-only file system: '{folder}/results/evaluations.parquet'"
    assert sweep.notes[-1] == f"tables and plots are not written: {sweep.not_written}"
    assert list(sweep.summary()["test_accuracy_mean"]) == [0.8, 0.8]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    with pytest.raises(OSError, match="Read-only"):
        publish_results(folder, outcome=Outcome(folder, 2, 0, 0, ()))  # what has just been run must be published


@pytest.mark.long
@pytest.mark.slow
def test_parts_are_rows_of_trials_and_evaluations_only(tmp_path):
    folder = write_sample_sweep(tmp_path / "sweep", ("random", "el2n"), seeds=2)
    publish_results(folder)
    assert "proxy_fold" in set(results(folder, "trials")["strategy"])
    assert "proxy_fold" in set(results(folder, "evaluations")["strategy"])
    for name in ("summary", "selected_classes", "selected_lengths", "selected_length_quantiles"):
        assert "proxy_fold" not in set(results(folder, name)["strategy"])
    assert "proxy" in set(results(folder, "summary")["strategy"])
    assert set(load_sweep(folder).selections()["strategy"]) == {"random", "el2n", "all", "infobatch", "loss_threshold"}


def test_only_parts_complete_is_nothing_to_compare(tmp_path):
    part = make_spec("proxy_fold", budget=POOL)
    folder = write_plan(tmp_path, [part, make_spec("el2n")])
    write_result(folder, part, 0.7)
    publish_results(folder)
    assert not (folder / "plots").exists()
    assert (folder / "results" / "notes.txt").read_text() == "1 of 2 trials has not finished\n"


@pytest.mark.slow
def test_overlap_is_counted_from_the_files(tmp_path):
    scores = {"el2n": SCORES, "perplexity": -SCORES.astype(float)}
    folder = write_small(tmp_path, {"el2n": [0, 1, 2, 3], "perplexity": [2, 3, 4, 5], "random": [7, 8, 9, 2]}, scores)
    publish_results(folder)
    table = results(folder, "overlap").set_index(["strategy_a", "strategy_b"])
    assert table.loc[("el2n", "perplexity"), "jaccard"] == pytest.approx(2 / 6)
    assert table.loc[("el2n", "perplexity"), "spearman"] == pytest.approx(-1)
    assert table.loc[("el2n", "random"), "jaccard"] == pytest.approx(1 / 7)
    assert np.isnan(table.loc[("el2n", "random"), "spearman"])


def test_budgets_and_grid_points_are_not_mixed(tmp_path):
    rates = [{"train.learning_rate": rate} for rate in (1e-4, 1e-3)]
    specs = [make_spec(name, grid=grid, budget=2) for grid in rates for name in ("a", "b")]
    folder = write_plan(tmp_path, specs)
    for spec, chosen in zip(specs, ([0, 1], [0, 1], [2, 3], [4, 5]), strict=True):
        write_result(folder, spec, 0.8)
        write_selection(folder, spec, chosen)
    agreement = load_sweep(folder).agreement
    assert agreement["jaccard"].tolist() == [1, 0]


@pytest.mark.slow
def test_failed_and_pending_trials_leave_the_rest_comparable(tmp_path):
    specs = [make_spec(name, seed, budget=2) for seed in (0, 1) for name in ("a", "b", "c")]
    folder = write_plan(tmp_path, specs)
    write_pool(folder, [i % 2 for i in range(POOL)], [5] * POOL)
    for spec in specs[:4]:
        write_result(folder, spec, 0.8)
        write_selection(folder, spec, [0, 1])
    write_error(folder, specs[4])
    publish_results(folder)
    table = results(folder, "overlap").set_index(["strategy_a", "strategy_b"])
    assert table["num_seeds"].to_dict() == {("a", "b"): 1, ("a", "c"): 1, ("b", "c"): 1}
    assert (folder / "plots" / "selected_lengths.png").exists()  # all of one length


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_single_strategy_is_drawn_without_overlap(tmp_path, seeds):
    folder = write_sample_sweep(tmp_path / "sweep", ("el2n",), seeds=seeds)
    publish_results(folder)
    assert {path.stem for path in (folder / "plots").iterdir()} == PICTURES | {"forest"}
    assert results(folder, "overlap").empty


@pytest.mark.slow
def test_a_folder_without_pool_or_subsets_still_has_its_comparison(tmp_path):
    folder = write_plan(tmp_path, [spec := make_spec("random")])
    write_result(folder, spec, 0.8)
    publish_results(folder)
    assert {path.stem for path in (folder / "plots").iterdir()} == PICTURES - {
        "selected_classes",
        "selected_lengths",
        "selected_examples",
    }


@pytest.mark.slow
def test_two_classes_are_given_as_the_reason(tmp_path):
    scores = {"el2n": SCORES, "aum": 2.0 * SCORES}
    choices = {"el2n": [0, 1], "aum": [2, 3]}
    two = list(load_sweep(write_small(tmp_path / "two", choices, scores)).selection_notes)
    assert two[0].startswith("el2n and aum: one ranking of the whole pool at every seed")
    assert two[1].startswith("two classes: with one proxy and one checkpoint loss, EL2N, AUM")
    three = list(load_sweep(write_small(tmp_path / "three", choices, scores, ("a", "b", "c"))).selection_notes)
    assert three == two[:1]
    without_names = load_sweep(write_small(tmp_path / "none", choices, scores, ()))
    assert without_names.num_classes == 2
    assert list(without_names.selection_notes) == two


def test_equal_subsets_are_named(tmp_path):
    choices = {"k_center": [0, 1, 2], "k_center(schedule=rounds)": [2, 1, 0], "random": [5, 6, 7]}
    notes = list(load_sweep(write_small(tmp_path, choices)).selection_notes)
    assert notes == ["k_center and k_center(schedule=rounds): the same examples at every seed"]


def test_a_class_that_is_never_chosen_is_named_where_random_would_choose_it(tmp_path):
    even = list(range(0, 24, 2))
    folder = write_small(tmp_path, {"el2n": even, "random": list(range(12)), "few": even[:4]})
    notes = list(load_sweep(folder).selection_notes)
    assert notes == ["el2n at 12 examples: nothing of 1 of 2 classes (spam)"]


def test_refills_and_conflicts_are_told(tmp_path):
    folder = write_small(tmp_path, {"semdedup": [0, 1, 2]})
    trial = folder / "trials" / "semdedup-3-0"
    result = json.loads((trial / "result.json").read_text())
    (trial / "result.json").write_text(json.dumps(result | {"refilled": 2}))
    pd.DataFrame({"example_id": ["e1", "e2"], "conflicts_with": ["e3", "e4"]}).to_csv(
        trial / "conflicts.csv", index=False
    )
    assert list(load_sweep(folder).selection_notes) == [
        "semdedup at 3 examples: 2 of them taken back from what its filters had dropped",
        "semdedup: 2 pairs of near-duplicates with different labels, listed in trials/semdedup-3-0/conflicts.csv",
    ]


def test_subsets_of_another_pool_are_left_out(tmp_path):
    grids = [{"data.source": "here"}, {"data.source": "there"}]
    specs = [make_spec("a", grid=grid, budget=2) for grid in grids]
    folder = write_plan(tmp_path, specs)
    write_pool(folder, [i % 2 for i in range(POOL)], [5] * POOL)
    for spec in specs:
        write_result(folder, spec, 0.8)
        write_selection(folder, spec, [0, 1])
    path = folder / "trials" / specs[1]["trial_id"] / "selection.parquet"
    pd.read_parquet(path).assign(example_id=["other0", "other1"]).to_parquet(path)
    sweep = load_sweep(folder)
    assert len(list(sweep.subsets())) == 2
    assert len(list(sweep.subsets(of_pools=sweep.pools()))) == 1


@pytest.mark.slow
def test_damaged_pool_scores_are_an_error_that_says_what_to_do(tmp_path):
    folder = write_small(tmp_path, {"a": [0, 1], "b": [1, 2]}, {"a": SCORES, "b": SCORES})
    path = folder / "trials" / "a-2-0" / "pool_scores.npy"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(
        SweepError,
        match=r"pool_scores\.npy: must be as raybert wrote it, but is damaged .*; the same sweep command repairs it",
    ):
        publish_results(folder)


def test_losses_are_read_and_damaged_ones_are_an_error_that_says_what_to_do(tmp_path):
    folder = write_small(tmp_path, {"a": [0, 1], "b": [1, 2]})
    trial = TrialFolder(folder / "trials" / "a-2-0")
    trial.write_losses(np.array([0.5, np.nan, 0.25]), np.array([3, -1, 2]))
    sweep = load_sweep(folder)
    expected = pd.DataFrame({"loss": np.float32([0.5, np.nan, 0.25]), "loss_pass": np.int32([3, -1, 2])})
    pd.testing.assert_frame_equal(sweep.losses("a-2-0"), expected)
    assert last_losses(sweep).left_out == ""
    assert sweep.losses("b-2-0") is None
    trial.losses_path.write_bytes(trial.losses_path.read_bytes()[:200])
    with pytest.raises(
        SweepError,
        match=r"losses\.npz: must be as raybert wrote it, but is damaged .*; the same sweep command repairs it",
    ):
        sweep.losses("a-2-0")
    assert last_losses(sweep).left_out == "without 1 trial whose losses.npz is damaged"
    assert last_losses(sweep).losses == []


@pytest.mark.slow
def test_the_best_model_is_of_the_best_grid_point(tmp_path):
    rates = [{"train.learning_rate": rate} for rate in (1e-4, 1e-3)]
    specs = [make_spec("a", seed, grid=grid) for grid in rates for seed in (0, 1)]
    folder = write_plan(tmp_path, specs)
    for spec, accuracy in zip(specs, (0.5, 0.9, 0.8, 0.81), strict=True):
        write_result(folder, spec, accuracy)
        best = folder / "trials" / spec["trial_id"] / "checkpoint" / "best"
        best.mkdir(parents=True)
        (best / "COMPLETE").touch()
    publish_results(folder)
    assert (folder / "best" / "trial_id").read_text().strip() == specs[3]["trial_id"]
