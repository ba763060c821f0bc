"""The command that pretrains the models of a pretraining file."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal, TypeAlias, Union

from raybert.config import takes_safe
from raybert.config.load import Overrides
from raybert.config.pretraining import PretrainingSource, load_pretraining
from raybert.files import check_place

if TYPE_CHECKING:
    from raybert.pretraining.progress import PretrainingProgress
    from raybert.pretraining.study import PretrainedModels

_Listener: TypeAlias = Union["PretrainingProgress", Literal["auto", "stderr"], None]


@takes_safe
def pretrain(
    config: PretrainingSource,
    *,
    output: str | Path | None = None,
    overrides: Overrides = (),
    corpora: Collection[str] = (),
    seeds: Collection[int] = (),
    progress: _Listener = None,
    safe: bool = False,
) -> PretrainedModels:
    """Pretrain a model of every corpus and seed of a pretraining file, one after the other.

    Each lies in `models/<corpus>-s<seed>`, its transformers folder in `model/`. The same call again continues an
    interrupted model exactly, and leaves finished ones alone. The first Ctrl-C saves and stops.

    Args:
        config: a pretraining file, a mapping like one, or a configuration.
        output: folder of the study; default: `runs/<name>`.
        overrides: keys to override, as for `load_config`.
        corpora: only models of these.
        seeds: only these, of the file or not.
        safe: refuse code that the file names (`module:attribute`, `model.trust_remote_code`), and weights that are no
            safetensors.
        progress: who is told of steps and evaluations; `"auto"`: standard output; `"stderr"`: standard error.

    Returns:
        The models; the summary of each has loss, perplexity and masked accuracy.

    Raises:
        RaybertError: what is wrong with the file, its corpora, or an encoder or tokenizer that it names.

    Example:
        >>> found = raybert.pretrain({"corpora": {"docs": "docstrings"}}, overrides=["pretrain.length.steps=200"])
        >>> transformers.AutoModel.from_pretrained(found.models[0].model)
    """
    settings = load_pretraining(config, overrides)
    folder = Path("runs") / settings.name if output is None else Path(output)
    check_place(folder / "resolved.yaml", "output")
    from raybert.pretraining.study import pretrain_models

    with _listening(progress) as told, _stopping(told) as should_stop:
        return pretrain_models(settings, folder, corpora=corpora, seeds=seeds, progress=told, should_stop=should_stop)


@contextlib.contextmanager
def _listening(progress: _Listener) -> Iterator[PretrainingProgress]:
    from raybert.pretraining.progress import PretrainingProgress

    if isinstance(progress, str):
        from raybert.terminal.pretraining import pretraining_progress

        with pretraining_progress(to_stderr=progress == "stderr") as shown:
            yield shown
    else:
        yield PretrainingProgress() if progress is None else progress


@contextlib.contextmanager
def _stopping(told: PretrainingProgress) -> Iterator[Callable[[], bool]]:
    """Yield what tells whether to save and stop: the first signal asks for it, the second raises KeyboardInterrupt."""
    asked = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        # In a thread of its own: this one may be in the middle of a line.
        words = "stopping: the model saves; once more to stop at once"
        threading.Thread(target=told.note, args=(words,)).start()

    signals = (signal.SIGINT, signal.SIGTERM)
    try:
        heard = [number for number in signals if signal.getsignal(number) is not signal.SIG_IGN]
        previous = {number: signal.signal(number, handle) for number in heard}
    except ValueError:  # not the main thread, e.g. a notebook's worker: its owner handles signals
        previous = {}
    try:
        yield asked.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
