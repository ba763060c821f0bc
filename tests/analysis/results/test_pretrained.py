"""What results say of encoders that their sweep has pretrained, and what that has cost."""

import math

import pandas as pd

from raybert.analysis.results.pretrained import pretrained_notes
from raybert.analysis.statistics.equal_cost import spent_by_evaluation
from raybert.files import write_json

KNOWN = {
    "encoder": "org/bert",
    "corpus": "pool",
    "documents": 1800,
    "words": 20_000,
    "steps": 300,
    "tokens": 1_200_000,
    "seconds": 61.4,
    "masked": True,
    "contrastive": False,
    "before": {"validation_perplexity": 41.26},
    "after": {"validation_perplexity": 12.5},
}


def write_trial(folder, trial_id, encoder):
    (folder / "trials" / trial_id).mkdir(parents=True)
    write_json(folder / "trials" / trial_id / "spec.json", {"spec": {"encoder": encoder}})


def test_a_line_says_of_every_encoder_in_use_what_it_was_pretrained_on_and_how_well_it_knows_it(tmp_path):
    assert pretrained_notes(tmp_path, ["a"]) == []
    write_trial(tmp_path, "a", "one")
    write_trial(tmp_path, "b", "one")
    write_trial(tmp_path, "c", "")
    (tmp_path / "trials" / "of raybert 0.1").mkdir()
    write_json(tmp_path / "pretrained.json", {"one": KNOWN, "of a search": KNOWN})
    (line,) = pretrained_notes(tmp_path, ["a", "b", "c", "of raybert 0.1"])
    assert line == (
        "encoder: org/bert went on with pretraining (masked language modelling) on pool (1,800 documents, 20,000 words) "
        "for 300 steps, 1,200,000 word pieces, 61 s; its perplexity on texts that were held out of that: 41.26 before, "
        "12.5 after"
    )


def test_what_was_not_measured_is_not_said_and_many_encoders_are_counted(tmp_path):
    alone = KNOWN | {"masked": False, "contrastive": True, "before": {}, "after": {"validation_loss": 0.1}}
    write_json(tmp_path / "pretrained.json", {str(number): alone for number in range(9)})
    for number in range(9):
        write_trial(tmp_path, f"t{number}", str(number))
    lines = pretrained_notes(tmp_path, [f"t{number}" for number in range(9)])
    assert lines[0].endswith("went on with pretraining (SimCSE) on pool (1,800 documents, 20,000 words) for 300 steps, "
                             "1,200,000 word pieces, 61 s")  # fmt: skip
    assert lines[-1] == "3 more encoders were pretrained: pretrained.json"
    assert len(lines) == 7


def test_pretraining_is_spent_before_the_first_evaluation_of_a_trial_that_has_it():
    complete = pd.DataFrame(
        {
            "trial_id": ["with", "without"],
            "signal_seconds": [1.0, 1.0],
            "pretraining_seconds": [10.0, math.nan],
            "total_examples": [3 * 100 + 3 * 50, 3 * 100],
            "examples_seen": [100, 100],
        }
    )
    rows = [(trial, seen, seconds) for trial in ("with", "without") for seen, seconds in ((40, 2.0), (100, 5.0))]
    spent = spent_by_evaluation(complete, pd.DataFrame(rows, columns=["trial_id", "examples_seen", "seconds"]))
    assert spent["seconds_spent"].tolist() == [13.0, 16.0, 3.0, 6.0]
    assert spent["examples_spent"].tolist() == [3 * 40 + 150, 3 * 100 + 150, 3 * 40, 3 * 100]
