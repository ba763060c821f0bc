"""What the results of a sweep allow to claim, word by word."""

import pytest

from raybert.analysis import load_sweep
from raybert.analysis.results.claims import scope_words
from tests.analysis.folders import write_grid_sweep


def claims_of(folder, accuracies):
    """The claims of a sweep whose seeds reached these accuracies."""
    return load_sweep(write_grid_sweep(folder, list(accuracies), [{}], lambda name, _: accuracies[name])).claims()


RANDOM = [0.700, 0.712, 0.695]


@pytest.mark.parametrize(
    ("accuracies", "headline"),
    [
        pytest.param(
            {"random": RANDOM, "el2n": [0.750, 0.763, 0.7445], "k_center": [0.711, 0.69, 0.701]},
            "el2n is better than random by 5.0 points [+4.8, +5.2] (3 seeds, selected as best of 2). "
            "For 1 other no difference to random is shown.",
            id="a clear win",
        ),
        pytest.param(
            {"random": RANDOM, "el2n": [0.705, 0.701, 0.702]},
            "No strategy is shown to be better than random (1 comparison), and no ranking can be claimed. No difference to random is shown.",
            id="a tie",
        ),
        pytest.param(
            {"random": RANDOM, "el2n": [0.650, 0.663, 0.6445]},
            "No strategy is shown to be better than random (1 comparison). el2n is worse.",
            id="a loss",
        ),
        pytest.param(
            {"random": RANDOM[:1], "el2n": [0.9]}, "One seed: numbers only; no ranking can be claimed.", id="one seed"
        ),
        pytest.param(
            {"random": RANDOM[:2], "el2n": [0.9, 0.92]},
            "Two seeds: both values are shown, without a test; no ranking can be claimed.",
            id="two seeds",
        ),
        pytest.param(
            {"el2n": [0.9, 0.92, 0.91]},
            "Nothing is compared: the sweep has no baseline with a finished trial beside another strategy.",
            id="nothing to compare with",
        ),
    ],
)
def test_the_headline_says_in_two_sentences_what_may_be_claimed(tmp_path, accuracies, headline):
    assert claims_of(tmp_path, accuracies).headline == headline


def test_claims_name_the_data_the_pool_the_budget_the_encoder_the_steps_the_seeds_and_the_test_set(tmp_path):
    sweep = load_sweep(write_grid_sweep(tmp_path, ["random", "el2n"], [{}], lambda *_: RANDOM))
    entry = {
        "source": "/home/me/imdb",
        "encoder": "prajjwal1/bert-tiny",
        "details": {"rows": {"train": 400, "test": 1000}},
    }
    assert scope_words(sweep.trials, sweep.plan["trials"], {"data": {"0a": entry}}) == (
        "Holds for: data imdb; pool 400 examples; budget 40 examples; encoder prajjwal1/bert-tiny; training 100 steps; "
        "seeds 0, 1, 2; test set 1,000 examples."
    )
    assert scope_words(sweep.trials.iloc[:0], [], {}) == "Nothing is complete yet."
