"""Does IRIS find the one chunk that matters? Documents of 40 news, in the positives one of another topic.

The chunks are AG News (World, Business, Sci/Tech), embedded by all-MiniLM-L6-v2; in a positive document one of the 40 is
from Sci/Tech. Training, validation and test share no news. Beside it: logistic regression on the mean of the chunks
(its C chosen on the validation documents), the share of positives in which the best query's top chunk is the planted
one, and the time of a training step. Needs the real datasets (RAYBERT_DATA).

    python -m tests.benchmarks.iris [--documents 1600] [--temperatures 0.1 1.0] [--seeds 3]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from raybert.config import ModelConfig
from raybert.data import TokenizedData
from raybert.data.chunks import ChunkSettings, ChunkTable, chunk_texts
from raybert.files import cache_folder
from raybert.models import load_backbone, load_tokenizer, resolve_encoder
from raybert.models.iris import IrisClassifier, IrisSettings
from raybert.training import Inference
from tests.benchmarks.material import dataset, minilm

NUM_CHUNKS, PLANTED_TOPIC, BATCH = 40, 1, 32
NEWS = {"train": 4000, "validation": 1000, "test": 2000}


@dataclass(frozen=True)
class Planted:
    """Documents, and which chunk of each positive is of another topic."""

    table: ChunkTable
    places: np.ndarray


def embed_news() -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings (n, 384) of distinct news in random order, and their topics."""
    encoder = resolve_encoder(ModelConfig(encoder=str(minilm())), [], cache_folder())
    frame = pd.read_parquet(dataset("agnews") / "train.parquet").drop_duplicates("text")
    frame = frame.sample(sum(NEWS.values()), random_state=0)
    tokenizer = load_tokenizer(encoder)
    table = chunk_texts(frame["text"].tolist(), tokenizer, ChunkSettings(max_chunks=1)).table
    data = TokenizedData(table, table, table, np.arange(len(table)).astype(str), (), tokenizer.pad_token_id, True, "")
    return Inference(load_backbone(encoder), data).embeddings(table), frame["label"].to_numpy()


def plant(vectors: np.ndarray, topics: np.ndarray, num_documents: int, generator: np.random.Generator) -> Planted:
    """Return documents of random news of the other topics, every second one with a planted one."""
    others, planted = np.flatnonzero(topics != PLANTED_TOPIC), np.flatnonzero(topics == PLANTED_TOPIC)
    chosen = np.stack([generator.choice(others, NUM_CHUNKS, replace=False) for _ in range(num_documents)])
    labels = np.arange(num_documents) % 2
    places = generator.integers(0, NUM_CHUNKS, num_documents)
    positives = np.flatnonzero(labels)
    chosen[positives, places[positives]] = generator.choice(planted, len(positives))
    offsets = np.arange(num_documents + 1) * NUM_CHUNKS
    return Planted(ChunkTable(vectors[chosen.ravel()], offsets, labels), places)


def logits_of(model: IrisClassifier, table: ChunkTable) -> torch.Tensor:
    """Return (n, 2) logits in eval mode."""
    model.eval()
    with torch.no_grad():
        parts = []
        for rows in np.array_split(np.arange(len(table)), -(-len(table) // 256)):
            batch = table.collate(rows)
            parts.append(model(batch["chunks"], batch["chunk_mask"]).logits)
        return torch.cat(parts)


def train(model: IrisClassifier, training: ChunkTable, validation: ChunkTable) -> tuple[int, float]:
    """Train as shared/IRIS.md says; return epochs and seconds per step."""
    head = {"params": list(model.head.parameters()), "weight_decay": 1e-4}
    optimizer = torch.optim.AdamW([{"params": [model.queries], "weight_decay": 0.0}, head], lr=1e-3)
    generator, seconds, num_steps = np.random.default_rng(0), 0.0, 0
    losses: list[float] = []
    states = []
    while len(losses) < 50 and len(losses) - 5 <= int(np.argmin(losses or [0])):
        model.train()
        started = time.perf_counter()
        for rows in np.array_split(generator.permutation(len(training)), len(training) // BATCH):
            batch = training.collate(rows)
            logits = model(batch["chunks"], batch["chunk_mask"]).logits
            optimizer.zero_grad()
            (functional.cross_entropy(logits, batch["labels"]) + model.penalty()).backward()
            optimizer.step()
            num_steps += 1
        seconds += time.perf_counter() - started
        labels = torch.from_numpy(validation.labels)
        losses.append(functional.cross_entropy(logits_of(model, validation), labels).item())
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    model.load_state_dict(states[int(np.argmin(losses))])
    return len(losses), seconds / num_steps


def found_share(model: IrisClassifier, planted: Planted) -> float:
    """Return in what share of the positives the best query's top chunk is the planted one."""
    batch = planted.table.collate(np.arange(len(planted.table)))
    top = model.choose(batch["chunks"], batch["chunk_mask"])[:, :, 0].numpy()  # (n, N)
    share: float = (top == planted.places[:, None])[planted.table.labels == 1].mean(axis=0).max()
    return share


def mean_pool_auc(splits: dict[str, Planted]) -> float:
    """Return the test AUC of logistic regression on means, at the best C on validation."""
    means = {name: split.table.mean_vectors() for name, split in splits.items()}
    labels = {name: split.table.labels for name, split in splits.items()}
    fits = [LogisticRegression(C=c, max_iter=3000).fit(means["train"], labels["train"]) for c in 10.0 ** np.arange(6)]
    aucs = [roc_auc_score(labels["validation"], fit.decision_function(means["validation"])) for fit in fits]
    best = fits[int(np.argmax(aucs))]
    return float(roc_auc_score(labels["test"], best.decision_function(means["test"])))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1600)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.1, 1.0])
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    vectors, topics = embed_news()
    ends = np.cumsum(list(NEWS.values()))[:-1]
    news = dict(zip(NEWS, zip(np.split(vectors, ends), np.split(topics, ends), strict=True), strict=True))
    rows = []
    for seed in range(arguments.seeds):
        generator = np.random.default_rng(seed)
        sizes = {"train": arguments.documents, "validation": 400, "test": 1000}
        splits = {name: plant(*news[name], sizes[name], generator) for name in NEWS}
        linear = mean_pool_auc(splits)
        for temperature in arguments.temperatures:
            model = IrisClassifier(IrisSettings(vectors.shape[1], 2, temperature=temperature), seed)
            torch.manual_seed(seed)
            epochs, seconds = train(model, splits["train"].table, splits["validation"].table)
            auc = roc_auc_score(splits["test"].table.labels, logits_of(model, splits["test"].table)[:, 1])
            found = found_share(model, splits["test"])
            row = {"seed": seed, "temperature": temperature, "auc": float(auc), "mean_pool_auc": linear, "found": found}
            rows.append({**row, "epochs": epochs, "ms_per_step": 1000 * seconds})
            print(json.dumps(rows[-1]), flush=True)
    print(pd.DataFrame(rows).groupby("temperature").mean().drop(columns="seed").round(3).to_json(orient="index"))


if __name__ == "__main__":
    main()
