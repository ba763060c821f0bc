"""Word pieces per second of masked-LM pretraining, beside `transformers.Trainer`: same model, documents, precision, threads.

Both train the same tiny model from scratch for as many steps of about as many word pieces (padding not counted), without
evaluation in between, each run in a process of its own. The Trainer runs as people use it: a document a row, padded to the
longest of its batch (`padded`), its own grouping by length (`grouped`), and `run_mlm.py`'s blocks of `max_length` that run
across documents (`blocks`: no padding, but neighbours see each other). Speeds are by seconds of the processor, which other
processes on the machine change little; wall seconds are printed too. Needs the real datasets (RAYBERT_DATA).

    python -m tests.benchmarks.mlm_throughput [--steps 40] [--kind modernbert] [--size tiny] [--precision bf16]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pandas as pd
import torch
from transformers import (
    DataCollatorForLanguageModeling,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from raybert.config.pretrain import PretrainConfig, PretrainedModelConfig
from raybert.models.tiny import train_tokenizer
from raybert.pretraining.build import build_model
from raybert.pretraining.masking import Masking
from raybert.pretraining.objective import Pretraining
from raybert.pretraining.packed_data import PackedData
from raybert.pretraining.packing import Pieces, pack_documents, tokenize_documents
from raybert.training import FitRequest, FixedPasses, LocalSurroundings, fit
from raybert.training.memory.allocator import keep_memory
from tests.benchmarks.material import dataset

DOCUMENTS = 6000
VOCABULARY = 8192
BATCH = 64


@dataclass(frozen=True)
class Measured:
    """What a run came to.

    Attributes:
        tokens: word pieces a second of the processor, padding not counted.
        by_wall: the same by the clock.
        padding: share of the cells of its batches.
        loss: mean of the second half.
    """

    tokens: float
    by_wall: float
    padding: float
    loss: float


def ours(pieces: Pieces, tokenizer: PreTrainedTokenizerFast, arguments: argparse.Namespace) -> Measured:
    config, seed = _pretrain_config(arguments), 0
    built = build_model(_model_config(arguments), config, tokenizer, seed)
    table = pack_documents(pieces, tokenizer, arguments.max_length)
    data = PackedData(table, table.first_of_shuffled(2), int(tokenizer.pad_token_id))
    built.model.choose_attention(BATCH, arguments.max_length, torch.device("cpu"))
    objective = Pretraining(built.model, data, seed, arguments.precision, Masking.of(tokenizer))
    train = config.as_train(arguments.steps).model_copy(update={"eval_every": max(1, arguments.steps // 2)})
    planner = FixedPasses(np.arange(len(table)))
    request = FitRequest(train, arguments.steps, seed, evaluate_test=False)
    began = time.process_time()
    result = fit(built.model, data, planner, request, LocalSurroundings(), objective)
    seconds = time.process_time() - began
    tokens, padding = objective.tokens, 1 - objective.tokens / objective.cells
    return Measured(tokens / seconds, tokens / result.train_seconds, padding, result.rows[-1]["train_loss"])


class _Clock(TrainerCallback):
    """Times the steps alone, as `train_seconds` of ours does."""

    def on_train_begin(self, *args: object, **kwargs: object) -> None:
        self.began, self.used = time.monotonic(), time.process_time()

    def on_train_end(self, *args: object, **kwargs: object) -> None:
        self.seconds, self.used = time.monotonic() - self.began, time.process_time() - self.used


class _Counting(DataCollatorForLanguageModeling):
    """The collator of transformers, which also counts cells and word pieces."""

    tokens = cells = 0

    def __call__(self, features: Any, return_tensors: Any = None) -> Any:
        batch = super().__call__(features, return_tensors)
        self.cells += batch["input_ids"].numel()
        self.tokens += int(batch["attention_mask"].sum())
        return batch


def theirs(pieces: Pieces, tokenizer: PreTrainedTokenizerFast, arguments: argparse.Namespace, how: str) -> Measured:
    """Return the same of transformers.Trainer."""
    import datasets

    rows = _rows(pieces, tokenizer, arguments.max_length, blocks=how == "blocks")
    # As many word pieces a step as ours: a packed sequence holds several documents.
    per_step = BATCH * arguments.max_length
    batch = BATCH if how == "blocks" else round(per_step / np.mean([len(row) for row in rows]))
    clock, collator = _Clock(), _Counting(tokenizer)
    built = build_model(_model_config(arguments), _pretrain_config(arguments), tokenizer, 0)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = Trainer(
            model=built.model.mlm,
            args=TrainingArguments(
                output_dir=scratch,
                per_device_train_batch_size=batch,
                max_steps=arguments.steps,
                learning_rate=5e-4,
                weight_decay=0.01,
                warmup_steps=max(1, arguments.steps // 10),
                bf16=arguments.precision == "bf16",
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                logging_steps=max(1, arguments.steps // 2),
                train_sampling_strategy="group_by_length" if how == "grouped" else "random",
                disable_tqdm=True,
                dataloader_pin_memory=False,
                seed=0,
            ),
            train_dataset=datasets.Dataset.from_dict({"input_ids": rows, "length": [len(row) for row in rows]}),
            data_collator=collator,
            callbacks=[clock],
        )
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    tokens, padding = collator.tokens, 1 - collator.tokens / collator.cells
    return Measured(tokens / clock.used, tokens / clock.seconds, padding, losses[-1])


def _rows(pieces: Pieces, tokenizer: PreTrainedTokenizerFast, max_length: int, *, blocks: bool) -> list[list[int]]:
    """Return documents cut to the length, as ours are, or blocks that run across documents, as `run_mlm.py` makes them."""
    table = pack_documents(pieces, tokenizer, max_length, alone=True)
    rows = [table.ids[a:b].tolist() for a, b in zip(table.offsets, table.offsets[1:], strict=False)]
    if not blocks:
        return rows
    flat = [piece for row in rows for piece in row]
    return [flat[start : start + max_length] for start in range(0, len(flat) - max_length + 1, max_length)]


def _model_config(arguments: argparse.Namespace) -> PretrainedModelConfig:
    return PretrainedModelConfig(kind=arguments.kind, size=arguments.size)


def _pretrain_config(arguments: argparse.Namespace) -> PretrainConfig:
    given = {"max_length": arguments.max_length, "batch_size": BATCH, "precision": arguments.precision}
    return PretrainConfig.model_validate({**given, "length": {"steps": arguments.steps}})


def measure(how: str, arguments: argparse.Namespace, queue: Any) -> None:
    """Put what a run came to into a queue; what a child process does."""
    torch.set_num_threads(arguments.threads)
    texts = pd.read_parquet(dataset("hansard_federal") / "train.parquet")["text"].head(DOCUMENTS).tolist()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(arguments.tokenizer)
    pieces = tokenize_documents(texts, tokenizer)
    if how == "ours":
        keep_memory()
        queue.put(ours(pieces, tokenizer, arguments))
    else:
        queue.put(theirs(pieces, tokenizer, arguments, how))


def in_a_process(how: str, arguments: argparse.Namespace) -> Measured:
    """Return what `measure` puts."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=measure, args=(how, arguments, queue))
    process.start()
    found: Measured = queue.get()
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--kind", choices=["bert", "modernbert"], default="modernbert")
    parser.add_argument("--size", choices=["tiny", "mini", "small", "base"], default="tiny")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--repeats", type=int, default=2, help="interleaved; the fastest counts (the machine is shared)"
    )
    arguments = parser.parse_args()
    runs: dict[str, list[Measured]] = {"ours": [], "padded": [], "grouped": [], "blocks": []}
    with tempfile.TemporaryDirectory() as scratch:
        arguments.tokenizer = Path(scratch)
        texts = pd.read_parquet(dataset("hansard_federal") / "train.parquet")["text"].head(DOCUMENTS).tolist()
        train_tokenizer(texts, VOCABULARY).save_pretrained(scratch)
        for _ in range(arguments.repeats):
            for how, found in runs.items():
                found.append(in_a_process(how, arguments))
    best = {how: max(found, key=lambda one: one.tokens) for how, found in runs.items()}
    print(
        f"{arguments.kind} {arguments.size}, {arguments.precision}, {arguments.threads} threads, {arguments.steps} steps"
    )
    print(f"{'':<9}{'tokens/s':>10}{'by wall':>9}{'padding':>9}{'loss':>8}{'ours is':>9}")
    for how, one in best.items():
        ratio = f"{best['ours'].tokens / one.tokens:>8.2f}x"
        print(f"{how:<9}{one.tokens:>10,.0f}{one.by_wall:>9,.0f}{one.padding:>9.1%}{one.loss:>8.3f}{ratio}")
    speeds = {how: round(one.tokens, 1) for how, one in best.items()}
    record = {"benchmark": "mlm_throughput", "unit": "tokens per second of the processor", **speeds}
    record |= {"padding_share": round(best["ours"].padding, 4), "theirs": speeds["padded"]}
    record |= {f"ratio_{how}": round(best["ours"].tokens / best[how].tokens, 3) for how in ("grouped", "blocks")}
    print(json.dumps({**record, "ratio": round(best["ours"].tokens / best["padded"].tokens, 3)}))


if __name__ == "__main__":
    main()
