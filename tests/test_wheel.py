"""A wheel that is built from the sources holds all of them: what is left out is missed by nobody who works in a clone."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "raybert"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build by the backend that pyproject.toml names, without a network, and not in the clone."""
    pytest.importorskip("setuptools", minversion="77", reason="the build backend of pyproject.toml is not installed")
    place = tmp_path_factory.mktemp("wheel")
    shutil.copytree(PACKAGE, place / "raybert", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place)
    build = "import setuptools.build_meta as backend; print(backend.build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", build], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    with zipfile.ZipFile(place / done.stdout.splitlines()[-1]) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_a_wheel_has_every_file_of_the_package_templates_included(wheel):
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in wheel if name.startswith("raybert/")} == sources
    templates = {name.rpartition("/")[2] for name in sources if "/templates/" in name}
    assert templates == {"report.html.j2", "report.css", "report.js"}
    for name in ("raybert/py.typed", "raybert/analysis/report/templates/report.css"):
        assert wheel[name] == (ROOT / name).read_bytes()


def test_a_wheel_has_the_command_the_license_and_the_version(wheel):
    from raybert.version import __version__

    (info,) = {name.split("/")[0] for name in wheel if ".dist-info/" in name}
    assert info == f"raybert-{__version__}.dist-info"
    assert b"raybert = raybert.__main__:main" in wheel[f"{info}/entry_points.txt"]
    assert f"{info}/licenses/LICENSE" in wheel
    assert {name.split("/")[0] for name in wheel} == {"raybert", info}  # no tests, no docs
