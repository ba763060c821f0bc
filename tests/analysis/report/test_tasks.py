"""What a page says the groups of the data are: classes, labels, or ranges of numbers."""

from raybert.analysis.report.about import _counted
from raybert.analysis.results.task import groups_words, majority_words
from raybert.analysis.statistics.scales import Scale
from raybert.config.tasks import CLASSIFICATION, MULTI_LABEL, REGRESSION

ROWS = {"train": 630, "test": 180}


def test_classes_are_counted_as_they_are():
    counts = {"train": {"no": 2, "yes": 1}}
    assert _counted({"class_counts": counts}) == ("class", "Examples of each class", counts)


def test_of_several_labels_every_one_of_an_example_counts():
    strata = {"train": {"food": 137, "travel": 148}, "test": {"food": 43, "travel": 41}}
    means = {"train": {"food": 0.5, "travel": 1 / 3}, "test": {"food": 0.5, "travel": 0.35}}
    noun, caption, counts = _counted({"rows": ROWS, "strata": strata, "output_means": means})
    assert noun == "label"
    assert caption == "Examples that have each label, any number of them"
    assert counts == {"train": {"food": 315, "travel": 210}, "test": {"food": 90, "travel": 63}}


def test_numbers_are_counted_by_range():
    strata = {"train": {"up to 2.5": 300, "above": 330}}
    noun, caption, counts = _counted({"rows": ROWS, "strata": strata, "output_means": {"train": {"stars": 3.1}}})
    assert (noun, caption, counts) == ("range", "Examples in each range of numbers", strata)


def test_a_manifest_of_another_kind_has_no_counts():
    for details in ({}, {"class_counts": [1]}, {"strata": 3, "output_means": {"train": 1}, "rows": []}):
        assert _counted(details)[2] == {}


def test_every_task_has_its_own_words():
    assert len({majority_words(task) for task in (CLASSIFICATION, MULTI_LABEL, REGRESSION)}) == 3
    assert (
        groups_words(MULTI_LABEL)[1] == "every example counts once, by the rarest of its labels, as in quotas and cuts"
    )
    assert groups_words(REGRESSION)[0] == "ranges of numbers"


def test_an_axis_of_an_error_says_that_less_is_better():
    assert Scale("rmse").axis_words == "RMSE (less is better)"
    assert Scale("accuracy").axis_words == "accuracy"
