"""Examples per second of `fit`, beside `transformers.Trainer`: same model, data, batches of 32, steps, precision, thread.

Both fine-tune all-MiniLM-L6-v2 in bf16 autocast on one thread, without evaluation in between, each run in a process of its
own, set up as that side's users have it: ours as a trial's. The Trainer runs as people use it (dynamic padding) and with
its own grouping by length. Needs the real datasets (RAYBERT_DATA).

    python -m tests.benchmarks.training_throughput [--steps 60] [--datasets sst2 imdb]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

from raybert.config import DataConfig, ModelConfig, TrainConfig
from raybert.data import TokenizedData, collate, load_splits, tokenize_splits, training_batches
from raybert.files import cache_folder
from raybert.models import Encoder, load_classifier, load_tokenizer, resolve_encoder
from raybert.training import FitRequest, FixedPasses, LocalSurroundings, fit
from raybert.training.memory.allocator import keep_memory
from raybert.training.optimization.optimizer import build_optimizer
from raybert.training.optimization.precision import resolve_precision
from tests.benchmarks.material import dataset, minilm

MAX_LENGTH = {"sst2": 128, "imdb": 256}
BATCH = 32


def load(name: str, encoder: Encoder, examples: int) -> TokenizedData:
    config = DataConfig(source=str(dataset(name)), train_examples=examples, validation_examples=64, test_examples=64)
    return tokenize_splits(load_splits(config, cache_folder()), load_tokenizer(encoder), MAX_LENGTH[name])


def ours(data: TokenizedData, encoder: Encoder, steps: int) -> tuple[float, float]:
    """Return examples per second of training, and the mean loss of the second half."""
    model = load_classifier(encoder, data.label_names, 0)
    config = TrainConfig(batch_size=BATCH, learning_rate=5e-5, precision="bf16", eval_every=max(1, steps // 2))
    result = fit(
        model,
        data,
        FixedPasses(np.arange(len(data.train))),
        FitRequest(config, steps, seed=0),
        LocalSurroundings(),
    )
    return result.examples_seen / result.train_seconds, result.rows[-1]["train_loss"]


class _Clock(TrainerCallback):
    """Times the steps alone, as `train_seconds` of ours does."""

    def on_train_begin(self, *args: object, **kwargs: object) -> None:
        self.began = time.monotonic()

    def on_train_end(self, *args: object, **kwargs: object) -> None:
        self.seconds = time.monotonic() - self.began


def theirs(data: TokenizedData, encoder: Encoder, steps: int, *, grouped: bool) -> tuple[float, float]:
    """Return the same of transformers.Trainer."""
    table = data.train
    rows = [
        {"input_ids": table.ids[a:b].tolist(), "label": int(label), "length": int(b - a)}
        for a, b, label in zip(table.offsets, table.offsets[1:], table.labels, strict=False)
    ]
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    import datasets

    clock = _Clock()
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=load_classifier(encoder, data.label_names, 0),
            args=TrainingArguments(
                output_dir=scratch,
                per_device_train_batch_size=BATCH,
                max_steps=steps,
                learning_rate=5e-5,
                weight_decay=0.01,
                warmup_steps=max(1, steps // 10),
                bf16=True,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                logging_steps=max(1, steps // 2),
                train_sampling_strategy="group_by_length" if grouped else "random",
                disable_tqdm=True,
                dataloader_pin_memory=False,
                seed=0,
            ),
            train_dataset=datasets.Dataset.from_dict(columns),
            data_collator=DataCollatorWithPadding(load_tokenizer(encoder)),
            callbacks=[clock],
        )
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return steps * BATCH / clock.seconds, losses[-1]


def bare(data: TokenizedData, encoder: Encoder, steps: int) -> float:
    """Return examples per second of forward, backward and step on our own batches, with nothing around them."""
    model = load_classifier(encoder, data.label_names, 0)
    precision = resolve_precision("bf16", torch.device("cpu"))
    optimizer = build_optimizer(model, TrainConfig())
    parameters = list(model.parameters())
    batches: list[np.ndarray] = []
    epoch = 0
    while len(batches) < steps:
        generator = np.random.default_rng([0, epoch])
        batches += training_batches(data.train.lengths, np.arange(len(data.train)), BATCH, generator)
        epoch += 1
    inputs = [collate(data.train, rows, data.pad_id, data.uses_token_types) for rows in batches[:steps]]
    count = sum(len(batch["labels"]) for batch in inputs)
    began = time.monotonic()
    for batch in inputs:
        labels = batch.pop("labels")
        with precision.autocast(torch.device("cpu")):
            logits = model(**batch).logits
        torch.nn.functional.cross_entropy(logits, labels).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return count / (time.monotonic() - began)


def measure(kind: str, name: str, steps: int, queue: Any) -> None:
    """Put the examples per second of one run, and its loss, into a queue; what a child process does."""
    torch.set_num_threads(1)
    encoder = resolve_encoder(ModelConfig(encoder=str(minilm())), [], cache_folder())
    # One pass over exactly these examples: otherwise the luck of drawing short batches decides.
    data = load(name, encoder, steps * BATCH)
    if kind in ("ours", "bare"):
        keep_memory()
    if kind == "bare":
        queue.put((bare(data, encoder, steps), float("nan")))
    elif kind == "ours":
        ours(data, encoder, 5)
        queue.put(ours(data, encoder, steps))
    else:
        queue.put(theirs(data, encoder, steps, grouped=kind == "grouped"))


def in_a_process(kind: str, name: str, steps: int) -> tuple[float, float]:
    """Return what `measure` puts."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=measure, args=(kind, name, steps, queue))
    process.start()
    found: tuple[float, float] = queue.get()
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--datasets", nargs="+", choices=list(MAX_LENGTH), default=list(MAX_LENGTH))
    parser.add_argument(
        "--repeats", type=int, default=2, help="interleaved; the fastest counts (the machine is shared)"
    )
    arguments = parser.parse_args()
    record: dict[str, object] = {"benchmark": "training_throughput", "unit": "examples per second"}
    print(
        f"{'dataset':<9}{'ours':>9}{'Trainer':>9}{'grouped':>9}{'bare':>9}{'vs Trainer':>12}{'vs grouped':>12}{'overhead':>10}"
    )
    for name in arguments.datasets:
        runs: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": [], "padded": [], "grouped": []}
        for _ in range(arguments.repeats):
            for kind, found in runs.items():
                found.append(in_a_process(kind, name, arguments.steps))
        speed = {key: max(part)[0] for key, part in runs.items()}
        overhead = speed["bare"] / speed["ours"] - 1
        print(
            f"{name:<9}{speed['ours']:>9.1f}{speed['padded']:>9.1f}{speed['grouped']:>9.1f}{speed['bare']:>9.1f}"
            f"{speed['ours'] / speed['padded']:>11.2f}x{speed['ours'] / speed['grouped']:>11.2f}x{overhead:>10.1%}"
        )
        losses = {key: round(float(part[0][1]), 3) for key, part in runs.items() if key != "bare"}
        print(f"{'':<9}loss of the second half: {losses}")
        record[name] = {key: round(value, 1) for key, value in speed.items()} | {
            "ratio": round(speed["ours"] / speed["padded"], 3),
            "ratio_grouped": round(speed["ours"] / speed["grouped"], 3),
            "loop_overhead": round(overhead, 4),
            "losses": losses,
        }
    first = record[arguments.datasets[0]]
    assert isinstance(first, dict)
    print(json.dumps({**record, "ours": first["ours"], "theirs": first["padded"], "ratio": first["ratio"]}))


if __name__ == "__main__":
    main()
