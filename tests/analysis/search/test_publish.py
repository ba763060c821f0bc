import json

import optuna
import pandas as pd
import pytest
from rich.console import Console

from raybert.analysis import load_sweep, publish_results
from raybert.config import RaybertConfig, dump_yaml
from raybert.sweeping.search.storage import open_storage, study_name
from raybert.tables import TABLES
from raybert.terminal.comparison import print_comparison
from raybert.terminal.search import search_table
from tests.analysis.folders import make_spec, write_plan, write_result, write_sample_sweep
from tests.analysis.studies import RATE, suggestion, write_arm, write_sample_search

pytestmark = pytest.mark.slow

optuna.logging.set_verbosity(optuna.logging.WARNING)
PICTURES = {
    "search_history",
    "search_cost",
    "search_slices",
    "search_parallel",
    "search_importances",
    "search_best_values",
}
STRATEGIES = ["random", "el2n", "confidence(measure=margin, quota=0.5, direction=hard)"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = write_sample_sweep(tmp_path_factory.mktemp("sample") / "sweep", ("random", "el2n"), seeds=2)
    write_sample_search(path, STRATEGIES, num_parameters=5)
    publish_results(path)
    return path


def printed(thing, width=80):
    console = Console(width=width, record=True, force_terminal=False)
    console.print(thing)
    return console.export_text()


def test_tables_and_plots_of_the_search_are_written(folder):
    search = load_sweep(folder).search
    results = folder / "results"
    stored = pd.read_parquet(results / "search.parquet")
    columns = [column for column in stored if column not in ("seeds", "seed_values")]
    pd.testing.assert_frame_equal(stored[columns], search.suggestions[columns])
    assert [list(values) for values in stored["seed_values"]] == search.suggestions["seed_values"].tolist()
    for name, table in {
        "search": search.suggestions,
        "best_configurations": search.best,
        "near_best": search.near_best,
        "importances": search.importances,
        "pruning": search.pruning,
    }.items():
        written = pd.read_csv(results / f"{name}.csv")
        assert list(written.columns) == list(table.columns)
        assert len(written) == len(table)
    assert pd.read_csv(results / "best_configurations.csv")[RATE].tolist() == search.best[RATE].tolist()
    assert {path.stem for path in (folder / "plots").glob("search_*")} == PICTURES
    notes = (results / "notes.txt").read_text().splitlines()
    assert notes[-2:] == search.notes


def test_every_published_table_has_exactly_the_columns_that_are_declared(folder):
    sweep = load_sweep(folder)
    parameters = list(sweep.search.parameters)
    assert len(parameters) > 1
    written = {path.name for path in (folder / "results").iterdir()}
    texts = {"claims.txt", "notes.txt", "summaries", "metrics.md"}
    declared = {f"{table.name}{suffix}" for table in TABLES.values() for suffix in table.suffixes}
    # One budget, no pair was asked for, nothing planted, and no further test sets.
    absent = {"budget_curve.csv", "budget_curve.parquet", "pairs.csv", "planted.csv"}
    absent |= {"extra_tests.csv", "extra_tests.parquet"}
    assert written == (declared - absent) | texts
    for name in written - texts:
        path = folder / "results" / name
        frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        own = parameters if TABLES[path.stem].parameters_after else ()
        assert list(frame.columns) == TABLES[path.stem].order(sweep.grid_columns, own), name


def test_tables_in_memory_have_the_declared_types(folder):
    sweep = load_sweep(folder)
    search = sweep.search
    frames = {
        "trials": sweep.trials,
        "evaluations": sweep.evaluations,
        "summary": sweep.summary(),
        "agreement": sweep.agreement,
        "selected_classes": sweep.class_shares,
        "search": search.suggestions,
        "best_configurations": search.best,
        "near_best": search.near_best,
        "importances": search.importances,
        "pruning": search.pruning,
        "history": search.history,
    }
    for name, frame in frames.items():
        table = TABLES[name]
        assert {c.name: c.dtype for c in table.columns} == {c.name: str(frame[c.name].dtype) for c in table.columns}, (
            name
        )


def test_tables_without_rows_have_their_columns_and_types(tmp_path):
    folder = write_plan(tmp_path, [make_spec("random")])
    sweep = load_sweep(folder)
    for frame, table in ((sweep.agreement, TABLES["agreement"]), (sweep.class_shares, TABLES["selected_classes"])):
        assert {column.name: column.dtype for column in table} == {
            name: str(frame[name].dtype) for name in frame.columns
        }


def test_suggestions_are_in_no_other_table(folder):
    sweep = load_sweep(folder)
    assert "tune" not in set(sweep.trials["role"])
    assert len(sweep.trials) == len(json.loads((folder / "plan.json").read_text())["trials"])


def test_a_sweep_without_a_search_has_none(tmp_path):
    spec = make_spec("random")
    write_plan(tmp_path, [spec])
    write_result(tmp_path, spec, 0.8)
    assert publish_results(tmp_path).search is None
    assert not (tmp_path / "results" / "search.csv").exists()


def test_a_search_is_published_before_anything_is_compared(tmp_path):
    write_plan(tmp_path, [make_spec("random")])
    write_arm(tmp_path, "random", [suggestion({RATE: 1e-3}, [0.8])])
    publish_results(tmp_path)
    assert pd.read_csv(tmp_path / "results" / "best_configurations.csv")["value"].tolist() == [0.8]
    notes = (tmp_path / "results" / "notes.txt").read_text().splitlines()
    assert notes[-1] == "no importances: 1 complete, must be at least 10 suggestions"
    assert (tmp_path / "plots" / "search_history.png").exists()


def test_the_comparison_tells_the_noise_of_suggestions_of_one_seed(tmp_path):
    specs = [make_spec(name, seed) for name in ("a", "b") for seed in (0, 1)]
    write_plan(tmp_path, specs)
    for spec, accuracy in zip(specs, (0.81, 0.79, 0.69, 0.71), strict=True):
        write_result(tmp_path, spec, accuracy)
    for order, name in enumerate("ab"):
        write_arm(tmp_path, name, [suggestion({RATE: 10.0**-k}, [0.1 * k]) for k in (2, 3, 4)], order=order)
    noise = load_sweep(tmp_path).search.noise
    assert (noise.std, noise.degrees, noise.source) == (pytest.approx(0.02), 1, "the 2 seeds of the comparison")


def test_the_best_configurations_fit_into_80_columns(folder):
    search = load_sweep(folder).search
    text = printed(search_table(search))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "best configuration per strategy (validation accuracy, 60 suggestions)"
    headers = lines[1].split()
    assert headers[:5] == ["strategy", "accuracy", "gain", "ended", "learning_rate"]
    best = search.best.sort_values("value", ascending=False)
    for line, row in zip((line for line in lines if "+" in line), best.to_dict("records"), strict=True):
        assert f"{row['value']:.4f}" in line
        assert f"{row[RATE]:.3g}" in line
    assert "results/best_configurations.csv" in text


def test_the_best_configurations_have_whole_numbers_on_a_narrow_terminal(folder):
    search = load_sweep(folder).search
    text = printed(search_table(search, 40), 40)
    assert "…" not in text
    assert all(f"{value:.4f}" in text for value in search.best["value"])
    assert "more columns: results/best_configurations.csv" in " ".join(text.split())


@pytest.mark.long
@pytest.mark.slow
def test_the_table_stands_after_the_comparison(folder, capsys):
    print_comparison(load_sweep(folder))
    text = capsys.readouterr().out
    assert text.index("macro F1") < text.index("best configuration per strategy")


def test_a_search_that_has_nothing_complete_prints_no_table(tmp_path, capsys):
    write_plan(tmp_path, [make_spec("random")])
    write_arm(tmp_path, "random", [suggestion({RATE: 1e-3}, [0.5], "pruned")])
    print_comparison(load_sweep(tmp_path))
    text = capsys.readouterr().out
    assert text.startswith("note: none of 1 trials is complete: there is nothing to compare yet")  # and no header above
    assert "best configuration" not in text


def test_parameters_of_choices_only_are_printed(tmp_path):
    write_plan(tmp_path, [make_spec("random")])
    trials = [suggestion({"train.schedule": name}, [value]) for name, value in (("linear", 0.5), ("cosine", 0.6))]
    write_arm(tmp_path, "random", trials)
    assert "cosine" in printed(search_table(load_sweep(tmp_path).search))


@pytest.mark.parametrize("storage", ["journal", "sqlite:///{folder}/shared.db"])
def test_the_studies_are_where_the_resolved_file_says(tmp_path, storage):
    storage = storage.format(folder=tmp_path)
    tune = {"suggestions_per_strategy": 2, "space": {RATE: {"low": 1e-5, "high": 1e-2}}, "storage": storage}
    config = RaybertConfig.model_validate({"name": "mine", "sweep": {"tune": tune}})
    write_plan(tmp_path, [make_spec("random")])
    (tmp_path / "resolved.yaml").write_text(dump_yaml(config))
    with open_storage(config.sweep.tune, tmp_path) as opened:
        study = optuna.create_study(study_name=study_name(config, "random"), storage=opened, direction="maximize")
        for key, value in {"strategy": "random", "arm": "random", "order": 0}.items():
            study.set_user_attr(key, value)
        study.add_trial(suggestion({RATE: 1e-3}, [0.8]))
    search = load_sweep(tmp_path).search
    assert search.best[["arm", "value"]].to_numpy().tolist() == [["random", 0.8]]


def test_a_search_under_other_names_is_read_and_says_how_long_its_runs_were(tmp_path):
    tune = {"suggestions_per_strategy": 2, "space": {RATE: {"low": 1e-5, "high": 1e-2}}, "study_name": "imdb {arm}"}
    config = RaybertConfig.model_validate({"name": "mine", "sweep": {"tune": {**tune, "length": {"fraction": 0.25}}}})
    write_plan(tmp_path, [make_spec("random")])
    (tmp_path / "resolved.yaml").write_text(dump_yaml(config))
    for name, value in (("imdb random", 0.8), ("random", 0.9)):  # the second is somebody else's
        study = optuna.create_study(study_name=name, storage=f"sqlite:///{tmp_path}/study.db", direction="maximize")
        for key, entry in {"strategy": "random", "arm": "random", "order": 0}.items():
            study.set_user_attr(key, entry)
        study.add_trial(suggestion({RATE: 1e-3}, [value]))
    search = load_sweep(tmp_path).search
    assert search.best[["arm", "value"]].to_numpy().tolist() == [["random", 0.8]]
    assert search.notes[0] == (
        "the runs of the search had 25 % of a trial's length; the comparison trains at full length"
    )
