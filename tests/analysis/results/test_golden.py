"""What is said of small sweeps, word by word: `golden/` holds it to be read."""

import pytest

from tests.analysis.results.golden import FOLDER, NAMES, said_of

pytestmark = pytest.mark.slow


_FIRST = ("clear_win_of_3_seeds", "better_only_without_failures", "one_seed", "folds")
"""Those that are read again everywhere; CI reads all."""


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in _FIRST else pytest.mark.long) for n in NAMES])
def test_every_word_of_a_verdict_is_the_one_that_was_read(tmp_path, name):
    assert said_of(name, tmp_path) == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def test_every_file_is_of_a_case():
    assert {path.stem for path in FOLDER.iterdir()} == set(NAMES)
