"""Jobs of a cluster: followed to their end, or left alone; whatever Ray's client raises is one line."""

import types

import pytest
from ray.exceptions import AuthenticationError

from raybert.errors import ExitCode, ResourceError
from raybert.sweeping.submit import jobs as module
from raybert.sweeping.submit.jobs import Jobs, JobState, dashboard_address, exit_code_of

START = "INFO job_manager.py -- Runtime env is setting up.\nRunning entrypoint for job j: python -m raybert\n"


class Client:
    """A cluster with one job, `j`, whose log and state follow a list; an error in it is raised."""

    def __init__(self, looks):
        self.looks, self.asked = list(looks), []

    def get_job_info(self, job_id):
        self.asked.append(job_id)
        look = self.looks[0]
        if isinstance(look, Exception):
            self.looks.pop(0)
            raise look
        status = look[0]
        code = {"SUCCEEDED": 0, "FAILED": 4}.get(status)
        return types.SimpleNamespace(
            status=status, driver_exit_code=code, message="m", metadata={module.OUTPUT: "/shared/x"}
        )

    def get_job_logs(self, job_id):
        _, log = self.looks[0]
        if len(self.looks) > 1:
            self.looks.pop(0)
        return log


@pytest.fixture
def cluster(monkeypatch):
    """Jobs of a cluster whose looks are given, without waiting between them."""

    def make(*looks):
        client = Client(looks)
        monkeypatch.setattr(module, "JobSubmissionClient", lambda address: client)
        monkeypatch.setattr(module, "use_token", lambda: None)
        monkeypatch.setattr(module, "token_is_here", lambda: True)
        monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
        return Jobs("http://h:8265")

    return make


def test_a_log_is_followed_in_whole_lines_without_what_ray_says_of_its_start(cluster):
    jobs = cluster(
        ("PENDING", ""),
        ("RUNNING", START.splitlines(keepends=True)[0]),
        ("RUNNING", START + "0:00 one\n0:01 tw"),
        ("RUNNING", START + "0:00 one\n0:01 two\n"),
        ("SUCCEEDED", START + "0:00 one\n0:01 two\nlast"),
    )
    assert list(jobs.follow("j", pytest.fail)) == ["0:00 one", "0:01 two", "last"]


def test_a_job_that_never_began_shows_all_that_there_is(cluster):
    assert list(cluster(("FAILED", "no room\n")).follow("j", pytest.fail)) == ["no room"]


def test_while_nobody_answers_it_is_tried_again_and_nothing_is_said_twice(cluster):
    refused = ConnectionRefusedError(111, "Connection refused")
    jobs = cluster(("RUNNING", START + "a\n"), refused, refused, ("SUCCEEDED", START + "a\nb\n"))
    notes = []
    assert list(jobs.follow("j", notes.append)) == ["a", "b"]
    assert notes == [
        "address: no dashboard of a Ray cluster answers at http://h:8265 (Connection refused); keep `ray dashboard "
        "cluster.yaml` (or an SSH tunnel) open meanwhile, and see `ray status` on the head; the job goes on, and it is "
        "tried again",
        "the dashboard answers again",
    ]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "Request failed with status code 404: Job nope does not exist.",
            r"nope: there is no such job at http://h:8265",
        ),
        ("Request failed with status code 500: a\nTraceback", "refuses it: Request failed with status code 500: a$"),
        ("The Ray jobs CLI & SDK require the ray[default] installation", r"pip install 'raybert\[submit\]'"),
    ],
)
def test_what_the_client_raises_is_one_line(said, words, cluster):
    with pytest.raises(ResourceError, match=words) as refused:
        cluster(RuntimeError(said)).state("nope")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("is_here", "words"),
    [(True, "refuses the token of this machine; copy"), (False, "asks for a token, and there is none here; copy")],
)
def test_a_cluster_that_asks_for_another_token_is_one_line(is_here, words, cluster, monkeypatch):
    jobs = cluster(AuthenticationError("Authentication failed: Forbidden\n\nToken"))
    monkeypatch.setattr(module, "token_is_here", lambda: is_here)
    with pytest.raises(ResourceError, match=f"the cluster behind http://h:8265 {words} ~/.ray/auth_token"):
        jobs.state("j")


@pytest.mark.parametrize(
    ("status", "code", "ends"),
    [("SUCCEEDED", 0, 0), ("FAILED", 4, 4), ("FAILED", 2, 2), ("STOPPED", None, ExitCode.INTERRUPTED)],
)
def test_a_followed_job_ends_as_its_command_has(status, code, ends):
    assert exit_code_of(JobState("j", status, True, code, "", "")) == ends


def test_a_job_that_the_cluster_could_not_run_is_an_error():
    with pytest.raises(ResourceError, match="j: the cluster has not run it to its end: no such package$"):
        exit_code_of(JobState("j", "FAILED", True, None, "no such package\nTraceback", ""))


def test_the_address_is_that_of_a_dashboard(monkeypatch):
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
    assert dashboard_address(None) == "http://127.0.0.1:8265"
    assert dashboard_address("http://h:1/") == "http://h:1"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://e:2")
    assert dashboard_address(None) == "http://e:2"
    with pytest.raises(ResourceError, match=r"must be that of a dashboard, http://HOST:PORT, got head:6379: `ray dash"):
        dashboard_address("head:6379")


def test_rays_variables_do_not_take_the_place_of_the_address(cluster, monkeypatch):
    seen = []
    monkeypatch.setenv("RAY_ADDRESS", "other:6379")
    cluster(("RUNNING", ""))
    monkeypatch.setattr(
        module, "JobSubmissionClient", lambda address: seen.append(module.os.environ.get("RAY_ADDRESS"))
    )
    Jobs("http://h:8265")
    assert seen == [None]
    assert module.os.environ["RAY_ADDRESS"] == "other:6379"
