"""The prepare phase: load, split and tokenize every data set of a sweep once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from raybert.config import DataConfig, ModelConfig, RaybertConfig
from raybert.config.data import AFTER_LOADING
from raybert.data import Splits, TokenizedData, load_folds, tokenize_splits
from raybert.data.chunked import chunk_splits
from raybert.data.chunks import ChunkSettings, chunk_notes
from raybert.data.examples import ExampleData
from raybert.data.extra_tests import with_extra_tests
from raybert.data.kept_splits import load_kept_splits
from raybert.data.source_columns import SourceColumns, digest_of_column, read_source_columns, to_numpy
from raybert.data.strings import StreamedStrings
from raybert.data.token_store import TokenStore
from raybert.errors import ConfigError, DataError, SelectionError
from raybert.files import writable_cache
from raybert.machine import memory_limit
from raybert.models import (
    Encoder,
    load_backbone,
    load_tokenizer,
    new_classifier,
    resolve_encoder,
)
from raybert.models.capacity import Demand, check_capacity
from raybert.models.classifier import classifier_shape, has_dropout
from raybert.models.encoder import embedding_width
from raybert.models.own_kind import build_own, check_own
from raybert.models.tokenizer_options import with_options
from raybert.selection.compose import compose
from raybert.selection.scorers.perplexity import check_has_masked_lm_head, read_masking
from raybert.selection.scorers.source import COLUMN
from raybert.selection.scorers.target import read_target
from raybert.selection.signals import needed_signals
from raybert.sweeping.phases.to_pretrain import notes_on_corpus, to_pretrain
from raybert.sweeping.plan.arms import tuning_variants
from raybert.sweeping.plan.comparison import Plan, plan_sweep
from raybert.sweeping.plan.design import Design, wanted_columns
from raybert.sweeping.plan.grid import Variant
from raybert.sweeping.plan.memory_notes import comparison_notes, memory_notes
from raybert.sweeping.plan.specs import PoolFacts, RunSpec
from raybert.sweeping.trial.pretrained import ToPretrain


@dataclass(frozen=True)
class Prepared:
    """One data set, ready for trials.

    Attributes:
        splits: texts.
        data: token tables; for IRIS documents in chunks, which are embedded later.
        encoder: whose tokenizer made them.
        language_models: those of the signal `perplexity` by `PerplexityConfig.model_key`, where some trial reads it.
        columns: of the source, where some strategy reads one.
        pretraining: what encoders are pretrained from; None: the file pretrains none. `encoder` is then that of its
            section `pretrain`, pending until it is there.
    """

    splits: Splits
    data: ExampleData
    encoder: Encoder
    language_models: Mapping[str, Encoder] = field(default_factory=dict)
    columns: SourceColumns | None = None
    pretraining: ToPretrain | None = None

    @property
    def facts(self) -> PoolFacts:
        """What a plan needs to know."""
        return PoolFacts(
            self.data.fingerprint,
            self.encoder.fingerprint,
            len(self.data.train),
            self.data.num_classes,
            columns=self.column_digests,
            extra_tests=self.data.extra_tests_digest if isinstance(self.data, TokenizedData) else "",
            pretraining=None if self.pretraining is None else self.pretraining.facts,
        )

    @cached_property
    def pool_columns(self) -> pa.Table | None:
        """The columns of the source that are read, in pool order."""
        return None if self.columns is None else self.columns.of(self.splits.train["example_id"].to_pylist())

    @cached_property
    def column_digests(self) -> dict[str, str]:
        """Name of a column of the source that is read -> digest of its values over the pool."""
        if self.pool_columns is None:
            return {}
        return {name: digest_of_column(self.pool_columns[name]) for name in self.pool_columns.column_names}

    def with_pretrained(self, path: Path) -> Prepared:
        """Return the data set with its encoder from the folder that it is pretrained in."""
        pending = self.encoder
        encoder = replace(pending, path=path, is_pending=False)
        models = {key: encoder if model == pending else model for key, model in self.language_models.items()}
        return replace(self, encoder=encoder, language_models=models)

    @property
    def texts(self) -> pa.Table:
        """What scorers read of the pool besides token tables: texts, and columns under the names of their signals."""
        table = self.splits.train
        if self.pool_columns is not None:
            for name in self.pool_columns.column_names:
                table = table.append_column(COLUMN + name, self.pool_columns[name])
        return table


def prepare_plan(design: Design) -> tuple[Plan, dict[str, Prepared]]:
    """Return the runs of a sweep, with their data loaded, split and tokenized.

    Raises:
        RaybertError: anything that is wrong with the data, the encoder or the budgets.
    """
    prepared = prepare_design(design, writable_cache())
    return plan_sweep(design, facts_of_pools(prepared)), prepared


def prepare_design(design: Design, cache: Path) -> dict[str, Prepared]:
    """Return every data set that a sweep needs, by `Variant.data_key`; arguments and errors as for `prepare_variants`.

    What is tuned on may be a part of a pool, which can be cut once the pool is there.
    """
    prepared = prepare_variants(design.variants, cache)
    tuned = tuning_variants(design, facts_of_pools(prepared))
    prepared |= prepare_variants([variant for variant in tuned if variant.data_key not in prepared], cache)
    _check_own_signals(design, prepared)
    _check_dropout(design, prepared)
    _check_targets(design, prepared)
    wanted = wanted_columns(design)
    if wanted:
        prepared = _with_columns(prepared, (*design.variants, *tuned), wanted, cache)
        _check_columns(design, prepared)
    if any("perplexity" in entry.strategy.all_signals() for entry in design.entries):
        for variant in (*design.variants, *tuned):
            ready, key = prepared[variant.data_key], variant.config.selection.scorers.perplexity.model_key
            if key not in ready.language_models:
                model = resolve_language_model(variant.config, ready.encoder, cache)
                prepared[variant.data_key] = replace(ready, language_models={**ready.language_models, key: model})
    return prepared


def _check_own_signals(design: Design, prepared: Mapping[str, Prepared]) -> None:
    """Refuse strategies that read of a user's own model what it does not give.

    Raises:
        ConfigError: says which, and what the model lacks.
    """
    for variant in design.variants:
        config, ready = variant.config, prepared[variant.data_key]
        if not config.model.is_own:
            continue
        names = ready.splits.label_names
        model = build_own(ready.encoder, names, 0, config.model)
        lacking = {
            **dict.fromkeys(
                ("feature_norms", "features", "influence"),
                ("a linear layer that makes its logits", model.last_linear(len(names)) is not None),
            ),
            "embeddings": (
                "a method `embed(...)` -> (b, d), for selection.embedding.of: proxy",
                config.selection.embedding.of == "encoder" or model.can_embed or hasattr(model, "base_model"),
            ),
        }
        for entry in design.entries:
            reads = {signal.name for signal in needed_signals(compose(entry.strategy).read_signals(), config.selection)}
            for signal, (what, is_there) in lacking.items():
                if signal in reads and not is_there:
                    raise ConfigError(
                        f"model.kind: '{config.model.kind}' must have {what}, because strategy '{entry.label}' reads "
                        f"the signal {signal}; add it, or leave the strategy out"
                    )


def _check_dropout(design: Design, prepared: Mapping[str, Prepared]) -> None:
    """Refuse strategies that read what dropout makes of outputs, where an encoder has none.

    Raises:
        ConfigError: says which, and what to set.
    """
    readers = [entry.label for entry in design.entries if "dropout_probs" in entry.strategy.all_signals()]
    for variant in design.variants if readers else ():
        encoder = prepared[variant.data_key].encoder
        if not has_dropout(encoder, variant.config.model):
            raise ConfigError(
                f"sweep.strategies: '{readers[0]}' must have an encoder with dropout, '{encoder.name}' has none; set "
                "model.dropout (of all trials), or leave the strategy out"
            )


def _check_targets(design: Design, prepared: Mapping[str, Prepared]) -> None:
    """Refuse files of target examples that cannot be read, before anything is trained.

    Raises:
        DataError: says which strategy, and what is wrong with its file.
        ConfigError: documents in chunks have no file of targets.
    """
    for entry in design.entries:
        needs = needed_signals(entry.strategy.all_signals(), design.config.selection)
        for source in dict.fromkeys(signal.target for signal in needs if signal.target):
            for variant in design.variants:
                ready = prepared[variant.data_key]
                if variant.config.model.kind == "iris":
                    raise ConfigError(
                        f"sweep.strategies: '{entry.label}' must have `target: validation` with `model.kind: iris`"
                    )
                try:
                    read_target(Path(source), variant.config.data, ready.splits.label_names)
                except DataError as error:
                    raise DataError(f"sweep.strategies: '{entry.label}': {error}") from None


def _with_columns(
    prepared: Mapping[str, Prepared], variants: Iterable[Variant], wanted: Mapping[str, str], cache: Path
) -> dict[str, Prepared]:
    """Return data sets with the columns that strategies read of their sources; each source is read once more for them.

    Raises:
        DataError: a source lacks a column, or it holds what is no number, truth value or text.
    """
    read: dict[str, SourceColumns] = {}
    found = dict(prepared)
    for variant in variants:
        data = variant.config.data
        source = _source_of(data)
        if source not in read:
            read[source] = read_source_columns(data, wanted, cache)
        found[variant.data_key] = replace(found[variant.data_key], columns=read[source])
    return found


def _check_columns(design: Design, prepared: Mapping[str, Prepared]) -> None:
    """Refuse strategies that cannot use what a column of the source holds.

    Raises:
        DataError: says which strategy, which column, and what is wrong with it.
    """
    read = {id(ready.columns): ready.columns for ready in prepared.values() if ready.columns is not None}
    for columns in read.values():
        values = {name: to_numpy(columns.table[name]) for name in columns.table.column_names}
        for entry in design.entries:
            try:
                entry.strategy.check_columns(values)
            except SelectionError as error:
                raise DataError(f"sweep.strategies: '{entry.label}' of '{columns.source}': {error}") from None


def notes_on_memory(trials: Iterable[RunSpec], prepared: Mapping[str, Prepared]) -> list[str]:
    """Return notes on strategies that are too much for this machine's memory, or compare too many pairs."""
    trials = list(trials)
    widths = {key: embedding_width(ready.encoder) for key, ready in prepared.items()}
    seen = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    facts = facts_of_pools(prepared)
    held = memory_notes(trials, facts, widths, min(seen, memory_limit() or seen))
    return [*held, *comparison_notes(trials, facts, widths)]


