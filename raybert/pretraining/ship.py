"""From a finished pretraining to the files of `raybert-tiny` that are part of the package.

    raybert pretrain sweeps/pretrain_tiny.yaml
    python -m raybert.pretraining.ship runs/pretrain_tiny/models/prose-s0 raybert/models/raybert_tiny

The weights go into half precision, and the table of embeddings is made smaller. A LayerNorm follows it, and where the
head shares it a factor of the head's own makes up for that: the model computes the same. But steps of AdamW are as long
whatever they change, and move a smaller table further: fine-tuning moved the table as pretraining leaves it (with a
deviation of .12, where a random start has .02) too little.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, ModernBertForMaskedLM

from raybert.files import file_digest, read_json, write_json
from raybert.models.quiet import quiet_transformers
from raybert.pretraining.records import SUMMARY

DEVIATION = 0.02
"""Of the embeddings: that of a new model (`initializer_range`)."""
TRAINING = "training.json"
_KEPT = ("best", "total_steps", "steps", "tokens", "seconds", "padding_share", "parameters", "corpora", "ran_on")


def ship(run: Path, target: Path) -> dict[str, str]:
    """Write the files of the package from the folder of a finished pretraining of a ModernBERT.

    Args:
        run: with `model/` and `training_summary.json`.
        target: of the package; what else is in it stays.

    Returns:
        File -> SHA-256.
    """
    summary = read_json(run / SUMMARY)
    assert summary is not None, f"{run} holds no finished pretraining"
    with quiet_transformers():
        model = AutoModelForMaskedLM.from_pretrained(run / "model", dtype=torch.float32)
        shrink_embeddings(model)
        for key in ("embedding_dropout", "mlp_dropout", "attention_dropout"):
            setattr(model.config, key, 0.0)  # a contrastive finish may have changed them
        model.half().save_pretrained(target)
        tokenizer = AutoTokenizer.from_pretrained(run / "model")
        for key in ("is_local", "local_files_only"):  # of how it was loaded here
            tokenizer.init_kwargs.pop(key, None)
        tokenizer.save_pretrained(target)
    config = read_json(target / "config.json")
    assert config is not None
    write_json(target / "config.json", config | {"dtype": "float32"})  # whoever loads it gets float32, without asking
    write_json(target / TRAINING, facts_of_training(summary))
    return {path.name: file_digest(path) for path in sorted(target.iterdir()) if path.suffix != ".md"}


def shrink_embeddings(model: ModernBertForMaskedLM) -> float:
    """Bring the embeddings to the deviation of a new model, and return the factor that they were divided by."""
    table, norm = model.model.embeddings.tok_embeddings.weight, model.head.norm
    assert model.config.tie_word_embeddings
    assert norm.bias is None
    factor = float(table.detach().std()) / DEVIATION
    with torch.no_grad():
        table /= factor
        norm.weight *= factor
    return factor


def facts_of_training(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what the package keeps of `training_summary.json`: nothing that names a place on a disk."""
    return {key: summary[key] for key in _KEPT} | {
        "identity": summary["identity"],
        "versions": summary["versions"],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the files and print their digests, as the card has them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a finished pretraining")
    parser.add_argument("target", type=Path, help="raybert/models/raybert_tiny")
    given = parser.parse_args(arguments)
    print(json.dumps(ship(given.run, given.target), indent=1))


if __name__ == "__main__":
    main()
