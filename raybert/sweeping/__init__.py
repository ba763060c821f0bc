"""From a sweep file to finished trials, over Ray Tune."""

from __future__ import annotations

import os
from pathlib import Path

from raybert.errors import ConfigError
from raybert.files import cache_folder

ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's own tables would fight with ours for the terminal
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # 19 KiB and 0.06 s a trial
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours: trials save between two steps
    "TUNE_FUNCTION_THREAD_TIMEOUT_S": "30",  # a stopped trial that still writes would spoil its actor's next one
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",  # processes that start at once; our own limit is the slots that there are
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",  # our own files are the truth; Tune's snapshots are scratch
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",  # the default of 2 s makes each report of a worker wait
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # `uv run` would be repeated in every worker, and the folder uploaded
}
"""Must be set before ray is imported, in the driver and in every worker."""
WORKER_ENVIRONMENT = {**ENVIRONMENT, "TOKENIZERS_PARALLELISM": "false"}
"""Of workers, which share the cores; the driver, which tokenizes a data set once for all of them, uses every core."""

NOBODYS_HOME = "/nonexistent"
"""Where Debian puts those who have none."""


def _have_home() -> None:
    """Give this process a home folder where it has none (a container's user): Ray Tune cannot be imported without.

    That is the cache, which has to be named then; else one that nobody can write, which is said where it is needed.
    """
    if not os.environ.get("HOME"):
        os.environ.pop("HOME", None)  # an empty one would be the root of the file system
    try:
        Path.home()
    except RuntimeError:  # of pathlib
        try:
            os.environ["HOME"] = str(cache_folder())
        except ConfigError:
            os.environ["HOME"] = NOBODYS_HOME


_have_home()
os.environ.update({key: os.environ.get(key, value) for key, value in ENVIRONMENT.items()})
