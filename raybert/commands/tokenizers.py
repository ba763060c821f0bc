"""The command on the tokenizer of a pretraining file: train it, keep it, and see how it cuts the corpora."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from raybert.config import takes_safe
from raybert.config.load import Overrides
from raybert.config.pretraining import PretrainingSource, load_pretraining
from raybert.files import check_place
from raybert.sweeping.storage.arguments import needs_path

if TYPE_CHECKING:
    from raybert.pretraining.tokenizer import MeasuredTokenizer


@needs_path("output")
@takes_safe
def tokenizer(
    config: PretrainingSource, *, output: str | Path | None = None, overrides: Overrides = (), safe: bool = False
) -> MeasuredTokenizer:
    """Train the tokenizer of a pretraining file on its corpora, and measure how it cuts them.

    The same settings and texts give the same vocabulary on every machine; what is in the folder already is taken.

    Args:
        config: a pretraining file, a mapping like one, or a configuration.
        output: folder for the tokenizer; default: `runs/<name>/tokenizer`.
        overrides: keys to override, as for `load_config`.
        safe: refuse code that the file names (`module:attribute`, `model.trust_remote_code`), and weights that are no
            safetensors.

    Returns:
        Its folder, and a table `cuts` with pieces per word, unknown pieces and words in one piece.

    Raises:
        RaybertError: what is wrong with the file, its corpora or a tokenizer that it names.

    Example:
        >>> found = raybert.tokenizer({"corpora": {"docs": "docstrings"}}, overrides=["tokenizer.vocabulary=4000"])
        >>> transformers.AutoTokenizer.from_pretrained(found.folder)
    """
    settings = load_pretraining(config, overrides)
    folder = Path("runs") / settings.name / "tokenizer" if output is None else Path(output)
    if settings.tokenizer.folder is None:
        check_place(folder / "tokenizer.json", "output")
    from raybert.pretraining.corpora import read_corpora
    from raybert.pretraining.tokenizer import MeasuredTokenizer, measure_tokenizer, prepare_tokenizer

    corpora = read_corpora(settings)
    kept = prepare_tokenizer(settings, corpora, folder)
    return MeasuredTokenizer(
        folder=kept.folder,
        kind=settings.tokenizer.kind if kept.of else "given",
        vocabulary=len(kept.tokenizer),
        is_new=kept.is_new,
        trained_on=kept.of,
        cuts=measure_tokenizer(kept.tokenizer, corpora),
        notes=tuple(note for corpus in corpora.values() for note in corpus.notes),
    )
