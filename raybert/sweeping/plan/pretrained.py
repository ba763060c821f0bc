"""Encoders that a sweep pretrains before it trains trials: known by what they are made of, before they are there."""

from __future__ import annotations

from dataclasses import dataclass

from raybert.config import ResourcesConfig, SweepPretrainConfig
from raybert.files import content_key


@dataclass(frozen=True)
class PretrainingFacts:
    """What an encoder that is pretrained depends on beside the section `pretrain`.

    Attributes:
        base: fingerprint of the encoder that it goes on from.
        corpus: fingerprint of the texts that it is trained on.
        machine: workers, CPU cores of each, and whether they have GPUs, on which bits depend.
    """

    base: str
    corpus: str
    machine: tuple[int, int, bool]

    @classmethod
    def of(cls, base: str, corpus: str, resources: ResourcesConfig) -> PretrainingFacts:
        """Return the facts of an encoder and a corpus, pretrained with what one trial occupies."""
        return cls(base, corpus, (resources.workers_per_trial, resources.cpus_per_worker, resources.num_gpus > 0))

    def fingerprint(self, config: SweepPretrainConfig | None) -> str:
        """Return what the pretrained encoder is known by; that of the base, where it stays as it is."""
        if config is None or not config.is_on:
            return self.base
        made_of = {"encoder": self.base, "corpus": self.corpus, "machine": list(self.machine)}
        return content_key({**made_of, "pretrain": config.identity()})


@dataclass(frozen=True)
class PretrainingPrice:
    """What pretraining the encoders of a run has cost.

    Attributes:
        seconds: as if it was done for this run alone.
        shared_seconds: its share, divided by the runs that use them.
        tokens: word pieces that were trained on, likewise for this run alone.
        forward_tokens: the same, each as often as it went through the model in a step: SimCSE has two views of it.
    """

    seconds: float = 0.0
    shared_seconds: float = 0.0
    tokens: int = 0
    forward_tokens: int = 0

    def __add__(self, other: PretrainingPrice) -> PretrainingPrice:
        """Return what both have cost."""
        return PretrainingPrice(
            self.seconds + other.seconds,
            self.shared_seconds + other.shared_seconds,
            self.tokens + other.tokens,
            self.forward_tokens + other.forward_tokens,
        )
