"""One command for a whole pretraining file: tokenizer, models, cross-evaluation, probes and a page of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from raybert.commands.arguments import Listener, listening
from raybert.commands.language_models import crosseval, probe, study_folder
from raybert.commands.planning import look_at_study
from raybert.commands.pretraining import trains_here
from raybert.config import takes_safe
from raybert.config.load import Overrides
from raybert.config.pretraining import PretrainingSource, load_pretraining
from raybert.sweeping.folder.failure_kinds import check_retry
from raybert.sweeping.storage.arguments import publishes, reads

if TYPE_CHECKING:
    from raybert.evaluation.language_models.study import StudyResults
    from raybert.sweeping.study import PretrainedModels


@dataclass(frozen=True)
class Study:
    """What a pretraining file has led to.

    Attributes:
        models: what was trained, what failed, and what is left.
        results: tables of the models, their cross-evaluation and their probes (None: not measured), and the page.
    """

    models: PretrainedModels
    results: StudyResults


@publishes
@takes_safe
def study(
    config: PretrainingSource,
    *,
    output: str | Path | None = None,
    overrides: Overrides = (),
    address: str | None = None,
    retry: str = "failed",
    progress: Listener = None,
    told: Callable[[str], None] = lambda line: None,
    safe: bool = False,
) -> Study:
    """Do all that a pretraining file asks for: tokenizer, models, cross-evaluation, probes where it has some, a page.

    It is `pretrain`, `crosseval`, `probe` and `report_study` one after the other. The same call again goes on where it
    was interrupted: nothing is trained or measured twice. Models that failed are left out of the comparison; while some
    are not finished nothing is compared.

    Args:
        config: a pretraining file, a mapping like one, or a configuration.
        output: folder of the study; default: `runs/<name>`.
        overrides: keys to override, as for `load_config`.
        address: of a Ray cluster to train on, as for `sweep`; models are measured in this process.
        retry: which of the models that failed are tried again: `failed`, all of them, or a kind of failure.
        progress: a function that is called with every `Event` of the training, `"auto"` for standard output, or None.
        told: called with a line for every model that is measured.
        safe: refuse code that the file names (`module:attribute`, `model.trust_remote_code`), and weights that are no
            safetensors.

    Returns:
        The models, what was found of them, and the path of the page.

    Raises:
        RaybertError: what is wrong with the file, a corpus or a model. Templates and words are looked at first.

    Example:
        >>> found = raybert.study("sweeps/three_corpora.yaml")
        >>> found.results.cross_evaluation.perplexities
    """
    check_retry(retry)
    settings = load_pretraining(config, overrides)
    look_at_study(settings)
    folder = study_folder(settings, output)
    here = trains_here(settings, folder, (), (), address)
    from raybert.sweeping.driver.progress import NotedProgress
    from raybert.sweeping.study import pretrain_study
    from raybert.tracking.follow import tracking

    with tracking(settings.track, folder, NotedProgress(told)) as trackers:
        with listening(progress, one_run=here) as shown, trackers.shown_by(shown) as heard:
            models = pretrain_study(settings, folder, heard, address=address, retry=retry)
        is_ready = not models.num_left and bool(models.models)
        compared = crosseval(settings, output=folder, safe=safe, told=told) if is_ready else None
        probed = probe(settings, output=folder, safe=safe, told=told) if is_ready and settings.probes else None
        results = report_study(folder)
        trackers.publish(lambda: None)
    return Study(models, replace(results, cross_evaluation=compared, probes=probed) if is_ready else results)


@reads("models", gives_back=True)
def report_study(folder: str | Path) -> StudyResults:
    """Write plots of training and `report.html` of a study's folder again, and return what is in it.

    Cross-evaluation and probes are taken as the commands of these names left them.

    Args:
        folder: of the study, finished or not.

    Raises:
        SweepError: it is none.
    """
    from raybert.evaluation.language_models.publish_study import publish_study

    return publish_study(Path(folder))


@reads("status")
def is_study(folder: str | Path) -> bool:
    """Tell whether a folder is that of a pretraining file, not of a sweep."""
    from raybert.evaluation.language_models.study import is_study_folder

    return is_study_folder(Path(folder))
