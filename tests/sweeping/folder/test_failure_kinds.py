import errno
import pickle
import sqlite3

import pytest
import torch

from raybert.errors import TrialError
from raybert.sweeping.folder.failure_kinds import KINDS, classify, is_wanted


def chain(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


def handled(first: Exception, then: Exception) -> Exception:
    try:
        try:
            raise first
        except Exception:
            raise then  # noqa: B904 - it only happens to come while the first one is handled
    except Exception as error:
        return error


def worker_group_error(inner: Exception) -> Exception:
    from ray.train.v2._internal.exceptions import UserExceptionWithTraceback
    from ray.train.v2.api.exceptions import WorkerGroupError

    return WorkerGroupError("rank 0", {0: UserExceptionWithTraceback(inner, "traceback")})


def ray_error(name: str, *arguments: object) -> Exception:
    import ray.exceptions

    return getattr(ray.exceptions, name)(*arguments)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: TrialError("no"), "error"),
        (lambda: TrialError("no", kind="nan"), "nan"),
        (lambda: pickle.loads(pickle.dumps(TrialError("no", kind="time"))), "time"),
        (lambda: torch.cuda.OutOfMemoryError("CUDA out of memory"), "oom"),
        (lambda: ray_error("OutOfMemoryError", "Task was killed"), "memory"),
        (lambda: MemoryError(), "memory"),
        (lambda: RuntimeError("Task was killed due to the node running low on memory."), "memory"),
        (lambda: OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (lambda: OSError(errno.EDQUOT, "quota"), "disk"),
        (lambda: OSError(errno.ENOENT, "no such file"), "error"),
        (lambda: RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), "disk"),
        (lambda: chain(RuntimeError("outer"), OSError(errno.ENOSPC, "full")), "disk"),
        (lambda: handled(OSError(errno.ENOSPC, "full"), KeyError("while tidying up")), "disk"),
        (lambda: handled(torch.cuda.OutOfMemoryError("CUDA out of memory"), KeyError("later")), "error"),
        (lambda: sqlite3.OperationalError("database or disk is full"), "disk"),
        (
            lambda: chain(
                RuntimeError("An exception is raised during the commit."),
                sqlite3.OperationalError("database or disk is full"),
            ),
            "disk",
        ),
        (lambda: OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device"), "disk"),
        (lambda: OSError("[Errno 122] Kontingent"), "disk"),
        (lambda: RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), "disk"),
        (lambda: OSError("1000 requested and 12 written"), "disk"),
        (lambda: RuntimeError('IoError(Os { code: 122, kind: QuotaExceeded, message: "voll" })'), "disk"),
        (lambda: ray_error("OutOfDiskError", "Local disk is full"), "disk"),
        (lambda: ExceptionGroup("of a pool", [ValueError("a"), OSError(errno.EDQUOT, "quota")]), "disk"),
        (lambda: RuntimeError("429: quota exceeded for this hub"), "error"),
        (lambda: ray_error("ActorDiedError"), "lost"),
        (lambda: worker_group_error(TrialError("no", kind="nan")), "nan"),
        (lambda: worker_group_error(ray_error("ActorDiedError")), "lost"),
        (lambda: ValueError("anything"), "error"),
    ],
)
def test_an_exception_is_told_by_what_it_is_or_what_caused_it(make, kind):
    assert classify(make()) == kind


def test_a_circle_of_causes_ends():
    one, other = ValueError("a"), ValueError("b")
    one.__cause__, other.__cause__ = other, one
    assert classify(one) == "error"


def test_a_full_disk_is_told_from_what_saving_a_checkpoint_raises():
    with pytest.raises(OSError, match="No space left") as caught, open("/dev/full", "wb") as file:
        torch.save({"a": torch.zeros(100_000)}, file)
    assert classify(caught.value) == "disk"


def test_retry_names_a_kind_or_all_of_them():
    assert all(is_wanted(kind, "failed") and is_wanted(kind, "all") and is_wanted(kind, kind) for kind in KINDS)
    assert not is_wanted("nan", "oom")