def facts_of_pools(prepared: Mapping[str, Prepared]) -> dict[str, PoolFacts]:
    """Return what a plan has to know of data sets, by key."""
    return {key: ready.facts for key, ready in prepared.items()}


def prepare_variants(variants: Iterable[Variant], cache: Path) -> dict[str, Prepared]:
    """Return every data set that the variants need, by `Variant.data_key`; the folds of a source are tokenized once.

    Args:
        variants: grid points.
        cache: folder for what can be made again: the built-in corpus, the embedded encoder.

    Raises:
        DataError: a source is missing or unfit.
        ModelError: an encoder is missing or unfit.
    """
    loaded: dict[str, tuple[Splits, ...]] = {}
    plain: dict[str, Prepared] = {}
    prepared: dict[str, Prepared] = {}
    first: dict[str, Prepared] = {}
    for variant in variants:
        if variant.data_key in prepared:
            continue
        data, without = variant.config.data, variant.without_pretraining()
        source = _source_of(data)
        if source not in loaded:
            folds = load_folds(data, cache) if data.folds else (load_kept_splits(data, cache),)
            loaded[source] = tuple(with_extra_tests(splits, data, cache) for splits in folds)
        if without.data_key not in plain:
            tokens = replace(without, fold=0).data_key
            ready = prepare(without.config, loaded[source][variant.fold], cache, first.get(tokens))
            plain[without.data_key] = ready
            first.setdefault(tokens, ready)
        prepared[variant.data_key] = _with_pretraining(plain[without.data_key], variant, cache)
    return prepared


