"""24 trials as one sweep, beside the same 24 as a shell loop of `transformers.Trainer` processes.

Each process of the loop does what people's scripts do: import, load the data, tokenize, train, evaluate. Same encoder
(`raybert-tiny`, built once for both), data, steps, batch size, learning rate and precision; a random 10 % by its own seed.

    python -m tests.benchmarks.sweep_vs_scripts [--trials 24] [--scripts 4]

`--scripts N` runs only N of the processes and scales their time up to all trials; the default runs all.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

CONFIG = """
name: race
data: {{source: docstrings, max_length: 64, train_examples: 4000, validation_examples: 500, test_examples: 1000}}
train: {{length: {{steps: 100}}, batch_size: 32, learning_rate: 1.0e-3, eval_every: 50, precision: bf16}}
selection: {{budget: 0.1}}
sweep: {{strategies: [random], seeds: {trials}}}
"""

SCRIPT = """
import sys
import numpy as np, pandas as pd, torch
from datasets import Dataset
from sklearn.metrics import accuracy_score
from transformers import (AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer,
                          TrainingArguments, set_seed)
encoder, data, output, seed = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
set_seed(seed)
tokenizer = AutoTokenizer.from_pretrained(encoder)
frames = {name: pd.read_parquet(f"{data}/{name}.parquet")[["text", "label"]] for name in ("train", "validation", "test")}
frames["train"] = frames["train"].sample(400, random_state=seed)
splits = {name: Dataset.from_pandas(frame, preserve_index=False).map(
    lambda rows: tokenizer(rows["text"], truncation=True, max_length=64), batched=True) for name, frame in frames.items()}
model = AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=int(frames["test"]["label"].max()) + 1)
arguments = TrainingArguments(output_dir=output, per_device_train_batch_size=32, per_device_eval_batch_size=64,
    max_steps=100, learning_rate=1e-3, eval_strategy="steps", eval_steps=50, save_strategy="no", report_to=[], bf16=True,
    use_cpu=True, disable_tqdm=True, seed=seed)
trainer = Trainer(model=model, args=arguments, train_dataset=splits["train"], eval_dataset=splits["validation"],
    data_collator=DataCollatorWithPadding(tokenizer),
    compute_metrics=lambda p: {"accuracy": accuracy_score(p.label_ids, p.predictions.argmax(-1))})
trainer.train()
print("ACCURACY", trainer.evaluate(splits["test"])["eval_accuracy"])
"""


def run_sweep(folder: Path, trials: int) -> tuple[float, float]:
    """Return wall-clock seconds of the command from cold, and the mean test accuracy."""
    (folder / "race.yaml").write_text(CONFIG.format(trials=trials))
    began = time.monotonic()
    command = [sys.executable, "-m", "raybert", "sweep", str(folder / "race.yaml"), "--output", str(folder / "run")]
    subprocess.run(command, check=True, capture_output=True)
    seconds = time.monotonic() - began
    import raybert

    return seconds, float(raybert.load_sweep(folder / "run").trials["test_accuracy"].mean())


def export(folder: Path) -> Path:
    """Write the sweep's own splits and encoder for the scripts; return the encoder."""
    from raybert.config import load_config
    from raybert.data import load_splits
    from raybert.files import cache_folder
    from raybert.sweeping.phases.prepare import prepare

    config = load_config(folder / "race.yaml")
    ready = prepare(config, load_splits(config.data, cache_folder()), cache_folder())
    for name in ("train", "validation", "test"):
        getattr(ready.splits, name).to_pandas().to_parquet(folder / f"{name}.parquet")
    (folder / "script.py").write_text(SCRIPT)
    return ready.encoder.path


def run_scripts(folder: Path, encoder: Path, count: int) -> tuple[float, float]:
    """Return wall-clock seconds of the loop, and the mean test accuracy."""
    accuracies = []
    began = time.monotonic()
    for seed in range(count):
        command = [sys.executable, folder / "script.py", encoder, folder, folder / f"hf-{seed}", seed]
        done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
        accuracies.append(float(done.stdout.split("ACCURACY")[1]))
    return time.monotonic() - began, sum(accuracies) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--scripts", type=int, default=None)
    arguments = parser.parse_args()
    scripts = arguments.scripts or arguments.trials
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sweep_seconds, sweep_accuracy = run_sweep(folder, arguments.trials)
        seconds, accuracy = run_scripts(folder, export(folder), scripts)
    loop_seconds = seconds * arguments.trials / scripts
    print(f"{'':<34}{'seconds':>10}{'a trial':>10}{'test accuracy':>15}")
    print(
        f"{'raybert sweep':<34}{sweep_seconds:>10.1f}{sweep_seconds / arguments.trials:>10.2f}{sweep_accuracy:>15.3f}"
    )
    name = f"{scripts} Trainer processes" + (" (scaled up)" if scripts < arguments.trials else "")
    print(f"{name:<34}{loop_seconds:>10.1f}{seconds / scripts:>10.2f}{accuracy:>15.3f}")
    record = {
        "benchmark": "sweep_vs_scripts",
        "ours": round(sweep_seconds, 1),
        "theirs": round(loop_seconds, 1),
        "ratio": round(loop_seconds / sweep_seconds, 2),
        "unit": "seconds",
        "trials": arguments.trials,
        "scripts_run": scripts,
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main()
