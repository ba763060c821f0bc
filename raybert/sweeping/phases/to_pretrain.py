"""What an encoder is pretrained from before trials fine-tune it: the base, and the texts of the pool or of a source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from raybert.config import RaybertConfig, SweepPretrainConfig
from raybert.config.encoder_pretraining import POOL, SweepCorpusConfig
from raybert.config.pretraining import PretrainingConfig
from raybert.data import Splits
from raybert.data.identity import normal_forms
from raybert.errors import ConfigError, DataError, ModelError
from raybert.models import Encoder, load_tokenizer
from raybert.models.capacity import stated_positions
from raybert.models.pretrained import check_is_encoder
from raybert.pretraining.corpora import Corpus, read_corpora
from raybert.pretraining.documents import Documents, fingerprint_of
from raybert.pretraining.masked_model import PAST_PADDING
from raybert.sweeping.plan.comparison import Plan
from raybert.sweeping.plan.pretrained import PretrainingFacts
from raybert.sweeping.plan.roles import PART, PROXY, READER
from raybert.sweeping.plan.specs import RunSpec, reads_encoder
from raybert.sweeping.trial.pretrained import ToPretrain

_SOURCE = "corpus"
"""What the corpus of a source is called where it is read."""


def to_pretrain(config: RaybertConfig, base: Encoder, splits: Splits, fold: int, cache: Path) -> ToPretrain:
    """Return what the encoder of a configuration is pretrained from, after it was seen that it can be.

    Of the examples only those of the pool are looked at, unless a corpus of another source is to be compared with those
    that are held out.

    Args:
        config: with a section `pretrain`.
        base: the encoder that it names.
        splits: of its data set.
        fold: of the cross-validation.
        cache: for what can be made again.

    Raises:
        ModelError: no masked language model can be made of the encoder.
        ConfigError: it has fewer positions than a sequence.
        DataError: the corpus cannot be read, or has no words.
    """
    pretrain = config.pretrain
    assert pretrain is not None
    _check_encoder(base, pretrain)
    if pretrain.corpus.is_pool:
        name = POOL if config.data.folds is None else f"{POOL}-fold{fold}"
        corpus = pool_corpus(splits.train, pretrain.corpus, name)
    else:
        corpus = _source_corpus(pretrain.corpus, cache)
    facts = PretrainingFacts.of(base.fingerprint, corpus.fingerprint, config.resources)
    return ToPretrain(base, corpus, facts, pretrain)


def pool_corpus(pool: pa.Table, config: SweepCorpusConfig, name: str = POOL) -> Corpus:
    """Return the texts of a pool as a corpus, each once; second texts of pairs are documents of their own.

    Args:
        pool: with the columns text, [text_pair].
        config: says how many are held out to measure perplexity on.
        name: of the corpus.

    Raises:
        DataError: fewer than two texts have words.
    """
    columns = [column for column in ("text", "text_pair") if column in pool.column_names]
    texts = pa.chunked_array([chunk for name in columns for chunk in pool[name].cast(pa.large_string()).chunks])
    distinct = pc.unique(texts).drop_null()
    has_words = pc.not_equal(pc.utf8_trim_whitespace(distinct), "")
    documents = Documents(distinct.filter(has_words)).shuffled(config.split_seed)
    if len(documents) < 2:
        raise DataError(f"pretrain.corpus: must have two texts with words at least, the pool has {len(documents)}")
    held_out = min(len(documents) - 1, max(1, round(config.validation_fraction * len(documents))))
    parts = documents[held_out:], documents[:held_out], documents[:0]
    return Corpus(name, *parts, fingerprint=fingerprint_of(*parts))


@lru_cache(maxsize=4)
def _source_corpus(config: SweepCorpusConfig, cache: Path) -> Corpus:
    """Return the corpus of a source, read once for all points of a grid and all folds.

    Raises:
        DataError: with the key of the sweep file.
    """
    try:
        corpus = read_corpora(PretrainingConfig(corpora={_SOURCE: config.as_corpus()}), cache)[_SOURCE]
    except DataError as error:
        raise DataError(str(error).replace(f"corpora.{_SOURCE}.", "pretrain.corpus.")) from None
    if not corpus.train.num_words:
        raise DataError(f"pretrain.corpus.source: must have documents with words, got none in '{config.source}'")
    name = Path(config.source).name or config.source
    notes = tuple(note.replace(f"{_SOURCE}: ", "pretrain.corpus: ", 1) for note in corpus.notes)
    return replace(corpus, name=name, notes=notes)


def encoders_needed(
    spec: RunSpec, made_from: ToPretrain | None, *, only_score: bool = False, is_searched: bool = False
) -> Iterator[tuple[Encoder, SweepPretrainConfig]]:
    """Yield the encoders that must be pretrained before a run begins, with the sections that they are made by.

    Args:
        spec: the run.
        made_from: what the encoders of its data set come from; None: the file pretrains none.
        only_score: trials of the comparison are not run, only what they read.
        is_searched: the search varies `pretrain`: its runs pretrain their encoders themselves.
    """
    if made_from is None:
        return
    config = spec.config.pretrain
    is_run = not only_score or spec.role in (PROXY, PART)
    if spec.role == READER:  # stands for runs of the search
        is_run = not is_searched
    if config is not None and config.is_on and is_run:
        yield made_from.planned(config), config
    if made_from.config.is_on and reads_encoder(spec):
        yield made_from.planned(made_from.config), made_from.config


def is_searched(config: RaybertConfig) -> bool:
    """Tell whether the search of a sweep file varies how encoders are pretrained."""
    tune = config.sweep.tune
    return tune is not None and any(key.startswith("pretrain.") for key in tune.space)


def describe_pretraining(plan: Plan, made_from: Mapping[str, ToPretrain | None], config: RaybertConfig) -> list[str]:
    """Return a line for every encoder that a plan has pretrained, and one for those of a search.

    Args:
        plan: of the sweep.
        made_from: what encoders come from, by data key.
        config: the sweep file.
    """
    varies = is_searched(config)
    readers = [reader for arm in plan.arms for reader in arm.readers]
    lines: dict[str, str] = {}
    # Of a search nobody knows yet what the comparison will pretrain.
    for spec in (*readers, *(plan.proxies if varies else plan.trials)):
        made = made_from[spec.data_key]
        for encoder, settings in encoders_needed(spec, made, is_searched=varies):
            assert made is not None
            lines[encoder.fingerprint] = _describe(made, settings)
    if varies:
        most = sum(arm.num_suggestions for arm in plan.arms)
        lines[""] = (
            "pretrain: the search varies it: every suggestion with new values has its encoder pretrained first, at "
            f"most {most:,} of them"
        )
    return list(lines.values())


def _describe(made_from: ToPretrain, settings: SweepPretrainConfig) -> str:
    corpus, length = made_from.corpus, settings.as_file().length
    ((name, amount),) = ((name, value) for name, value in length if value is not None)
    return (
        f"pretrain: {made_from.base.name} on {corpus.name} ({len(corpus.train):,} documents, "
        f"{corpus.train.num_words:,} words): {amount:,g} {name}, {settings.batch_size} sequences of "
        f"{settings.max_length} word pieces a step"
    )


def notes_on_corpus(made_from: ToPretrain, splits: Splits) -> tuple[str, ...]:
    """Return what a user should know: notes of the source, and how many texts of validation and test it has.

    Args:
        made_from: what the encoder is pretrained from, if that is not the pool, whose texts are held out by `data`.
        splits: of the data set.
    """
    corpus = made_from.corpus
    known = set(normal_forms(pa.table({"text": corpus.train.array})))
    notes = list(corpus.notes)
    for split in ("validation", "test"):
        num_seen, total = _count_seen(getattr(splits, split), known)
        if num_seen:
            notes.append(
                f"pretrain.corpus: {num_seen:,} of the {total:,} texts of {split} are in it, without their labels: "
                "what is measured on them is not what new texts would give"
            )
    return tuple(notes)


def _count_seen(table: pa.Table, known: set[str]) -> tuple[int, int]:
    columns: Sequence[str] = [name for name in ("text", "text_pair") if name in table.column_names]
    forms = [form for name in columns for form in normal_forms(table.select([name]).rename_columns(["text"]))]
    return sum(form in known for form in forms), len(forms)


def _check_encoder(base: Encoder, pretrain: SweepPretrainConfig) -> None:
    """Refuse an encoder that cannot go on with pretraining."""
    made = check_is_encoder(base)
    tokenizer = load_tokenizer(base)
    if pretrain.masked is not None and tokenizer.mask_token_id is None:
        raise ModelError(
            f"pretrain.masked: the tokenizer of '{base.name}' must have a mask piece for masked language modelling; "
            "take another encoder, or `masked: null` with `contrastive`"
        )
    stated = stated_positions(made)
    reserved = made.pad_token_id + 1 if made.model_type in PAST_PADDING else 0
    if stated is not None and pretrain.max_length > stated - reserved:
        raise ConfigError(
            f"pretrain.max_length: must be <= {stated - reserved} (positions of model.encoder '{base.name}'), got "
            f"{pretrain.max_length}"
        )
