"""What the tests share: a cache of their own, one Ray instance, small real data, small random encoders."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# In the background of a script, or under nohup, signals are ignored, by whatever the tests begin as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

_CACHE = tempfile.TemporaryDirectory(prefix="raybert-tests-")
os.environ["HF_HUB_OFFLINE"] = "1"
# As many processes as there are cores: threads that wait by spinning would take the time of the others.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["RAYBERT_CACHE"] = _CACHE.name
# Processes of pytest-xdist have a cache of their own, but the corpus is parsed by one of them for all.
_CORPUS = Path(os.environ.setdefault("RAYBERT_TESTS_CORPUS", f"{_CACHE.name}/corpus"))
_CORPUS.mkdir(exist_ok=True)
Path(_CACHE.name, "docstrings").symlink_to(_CORPUS)

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from filelock import FileLock  # noqa: E402
from hypothesis import settings  # noqa: E402

from raybert.config import DataConfig, ModelConfig, RaybertConfig  # noqa: E402
from tests.faults.table import (  # noqa: E402, F401
    fault,
    faults,
    pytest_configure,
    pytest_runtest_makereport,
    pytest_terminal_summary,
)

if TYPE_CHECKING:
    # Imported where they are used: pytest-xdist's own process runs no test, and one of a light file needs no torch.
    from raybert.data import TokenizedData, TokenTable
    from raybert.models import Encoder

settings.register_profile("raybert", deadline=None)  # a busy machine is no error
settings.load_profile("raybert")

LABELS = ("a", "b", "c")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The folder of a cache that holds the built-in corpus."""
    from raybert.data.docstrings import read_docstrings
    from raybert.files import cache_folder

    with FileLock(_CORPUS / "lock"):
        read_docstrings(cache_folder())
    return cache_folder()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real datasets, or a skip."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("RAYBERT_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"real datasets are not at {folder}; set RAYBERT_DATA")
    return folder


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[object]:
    """One local Ray of two CPUs for the whole session; its workers are forked from one process."""
    from raybert.sweeping.cluster.connect import connected
    from tests.ray_workers import warm_workers

    with contextlib.ExitStack() as stack:
        with warm_workers():
            cluster = stack.enter_context(connected(None))
        yield cluster


_DOT = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63f80f0001010100b138f6140000000049454e44ae426082"
)
"""A PNG of one pixel."""


@contextlib.contextmanager
def without_pixels() -> Iterator[None]:
    """Write figures as a white dot: drawing them takes most of what follows a small sweep, and is tested with the plots."""

    def dot(figure: object, target: Path, kind: str, box: object) -> None:
        target.write_bytes(_DOT if kind == "png" else b"<svg xmlns='http://www.w3.org/2000/svg'/>\n")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("raybert.analysis.plots.saving.lay_out", lambda figure: None)
        patch.setattr("raybert.analysis.plots.saving.draw", dot)
        yield


@pytest.fixture(scope="module")
def no_pixels() -> Iterator[None]:
    """Draw no pictures in a whole module."""
    with without_pixels():
        yield


@pytest.fixture
def no_pixels_here() -> Iterator[None]:
    """Draw no pictures in one test, of a module whose others look at some."""
    with without_pixels():
        yield


@pytest.fixture(scope="session")
def address(ray_cluster: object) -> str:
    """The address of the Ray of the test session, which other processes can join."""
    import ray

    return str(ray.get_runtime_context().gcs_address)


@pytest.fixture(scope="session")
def prepared(corpus: Path) -> object:
    """300 docstrings, tokenized for `raybert-tiny`."""
    from raybert.data import load_splits
    from raybert.sweeping.phases.prepare import prepare

    config = RaybertConfig(data=DataConfig(max_length=32, train_examples=300, validation_examples=60, test_examples=60))
    return prepare(config, load_splits(config.data, corpus), corpus)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """A random BERT of 2 layers with dropout, as a local folder with a tokenizer."""
    import torch
    from transformers import BertConfig, BertModel

    from raybert.files import cache_folder
    from raybert.models import quiet_transformers, resolve_encoder
    from raybert.models.tiny import train_tokenizer

    folder = tmp_path_factory.mktemp("tiny-bert")
    tokenizer = train_tokenizer(["red green blue", "one two three", "north south"] * 3, 120)
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=120,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    with quiet_transformers():
        BertModel(config).save_pretrained(folder)
    return resolve_encoder(ModelConfig(encoder=str(folder)), [], cache_folder())


def make_table(num_examples: int, seed: int, *, vocabulary: int = 120, longest: int = 20) -> TokenTable:
    """Return random examples whose first word piece gives their label away."""
    from raybert.data import TokenTable

    generator = np.random.default_rng(seed)
    labels = generator.integers(0, len(LABELS), num_examples)
    lengths = generator.integers(3, longest, num_examples)
    rows = [generator.integers(10, vocabulary, length).astype(np.int32) for length in lengths]
    for row, label in zip(rows, labels, strict=True):
        row[0], row[1], row[-1] = 2, 5 + label, 3
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return TokenTable(np.concatenate(rows), offsets, lengths.astype(np.int32), labels.astype(np.int64))


@pytest.fixture(scope="session")
def tokens() -> TokenizedData:
    """A separable problem of three classes: 96 / 30 / 40 examples."""
    from raybert.data import TokenizedData

    return TokenizedData(
        train=make_table(96, 1),
        validation=make_table(30, 2),
        test=make_table(40, 3),
        example_ids=np.array([f"id{i}" for i in range(96)]),
        label_names=LABELS,
        pad_id=0,
        uses_token_types=False,
        fingerprint="tokens",
    )
