"""What the claims of a sweep hold for; `test_golden.py` has the claims themselves."""

from raybert.analysis import load_sweep
from raybert.analysis.results.claims import scope_words
from tests.analysis.folders import write_grid_sweep

RANDOM = [0.700, 0.712, 0.695]


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
