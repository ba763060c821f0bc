"""Twenty steps of training on made-up texts, with raybert's own loop: does a node train, and how fast?"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from raybert.config import TrainConfig
from raybert.data import TokenizedData, TokenTable
from raybert.models.quiet import quiet_transformers
from raybert.training import FitRequest, FixedPasses, fit
from raybert.training.stopwatch import Stopwatch

STEPS, BATCH, LENGTH = 20, 32, 64
_WARM_UP = 5
_VOCABULARY = 4096


@dataclass(frozen=True)
class TrialSpeed:
    """How fast a node trained.

    Attributes:
        examples_per_second: of texts of 64 word pieces, after the first steps.
        seconds: of all, the model included.
        on: device, precision and attention, in words.
    """

    examples_per_second: float
    seconds: float
    on: str


def try_training() -> TrialSpeed:
    """Train a small BERT for twenty steps on the device that is there; it is thrown away.

    Raises:
        RaybertError: training fails; and whatever else torch raises.
    """
    started = time.perf_counter()
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=_VOCABULARY,
            hidden_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=512,
            num_labels=2,
        )
        model = BertForSequenceClassification(config).to("cuda" if torch.cuda.is_available() else "cpu")
        watch = Stopwatch()
        train = TrainConfig(batch_size=BATCH, length={"steps": STEPS})
        fit(model, _data(), FixedPasses(np.arange(BATCH * STEPS)), FitRequest(train, STEPS, seed=0), watch)
    seconds = np.diff(watch.times)[_WARM_UP:]
    return TrialSpeed(BATCH / float(np.median(seconds)), time.perf_counter() - started, str(watch.ran_on))


def _data() -> TokenizedData:
    generator = np.random.default_rng(0)
    n = BATCH * STEPS
    offsets = LENGTH * np.arange(n + 1, dtype=np.int64)
    ids = generator.integers(10, _VOCABULARY, n * LENGTH).astype(np.int32)
    table = TokenTable(ids, offsets, np.full(n, LENGTH, np.int32), generator.integers(0, 2, n))
    few = table.take(np.arange(BATCH))
    return TokenizedData(table, few, few, np.arange(n).astype(str), ("a", "b"), 0, False, "doctor")
