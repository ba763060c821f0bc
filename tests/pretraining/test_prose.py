"""The corpus `prose` against what is written by hand, and against every text of `docstrings`."""

import re
from types import SimpleNamespace

import pyarrow as pa
import pytest

from raybert.config.pretraining import load_pretraining
from raybert.data.docstrings import LIBRARIES, read_docstrings
from raybert.errors import DataError
from raybert.pretraining import prose
from raybert.pretraining.corpora import read_corpora
from raybert.pretraining.prose import PACKAGES, collect_prose, read_prose

MODULE = '''"""Tools that wander through large trees.

They are slow
   but sure.

>>> wander(3)
3
"""

def wander(steps):
    """Return the sum of all values of the input array along a given axis."""

class _Hidden:
    """Private classes have words to say, too.

    $ pip install wanderer
    """

def short():
    """Too short here."""

def twice():
    """Private classes have words to say, too."""
'''


HELD_OUT = "Words that only the corpus of docstrings may have in it."


def package(folder, **files):
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_documents_are_docstrings_without_code_each_once(tmp_path):
    folders = {"b": package(tmp_path / "b", one=MODULE, testing='"""These words are of a test."""')}
    found = collect_prose(folders, [], {"b": "1"})
    assert found.texts == (
        "Tools that wander through large trees.\nThey are slow but sure.",
        "Return the sum of all values of the input array along a given axis.",
        "Private classes have words to say, too.",
    )
    assert (found.packages, found.left_out) == (("b",) * 3, {})


@pytest.mark.parametrize(
    ("held_out", "stays"),
    [
        ("Compute THE sum, of all values of the input", False),  # eight of its words in a row are in the document
        ("the sum of all values of the output", True),  # seven are
        ("They are slow, but sure.", True),  # of another document
    ],
)
def test_what_shares_eight_words_in_a_row_with_a_held_out_text_is_left_out(tmp_path, held_out, stays):
    found = collect_prose({"a": package(tmp_path / "a", one=MODULE)}, [held_out], {})
    assert any("sum of all values" in text for text in found.texts) is stays
    short_one = any("slow but sure" in text for text in found.texts)
    assert short_one is ("slow" not in held_out)
    assert sum(found.left_out.values()) == 3 - len(found.texts)


def test_names_of_the_classified_libraries_are_masked(tmp_path):
    found = collect_prose({"a": package(tmp_path / "a", one='"""Turns a numpy array into one of np."""')}, [], {})
    assert found.texts == ("Turns a library array into one of library.",)


def test_no_library_is_both_read_and_classified():
    assert not PACKAGES.keys() & LIBRARIES.keys()


@pytest.fixture
def few_packages(tmp_path, monkeypatch):
    """Two packages, one of them with a text of `docstrings`, in place of what is installed."""
    folders = {"a": package(tmp_path / "a", one=MODULE), "b": package(tmp_path / "b", one=f'"""{HELD_OUT}"""')}
    monkeypatch.setattr(prose, "PACKAGES", dict.fromkeys(folders, "pytest"))
    monkeypatch.setattr(prose, "package_folder", folders.get)
    installed = SimpleNamespace(submodule_search_locations=["somewhere"])
    monkeypatch.setattr(prose.importlib.util, "find_spec", lambda name: installed if name in folders else None)
    monkeypatch.setattr(prose.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path / "none")})
    held_out = pa.table({"text": [HELD_OUT], "label": ["numpy"], "module": ["numpy"]})
    monkeypatch.setattr(prose, "read_docstrings", lambda folder: (held_out, {}))
    return tmp_path


def test_a_corpus_of_a_pretraining_file_may_be_prose(few_packages):
    config = load_pretraining({"corpora": {"tiny": {"source": "prose", "group": "package"}}})
    with pytest.raises(DataError, match=r"corpora\.tiny\.source: 'prose' must have at least 3 groups"):
        read_corpora(config, few_packages / "cache")
    found = read_corpora(load_pretraining({"corpora": {"tiny": "prose"}}), few_packages / "cache")["tiny"]
    assert sum(counts["documents"] for counts in found.counts.values()) == 3
    assert any("1 that share words with the corpus `docstrings` are left out" in note for note in found.notes)


def test_the_corpus_is_kept_and_made_again_where_it_is_damaged(few_packages, monkeypatch):
    cache = few_packages / "cache"
    first = read_prose(cache)
    assert (len(first.texts), first.left_out) == (3, {"b": 1})
    with monkeypatch.context() as patch:
        patch.setattr(prose, "collect_prose", None)
        assert read_prose(cache) == first
    (kept,) = (cache / "prose").iterdir()
    content = kept.read_bytes()
    kept.write_bytes(content[: len(content) // 2])
    assert read_prose(cache) == first
    assert kept.read_bytes() == content


@pytest.mark.long
def test_nothing_of_the_embedded_task_is_in_the_corpus_of_this_machine(tmp_path):
    found = read_prose(tmp_path)
    assert len(found.texts) > 30_000
    paragraphs = [re.findall(r"\w+", part.lower()) for text in found.texts for part in text.split("\n")]
    runs = {" ".join(words[i : i + 8]) for words in paragraphs for i in range(max(1, len(words) - 7))}
    for text in read_docstrings(tmp_path)[0]["text"].to_pylist():
        words = re.findall(r"\w+", text.lower())
        assert not any(" ".join(words[i : i + 8]) in runs for i in range(max(1, len(words) - 7))), text
