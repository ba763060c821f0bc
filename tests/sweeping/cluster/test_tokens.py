"""A token that the cluster has and the driver has not, and the other way round; real heads."""

import os
import subprocess
import sys

import pytest

from tests.clusters import OF_OTHER_RAYS, cluster_of
from tests.faults.sweeps import Ground

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray]

A_TOKEN = {"RAY_AUTH_TOKEN": "0123456789abcdef" * 4}


@pytest.fixture(scope="module")
def file(tmp_path_factory, tiny_bert):
    folder = tmp_path_factory.mktemp("ground")
    (folder / "ground").mkdir()
    ground = Ground.make(folder / "ground", tiny_bert)
    (first, *_) = ground.document()["sweep"]["strategies"]
    return ground.write(folder / "sweep.yaml", sweep__strategies=[first], sweep__seeds=1)


def sweep(file, folder, address, home, **environment):
    """Run the command as a user without any token, and with what is given."""
    kept = {name: value for name, value in os.environ.items() if name not in OF_OTHER_RAYS}
    return subprocess.run(
        [sys.executable, "-m", "raybert", "sweep", file, "--output", folder, "--address", address],
        env={**kept, "HOME": str(home), "COLUMNS": "1000", **environment},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


def test_a_driver_with_a_token_refuses_a_cluster_without_one_unless_it_keeps_its_own_back(file, tmp_path):
    with cluster_of(1, has_token=False) as nodes:
        refused = sweep(file, tmp_path / "run", nodes.address, tmp_path, **A_TOKEN)
        joined = sweep(file, tmp_path / "run", nodes.address, tmp_path, **A_TOKEN, RAY_AUTH_MODE="disabled")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert (
        f"address: the Ray cluster at {nodes.address} must ask for the token that this machine has (RAY_AUTH_TOKEN), and "
        "asks for none" in refused.stderr
    )
    assert "set RAY_AUTH_MODE=disabled here" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert joined.returncode == 0, joined.stdout + joined.stderr


def test_a_driver_without_the_token_of_a_cluster_is_told_so(file, tmp_path):
    with cluster_of() as nodes:
        without = sweep(file, tmp_path / "run", nodes.address, tmp_path)
        other = sweep(file, tmp_path / "run", nodes.address, tmp_path, **A_TOKEN)
    for done, words in (
        (without, "asks for a token, and there is none here; copy ~/.ray/auth_token of its head"),
        (other, "refuses the token of this machine (RAY_AUTH_TOKEN): it must be that of its head"),
    ):
        assert done.returncode == 2, done.stdout + done.stderr
        assert f"address: the Ray cluster at {nodes.address} {words}" in done.stderr
    assert not (tmp_path / "run").exists()
