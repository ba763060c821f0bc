"""The command that pretrains the models of a pretraining file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from raybert.commands.arguments import Listener, listening
from raybert.config import takes_safe
from raybert.config.load import Overrides
from raybert.config.packages import check_trackers
from raybert.config.pretraining import PretrainingConfig, PretrainingSource, load_pretraining
from raybert.files import check_place
from raybert.machine import SPACE_OF_TORCH, check_address_space
from raybert.sweeping.folder.failure_kinds import check_retry
from raybert.sweeping.storage.arguments import publishes

if TYPE_CHECKING:
    from raybert.sweeping.study import PretrainedModels


@publishes
@takes_safe
def pretrain(
    config: PretrainingSource,
    *,
    output: str | Path | None = None,
    overrides: Overrides = (),
    corpora: Collection[str] = (),
    seeds: Collection[int] = (),
    address: str | None = None,
    retry: str = "failed",
    progress: Listener = None,
    safe: bool = False,
) -> PretrainedModels:
    """Pretrain a model of every corpus and seed of a pretraining file, as many at once as fit.

    Each lies in `models/<corpus>-s<seed>`, its transformers folder in `model/`. The same call again continues
    interrupted models exactly, leaves finished ones alone, and tries failed ones again. Interrupts are those of
    `sweep`. A single model of one worker trains in this process; so do several with `resources.concurrent_trials: 1`,
    one after the other.

    Args:
        config: a pretraining file, a mapping like one, or a configuration.
        output: folder of the study; default: `runs/<name>`.
        overrides: keys to override, as for `load_config`.
        corpora: only models of these.
        seeds: only these, of the file or not.
        address: of a Ray cluster to join, as for `sweep`.
        retry: which of the models that failed are tried again: `failed`, all of them, or a kind of failure.
        progress: a function that is called with every `Event`, `"auto"` for standard output, or None.
        safe: refuse code that the file names (`module:attribute`, `model.trust_remote_code`), and weights that are no
            safetensors.

    Returns:
        The models; the summary of each has loss, perplexity and masked accuracy.

    Raises:
        RaybertError: what is wrong with the file, its corpora, the folder, or an encoder or tokenizer that it names.

    Example:
        >>> found = raybert.pretrain({"corpora": {"docs": "docstrings"}}, overrides=["pretrain.length.steps=200"])
        >>> transformers.AutoModel.from_pretrained(found.models[0].model)
    """
    check_retry(retry)
    settings = load_pretraining(config, overrides)
    check_trackers(settings.track)
    folder = Path("runs") / settings.name if output is None else Path(output)
    here = trains_here(settings, folder, corpora, seeds, address)
    from raybert.sweeping.study import pretrain_study
    from raybert.tracking.follow import tracking

    with listening(progress, one_run=here) as told, tracking(settings.track, folder, told) as trackers:
        found = pretrain_study(
            settings, folder, trackers.progress, corpora=corpora, seeds=seeds, address=address, retry=retry
        )
        trackers.publish(lambda: None)
    return found


def trains_here(
    config: PretrainingConfig, folder: Path, corpora: Collection[str], seeds: Collection[int], address: str | None
) -> bool:
    """Tell whether models are trained in this process, after it was seen that they can be.

    Args:
        config: the file.
        folder: of the study.
        corpora: whose models; empty: of all.
        seeds: which ones; empty: those of the file.
        address: of a Ray cluster.

    Raises:
        RaybertError: they cannot.
    """
    check_place(folder / "resolved.yaml", "output")
    check_address_space(SPACE_OF_TORCH, "training")
    from raybert.sweeping.study import runs_here, wanted_models

    return runs_here(config, len(wanted_models(config, corpora, seeds)), address)
