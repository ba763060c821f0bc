"""Corrections for many tests and for overlapping training sets give what is published of worked examples."""

import numpy as np
import pytest
from sklearn.datasets import make_moons
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.svm import SVC

from raybert.analysis.statistics.intervals import holm, paired_p


def test_holm_gives_what_the_documentation_of_multiple_testing_jl_has():
    adjusted = holm(np.array([0.001, 0.01, 0.03, 0.5]))  # `adjust(PValues([0.001, 0.01, 0.03, 0.5]), Holm())`
    assert adjusted.tolist() == pytest.approx([0.004, 0.03, 0.06, 0.5])


def test_holm_rejects_what_demsar_rejects():
    """Demsar 2006, JMLR 7, section 3.2.2: three classifiers beside C4.5, of which the first two differ."""
    adjusted = holm(np.array([0.016, 0.019, 0.607]))
    assert adjusted.tolist() == pytest.approx([0.048, 0.048, 0.607])
    assert (adjusted < 0.05).tolist() == [True, True, False]


def test_holm_rejects_three_of_the_fifteen_hypotheses_on_thrombolysis():
    """Benjamini and Hochberg 1995, JRSS B 57, section 4.1: 0.0095 is above 0.05 / 12, and rejected by FDR only."""
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
    p += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000]
    adjusted = holm(np.array(p))
    assert (adjusted < 0.05).sum() == 3
    assert adjusted[:4].tolist() == pytest.approx([15 * 0.0001, 14 * 0.0004, 13 * 0.0019, 12 * 0.0095])
    assert adjusted.max() == 1.0


@pytest.mark.long
@pytest.mark.slow
def test_nadeau_and_bengio_give_what_scikit_learn_publishes_of_two_kernels():
    """Its example "Statistical comparison of models using grid search": t 0.750, one-sided p 0.227."""
    texts, labels = make_moons(noise=0.352, random_state=1, n_samples=100)
    cut = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (
        cross_val_score(SVC(kernel=kernel, random_state=0), texts, labels, scoring="roc_auc", cv=cut)
        for kernel in ("rbf", "linear")
    )
    difference = rbf - linear
    mean, std, count, ratio = difference.mean(), difference.std(ddof=1), len(difference), 10 / 90
    assert mean / (std * np.sqrt(1 / count + ratio)) == pytest.approx(0.750, abs=5e-4)
    assert paired_p(mean, std, count, ratio) / 2 == pytest.approx(0.227, abs=5e-4)
