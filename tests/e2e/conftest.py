"""Whole sweeps in this process draw no pictures, but for the one that is looked at."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _pictures(request):
    if request.path.name != "test_sweep.py":
        request.getfixturevalue("no_pixels")
