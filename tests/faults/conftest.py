"""What the fault suite shares: the ground of its sweeps, and one that nothing disturbs."""

from __future__ import annotations

from pathlib import Path

import pytest

from raybert.models import Encoder
from tests.faults.sweeps import Ground, run


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Encoder) -> Ground:
    return Ground.make(tmp_path_factory.mktemp("ground"), tiny_bert)


@pytest.fixture(scope="session")
def file(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep file that most faults disturb."""
    return ground.write(tmp_path_factory.mktemp("file") / "sweep.yaml")


@pytest.fixture(scope="session")
def undisturbed(file: Path, ray_cluster: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    assert run(file, folder).outcome.exit_code == 0
    return folder
