"""Credentials of trackers: read from the environment by the trackers themselves, and never written or said."""

from __future__ import annotations

import os

from raybert.plain import remember_secret

VARIABLES = (
    *("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "DATABRICKS_TOKEN", "AWS_SECRET_ACCESS_KEY"),
    *("WANDB_API_KEY", "TRACKIO_WRITE_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    *("CLEARML_API_ACCESS_KEY", "CLEARML_API_SECRET_KEY", "TRAINS_API_SECRET_KEY"),
)


def remember_credentials() -> None:
    """Let whatever is printed, raised and written be without the credentials in the environment."""
    for name in VARIABLES:
        if value := os.environ.get(name):
            remember_secret(value)
