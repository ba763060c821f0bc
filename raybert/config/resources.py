"""The sections `resources` and `limits`: what a run occupies, and what a command may use up."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from raybert.config.section import Section

_SMALLEST_SHARE = 0.01
"""Of a GPU: what torch itself takes of one is more than a hundredth."""


class ResourcesConfig(Section):
    """What one trial occupies on the cluster."""

    workers_per_trial: int = Field(1, ge=1, description="data-parallel workers of a trial")
    cpus_per_worker: int = Field(1, ge=1, description="CPU cores (and torch threads) of a worker")
    gpus_per_worker: int | float | Literal["auto", "fit"] = Field(
        "auto",
        description="GPUs of a worker: a whole number, or a fraction (0.25: four share one); 0 trains on the CPU; "
        "auto: 1 where the cluster has any, else 0, and in a folder that was begun what it was begun with; fit: as "
        "auto, but the share (1, 1/2, ... 1/8) that a trial's memory needs, measured before anything is trained",
    )
    concurrent_trials: int | None = Field(None, ge=1, description="upper bound; default: what fits")

    @property
    def num_gpus(self) -> float:
        """GPUs of a worker; 0 of `auto` and `fit`, until somebody has looked at a cluster (`sweeping.phases.gpus`)."""
        return 0 if isinstance(self.gpus_per_worker, str) else self.gpus_per_worker

    @field_validator("gpus_per_worker")
    @classmethod
    def _gpus_not_negative(cls, gpus: float | str) -> float | str:
        if not isinstance(gpus, str) and gpus < 0:
            raise ValueError(f"must be >= 0, auto or fit, got {gpus:g}")
        if not isinstance(gpus, str) and (0 < gpus < _SMALLEST_SHARE or (gpus > 1 and gpus != int(gpus))):
            raise ValueError(
                f"must be a whole number of GPUs, or a fraction of one from {_SMALLEST_SHARE:g} on (0.25: four workers "
                f"share one), got {gpus:g}"
            )
        return gpus


class LimitsConfig(Section):
    """What a sweep may use up."""

    disk_gb: float | None = Field(
        None,
        gt=0,
        description="gigabytes of checkpoints and pretrained encoders: models of trials are deleted from the worst on; "
        "default: no limit",
    )
    trial_seconds: float | None = Field(
        None,
        gt=0,
        description="seconds that all attempts of a trial, or of a pretraining, may take together; default: no limit",
    )
    sweep_seconds: float | None = Field(
        None, gt=0, description="seconds after which one command saves and stops, resumable; default: no limit"
    )
    stall_seconds: float | None = Field(
        1800.0,
        gt=0,
        description="seconds without a step or a batch after which the process of a trial, or of a block of scores, is "
        "ended and begun again; null: never",
    )
    retries: int = Field(
        2,
        ge=0,
        description="attempts after the first one of a trial whose process died, stalled, or lost its node, and of a "
        "block of scores that stalled",
    )
    max_nodes: int | None = Field(
        None, ge=1, description="nodes that an autoscaling cluster may grow to; default: what is there counts"
    )
