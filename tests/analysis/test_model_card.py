import json

import pytest
import yaml
from huggingface_hub import ModelCard

from raybert.analysis import load_sweep
from raybert.analysis.model_card import write_model_card
from raybert.config import validate_config
from raybert.sweeping.folder.spec_file import StoredSpec, write_spec
from raybert.sweeping.plan.specs import PoolFacts
from tests.analysis.folders import write_plan, write_result
from tests.sweeping.planning import plan_of

FACTS = PoolFacts("data", "encoder", 400, 2)
DETAILS = {
    "rows": {"train": 400, "validation": 50, "test": 80},
    "class_counts": {"train": {"ham": 390, "spam": 10}},
}


def write_sweep(folder, seeds=2, entry="random", accuracies=(0.8, 0.9), **sections):
    """Write a sweep of one strategy whose seeds reached these accuracies; return it and its trials."""
    config = validate_config({"sweep": {"strategies": [entry], "seeds": seeds}, **sections})
    plan = plan_of(config, FACTS)
    trials = [spec for spec in plan.trials if spec.role == "trial"]
    write_plan(folder, [spec.summary() for spec in trials])
    for spec, accuracy in zip(trials, accuracies, strict=False):
        write_result(folder, spec.summary(), accuracy, notes="3 of 400 examples have no `probs`: they rank last")
        write_spec(folder / "trials" / spec.trial_id, StoredSpec(spec, "data", "encoder"))
    described = {"label_names": ["ham", "spam"], "fingerprint": "f00d", "notes": ["2 texts twice"], "details": DETAILS}
    manifest = {"python": "3.11", "versions": {"torch": "2.0"}, "data": {trials[0].data_key: described}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return load_sweep(folder), trials


def card_of(tmp_path, sweep, trial_id, refit=None):
    (tmp_path / "model").mkdir()
    write_model_card(tmp_path / "model", sweep, trial_id, refit)
    return ModelCard.load(tmp_path / "model" / "README.md")


def test_the_card_says_what_it_is_and_how_good(tmp_path):
    entry = {"name": "confidence", "measure": "margin"}
    sweep, trials = write_sweep(tmp_path / "run", entry=entry, data={"source": "imdb", "max_length": 96})
    card = card_of(tmp_path, sweep, trials[1].trial_id)
    (accuracy,) = [r for r in card.data.eval_results if r.metric_type == "accuracy"]
    assert (accuracy.metric_value, accuracy.dataset_split, accuracy.dataset_type) == (0.9, "test", "imdb")
    assert (card.data.library_name, card.data.datasets, card.data.base_model) == ("transformers", ["imdb"], None)
    assert "the strategy `confidence(measure=margin)` chose 40 of 400 training examples" in card.text
    assert card.data.tags == ["raybert", "data-selection", "confidence"]
    assert '- strategy: `confidence(measure=margin)`, parameters `{"measure": "margin"}`' in card.text
    assert "400 train, 50 validation, 80 test" in card.text
    assert "`f00d`" in card.text
    assert "- note: 2 texts twice" in card.text
    assert "| metric | this model | both seeds of the configuration |" in card.text
    assert "| test accuracy | 0.9000 | 0.8000, 0.9000 |" in card.text
    assert "- Two seeds only: both values are given, and no interval." in card.text
    assert "python 3.11, torch 2.0" in card.text
    assert "max_length=96" in card.text


def test_three_seeds_have_an_interval_within_the_range(tmp_path):
    sweep, trials = write_sweep(tmp_path / "run", seeds=3, accuracies=(0.98, 0.99, 1.0))
    card = card_of(tmp_path, sweep, trials[1].trial_id)
    assert "| metric | this model | mean of the configuration over 3 seeds [95 % interval] |" in card.text
    # logit(.99) -+ t(.975, 2) * .01 / sqrt(3) / (.99 * .01) = 4.5951 -+ 2.5093
    assert "| test accuracy | 0.9900 | 0.9900 [0.8895, 0.9992] |" in card.text
    assert "- configuration: random" in card.text


def test_one_seed_has_its_own_value(tmp_path):
    sweep, trials = write_sweep(tmp_path / "run", seeds=1, accuracies=(0.8,))
    card = card_of(tmp_path, sweep, trials[0].trial_id)
    assert "| metric | this model | the configuration, 1 seed |" in card.text
    assert "| test accuracy | 0.8000 | 0.8000 |" in card.text


def test_the_configuration_in_the_card_reads_back(tmp_path):
    sweep, trials = write_sweep(tmp_path / "run", train={"learning_rate": 3e-4})
    card = card_of(tmp_path, sweep, trials[0].trial_id)
    stored = yaml.safe_load(card.text.split("```yaml\n")[1].split("```")[0])
    assert validate_config(stored).train.learning_rate == 3e-4
    assert "sweep" not in stored


@pytest.mark.parametrize(
    ("sections", "line"),
    [
        ({"seeds": 1, "accuracies": (0.8,)}, "- One seed only: nothing is known of how much another seed would differ"),
        ({}, "- This is the best of several seeds by validation"),
        ({}, "- The test split has 80 examples: small differences are within chance."),
        ({}, "- Fewer than 20 training examples of: spam."),
        ({}, "- 3 of 400 examples have no `probs`: they rank last"),
    ],
)
def test_limitations_that_are_known_are_said(tmp_path, sections, line):
    sweep, trials = write_sweep(tmp_path / "run", **sections)
    assert line in card_of(tmp_path, sweep, trials[0].trial_id).text


def test_a_local_file_is_named_but_is_no_data_set_of_the_hub(tmp_path):
    (tmp_path / "private").mkdir()
    path = tmp_path / "private" / "reviews.csv"
    path.touch()
    sweep, trials = write_sweep(tmp_path / "run", data={"source": str(path)})
    card = card_of(tmp_path, sweep, trials[0].trial_id)
    assert card.data.datasets is None
    assert "fine-tuned on reviews.csv" in card.text


def test_a_head_of_ours_is_loaded_by_raybert(tmp_path):
    sweep, trials = write_sweep(tmp_path / "run", model={"head": "mlp"})
    assert "raybert.load_model" in card_of(tmp_path, sweep, trials[0].trial_id).text
