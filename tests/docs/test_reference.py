"""The pages of the reference, which are written from the code."""

from __future__ import annotations

import sys

import pytest

import raybert
from raybert.config import RaybertConfig
from raybert.selection.catalogue import strategy_names
from tests.e2e.commands import ROOT


@pytest.fixture(scope="module")
def pages():
    """Text of every generated page by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs")
        from reference_pages import PAGES

        yield {name: page() for name, page in PAGES.items()}


@pytest.fixture(scope="module")
def reference(pages):
    """The package that writes them."""
    return sys.modules["reference_pages"]


def row(text, first):
    """The cells of the table row that begins with a cell."""
    line = next(line for line in text.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def test_every_key_of_the_sweep_file_has_a_row_with_range_and_default(pages):
    text = pages["sweep_file"]
    assert row(text, "`train.learning_rate`") == [
        "`train.learning_rate`",
        "number, > 0",
        "`5e-05`",
        "peak learning rate; the default is one for AdamW",
    ]
    assert row(text, "`data.source`")[2] == "`docstrings`"
    assert row(text, "`sweep.tune.space.<key>.low`")[1] == "whole number or number or null"
    assert row(text, "`selection.budget`")[3].startswith("examples to train on")
    keys = [
        f"{name}.{key}"
        for name, section in RaybertConfig.model_fields.items()
        if hasattr(section.annotation, "model_fields")
        for key in section.annotation.model_fields
    ]
    assert len(keys) > 60
    assert [key for key in keys if f"`{key}" not in text] == []


def test_every_key_of_the_pretraining_file_has_a_row(pages):
    text = pages["pretraining_file"]
    assert row(text, "`corpora.<key>.source`")[3].startswith("as of `data.source`")
    assert row(text, "`tokenizer.vocabulary`")[1:3] == ["whole number, >= 32, <= 1e+06", "`8192`"]
    assert row(text, "`words`")[2] == "`all`"


def test_old_names_of_keys_are_listed(pages):
    assert row(pages["sweep_file"], "`data.subset`") == ["`data.subset`", "`data.config`"]


def test_every_strategy_has_a_section_with_its_rule(pages):
    text = pages["strategies"]
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    assert set(strategy_names()) <= sections.keys()
    assert [name for name in strategy_names() if "\nRule: " not in sections[name]] == []
    assert "arXiv 1812.05159" in sections["forgetting"]
    assert row(sections["semdedup"], "`epsilon`")[1:3] == ["number, >= 0, <= 2", "`0.05`"]


def test_commands_are_listed_with_their_options(pages):
    text = pages["command_line"]
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    assert "raybert sweep FILE [OPTIONS]" in sections["raybert sweep"]
    assert row(sections["raybert sweep"], "`--set KEY=VALUE`")[2].startswith("Override a key")
    assert row(sections["raybert plan"], "`--probe, --no-probe`")[1] == "`on`"
    assert row(sections["raybert select"], "`--strategy TEXT`")[1] == "*required*"
    assert "raybert scores rm" in sections


def test_exit_codes_of_commands_and_errors_are_listed(pages):
    text = pages["exit_codes"]
    assert row(text, "`raybert sweep`")[1].endswith("4 some trials failed, 5 all failed")
    assert row(text, "3")[1].startswith("stopped on request")
    assert row(text, "`Interrupted` (a `SweepError`)")[2] == "3"
    assert row(text, "`ConfigError`")[2] == "2"
    assert "Exit codes: 0 bit-identical (or the same error), 1 different" in pages["command_line"]


def test_everything_that_python_users_import_is_in_the_reference(pages):
    names = [name for name in raybert.__all__ if not name.startswith("__")]
    assert [name for name in names if f":: raybert.{name}\n" not in pages["python"]] == []


def test_a_page_is_written_only_where_it_changed(reference, tmp_path):
    assert len(reference.write_pages(tmp_path)) == len(reference.PAGES)
    assert reference.write_pages(tmp_path) == []
    (tmp_path / "metrics.md").write_text("old")
    assert reference.write_pages(tmp_path) == [tmp_path / "metrics.md"]
