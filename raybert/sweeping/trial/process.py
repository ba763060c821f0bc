"""A process that runs trials or pretrainings: what it sets before each, and what it leaves of one that fails."""

from __future__ import annotations

import logging
import os
import random
import traceback
from collections.abc import Callable

import torch

from raybert.config import ResourcesConfig
from raybert.errors import TrialError
from raybert.sweeping.folder.failure_kinds import classify
from raybert.sweeping.folder.fence import Superseded
from raybert.sweeping.folder.heartbeat import take_stall
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.trial.surroundings import TrialSurroundings
from raybert.training.memory.allocator import keep_memory, return_memory
from raybert.training.memory.gpu_share import keep_to_share


def prepare_process(threads: int, seed: int) -> None:
    """Set everything that an earlier run in this process may have left different.

    Args:
        threads: of torch; results are bit-identical for the same number of them.
        seed: of the global generators.
    """
    keep_memory()
    torch.set_num_threads(threads)
    random.seed(seed)
    torch.manual_seed(seed)
    torch.set_grad_enabled(True)


def run_recorded(run: Callable[[], bool], folder: TrialFolder, log: logging.Logger) -> str:
    """Run something, and record its failure; return `complete`, `stopped` or `failed`.

    Args:
        run: returns whether it came to its end (False: stopped, resumable).
        folder: of the run.
        log: of the run.

    Raises:
        Superseded: the folder has a newer owner.
    """
    take_stall(folder.path)
    try:
        return "complete" if run() else "stopped"
    except Superseded:
        raise
    except Exception as error:
        log.exception("failed")
        kind = classify(error)
        # The driver has ended a worker that hangs; what this process hears of it is only that it died.
        kind = "stalled" if kind == "lost" and take_stall(folder.path) is not None else kind
        folder.fail(f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}", kind)
        return "failed"
    finally:
        return_memory()


def check_time(surroundings: TrialSurroundings, steps: int) -> None:
    """Tell a run that has used up its time from one that was asked to stop.

    Args:
        surroundings: of the run.
        steps: that it has done.

    Raises:
        TrialError: it has; its last checkpoint is there.
    """
    if surroundings.stop_request.exists() or not surroundings.is_out_of_time():
        return
    found = f"step {steps} of {surroundings.total_steps}"
    raise TrialError(out_of_time(surroundings.trial_seconds or 0.0, found), kind="time")


def out_of_time(seconds: float, found: str) -> str:
    """Return what to say of a run that has used up its time.

    Args:
        seconds: that it had.
        found: how far it got.
    """
    return (
        f"limits.trial_seconds: must end within {seconds:g} s, got to {found}; raise it, then try again with --retry "
        "time (Python: `retry='time'`): the last checkpoint is continued"
    )


def device_of(resources: ResourcesConfig) -> torch.device:
    """Return where a model trains.

    Raises:
        TrialError: torch has no use for the GPU that this process was given.
    """
    if not resources.num_gpus:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise TrialError(
            f"resources.gpus_per_worker: torch {torch.__version__} finds no GPU on {os.uname().nodename}, got "
            f"{resources.num_gpus:g}; install a torch for its GPU there, or set 0 (with another `output`)"
        )
    keep_to_share(resources.num_gpus)
    return torch.device("cuda")
