"""A Ray that is started for a sweep belongs to its user: nobody else reads its token, enters its folder, or reaches it."""

import json
import os
import stat
import subprocess
import sys

import pytest

from raybert.sweeping.cluster.token import forget_token, make_token

_SCRIPT = """
import json, os, stat, sys
from pathlib import Path
os.umask(int(sys.argv[1], 8))
from raybert.sweeping.cluster.connect import connected
import psutil, ray
with connected(None):
    ray.get(ray.remote(lambda: 1).remote())
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"])
    mine = {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    found = {
        "folder": stat.S_IMODE(token.parent.stat().st_mode),
        "token": stat.S_IMODE(token.stat().st_mode),
        "session": ray._private.worker._global_node.get_session_dir_path().startswith(str(token.parent) + "/"),
        "listens": sorted({
            one.laddr.ip.removeprefix("::ffff:") for one in psutil.net_connections("inet")
            if one.status == psutil.CONN_LISTEN and one.pid in mine
        }),
    }
found["left"] = [token.parent.exists(), "RAY_AUTH_TOKEN_PATH" in os.environ, "RAY_AUTH_TOKEN" in os.environ]
print(json.dumps(found))
"""


@pytest.fixture
def no_token(monkeypatch):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.fault("token that others may read")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_token_is_a_file_of_its_owner(umask, tmp_path, no_token, fault):
    before = os.umask(umask)
    try:
        with fault.once():
            make_token(tmp_path)
            path = tmp_path / "token"
            assert os.environ["RAY_AUTH_TOKEN_PATH"] == str(path)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert len(path.read_text()) == 64
            forget_token(tmp_path)
            assert "RAY_AUTH_TOKEN_PATH" not in os.environ
    finally:
        os.umask(before)


def test_a_token_that_the_user_names_is_taken(tmp_path, no_token, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/theirs")
    make_token(tmp_path)
    forget_token(tmp_path)
    assert os.environ["RAY_AUTH_TOKEN_PATH"] == "/theirs"
    assert not list(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.fault("token that others may read")
@pytest.mark.parametrize("umask", ["000", "077"])
def test_a_local_ray_is_its_users_alone(umask, no_token, fault):
    with fault.once():
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, umask], capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert found == {
            "folder": 0o700,
            "token": 0o600,
            "session": True,
            "listens": ["127.0.0.1"],
            "left": [False, False, False],
        }
