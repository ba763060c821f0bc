"""What the functions take, and how they refuse it."""

import inspect

import numpy as np
import pandas as pd
import pytest

import raybert
from raybert.analysis.search import Search
from raybert.commands.arguments import listening
from raybert.sweeping.driver.progress import Progress
from tests.e2e.commands import FILE


def test_a_configuration_is_a_file_a_mapping_or_itself():
    from_file = raybert.load_config(FILE)
    assert raybert.load_config(str(FILE)) == from_file
    assert raybert.load_config(from_file) is from_file
    assert raybert.load_config(from_file.model_dump()) == from_file
    for overrides in (["sweep.seeds=5", "selection.budget=0.5"], {"sweep.seeds": 5, "selection.budget": 0.5}):
        changed = raybert.load_config(from_file, overrides)
        assert (changed.sweep.seeds, changed.selection.budget) == ((0, 1, 2, 3, 4), 0.5)
        assert changed == raybert.load_config(FILE, overrides)
    assert raybert.load_config(FILE, "sweep.seeds=5").sweep.seeds == (0, 1, 2, 3, 4)


def test_overriding_a_configuration_leaves_defaults_to_follow_from_other_keys():
    config = raybert.load_config({"model": {"head": {"name": "mlp"}, "dropout": 0.3}})
    changed = raybert.load_config(config, {"sweep.seeds": 1})
    assert "dropout" not in changed.model.head.model_fields_set


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: raybert.sweep({"sweep": {"sedes": 3}}), "sweep.sedes: unknown key; did you mean 'seeds'?"),
        (lambda: raybert.sweep({}, retry="often"), "retry: must be one of failed, all, oom"),
        (lambda: raybert.train({}, overrides=["x"]), "override 'x': must be dotted.key=value"),
        (lambda: raybert.validate("nowhere.yaml"), "nowhere.yaml: no such sweep file"),
        (lambda: raybert.select_subset({}, "random", output="x.txt"), "output: must end in .parquet, .csv, .jsonl"),
        (lambda: raybert.select_subset({}, "random", budget=-1), "selection.budget"),
        (lambda: raybert.predict("nowhere", ["text"]), "nowhere: must be a results folder"),
        (lambda: raybert.predict("nowhere", ["text"], output="x.txt"), "output: must end in"),
        (lambda: raybert.explain("nowhere", split="dev"), "split: must be train, validation or test, got 'dev'"),
        (lambda: raybert.status("nowhere"), "nowhere: must be the results folder of a sweep"),
        (lambda: raybert.stop("nowhere"), "nowhere: must be the results folder of a sweep, but does not exist"),
        (lambda: raybert.report("nowhere"), "nowhere: must be the results folder of a sweep"),
        (lambda: raybert.remove_scores(), "keys: must be given"),
    ],
)
def test_what_cannot_be_is_one_error(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(raybert.RaybertError) as error:
        call()
    assert message in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_listener_is_a_function_a_progress_or_nobody():
    told = []
    with listening(told.append) as progress:
        progress.note("hello")
    assert [(event.kind, event.text) for event in told] == [("note", "hello")]
    own = Progress()
    with listening(own) as progress:
        assert progress is own
    with listening(None) as progress:
        progress.note("nobody hears it")
    with (
        pytest.raises(
            raybert.ConfigError, match=r"progress: must be a function of one event, 'auto', 'stderr' or None, got 3"
        ),
        listening(3),
    ):
        pass


def test_standard_output_is_listened_to_on_request(capsys):
    with listening("auto") as progress:
        progress.note("hello")
    assert capsys.readouterr().out == "0:00 hello\n"


@pytest.mark.parametrize("one_run", [False, True])
def test_standard_error_is_listened_to_where_standard_output_is_for_a_document(capsys, one_run):
    with listening("stderr", one_run=one_run) as progress:
        progress.note("hello")
    assert capsys.readouterr() == ("", "0:00 hello\n")


def test_the_package_lists_what_it_has():
    assert set(dir(raybert)) == {*raybert.__all__, *raybert._MODULES}
    assert len(raybert.__all__) == len(set(raybert.__all__))
    old = {"EpochRequest"}  # of raybert 0.1: works with a note, and is not listed
    assert set(raybert.__all__) | old == {"__version__", *(name for names in raybert._HOMES.values() for name in names)}
    for name in raybert.__all__:
        assert getattr(raybert, name) is not None
    with pytest.raises(AttributeError, match="module 'raybert' has no attribute 'swep'"):
        _ = raybert.swep


def test_values_show_themselves_in_a_line(tmp_path):
    frame = pd.DataFrame({"arm": list("aab"), "strategy": "x", "text": "long " * 99})
    shown = [
        raybert.load_config({"sweep": {"seeds": 40}}),
        raybert.Explanation("t1", ("a", "b"), frame, frame, np.zeros((2, 2)), frame),
        Search("accuracy", True, {}, frame, None),
    ]
    assert [repr(value) for value in shown] == [
        "<RaybertConfig 'sweep': docstrings, 2 strategies, 40 seeds>",
        "<Explanation of trial t1: 2 documents, 3 terms>",
        "<Search: 3 suggestions in 2 arms, by validation accuracy>",
    ]


@pytest.mark.parametrize("name", [n for n in raybert.__all__ if inspect.isfunction(getattr(raybert, n))])
def test_every_public_function_is_documented_and_typed(name):
    function = getattr(raybert, name)
    text = inspect.getdoc(function) or ""
    parameters = inspect.signature(function).parameters
    assert text.splitlines()[0].endswith(".")
    for parameter in parameters:
        assert f"\n    {parameter}: " in text or f"\n    **{parameter}: " in text, parameter
    assert set(function.__annotations__) == {*parameters, "return"}
