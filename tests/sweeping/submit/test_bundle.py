"""What is sent with a sweep: the file, data, models and modules that it names, and nothing else."""

import sys
from pathlib import Path

import pytest
import yaml

from raybert.config import load_config
from raybert.config.kinds import load_any
from raybert.errors import ConfigError
from raybert.sweeping.submit import bundle as bundles
from raybert.sweeping.submit.bundle import make_bundle

FILE = """# a comment that stays
name: sub
data: {source: data/train.csv}
sweep:
  strategies: [random, "mine_sent:Longest"]
  grid: {data.source: [data/train.csv, other.csv]}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of a user, with more than his sweep needs."""
    folder = tmp_path / "here"
    for name, text in {
        "sweep.yaml": FILE,
        "data/train.csv": "text,label\na,b\n",
        "data/secret.csv": "text,label\n",
        "other.csv": "text,label\n",
        "mine_sent.py": "import numpy\nfrom parts_sent.inner import helper\n\n\nclass Longest: ...\n",
        "parts_sent/__init__.py": "",
        "parts_sent/inner.py": "from . import deeper\n\n\ndef helper(): ...\n",
        "parts_sent/deeper.py": "",
        "parts_sent/unused.py": "",
        "unused.py": "",
        ".env": "KEY=1",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    return folder


def test_what_the_file_names_is_sent_under_its_own_name_and_nothing_else(place):
    bundle = make_bundle(Path("sweep.yaml"), ["sweep.seeds=3"])
    assert [file.name for file in bundle.files] == [
        "data/train.csv",
        "mine_sent.py",
        "other.csv",
        "parts_sent/__init__.py",
        "parts_sent/deeper.py",
        "parts_sent/inner.py",
    ]
    assert (bundle.text, bundle.overrides, bundle.stays) == (FILE, ("sweep.seeds=3",), ())
    assert bundle.num_bytes == len(FILE) + sum(Path(file.name).stat().st_size for file in bundle.files)
    assert "mine_sent" not in sys.modules  # nothing of it ran here


def test_it_is_there_as_it_is_here(place, tmp_path):
    bundle = make_bundle(Path("sweep.yaml"))
    there = tmp_path / "there"
    there.mkdir()
    bundle.write(there)
    found = {path.relative_to(there).as_posix(): path.read_bytes() for path in there.rglob("*") if path.is_file()}
    assert found == {
        "sweep.yaml": FILE.encode(),
        **{file.name: (place / file.name).read_bytes() for file in bundle.files},
    }


def test_safe_sends_no_code(place):
    assert [file.name for file in make_bundle(Path("sweep.yaml"), with_code=False).files] == [
        "data/train.csv",
        "other.csv",
    ]


def test_what_lies_elsewhere_is_sent_under_a_new_name_that_the_file_gets(place, tmp_path):
    model = tmp_path / "models" / "enc"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    (model / ".cache").mkdir()
    (model / ".cache" / "hidden").write_text("x")
    outside = tmp_path / "d.csv"
    outside.write_text("text,label\n")
    Path("sweep.yaml").write_text(f"data: {{source: {outside}}}\nmodel: {{encoder: raybert-tiny}}\n")
    bundle = make_bundle(Path("sweep.yaml"), [f"model.encoder={model}"])
    assert [file.name for file in bundle.files] == ["sent/0/d.csv", "sent/1/enc/config.json"]
    assert bundle.overrides == ("model.encoder=sent/1/enc",)
    Path("there.yaml").write_text(bundle.text)
    assert load_config("there.yaml", bundle.overrides).data.source == "sent/0/d.csv"


def test_what_is_not_here_must_be_on_the_cluster_and_is_said(place):
    Path("sweep.yaml").write_text(
        'data: {source: /shared/x.parquet}\nsweep: {strategies: ["numpy.random:Generator"]}\n'
    )
    bundle = make_bundle(Path("sweep.yaml"))
    assert bundle.files == ()
    assert bundle.stays == (
        "/shared/x.parquet: is not on this machine, and must be on all nodes of the cluster",
        "numpy.random: is an installed package, or not found here, and must be installed on all nodes",
    )


def test_built_in_names_are_no_files_whatever_lies_here(place):
    for name in ("docstrings", "raybert-tiny"):
        (place / name).mkdir()
        (place / name / "train.csv").write_text("text,label\n")
    Path("sweep.yaml").write_text("data: {source: docstrings}\nmodel: {encoder: raybert-tiny}\n")
    assert make_bundle(Path("sweep.yaml")).files == ()


def test_too_much_is_refused_with_the_largest_file_and_the_remedy(place, monkeypatch):
    monkeypatch.setattr(bundles, "MOST_BYTES", 100)
    (place / "data" / "train.csv").write_text("x" * 2048)
    with pytest.raises(ConfigError) as refused:
        make_bundle(Path("sweep.yaml"))
    assert str(refused.value).startswith("submit: at most 100 B are sent with a file, got 2.2 KiB, of which ")
    assert str(refused.value).endswith(
        "train.csv has 2.0 KiB; copy it to storage that all nodes see, and name its path there"
    )


def test_a_password_in_clear_is_refused(place):
    with pytest.raises(
        ConfigError, match=r"sweep.tune.storage: must not hold a password.* write \$\{NAME\}"
    ) as refused:
        make_bundle(
            Path("sweep.yaml"),
            [
                "sweep.tune={trials_per_strategy: 2, space: {train.learning_rate: {low: 1e-5, high: 1e-3}}}",
                "sweep.tune.storage=postgresql://me:s3cr3t@h/d",
            ],
        )
    assert "s3cr3t" not in str(refused.value)


def test_lines_say_what_goes_with_sizes_and_a_folder_in_one(place):
    for name in ("a", "b"):
        (place / "data" / "more").mkdir(exist_ok=True)
        (place / "data" / "more" / f"{name}.csv").write_text("text,label\n")
    Path("sweep.yaml").write_text("data: {source: data/more}\n")
    assert list(make_bundle(Path("sweep.yaml")).lines()) == ["sweep.yaml  26 B", "data/  22 B in 2 files"]


def test_of_a_pretraining_file_its_corpora_tokenizer_and_encoder_are_sent(place):
    for name in ("north.txt", "south/a.txt", "pieces/tokenizer.json"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text("words of a text")
    elsewhere = place.parent / "far.csv"
    elsewhere.write_text("text\na\n")
    (place / "study.yaml").write_text(
        f"name: study\ncorpora: {{north: north.txt, south: {{source: south}}, far: {elsewhere}, both: "
        "{of: [north, south]}}\ntokenizer: pieces\n"
    )
    bundle = make_bundle(Path("study.yaml"))
    names = [file.name for file in bundle.files]
    assert names == ["north.txt", "pieces/tokenizer.json", "sent/0/far.csv", "south/a.txt"]
    assert bundle.name == "pretraining.yaml"
    assert next(bundle.lines()).startswith("pretraining.yaml  ")
    assert load_any(yaml.safe_load(bundle.text)).corpora["far"].source == "sent/0/far.csv"
