"""The folder of a pretraining study as its commands leave it, made by hand: two corpora, no model behind them."""

import json

import numpy as np
import pandas as pd

from raybert.config.load import dump_yaml
from raybert.config.pretraining import load_pretraining
from raybert.evaluation.language_models.crosseval import CrossEvaluation
from raybert.evaluation.language_models.probes import ProbeResults
from raybert.evaluation.language_models.publish import write_cross_evaluation, write_probes

PLANTED = "<script>alert(1)</script>"
FILE = {
    "name": "speech",
    "corpora": {"north": {"source": "north.csv", "group": "day"}, "south": f"{PLANTED}.csv"},
    "probes": {"place": {"templates": ["we met in [MASK]"], "groups": {"here": ["ice"], "there": ["sun"]}}},
}
MATRIX = {("north", "north"): 20.0, ("north", "south"): 60.0, ("south", "north"): 50.0, ("south", "south"): 40.0}
"""Model and corpus -> perplexity."""


def write_study(folder, *, seeds=2, trained=("north", "south"), matrix=MATRIX, measured=True):
    """Write a study, and return its folder."""
    config = load_pretraining(FILE | {"seeds": seeds})
    (folder / "resolved.yaml").write_text(dump_yaml(config))
    for corpus in trained:
        for seed in range(seeds):
            write_model(folder / "models" / f"{corpus}-s{seed}", corpus, seed)
    if measured:
        write_cross_evaluation(cross_evaluation(matrix), folder / "crosseval")
        write_probes(probes(), folder / "probes")
    return folder


def write_model(folder, corpus, seed, *, finished=True):
    folder.mkdir(parents=True)
    rows = [
        {
            "evaluation": n,
            "step": 10 * n,
            "tokens": 1000 * n,
            "train_loss": 6.0 - n,
            "validation_loss": 5.0 - n,
            "validation_perplexity": 100.0 / n + 10 * seed,
            "validation_masked_accuracy": 0.1 * n,
            "seconds": 2.5 * n,
        }
        for n in (1, 2, 3)
    ]
    (folder / "evaluations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    counts = {split: {"documents": 10, "words": 1234} for split in ("train", "validation", "test")}
    summary = {"corpus": corpus, "seed": seed, "best": rows[-1], "seconds": 9.0, "parameters": 4321, "corpora": counts}
    summary |= {"notes": [f"{corpus}: {PLANTED}"], "versions": {"torch": "2"}, "ran_on": {"device": "cpu"}}
    if finished:
        (folder / "training_summary.json").write_text(json.dumps(summary))


def cross_evaluation(matrix, p=0.001):
    rows, differences, domains = [], [], []
    models = list(dict.fromkeys(model for model, _ in matrix))
    corpora = list(dict.fromkeys(corpus for _, corpus in matrix))
    for (model, corpus), value in matrix.items():
        row = {"model": model, "corpus": corpus, "kind": "masked", "num_seeds": 2, "documents": 9, "groups": 4}
        for unit in ("piece", "word"):
            for name, factor in (("perplexity", 1), ("low", 0.9), ("high", 1.1)):
                row[f"{unit}_{name}"] = value * factor
        rows.append(row)
    for corpus in corpora:
        ratio = matrix[models[0], corpus] / matrix[models[1], corpus]
        row = {"corpus": corpus, "kind": "masked", "model": models[0], "other": models[1], "ratio": ratio}
        differences.append({**row, "low": ratio * 0.9, "high": ratio * 1.1, "p": p, "holm_p": p})
    for model in models:
        row = {"model": model, "kind": "masked", "domain": model, "in_perplexity": matrix[model, model]}
        row |= {"out_perplexity": 60.0, "out_in_ratio": 3.0, "out_in_low": 2.0, "out_in_high": 4.0, "out_in_p": p}
        row |= {"worst": "south", "best": "north", "bias_ratio": 3.0, "bias_low": 2.0, "bias_high": 4.0}
        domains.append(row)
    tables = (pd.DataFrame(part) for part in (rows, differences, domains))
    return CrossEvaluation(*tables, pd.DataFrame({"loss": np.zeros(1)}), "piece", ("north: few groups",))


def probes():
    prompt = {"probe": "place", "prompt": 0, "template": f"we met in [MASK] {PLANTED}"}
    groups, differences, predictions = [], [], []
    for model in ("north", "south"):
        of_model = {"probe": "place", "model": model, "kind": "all"}
        for group in ("here", "there"):
            share = float((model == "north") == (group == "here"))
            row = {**of_model, "group": group, "prompts": 8, "preferred_fraction": share, "chance": 0.5}
            groups.append({**row, "low": share * 0.6, "high": 0.4 + share * 0.6, "binomial_p": 0.01, "holm_p": 0.02})
        row = {**of_model, "group": "here", "other_group": "there", "prompts": 8, "difference": 1.0}
        row |= {"low": 0.5, "high": 1.5, "seeds_deviation": 0.1, "preferred_fraction": 1.0, "sign_flip_p": 0.01}
        differences.append({**row, "holm_p": 0.02})
        for rank in (1, 2):
            row = {**prompt, "model": model, "seed": 0, "rank": rank, "piece": "ice", "probability": 0.5 / rank}
            predictions.append(row)
    pair = {"probe": "place", "kind": "all", "group": "here", "other_group": "there", "model": "north"}
    pair |= {"other": "south", "prompts": 8, "difference": 2.0, "low": 1.0, "high": 3.0, "sign_flip_p": 0.01}
    one = pd.DataFrame({"probe": ["place"], "log_probability": [-1.0]})
    return ProbeResults(
        pd.DataFrame(groups),
        pd.DataFrame(differences),
        pd.DataFrame([pair | {"holm_p": 0.01}]),
        one,
        one,
        pd.DataFrame(predictions),
        ("ice is cut",),
    )
