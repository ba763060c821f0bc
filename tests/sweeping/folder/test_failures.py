import json

import pytest

from raybert.sweeping.folder.failures import FailedRun, Failure, group_failures, normalise_error
from raybert.sweeping.folder.layout import SweepFolder

NAN = "TrialError: step {}: the training loss must be finite, got nan for {} examples ({})"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (NAN.format(3, 32, "866ffea194ce6ea2, 4668dd70fbf7fe1b"), NAN.format(4, 1024, "94d1d1ceea2167dd")),
        ("FileNotFoundError: '/tmp/a1/x.parquet'", "FileNotFoundError: '/home/user/data/y.parquet'"),
        ("OutOfMemoryError: Tried to allocate 20.00 MiB", "OutOfMemoryError: Tried to allocate 1.5e+03 MiB"),
        ("TypeError: <object at 0x7f00aa>", "TypeError: <object at 0x7f0bcd>"),
    ],
)
def test_errors_that_differ_in_numbers_ids_and_paths_are_one(one, other):
    assert normalise_error(one) == normalise_error(other)


def test_words_that_look_like_ids_or_numbers_stay():
    assert normalise_error("KeyError: 'defaced' of el2n, got nan") == "KeyError: 'defaced' of el2n, got nan"
    assert normalise_error("ValueError: a") != normalise_error("ValueError: b")


def test_the_most_frequent_error_comes_first_and_in_it_what_failed_itself():
    alone = FailedRun("a", Failure("error", "KeyError: 'label'"))
    proxy = FailedRun("b", Failure("nan", NAN.format(7, 32, "866ffea194ce6ea2")))
    reader = FailedRun("c", Failure("nan", "whatever it says", caused_by="b", cause=proxy.failure.message))
    first, second = group_failures([alone, reader, proxy])
    assert (first.trial_ids, first.num_readers, first.kind, first.message) == (
        ("b", "c"),
        1,
        "nan",
        proxy.failure.message,
    )
    assert (second.trial_ids, second.num_readers) == (("a",), 0)
    assert group_failures([]) == ()


def test_a_run_that_reads_a_failed_one_says_so_as_data(tmp_path):
    folder = SweepFolder(tmp_path)
    proxy, reader, last = (folder.trial(name) for name in ("b00", "c00", "d00"))
    proxy.fail("RuntimeError: no\n\ntraceback", "nan", "node-a")
    told = reader.fail_because("b00", proxy.failure())
    assert told.message == "TrialError: its proxy b00 failed: RuntimeError: no"
    assert (
        reader.failure() == told == Failure("nan", told.message, "node-a", 1, caused_by="b00", cause="RuntimeError: no")
    )
    assert json.loads((reader.path / "failure.json").read_text())["caused_by"] == "b00"
    assert (last.fail_because("c00", told).caused_by, last.failure().origin) == ("c00", "RuntimeError: no")
    lines = [{"trial_id": name, "strategy": "el2n", "seed": 3} for name in ("b00", "c00", "d00", "e00")]
    assert [run.seed for run in folder.failed(lines)] == [3, 3, 3]
    (group,) = group_failures(folder.failed(lines))
    assert (group.trial_ids, group.num_readers) == (("b00", "c00", "d00"), 2)


def test_of_a_folder_of_an_earlier_raybert_the_words_are_read(tmp_path):
    trial = SweepFolder(tmp_path).trial("t")
    trial.fail("TrialError: its proxy c00 failed: TrialError: its proxy b00 failed: RuntimeError: no\n", "nan")
    record = json.loads((trial.path / "failure.json").read_text())
    (trial.path / "failure.json").write_text(json.dumps({key: record[key] for key in ("kind", "message", "node")}))
    assert (trial.failure().caused_by, trial.failure().cause) == ("c00", "RuntimeError: no")
