"""What the page says of the data: every source once, however many folds are made of it."""

import json

import pytest

from raybert.analysis import load_sweep
from raybert.analysis.report.about import data_section
from tests.analysis.folders import make_spec, write_plan


def section_of(folder, described):
    write_plan(folder, [make_spec("random")])
    (folder / "manifest.json").write_text(json.dumps({"data": {str(n): entry for n, entry in enumerate(described)}}))
    return data_section(load_sweep(folder))


def entry(source, train):
    counts = {"train": {"ham": train, "spam": 1}}
    return {"source": source, "encoder": "tiny", "fingerprint": "f0", "details": {"class_counts": counts}}


def test_folds_of_a_source_are_described_once(tmp_path):
    section = section_of(tmp_path, [entry("mail", 7), entry("mail", 8), entry("mail", 9)])
    assert section.words == (
        "Source mail, read with tiny.",
        "Fingerprint of texts, labels, splits and word pieces: f0.",
        "2 more of this source, as folds or other keys of data make: manifest.json.",
    )
    (table,) = section.tables
    assert table.caption == "Examples of each class."
    assert [cell.text for cell in table.rows[0].cells] == ["ham", "7"]


def test_tables_of_several_sources_have_names_of_their_own(tmp_path):
    section = section_of(tmp_path, [entry(f"source {number}", number) for number in range(5)])
    assert [table.caption for table in section.tables] == [f"Examples of each class of source {n}." for n in range(3)]
    assert sum(line.startswith("Source") for line in section.words) == 5


@pytest.mark.parametrize(
    "described",
    [
        {"notes": 3},
        {"details": {"rows": 3, "cut_from_train": 3, "class_counts": [1]}},
        {"details": {"class_counts": {"train": {"ham": "many"}}}},
    ],
)
def test_a_manifest_of_another_kind_says_less_and_ends_nothing(described, tmp_path):
    section = section_of(tmp_path, [described])
    assert section.words[0] == "Source unknown, read with an encoder that is not known."
    assert all(cell.text in ("ham", "") for table in section.tables for row in table.rows for cell in row.cells)
