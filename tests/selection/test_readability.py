import importlib.util
import math

import numpy as np
import pytest

from raybert.selection.scorers.readability import (
    automated_readability_index,
    coleman_liau_index,
    count_units,
    readability_statistics,
)

TEXT = "The cat sat on the mat. It purred loudly because nobody had disturbed its nap! Was anyone surprised?"


def test_units_by_hand():
    assert count_units("Two words. And three more!") == (20, 5, 2)
    assert count_units("No end") == (5, 2, 1)
    assert count_units("Version 2.5 is out. Really?! Yes") == (23, 6, 3)


def test_indices_by_hand():
    # 20 characters, 5 words, 2 sentences.
    assert automated_readability_index("Two words. And three more!") == pytest.approx(4.71 * 4 + 0.5 * 2.5 - 21.43)
    assert coleman_liau_index("Two words. And three more!") == pytest.approx(5.88 * 4 - 29.6 * 0.4 - 15.8)


@pytest.mark.skipif(importlib.util.find_spec("textstat") is None, reason="textstat is not installed")
def test_indices_equal_those_of_textstat():
    import textstat

    # textstat counts punctuation as characters of the ARI, its authors letters and digits: without marks both agree.
    plain = TEXT.split(".")[0]
    assert automated_readability_index(plain) == pytest.approx(textstat.automated_readability_index(plain), abs=0.1)
    # It rounds the ratios to two decimals before it multiplies them by 100.
    assert coleman_liau_index(TEXT) == pytest.approx(textstat.coleman_liau_index(TEXT), abs=0.5)


def test_texts_without_words_have_no_index():
    assert math.isnan(automated_readability_index(" ... "))
    values = readability_statistics(["", "!!", "a b c."])
    np.testing.assert_array_equal(np.isnan(values), [[True, True], [True, True], [False, False]])
