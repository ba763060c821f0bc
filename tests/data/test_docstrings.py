"""The built-in corpus: what is read, what is left out, and that nothing is imported."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from raybert.data import docstrings
from raybert.data.docstrings import installed_versions, parse_libraries, read_docstrings
from raybert.errors import DataError


def make_package(root: Path, name: str, files: dict[str, str]) -> Path:
    for file, content in files.items():
        path = root / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return root / name


def function(name: str, docstring: str) -> str:
    return f'def {name}():\n    """{docstring}"""\n'


def test_first_paragraphs_come_by_library_file_and_line(tmp_path: Path) -> None:
    beta = make_package(
        tmp_path,
        "beta",
        {
            "z.py": function("late", "The last file comes last."),
            "a.py": 'class Outer:\n    """Describe the outer class here."""\n'
            '    def inner(self):\n        """Describe the\n        inner method.\n\n        More words."""\n'
            + function("second", "Written below the class above."),
        },
    )
    alpha = make_package(tmp_path, "alpha", {"m.py": function("f", "Another library has this text.")})
    table = parse_libraries({"beta": beta, "alpha": alpha})
    assert table.to_pydict() == {
        "text": [
            "Another library has this text.",
            "Describe the outer class here.",
            "Describe the inner method.",
            "Written below the class above.",
            "The last file comes last.",
        ],
        "label": ["alpha", "beta", "beta", "beta", "beta"],
        "module": ["alpha.m", "beta.a", "beta.a", "beta.a", "beta.z"],
    }


def test_short_private_shared_repeated_and_test_texts_are_left_out(tmp_path: Path) -> None:
    kept = "This text is kept once."
    shared = "Both libraries say exactly this."
    one = make_package(
        tmp_path,
        "one",
        {
            "a.py": function("f", kept)
            + function("g", kept)
            + function("h", shared)
            + function("i", "Three words only"),
            "b.py": function("_private", "Nobody should ever read this."),
            "tests/test_a.py": function("test", "A docstring of a test folder."),
            "broken.py": "def f(:\n",
        },
    )
    two = make_package(tmp_path, "two", {"a.py": function("f", shared) + function("g", "Only two says this here.")})
    table = parse_libraries({"one": one, "two": two})
    assert table["text"].to_pylist() == [kept, "Only two says this here."]


def test_names_of_the_libraries_are_masked_but_words_that_contain_them_stay(tmp_path: Path) -> None:
    folder = make_package(
        tmp_path,
        "one",
        {"a.py": function("f", "Turn a NumPy array (np.ndarray) into an enriched numpydoc of scikit-learn")},
    )
    assert parse_libraries({"one": folder})["text"].to_pylist() == [
        "Turn a library array (library.ndarray) into an enriched numpydoc of library"
    ]


@pytest.mark.long
@pytest.mark.slow
def test_installed_corpus_is_large_imbalanced_unique_and_without_library_names(corpus: Path) -> None:
    table, versions = read_docstrings(corpus)
    texts = table["text"].to_pylist()
    counts = Counter(table["label"].to_pylist())
    assert versions["numpy"] == importlib.metadata.version("numpy")
    assert set(counts) == set(versions)
    assert len(texts) == len(set(texts)) > 5000
    assert max(counts.values()) > 4 * min(counts.values())
    assert not any(re.search(r"\b(pandas|numpy|sklearn|np)\b", text, re.I) for text in texts)
    assert min(len(text.split()) for text in texts) >= 4


@pytest.mark.slow
def test_second_reading_comes_from_the_cache_and_is_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"pydantic": "pydantic", "rich": "rich"}  # as all the others are read, but soon
    monkeypatch.setattr(docstrings, "LIBRARIES", small)
    first, versions = read_docstrings(tmp_path)
    assert set(first["label"].to_pylist()) == set(versions) == set(small)
    monkeypatch.setattr(docstrings, "parse_libraries", None)  # calling it would fail
    second, _ = read_docstrings(tmp_path)
    assert second.equals(first)
    assert [path.suffix for path in (tmp_path / "docstrings").iterdir()] == [".parquet"]


def test_a_damaged_cache_is_read_from_the_packages_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"text": ["a text of four words", "another text of five words"], "label": ["x", "y"], "module": ["x.a", "y"]}
    corpus = pa.table({name: pa.array(values, pa.string()) for name, values in rows.items()})
    monkeypatch.setattr(docstrings, "parse_libraries", lambda folders: corpus)
    read_docstrings(tmp_path)
    (path,) = (tmp_path / "docstrings").iterdir()
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 4] ^= 0xFF
    for damaged in (b"", whole[: len(whole) // 2], bytes(len(whole)), bytes(flipped)):
        path.write_bytes(damaged)
        table, _ = read_docstrings(tmp_path)
        assert table.equals(corpus)
        assert path.read_bytes() == whole


@pytest.mark.slow
def test_packages_are_found_and_parsed_without_being_imported(tmp_path: Path) -> None:
    make_package(
        tmp_path,
        "loud",
        {"__init__.py": "raise SystemExit('imported')\n" + function("f", "Quietly read this text here.")},
    )
    code = (
        "import sys; from pathlib import Path; from raybert.data.docstrings import *; "
        f"print(parse_libraries({{'loud': Path({str(tmp_path / 'loud')!r})}}).num_rows, "
        "len(installed_versions()) > 5, "
        "sorted({'scipy', 'sklearn', 'matplotlib', 'sqlalchemy', 'optuna', 'ray'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split(maxsplit=2) == ["1", "True", "[]\n"]


def test_fewer_than_two_libraries_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docstrings, "LIBRARIES", {"numpy": "numpy", "no_such_package_here": "nothing"})
    assert list(installed_versions()) == ["numpy"]
    with pytest.raises(DataError, match=r"data\.source: 'docstrings' needs at least two of numpy.* got numpy; install"):
        read_docstrings(tmp_path)
