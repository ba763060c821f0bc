"""The files that people write labels into, and what is wrong with them."""

import pandas as pd
import pytest

from raybert.annotation.rounds import RoundsFolder
from raybert.errors import DataError

IDS = ["x1", "x2", "x3", "x4"]


def write(folder, number, labels, *, ids=IDS[:2], **options):
    frame = pd.DataFrame({"rank": range(len(ids)), "example_id": ids, "label": labels, "text": "t"})
    frame.to_csv(folder / f"round-{number}.csv", index=False, **options)


def test_labels_of_all_rounds_the_newest_counts(tmp_path):
    write(tmp_path, 2, ["b", ""], ids=["x3", "x1"])
    write(tmp_path, 1, [" a ", ""])
    write(tmp_path, 10, ["c", "b"], ids=["x2", "x1"])
    (tmp_path / "round-x.csv").write_text("")
    found = RoundsFolder(tmp_path).read("label", IDS, ["a"])
    assert RoundsFolder(tmp_path).numbers() == [1, 2, 10]
    assert found.labels == {"x1": "b", "x3": "b", "x2": "c"}
    assert found.round_of == {"x1": 10, "x3": 2, "x2": 10}
    assert found.notes[:2] == (
        "round-1.csv: 1 of 2 rows have no label yet",
        "round-2.csv: 1 of 2 rows have no label yet",
    )


def test_a_spreadsheet_may_write_semicolons_and_a_mark_in_front(tmp_path):
    write(tmp_path, 1, ["a", "b"], sep=";", encoding="utf-8-sig")
    assert RoundsFolder(tmp_path).read("label", IDS, []).labels == {"x1": "a", "x2": "b"}


def test_numbers_stay_what_was_typed(tmp_path):
    write(tmp_path, 1, ["01", "1"])
    assert RoundsFolder(tmp_path).read("label", IDS, []).labels == {"x1": "01", "x2": "1"}


def test_a_round_without_any_label_is_not_passed_over(tmp_path):
    write(tmp_path, 1, ["a", "b"])
    write(tmp_path, 2, ["", None], ids=["x3", "x4"])
    with pytest.raises(DataError, match=r"round-2\.csv: must have labels in column 'label' before the next round, got"):
        RoundsFolder(tmp_path).read("label", IDS, [])


def test_rows_of_another_source_are_refused(tmp_path):
    write(tmp_path, 1, ["a", "b"], ids=["x1", "other"])
    with pytest.raises(DataError, match=r"must hold ids of the source, got 'other' in row 2"):
        RoundsFolder(tmp_path).read("label", IDS, [])


def test_a_column_that_was_renamed_is_named(tmp_path):
    write(tmp_path, 1, ["a", "b"])
    with pytest.raises(DataError, match=r"data\.label: .* has no column 'class'"):
        RoundsFolder(tmp_path).read("class", IDS, [])


def test_a_class_written_wrongly_once_is_said(tmp_path):
    write(tmp_path, 1, ["positve", "negative"])
    found = RoundsFolder(tmp_path).read("label", IDS, ["positive"] * 3 + ["negative"] * 3)
    assert found.notes == ("label 'positve' occurs once; was 'positive' meant? It is a class of its own as it is",)
    write(tmp_path, 1, ["north", "south"])
    assert RoundsFolder(tmp_path).read("label", IDS, []).notes == ()


def test_a_history_survives_being_written(tmp_path):
    folder = RoundsFolder(tmp_path)
    row = {"round": 1, "strategy": "k_center", "num_labelled": 0, "num_candidates": 4, "num_chosen": 2}
    empty = dict.fromkeys(("accuracy", "mean_confidence", "mean_entropy", "changed", "kappa"), float("nan"))
    state = pd.DataFrame({"example_id": IDS, "predicted": "a", "confidence": 0.5, "entropy": 0.1})
    folder.write(
        1, pd.DataFrame({"example_id": IDS[:2], "label": ""}), state, pd.DataFrame([row | empty | {"stop": ""}])
    )
    assert folder.read_history().iloc[0].to_dict() == pytest.approx(row | empty | {"stop": ""}, nan_ok=True)
    pd.testing.assert_frame_equal(folder.read_state(1), state)
    assert folder.read_state(2) is None
