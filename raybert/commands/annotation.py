"""The command of annotation rounds: which texts to label next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from raybert.commands.arguments import Listener, listening
from raybert.config import ConfigSource, Overrides, load_config, takes_safe
from raybert.files import check_place
from raybert.sweeping.storage.arguments import needs_path

if TYPE_CHECKING:
    from raybert.annotation.annotate import AnnotationRound


@needs_path("output")
@takes_safe
def annotate(
    config: ConfigSource,
    output: str | Path,
    *,
    budget: float,
    strategy: str | None = None,
    seed: int = 0,
    model: str | Path | None = None,
    clusters: int | None = None,
    overrides: Overrides = (),
    trust: bool = False,
    safe: bool = False,
    progress: Listener = None,
) -> AnnotationRound:
    """Choose the texts that should be labelled next, and write them into a file with an empty column for the label.

    The same call again, once labels are written there, is the next round: it reads the labels of all rounds, trains a
    model on them, and chooses anew. It computes in this process, without Ray.

    Args:
        config: a sweep file, a mapping like one, or a configuration; `data.source` is a file (or a folder with a file
            per split) some of whose texts, or all, have no label.
        output: folder of the rounds.
        budget: texts to label; below 1 a share of those that have no label.
        strategy: a label or name among the file's strategies (then with their parameters), else any strategy's name;
            default: typiclust until there are labels of two classes, then badge.
        seed: of the model, ties and random draws.
        model: folder of a trained model that is asked, in place of one that is trained on the labels.
        clusters: so many clusters of embeddings stand for classes while there are no labels of two classes.
        overrides: keys to override, as for `load_config`.
        trust: whether code may run that comes with `model`.
        safe: refuse code that the file names (`module:attribute`, `model.trust_remote_code`), and weights that are no
            safetensors.
        progress: a function that is called with every `Event`, `"auto"` for standard output, or None.

    Returns:
        The round: `frame` has a row per text, the most wanted first; `history` a row per round.

    Raises:
        RaybertError: what is wrong with the file, the source, the labels, the strategy or the model.
    """
    check_place(Path(output), "output")
    loaded = load_config(config, overrides)
    from raybert.annotation.annotate import next_round  # and with it torch

    with listening(progress) as told:
        return next_round(
            loaded,
            Path(output),
            float(budget),
            strategy,
            seed,
            tell=told.note,
            model=None if model is None else Path(model),
            num_clusters=clusters,
            trust=trust,
        )
