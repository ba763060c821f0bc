"""A few mistakes in files of every format: they are read or refused in one line (`fuzz_readers` makes many for minutes)."""

from __future__ import annotations

import random

import pytest

from tests.benchmarks.fuzz_readers import mutate, outcome, seeds


@pytest.fixture(scope="module")
def right_files(tmp_path_factory):
    return {path.name: path for path in seeds(tmp_path_factory.mktemp("right"), 12, random.Random(0))}


NAMES = ("a.csv", "b.csv", "c.csv", "d.csv", "e.tsv", "f.csv.gz", "g.csv.xz", "h.jsonl", "i.jsonl.bz2", "j.json")
NAMES += ("k.json", "l.json", "m.csv", "n.parquet", "o.parquet", "p.parquet", "q.arrow", "r.arrow")


@pytest.mark.parametrize("name", NAMES)
def test_a_file_with_mistakes_is_read_or_refused_in_one_line(right_files, tmp_path, name):
    assert sorted(right_files) == sorted(NAMES)
    assert outcome(right_files[name]) == "read read"
    generator = random.Random(name)
    content = right_files[name].read_bytes()
    path = tmp_path / name
    for _ in range(25):
        path.write_bytes(mutate(content, generator))
        assert set(outcome(path).split()) <= {"read", "refused"}
