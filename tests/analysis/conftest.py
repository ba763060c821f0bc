"""Published results are tested without pixels; the pictures themselves in plots/."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _pictures(request):
    if request.path.parent.name != "plots":
        request.getfixturevalue("no_pixels")
