"""What the verdict says where names are many, and where a control that draws anew wins."""

import pytest

from raybert.analysis import load_sweep
from tests.analysis.folders import write_outcomes
from tests.analysis.results.golden import above

RANDOM = [0.700, 0.712, 0.695]


@pytest.fixture
def verdict(tmp_path):
    def of(outcomes):
        return load_sweep(write_outcomes(tmp_path, {"random": RANDOM, **outcomes})).claims().headline

    return of


def test_a_winner_that_draws_anew_is_said_to_see_more_examples(verdict):
    gains = [0.1, 0.102, 0.098]
    said = verdict({"random_epoch": above(RANDOM, gains), "el2n": above(RANDOM, [0.01, -0.01, 0.0])})
    assert said == (
        "random_epoch is better than random in test accuracy by 10.0 points (95 % interval +9.5 to +10.5, not "
        "corrected; 3 seeds; selected as best of 2; it draws anew before each pass, and so sees more different "
        "examples). No difference to random is shown for el2n."
    )
    assert "anew" not in verdict({"el2n": above(RANDOM, gains)})


def test_of_many_that_show_no_difference_there_is_a_number(verdict):
    names = ("k_center", "d2", "aum", "grand", "confidence", "edfs_lite")
    none = {name: above(RANDOM, [0.01, -0.01 - 0.001 * i, 0.002 * i]) for i, name in enumerate(names)}
    assert verdict({"el2n": above(RANDOM, [0.1, 0.102, 0.098]), **none}).endswith(
        "No difference to random is shown for 6 of 7."
    )
