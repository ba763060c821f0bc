"""The same training by `transformers.Trainer`, as people use it: dynamic padding, or its own grouping by length."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from raybert.data import TokenTable
from tests.gpu.material import MASK_ID, Scale, scratch

WARM_UP = 5


class Rows(Dataset[Any]):
    """A table, row by row, as a map-style data set of torch."""

    def __init__(self, table: TokenTable) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, row: int) -> dict[str, Any]:
        piece = slice(self.table.offsets[row], self.table.offsets[row + 1])
        return {"input_ids": self.table.ids[piece], "labels": int(self.table.labels[row])}


@dataclass
class Padding:
    """A collator that pads to the longest of a batch, and remembers lengths; with `share` it masks, too.

    Attributes:
        share: of pieces that are masked for masked language modelling; 0: labels are classes.
        lengths: of every batch so far.
    """

    share: float = 0.0
    lengths: list[np.ndarray] = field(default_factory=list)

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        lengths = np.array([len(row["input_ids"]) for row in rows])
        self.lengths.append(lengths)
        ids = np.zeros((len(rows), lengths.max()), np.int64)
        filled = np.arange(lengths.max()) < lengths[:, None]
        ids[filled] = np.concatenate([row["input_ids"] for row in rows])
        batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(filled.astype(np.int64))}
        if not self.share:
            return {**batch, "labels": torch.tensor([row["labels"] for row in rows])}
        chosen = (torch.rand(ids.shape) < self.share) & torch.from_numpy(filled)
        labels = batch["input_ids"].masked_fill(~chosen, -100)
        return {**batch, "input_ids": batch["input_ids"].masked_fill(chosen, MASK_ID), "labels": labels}


class _Clock(TrainerCallback):
    """Times the steps after the first few."""

    def __init__(self, scale: Scale, warm_up: int) -> None:
        self.scale, self.warm_up = scale, warm_up

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.global_step == self.warm_up:
            self.scale.sync()
            self.began = time.monotonic()

    def on_train_end(self, *args: Any, **others: Any) -> None:
        self.scale.sync()
        self.seconds = time.monotonic() - self.began


@dataclass(frozen=True)
class Timed:
    """What some steps took.

    Attributes:
        seconds: of the steps after the warm-up.
        lengths: word pieces of each of their examples.
        cells: of their batches, padding included.
    """

    seconds: float
    lengths: np.ndarray
    cells: int


def train_by_trainer(
    scale: Scale, model: Any, table: TokenTable, steps: int, *, grouped: bool, share: float = 0.0
) -> Timed:
    """Train for a warm-up and `steps` more, and time those."""
    warm_up = 1 if scale.is_tiny else WARM_UP
    clock, padding = _Clock(scale, warm_up), Padding(share)
    known = {each.name for each in fields(TrainingArguments)}
    if "train_sampling_strategy" in known:
        order: dict[str, Any] = {"train_sampling_strategy": "group_by_length" if grouped else "random"}
    else:
        order = {"group_by_length": grouped}
    with scratch() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                per_device_train_batch_size=scale.batch_size,
                max_steps=warm_up + steps,
                learning_rate=5e-5,
                weight_decay=0.01,
                bf16=scale.half == "bf16",
                fp16=scale.half == "fp16",
                use_cpu=not scale.on_gpu,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
                dataloader_pin_memory=scale.on_gpu,
                remove_unused_columns=False,
                seed=0,
                **order,
            ),
            train_dataset=Rows(table),
            data_collator=padding,
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    batches = padding.lengths[warm_up : warm_up + steps]
    return Timed(clock.seconds, np.concatenate(batches), sum(int(each.max()) * len(each) for each in batches))
