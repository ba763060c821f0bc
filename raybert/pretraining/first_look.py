"""What is wrong with a pretraining file that can be seen in a moment: paths, formats, columns, folders of models."""

from __future__ import annotations

from pathlib import Path

from raybert.config.corpora import CorpusConfig
from raybert.config.packages import check_trackers
from raybert.config.pretraining import PretrainingConfig
from raybert.data.docstrings import COLUMNS
from raybert.data.formats import format_of
from raybert.data.kinds import source_kind
from raybert.data.local import look_at_local
from raybert.data.raw import check_columns
from raybert.errors import ConfigError, DataError, ModelError
from raybert.models.first_look import TOKENIZERS, look_at_encoder
from raybert.pretraining.corpus_sources import TEXT, check_text_group, in_words_of, text_files, wanted_columns
from raybert.pretraining.prose import PROSE

_PROSE_COLUMNS = ("text", "package")


def look_first(config: PretrainingConfig) -> None:
    """Refuse sources, folders of models and a tokenizer that cannot be; the hub is not asked, and no text is read.

    Args:
        config: the file.

    Raises:
        RaybertError: in a line; it starts with the key.
    """
    check_trackers(config.track)
    for name, corpus in config.corpora.items():
        if corpus.source is not None:
            look_at_corpus(corpus, f"corpora.{name}")
    if config.tokenizer.folder is not None:
        _look_at_tokenizer(Path(config.tokenizer.folder).expanduser())
    if config.model.encoder is not None:
        look_at_encoder(config.model.encoder)
    for name, places in (config.crosseval.models or {}).items():
        for place in (places,) if isinstance(places, str) else places:
            look_at_encoder(place, f"crosseval.models.{name}")


def look_at_corpus(corpus: CorpusConfig, key: str) -> None:
    """Refuse the source of a corpus that cannot be one.

    Args:
        corpus: with a source.
        key: where it stands in its file.

    Raises:
        DataError: it starts with the key.
    """
    try:
        _look_at_source(corpus)
    except DataError as error:
        raise DataError(in_words_of(key, str(error))) from None


def _look_at_source(corpus: CorpusConfig) -> None:
    assert corpus.source is not None
    wanted = wanted_columns(corpus)
    if corpus.source == PROSE:
        check_columns(list(_PROSE_COLUMNS), wanted, f"'{PROSE}'")
        return
    kind, path = source_kind(corpus.source), Path(corpus.source).expanduser()
    if kind == "local" or format_of(path).ending == TEXT:
        if text_files(path):
            check_text_group(corpus)
        else:
            look_at_local(path, wanted)
    elif kind == "built-in":
        check_columns(list(COLUMNS), wanted, f"'{corpus.source}'")


def _look_at_tokenizer(folder: Path) -> None:
    if not folder.is_dir():
        raise ConfigError(f"tokenizer.folder: must be a folder with a tokenizer, got '{folder}', which is none")
    if not any(next(folder.glob(pattern), None) for pattern in TOKENIZERS):
        raise ModelError(f"tokenizer.folder: '{folder}' must have a tokenizer ({', '.join(TOKENIZERS[:2])}), has none")
