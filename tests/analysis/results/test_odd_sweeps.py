"""What is said of sweeps of which little or nothing is complete, or in which there is nothing to compare."""

import shutil
import subprocess

import pandas as pd
import pytest

from raybert.analysis import load_sweep
from raybert.analysis.results.metric_texts import spread_words
from raybert.analysis.results.pasted import results_latex, results_markdown
from tests.analysis.folders import write_outcomes

PENDING, FAILED = "pending", "failed"
RANDOM = [0.70, 0.712, 0.695, 0.705, 0.69]


def spread_of(folder, outcomes):
    """What the caption says that the numbers are."""
    sweep = load_sweep(write_outcomes(folder, outcomes))
    sentence = results_markdown(sweep).split("- sample: test accuracy in percent, ")[1].partition("\n")[0]
    assert sentence.rstrip(".") in results_latex(sweep).replace(r"\%", "%")
    return sentence


@pytest.mark.parametrize(
    ("outcomes", "spread"),
    [
        ({"random": [PENDING] * 3, "el2n": [PENDING] * 3}, "none of 6 trials is complete."),
        ({"random": [FAILED] * 2, "el2n": [FAILED] * 2}, "none of 4 trials is complete."),
        ({"random": [0.7, PENDING], "el2n": [PENDING] * 2}, "one seed."),
        ({"random": [0.7, 0.71], "el2n": [0.72, PENDING]}, "one seed, or both values."),
        ({"random": [0.7, 0.71], "el2n": [0.72, 0.7]}, "both seeds."),
        ({"random": RANDOM}, "mean over 5 seeds with its 95 % interval."),
        (
            {"random": RANDOM, "el2n": [*RANDOM[:3], FAILED, PENDING]},
            "mean over 3 to 5 seeds with its 95 % interval.",
        ),
        (
            {"random": RANDOM, "el2n": [0.7, FAILED, FAILED, PENDING, PENDING]},
            "mean over 1 to 5 seeds with its 95 % interval (fewer than 3: the values).",
        ),
    ],
)
def test_a_caption_says_over_how_many_seeds_its_numbers_are(tmp_path, outcomes, spread):
    assert spread_of(tmp_path, outcomes) == spread


def test_a_table_of_metrics_says_over_how_many_seeds_its_numbers_are():
    said = [
        spread_words(pd.DataFrame({"num_replicates": counts}), "seeds") for counts in ([], [1, 1], [2, 5], [1, 3], [4])
    ]
    assert said == [
        "no trial is complete",
        "one seed: values without a deviation",
        "mean ± standard deviation over 2 to 5 seeds",
        "mean ± standard deviation over 1 to 3 seeds",
        "mean ± standard deviation over 4 seeds",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("outcomes", [{"random": [PENDING]}, {"a_b & 50%": RANDOM, "random": [FAILED] * 5}])
def test_pdflatex_sets_the_table_of_any_sweep(tmp_path, outcomes):
    if shutil.which("pdflatex") is None:
        pytest.skip("pdflatex is not installed (Debian: texlive-latex-recommended)")
    table = results_latex(load_sweep(write_outcomes(tmp_path / "my_run & 5%", outcomes)))
    head = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "paper.tex").write_text(f"{head}{table}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
