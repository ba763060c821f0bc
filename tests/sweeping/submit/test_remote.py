"""Commands on results of a cluster: what is typed here runs there, on the results folder of the job."""

import base64
import shlex
import sys
import types
import zlib

import pytest
from typer.testing import CliRunner

from raybert.cli import app
from raybert.commands import submission
from raybert.sweeping.submit import jobs as module
from raybert.sweeping.submit import send
from raybert.sweeping.submit.jobs import JobState

ADDRESS = "http://h:8265"


class FakeJobs:
    """A cluster that ends every job at once, with a log; remembers commands."""

    def __init__(self, address):
        self.address = address
        CALLS.append(("at", address))

    def submit(self, command, job_id, folder, metadata):
        CALLS.append((command, folder))

    def state(self, job_id):
        return JobState(job_id, "SUCCEEDED", True, 0, "", "/shared/a b" if job_id == "job" else "")

    def follow(self, job_id, note):
        yield from LOG

    def forget(self, job_id):
        CALLS.append(("forgot", job_id.rpartition("-")[0]))


CALLS, LOG = [], ["said there"]


@pytest.fixture(autouse=True)
def _cluster(monkeypatch):
    CALLS.clear()
    LOG[:] = ["said there"]
    monkeypatch.setattr(module, "Jobs", FakeJobs)


def typed(monkeypatch, line):
    words = shlex.split(line)
    monkeypatch.setattr(sys, "argv", ["raybert", *words])
    return CliRunner().invoke(app, words)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("status job --json --address http://h:8265", "status '/shared/a b' --json"),
        ("logs job el2n-s0 -n 5 --address=http://h:8265", "logs '/shared/a b' el2n-s0 -n 5"),
        ("stop /shared/x/ --address http://h:8265", "stop /shared/x/"),
        ("results --format csv ~/x --address http://h:8265", "results --format csv ~/x"),
        ("results s3://bucket/x --metric 'a;b' --address http://h:8265", "results s3://bucket/x --metric 'a;b'"),
        ("cancel ~/'a b' --address http://h:8265", "cancel ~/'a b'"),
    ],
)
def test_the_words_that_were_typed_run_there_on_the_folder_of_the_job(line, command, monkeypatch):
    monkeypatch.setattr(submission, "fetch_report", pytest.fail)
    line = line.replace("~/x", "'~/x'").replace("~/'a b'", "'~/a b'")  # which this shell would take for its own
    ended = typed(monkeypatch, line)
    assert ended.exit_code == 0, ended.output
    assert "said there" in ended.stdout
    assert [
        ("at", ADDRESS),
        (f"PYTHONUNBUFFERED=1 python -m raybert {command}", None),
        ("forgot", "raybert-command"),
    ] == CALLS


def test_a_report_comes_here(monkeypatch, tmp_path, capsys):
    page = b"<html>" + bytes(range(256)) * 100
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "report.html").write_bytes(page)
    assert send.main(str(tmp_path / "x"), "report.html") == 0
    LOG[:] = capsys.readouterr().out.splitlines()
    assert zlib.decompress(base64.b64decode("".join(line.removeprefix("data:") for line in LOG))) == page
    monkeypatch.chdir(tmp_path)
    ended = typed(monkeypatch, "report job --address http://h:8265")
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.endswith("fetched a-b.report.html\n")
    assert (tmp_path / "a-b.report.html").read_bytes() == page
    assert send.main(str(tmp_path / "x"), "none.html") == 2


def test_a_report_of_an_object_store_is_read_there(monkeypatch, capsys):
    store = types.SimpleNamespace(get_bytes=lambda name: b"page" if name == "report.html" else None)
    monkeypatch.setattr(send, "open_store", lambda url: store if url == "s3://bucket/x" else pytest.fail(url))
    assert send.main("s3://bucket/x", "report.html") == 0
    assert capsys.readouterr().out.startswith("data:")
    assert send.main("s3://bucket/x", "none.html") == 2


def test_a_job_of_others_has_no_results(monkeypatch):
    ended = typed(monkeypatch, "status other --address http://h:8265")
    assert "must be a job of `raybert submit`, got another one" in str(ended.exception)


@pytest.mark.parametrize(
    ("output", "place"),
    [
        (None, "~/raybert-runs/n"),
        ("/shared/x", "/shared/x"),
        ("~/x", "~/x"),
        ("s3://bucket/runs/x", "s3://bucket/runs/x"),
    ],
)
def test_results_go_where_they_outlive_the_folder_of_the_job(output, place):
    assert submission._place(output, "n") == place


def test_a_path_in_the_folder_of_the_job_is_refused():
    with pytest.raises(submission.ConfigError, match=r"output: must be a path on the cluster .*, got runs/x"):
        submission._place("runs/x", "n")