def _with_pretraining(ready: Prepared, variant: Variant, cache: Path) -> Prepared:
    """Return a data set for the encoder of a section `pretrain`, if there is one; word pieces are those of its base."""
    pretrain = variant.config.pretrain
    if pretrain is None:
        return ready
    made_from = to_pretrain(variant.config, ready.encoder, ready.splits, variant.fold, cache)
    notes = () if pretrain.corpus.is_pool else notes_on_corpus(made_from, ready.splits)
    return replace(
        ready,
        splits=replace(ready.splits, notes=ready.splits.notes + notes),
        encoder=made_from.planned(pretrain),
        pretraining=made_from,
    )


def _source_of(data: DataConfig) -> str:
    """Return what tells the examples of two `data` sections apart."""
    return data.model_dump_json(exclude={"max_length", *AFTER_LOADING})


def prepare(config: RaybertConfig, splits: Splits, cache: Path, other: Prepared | None = None) -> Prepared:
    """Return token tables of loaded splits for the encoder of a configuration.

    Args:
        config: data and model sections.
        splits: the examples.
        cache: for what can be made again.
        other: another fold of the same examples; its word pieces are taken over, if its encoder is the same one
            (`raybert-tiny-random` learns its vocabulary from the pool, so every fold has its own).
    """
    return prepare_with(config, splits, resolve_encoder(config.model, pool_texts(splits), cache), other)


