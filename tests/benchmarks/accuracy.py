"""Accuracy on SST-2 after fine-tuning all of all-MiniLM-L6-v2, ours beside `transformers.Trainer`, by the same recipe.

One epoch of the whole train split (67,347 phrases), batches of 32, AdamW at 5e-5 with 10 % linear warm-up, weight decay
.01, bf16 autocast, clipping at 1; both end with their last weights; accuracy on the test split. Both sides run at the same
time, a process of one thread each. Needs the real datasets (RAYBERT_DATA).

    python -m tests.benchmarks.accuracy [--examples 67347] [--seeds 1]
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from raybert.config import DataConfig, ModelConfig, TrainConfig
from raybert.data import TokenizedData, load_splits, tokenize_splits
from raybert.files import cache_folder
from raybert.models import load_classifier, load_tokenizer, resolve_encoder
from raybert.training import FitRequest, FixedPasses, Inference, LocalSurroundings, fit
from raybert.training.memory.allocator import keep_memory
from tests.benchmarks.material import dataset, minilm

BATCH, LEARNING_RATE = 32, 5e-5


def load(encoder: Any, examples: int | None) -> TokenizedData:
    config = DataConfig(source=str(dataset("sst2")), train_examples=examples, max_length=128)
    return tokenize_splits(load_splits(config, cache_folder()), load_tokenizer(encoder), 128)


def ours(data: TokenizedData, encoder: Any, steps: int, seed: int) -> Any:
    """Return the model after T steps."""
    keep_memory()
    model = load_classifier(encoder, data.label_names, seed)
    config = TrainConfig(batch_size=BATCH, learning_rate=LEARNING_RATE, precision="bf16", eval_every=steps)
    epochs = FixedPasses(np.arange(len(data.train)))
    fit(model, data, epochs, FitRequest(config, steps, seed), LocalSurroundings())
    return model


def theirs(data: TokenizedData, encoder: Any, steps: int, seed: int) -> Any:
    """Return the same of transformers.Trainer, with its own grouping by length (the faster of its ways)."""
    import datasets

    table = data.train
    columns = {
        "input_ids": [table.ids[a:b].tolist() for a, b in zip(table.offsets, table.offsets[1:], strict=False)],
        "label": table.labels.tolist(),
        "length": table.lengths.tolist(),
    }
    model = load_classifier(encoder, data.label_names, seed)
    with tempfile.TemporaryDirectory() as scratch:
        Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=scratch,
                per_device_train_batch_size=BATCH,
                max_steps=steps,
                learning_rate=LEARNING_RATE,
                weight_decay=0.01,
                warmup_steps=-(-steps // 10),
                bf16=True,
                use_cpu=True,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                train_sampling_strategy="group_by_length",
                disable_tqdm=True,
                dataloader_pin_memory=False,
                seed=seed,
            ),
            train_dataset=datasets.Dataset.from_dict(columns),
            data_collator=DataCollatorWithPadding(load_tokenizer(encoder)),
        ).train()
    return model


def measure(side: str, examples: int | None, seed: int, queue: Any) -> None:
    """Put the test accuracy of one side into a queue; what a child process does."""
    torch.set_num_threads(1)
    encoder = resolve_encoder(ModelConfig(encoder=str(minilm())), [], cache_folder())
    data = load(encoder, examples)
    steps = -(-len(data.train) // BATCH)
    model = (ours if side == "ours" else theirs)(data, encoder, steps, seed)
    probs = Inference(model, data, "fp32").probs(data.test)
    queue.put((side, float((probs.argmax(1) == data.test.labels).mean())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, help="default: the whole train split")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    found: dict[str, list[float]] = {"ours": [], "theirs": []}
    for seed in range(arguments.seeds):
        queue = context.Queue()
        sides = [context.Process(target=measure, args=(side, arguments.examples, seed, queue)) for side in found]
        for process in sides:
            process.start()
        for _ in sides:
            side, accuracy = queue.get()
            found[side].append(round(100 * accuracy, 2))
            print(f"seed {seed} {side}: {found[side][-1]}", flush=True)
        for process in sides:
            process.join()
    ours_mean, theirs_mean = (float(np.mean(found[side])) for side in ("ours", "theirs"))
    print(
        json.dumps(
            {
                "benchmark": "accuracy",
                "unit": "test accuracy in %",
                **{f"{side}_by_seed": values for side, values in found.items()},
                "ours": ours_mean,
                "theirs": theirs_mean,
                "ratio": round(ours_mean / theirs_mean, 4),
                "difference": round(ours_mean - theirs_mean, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
