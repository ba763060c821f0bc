import pytest

from raybert.analysis.report.layout import Cell, Picture, from_text_table, leading_number, plain_number
from raybert.display import Row, TextTable


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("75.6 [72.5, 78.5]", 75.6),
        ("12.8k", 12_800),
        ("1.30M", 1_300_000),
        ("4,000", 4_000),
        ("-1.6 [-3.4, +0.2]", -1.6),
        ("+13.2 [+9.7, +16.7] +", 13.2),
        ("98.1 %", 98.1),
        ("49.8 !", 49.8),
        ("2 x 3", 2),
        ("71.0, 72.0", 71.0),
        ("0/3", None),
        ("failed", None),
        ("", None),
    ],
)
def test_words_of_a_table_sort_by_the_number_that_they_begin_with(text, number):
    assert leading_number(text) == number


def test_a_table_of_words_keeps_its_styles_and_fills_short_rows():
    table = TextTable(("strategy", "value"), (Row(("a", "1.5"), styles=((1, "good"),)), Row(("b",), "bad")))
    shown = from_text_table("x", "words", table, {})
    assert [column.kind for column in shown.columns] == ["words", "number"]
    assert shown.rows[0].cells == (Cell("a"), Cell("1.5", 1.5, "good"))
    assert (shown.rows[1].cells, shown.rows[1].style) == ((Cell("b"), Cell("", "")), "bad")


def test_numbers_are_short_and_what_is_missing_is_empty():
    cells = [plain_number(value) for value in (4000, 0.123456, float("nan"), None)]
    assert [(cell.text, cell.value) for cell in cells] == [("4,000", 4000), ("0.1235", 0.123456), ("", ""), ("", "")]


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (2625, 823, "wide"),
        (1700, 1600, "wide"),
        (1500, 600, "wide"),
        (855, 621, "small"),
        (946, 400, "small"),
        (1325, 894, "wide"),
        (1118, 2181, ""),
    ],
)
def test_pictures_of_many_panels_are_wide_and_phones_show_small_ones_whole(width, height, size):
    assert Picture("Plot", "", "", "", width, height, "plots/x.png").size == size