def prepare_with(config: RaybertConfig, splits: Splits, encoder: Encoder, other: Prepared | None = None) -> Prepared:
    """Return token tables of loaded splits for a given encoder; arguments as for `prepare`."""
    tokenizer = with_options(load_tokenizer(encoder), config.data)
    if config.model.kind == "iris":
        return _prepare_chunks(config, splits, encoder, tokenizer)
    has_pairs = config.data.text_pair is not None
    if config.model.is_own:
        check_own(encoder, tokenizer, config.model, splits.label_names, config.data.max_length, has_pairs=has_pairs)
        return _prepare_tokens(config, splits, encoder, tokenizer, other)
    demand = Demand(config.data.max_length, has_pairs=has_pairs)
    model = config.model.model_copy(update={"attention": "auto"})  # what a GPU alone computes is not asked here
    build = partial(new_classifier, encoder, splits.output_names, model, splits.task)
    check_capacity(encoder, tokenizer, demand, build, classifier_shape(model))
    return _prepare_tokens(config, splits, encoder, tokenizer, other)


def _prepare_tokens(
    config: RaybertConfig, splits: Splits, encoder: Encoder, tokenizer: Any, other: Prepared | None
) -> Prepared:
    """Return texts as word pieces."""
    is_same = other is not None and other.encoder.fingerprint == encoder.fingerprint
    like = None
    if other is not None and is_same and isinstance(other.data, TokenizedData):
        like = other.splits, other.data
    pair_truncation = config.data.pair_truncation or "longest_first"
    data = tokenize_splits(
        splits,
        tokenizer,
        config.data.max_length,
        like=like,
        pair_truncation=pair_truncation,
        store=TokenStore.in_cache(),
    )
    return Prepared(replace(splits, notes=splits.notes + data.notes), data, encoder)


def _prepare_chunks(config: RaybertConfig, splits: Splits, encoder: Encoder, tokenizer: Any) -> Prepared:
    """Return documents cut into chunks, not yet embedded."""
    iris = config.model.iris
    num_special = tokenizer.num_special_tokens_to_add()
    chunk = Demand(iris.chunk_tokens + num_special, key="model.iris.chunk_tokens", num_reserved=num_special)
    first_texts = [Demand(config.data.max_length)] if config.data.text_pair is not None else []
    for demand in (chunk, *first_texts):
        check_capacity(encoder, tokenizer, demand, partial(load_backbone, encoder), "backbone")
    settings = ChunkSettings(iris.chunk_tokens, iris.stride, iris.max_chunks)
    data = chunk_splits(splits, tokenizer, settings, config.data.max_length, TokenStore.in_cache())
    notes = chunk_notes(data.train.lengths, iris.top_k)
    cut = {split: part.num_subsampled for split, part in data.chunks.items() if part.num_subsampled}
    notes += tuple(
        f"iris: {count:,} documents of {split} have more than {iris.max_chunks} chunks (model.iris.max_chunks): "
        "an even subsample is kept"
        for split, count in cut.items()
    )
    return Prepared(replace(splits, notes=splits.notes + notes), data, encoder)


def resolve_language_model(config: RaybertConfig, encoder: Encoder, cache: Path) -> Encoder:
    """Return the language model that a configuration scores perplexity with.

    Raises:
        ModelError: it is missing, or not of the kind, or lacks what that needs: a masked-LM head, a mask piece.
        ConfigError: it has too few positions.
    """
    settings = config.selection.scorers.perplexity
    if settings.model is None:
        model = encoder
    else:
        named = ModelConfig(encoder=settings.model, revision=settings.revision)
        model = resolve_encoder(named, (), cache, "selection.scorers.perplexity.model")
    tokenizer = load_tokenizer(model)
    if settings.kind == "causal":
        from raybert.selection.scorers.causal_perplexity import check_causal_model

        check_causal_model(model, config.data.max_length)
        return model
    read_masking(tokenizer, model.name)
    pretrain = config.pretrain
    if not (model.is_pending and pretrain is not None and pretrain.masked is not None):  # which gives it a head
        check_has_masked_lm_head(model)
    demand = Demand(config.data.max_length, has_pairs=config.data.text_pair is not None)
    check_capacity(model, tokenizer, demand, partial(load_backbone, model), "backbone")
    return model


def pool_texts(splits: Splits) -> StreamedStrings:
    """Return all texts of the pool, second texts of pairs after the first ones."""
    columns = [name for name in ("text", "text_pair") if name in splits.train.column_names]
    return StreamedStrings([splits.train[name] for name in columns])
