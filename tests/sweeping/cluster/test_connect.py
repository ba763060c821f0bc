"""What is said of a cluster that cannot be joined, and where a Ray of one's own lives; no Ray is started here."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from pathlib import Path

import psutil
import pytest
from ray.exceptions import AuthenticationError

from raybert import private_folders
from raybert.errors import ResourceError
from raybert.sweeping import ENVIRONMENT
from raybert.sweeping.cluster import address as addresses
from raybert.sweeping.cluster import connect, quiet, scratch, token
from raybert.sweeping.cluster.address import check_address
from raybert.sweeping.cluster.connect import connected
from raybert.sweeping.cluster.scratch import ray_scratch
from raybert.sweeping.plan.where import environment_notes, starts_here
from tests.processes import wait_until


@pytest.fixture(autouse=True)
def _not_connected(monkeypatch):
    """A process of its own: not the one that is connected to the Ray of the session."""
    monkeypatch.setattr(connect.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(connect.ray, "shutdown", lambda: None)
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(token, "maybe_enable_token_auth_if_token_available", _enable_nothing)
    monkeypatch.setattr(token, "Config", _Unread)


def _enable_nothing(*, warn_if_disabled: bool) -> bool:
    return False


class _Unread:
    """What Ray knows of its environment, which is that of the session here."""

    @staticmethod
    def initialize(settings: str) -> None:
        assert settings == ""


@contextlib.contextmanager
def listener():
    with socket.create_server(("", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def enter_scratch() -> None:
    with ray_scratch():
        pass


def refusal(address: str) -> str:
    with pytest.raises(ResourceError) as refused:
        check_address(address)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_an_address_at_which_nothing_listens_is_refused_at_once():
    with listener() as address:
        pass
    assert f"no Ray cluster answers at {address} (Connection refused)" in refusal(address)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("ray://head:10001", "not through Ray Client; run raybert there with `--address auto`"),
        ("head", "must be auto, local or HOST:PORT of a Ray cluster, got 'head'"),
        ("", "must be auto, local or HOST:PORT of a Ray cluster, got ''"),
        (
            "http://head:8265",
            "which is that of a dashboard; send the sweep there by `raybert submit FILE --address http",
        ),
        ("head.invalid:6379", "no Ray cluster answers at head.invalid:6379"),
    ],
)
def test_what_is_no_address_is_said(address, words):
    assert words in refusal(address)


def test_an_address_where_something_else_answers_is_refused_within_its_limit(monkeypatch):
    silence = threading.Event()
    monkeypatch.setattr(addresses, "SECONDS_TO_ANSWER", 0.1)
    monkeypatch.setattr(addresses, "GcsClient", lambda address: silence.wait())
    with listener() as address:
        assert f"what answers at {address} is no Ray cluster, or its head hangs" in refusal(address)
    silence.set()


def test_auto_without_a_cluster_is_said(monkeypatch):
    def find(address):
        raise ConnectionError("Could not find any running Ray instance")

    monkeypatch.setattr(addresses, "canonicalize_bootstrap_address", find)
    assert "auto finds no Ray cluster on this machine; start one with `ray start --head`" in refusal("auto")


@pytest.mark.parametrize(
    ("environment", "is_here", "words"),
    [
        ({}, False, "asks for a token, and there is none here; copy ~/.ray/auth_token of its head"),
        ({}, True, "asks for a token, which RAY_AUTH_MODE=None keeps back"),
        ({"RAY_AUTH_MODE": "disabled"}, True, "asks for a token, which RAY_AUTH_MODE=disabled keeps back; unset that"),
        ({"RAY_AUTH_MODE": "token"}, True, "refuses the token of this machine (~/.ray/auth_token)"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "x"}, True, "refuses the token of this machine (RAY_AUTH_TOKEN)"),
        ({"RAY_AUTH_MODE": "token"}, False, "RAY_AUTH_MODE=token asks for a token to join"),
    ],
)
def test_a_cluster_that_refuses_us_is_told_from_one_that_is_not_there(environment, is_here, words, monkeypatch):
    def refuse(*, address):
        raise AuthenticationError("InvalidAuthToken: Authentication token is missing or incorrect")

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(addresses, "GcsClient", refuse)
    monkeypatch.setattr(addresses, "token_is_here", lambda: is_here)
    with listener() as address:
        said = refusal(address)
    assert words in said
    assert "no Ray cluster answers" not in said


@pytest.mark.parametrize(
    ("environment", "source"),
    [
        ({"RAY_AUTH_MODE": "token"}, "~/.ray/auth_token"),
        ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "x"}, "RAY_AUTH_TOKEN"),
    ],
)
def test_a_head_that_has_no_token_is_refused_before_it_sees_ours(environment, source, monkeypatch):
    asked = []
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(addresses, "GcsClient", lambda address: asked.append(os.environ["RAY_AUTH_MODE"]))
    monkeypatch.setattr(addresses, "token_is_here", lambda: True)
    with listener() as address:
        said = refusal(address)
    assert f"{address} must ask for the token that this machine has ({source}), and asks for none" in said
    assert "or set RAY_AUTH_MODE=disabled here to join it as it is" in said
    assert asked == ["disabled"]
    assert os.environ["RAY_AUTH_MODE"] == "token"


def test_a_head_that_lets_in_who_has_no_token_is_joined_by_who_keeps_his_back(monkeypatch):
    asked = []
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setattr(addresses, "GcsClient", lambda address: asked.append(os.environ["RAY_AUTH_MODE"]))
    monkeypatch.setattr(addresses, "token_is_here", lambda: True)
    with listener() as address:
        check_address(address)
    assert asked == ["disabled"]


@pytest.mark.parametrize("content", [None, "", "  \n"])
def test_a_file_that_holds_no_token_is_refused_before_ray_ends_the_process(content, tmp_path, monkeypatch):
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    with pytest.raises(ResourceError, match=f"RAY_AUTH_TOKEN_PATH: must name a file .* got {path}"):
        token.check_token_file()


@pytest.fixture
def started(monkeypatch):
    """What `ray.init` is given, and the environment in which it is called."""
    calls = []

    def init(**given):
        calls.append((given, dict(os.environ), signal.getsignal(signal.SIGHUP)))
        raise Exception("Failed to start GCS. Last 2 lines of error files:\nmore")  # the class that Ray raises

    monkeypatch.setattr(connect.ray, "init", init)
    monkeypatch.setattr(connect, "make_token", lambda folder: None)
    return calls


@pytest.mark.parametrize(("address", "named"), [(None, ""), (None, "local"), ("local", "127.0.0.1:1")])
def test_a_ray_that_is_started_here_follows_nothing_of_another_cluster(address, named, started, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", named)
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    monkeypatch.setattr(connect, "count_cores", lambda: 3)  # by quota, affinity and SLURM
    handler = signal.getsignal(signal.SIGHUP)
    assert starts_here(address)
    with (
        pytest.raises(ResourceError, match=r"Ray cannot be started on this machine: Failed to start GCS. Last 2 lines"),
        connected(address),
    ):
        pass
    ((given, environment, on_hangup),) = started
    assert (given["address"], given["num_cpus"]) == ("local", 3)
    assert not {"RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR"} & environment.keys()
    assert environment["RAY_BACKEND_LOG_LEVEL"] == "fatal"
    assert "RAY_BACKEND_LOG_LEVEL" not in os.environ
    assert os.environ["RAY_ADDRESS"] == named
    assert on_hangup is signal.SIG_IGN  # which Ray's processes inherit: a lost terminal does not end them
    assert signal.getsignal(signal.SIGHUP) is handler
    assert not Path(given["_temp_dir"]).exists()


def test_uv_run_is_not_repeated_in_workers_unless_it_is_wanted(started, monkeypatch):
    found = []
    for wanted in ("1", "0"):  # Ray itself has read it long ago
        monkeypatch.setattr(connect.ray_constants, "RAY_ENABLE_UV_RUN_RUNTIME_ENV", True)
        monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", wanted)
        with pytest.raises(ResourceError), connected(None):
            pass
        found.append(connect.ray_constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV)
    assert found == [True, False]
    assert ENVIRONMENT["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] == "0"


@pytest.mark.parametrize(("given", "of_workers"), [(None, "false"), ("true", "true")])
def test_workers_tokenize_in_one_thread_and_the_driver_in_all(given, of_workers, started, monkeypatch):
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    if given is not None:
        monkeypatch.setenv("TOKENIZERS_PARALLELISM", given)
    with pytest.raises(ResourceError), connected(None):
        pass
    ((_, environment, _),) = started  # which the processes of Ray inherit
    assert environment["TOKENIZERS_PARALLELISM"] == of_workers
    assert os.environ.get("TOKENIZERS_PARALLELISM") == given
    monkeypatch.setattr(connect, "check_address", lambda address: None)
    with pytest.raises(ResourceError), connected("head:6379"):
        pass
    assert started[1][0]["runtime_env"]["env_vars"]["TOKENIZERS_PARALLELISM"] == "false"
    assert "TOKENIZERS_PARALLELISM" not in ENVIRONMENT


def test_the_cluster_that_the_environment_names_is_joined_and_said(started, monkeypatch):
    assert not environment_notes(None)
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    monkeypatch.setattr(connect, "check_address", lambda address: None)
    (note,) = environment_notes(None)
    assert note.startswith("note: joins the Ray cluster at head:6379, which RAY_ADDRESS names; --address local")
    assert not environment_notes("auto")
    assert not environment_notes("local")
    assert not starts_here(None)
    with pytest.raises(ResourceError, match="the Ray cluster at head:6379 cannot be joined"), connected(None):
        pass
    assert started[0][0]["address"] == "head:6379"


def test_what_a_job_sets_for_its_workers_is_not_given_again(started, monkeypatch):
    monkeypatch.setattr(connect, "check_address", lambda address: None)
    given = []
    for job in ('{"runtime_env": {"env_vars": {"RAY_DEDUP_LOGS": "1"}}}', '{"runtime_env": {}}', "{}", "torn"):
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", job)
        with pytest.raises(ResourceError), connected("head:6379"):
            pass
        given.append(started[-1][0]["runtime_env"]["env_vars"])
    assert "RAY_DEDUP_LOGS" not in given[0]
    assert given[1] == given[2] == given[3] == given[0] | {"RAY_DEDUP_LOGS": "0"}


def test_a_cluster_that_answers_and_cannot_be_joined_is_one_line(started, monkeypatch):
    monkeypatch.setattr(connect, "check_address", lambda address: None)
    with (
        pytest.raises(ResourceError, match=r"the Ray cluster at head:6379 cannot be joined: Failed to start GCS.* \(a"),
        connected("head:6379"),
    ):
        pass


def only_in(monkeypatch, *writable: str) -> None:
    """Let folders be made in some places only."""
    make = tempfile.mkdtemp

    def mkdtemp(prefix, dir):
        if dir not in writable:
            raise PermissionError(13, "Permission denied")
        return make(prefix=prefix)

    monkeypatch.setattr(scratch.tempfile, "mkdtemp", mkdtemp)


def test_a_ray_lives_in_tmp_however_long_the_temporary_folder_is(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("long" * 20)))
    only_in(monkeypatch, "/tmp")
    enter_scratch()


@pytest.mark.parametrize("place", ["/scratch", "/var/tmp", "/dev/shm"])
def test_where_tmp_cannot_be_written_it_lives_elsewhere(place, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/scratch")
    only_in(monkeypatch, place)
    enter_scratch()


@pytest.mark.parametrize("temporary", ["/no/such", "/" + "long" * 20])
def test_where_no_short_place_can_be_written_that_is_one_line(temporary, monkeypatch):
    monkeypatch.setenv("TMPDIR", temporary)
    only_in(monkeypatch, "/" + "long" * 20)
    with pytest.raises(ResourceError, match=r"TMPDIR: Ray needs a folder .* at most 2\d characters, .* set TMPDIR="):
        enter_scratch()


@pytest.mark.fault("scratch folders of a Ray whose driver was killed")
def test_scratch_folders_of_the_dead_are_removed_and_those_of_the_living_are_not(monkeypatch, fault):
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        monkeypatch.setattr(scratch, "_places", lambda: [place])
        for name in ("raybert-deadbeef", "raybert-of_mine_"):
            (Path(place) / name / "session_1").mkdir(parents=True)
        (Path(place) / "raybert-deadbeef" / private_folders.MARK).touch()
        with fault.once(), ray_scratch() as living, ray_scratch() as second:
            assert sorted(path.name for path in Path(place).iterdir()) == sorted(
                ["raybert-of_mine_", living.name, second.name]
            )
        assert [path.name for path in Path(place).iterdir()] == ["raybert-of_mine_"]


def test_a_token_is_made_where_there_is_none_and_nothing_is_written_home(monkeypatch, tmp_path):
    class Loader:
        is_read = True

        def has_token(self, ignore_auth_mode):
            return False

        def reset_cache(self):
            self.is_read = False

    loader = Loader()
    monkeypatch.setattr(token, "AuthenticationTokenLoader", type("Loaders", (), {"instance": lambda: loader}))
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    token.make_token(tmp_path)
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(tmp_path / "token")
    assert len((tmp_path / "token").read_text()) == 64
    assert not loader.is_read
    token.forget_token(tmp_path)
    assert "RAY_AUTH_TOKEN_PATH" not in os.environ


def test_what_is_written_by_number_is_kept_and_not_shown(capfd):
    with quiet.quiet_backend() as said:
        os.write(2, b"core_worker.cc: MapWorker\n")
    os.write(2, b"shown\n")
    assert capfd.readouterr().err == "shown\n"
    assert said.closed


def test_who_sets_the_level_of_rays_log_sees_it(capfd, monkeypatch):
    monkeypatch.setenv("RAY_BACKEND_LOG_LEVEL", "debug")
    with quiet.quiet_backend():
        assert os.environ["RAY_BACKEND_LOG_LEVEL"] == "debug"
        os.write(2, b"shown\n")
    assert capfd.readouterr().err == "shown\n"


@pytest.mark.fault("Ray that does not start in time")
def test_what_a_ray_has_begun_that_does_not_start_in_time_is_ended(monkeypatch, fault):
    begun = []

    def start_too_slowly(*, _temp_dir, **_):
        raylet = Path(_temp_dir).parent / "raylet"
        shutil.copy(shutil.which("sleep"), raylet)
        begun.append(subprocess.Popen([raylet, "600"]))
        wait_until(lambda: psutil.Process(begun[0].pid).name() == "raylet", "the raylet")
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(connect.ray, "init", start_too_slowly)
    with (
        fault.once(),
        pytest.raises(ResourceError, match=r"Ray cannot be started on this machine: The current node timed out"),
        connected(None),
    ):
        pass
    assert not psutil.pid_exists(begun[0].pid)
    assert not Path(begun[0].args[0]).parent.exists()
