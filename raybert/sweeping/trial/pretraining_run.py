"""A pretraining as whoever plans, shows and tracks runs knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from raybert.config.pretraining import PretrainingConfig
from raybert.pretraining.corpora import Corpus
from raybert.pretraining.request import PretrainRequest
from raybert.pretraining.run import known_steps
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.plan.roles import PRETRAIN


@dataclass
class PretrainingRun:
    """A run of `PretrainRequest`.

    Attributes:
        request: what is trained, and where.
        total_steps: T; 0: not known before its corpus is packed.
        grid: dotted keys in which it differs from others that are run with it, and their values.
    """

    request: PretrainRequest
    total_steps: int = 0
    grid: Mapping[str, Any] = field(default_factory=dict)

    role: ClassVar[str] = PRETRAIN
    passes: ClassVar[None] = None
    examples: ClassVar[None] = None
    best_metric: ClassVar[str] = "loss"
    reads_signals: ClassVar[bool] = False
    size: ClassVar[str] = ""

    def __post_init__(self) -> None:
        self.learn_steps()

    def learn_steps(self) -> int:
        """Look for T in the run's folder, and return it; 0: it is not known yet."""
        if not self.total_steps:
            self.total_steps = known_steps(self.request.folder) or self.request.pretrain.length.steps or 0
        return self.total_steps

    @property
    def trial_id(self) -> str:
        """Name of its folder."""
        return self.request.name

    @property
    def label(self) -> str:
        """Name of its corpus."""
        return self.request.corpus.name

    @property
    def seed(self) -> int:
        """Of first weights, order, masks and dropout."""
        return self.request.seed

    @property
    def replicate(self) -> str:
        """Its seed, in words."""
        return f"seed {self.seed}"

    @property
    def trains_on(self) -> str:
        """Words of its corpus."""
        return f"{self.request.corpus.train.num_words:,} words"

    def position_of(self, row: Mapping[str, Any]) -> int:
        """Return how many steps are done at an evaluation."""
        self.learn_steps()
        return int(row["step"])

    def summary(self) -> dict[str, Any]:
        """Return its line of `plan.json`: that of a run of a sweep, of which some columns say nothing here."""
        return {
            "trial_id": self.trial_id,
            "role": self.role,
            "strategy": self.label,
            "seed": self.seed,
            "fold": 0,
            "budget": 0,
            "pool_size": len(self.request.corpus.train),
            "budget_kind": "none",
            "total_steps": self.total_steps,
            "grid": dict(self.grid),
        }

    def spec(self) -> dict[str, Any]:
        """Return what `spec.json` says of it, for who reads the folder of the run alone."""
        return {
            **self.summary(),
            "label": self.label,
            "words": self.request.corpus.train.num_words,
            "config": {
                "model": self.request.model.model_dump(mode="json"),
                "pretrain": self.request.pretrain.model_dump(mode="json"),
                "train": {"best_metric": self.best_metric},
            },
        }


def request_of(
    config: PretrainingConfig, corpus: Corpus, tokenizer: Path, seed: int, folder: SweepFolder
) -> PretrainRequest:
    """Return what a model of a study is.

    Args:
        config: the file.
        corpus: what it is trained on.
        tokenizer: folder of the tokenizer.
        seed: of the model.
        folder: of the study.
    """
    place = folder.models / f"{corpus.name}-s{seed}"
    return PretrainRequest(config.model, config.pretrain, corpus, tokenizer, seed, place)
