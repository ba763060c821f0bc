"""What one training run is: its specification, where its signals come from, and the id that follows from both."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from raybert.config import RaybertConfig, SelectionConfig, dump_yaml
from raybert.config.augment import AugmentConfig
from raybert.files import content_key
from raybert.selection.compose import compose
from raybert.selection.declared_signals import FREE, Signal
from raybert.selection.identity import chooses_in_parts, strategy_identity
from raybert.selection.sampling import is_extended
from raybert.selection.schedule import round_targets
from raybert.selection.scorers.request import SignalRuns
from raybert.selection.scorers.target import digest_of_target
from raybert.selection.signals import needed_signals
from raybert.selection.strategies.ranked import RankedStrategy
from raybert.selection.strategy import NullInputs, Strategy
from raybert.sweeping.plan.budget import Budget
from raybert.sweeping.plan.pretrained import PretrainingFacts
from raybert.sweeping.plan.roles import MEASURED_ELSEWHERE, REFIT, TRIAL, TUNE

FORMAT = 2
"""Raised when the meaning of a trial's results changes: old results are then not taken for new ones."""
_ALL_BUT_ROUNDED = 1 - 1e-4
"""Rows have four digits of a pass."""
_DRAW_OF_NULLS = 2
"""Raised when other examples get a null."""
_RULE_OF_PARTS = 2
"""Raised when other examples are chosen of a pool that is cut into parts."""


@dataclass(frozen=True)
class PoolFacts:
    """What a plan has to know of one prepared data set.

    Attributes:
        fingerprint: content of its token tables.
        encoder_fingerprint: content of the encoder's files, or what one that is pretrained first is made of.
        num_examples: pool size n.
        num_classes: C.
        smallest_pool: of all folds; budgets and steps are counted from it, so that they are the same in every fold.
            None: there are no folds.
        columns: name of a column of the source that a strategy reads -> digest of its values over the pool.
        pretraining: what its encoders are pretrained from; None: the file pretrains none.
        extra_tests: digest of the further test sets that trials are measured on; empty: there are none.
    """

    fingerprint: str
    encoder_fingerprint: str
    num_examples: int
    num_classes: int
    smallest_pool: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    pretraining: PretrainingFacts | None = None
    extra_tests: str = ""

    def encoder_of(self, config: RaybertConfig) -> str:
        """Return the fingerprint of the encoder that a run fine-tunes; a search may pretrain another one for it."""
        return self.encoder_fingerprint if self.pretraining is None else self.pretraining.fingerprint(config.pretrain)

    @property
    def base(self) -> int:
        """The pool size that fractions of a budget and epochs refer to."""
        return self.num_examples if self.smallest_pool is None else self.smallest_pool


@dataclass(frozen=True)
class RunSpec:
    """One training run, completely: what `trials/<id>/config.yaml` says.

    Attributes:
        trial_id: content hash of everything that its results depend on.
        role: what it is for, a word of `raybert.sweeping.plan.roles`.
        label: the strategy's name in tables.
        strategy: with its parameters.
        seed: of the sweep; pairs trials of different strategies.
        model_seed: of head, order and dropout.
        fold: cross-validation fold (0 without).
        budget: what the strategy may choose; None: it has no budget.
        pool_size: candidates n.
        total_steps: optimizer steps T; of a run by passes or examples the length of its schedule, at most as many.
        grid: the varied hyperparameters by dotted key.
        config: the resolved configuration.
        data_key: which prepared data set.
        signal_runs: the runs whose outputs it reads.
        null: which null is among its training inputs (proxies of IFD).
        checkpoints: at how many points of the run the pool is scored (dynamics).
        last_step: training ends at this position, before T (refit); None: at T.
        passes: E, if it ends after so many passes over whatever its strategy keeps; None: it does not.
        examples: N, if it ends after so many examples; None: it does not.
        columns: name of a column of the source that its strategy reads -> digest of its values over the pool.
        scored_fraction: of a run of a search: share of validation that scores it and chooses nothing; None: there is
            no such part.
        encoder: fingerprint of the encoder that it fine-tunes, if the sweep pretrains that; empty: it does not.
        signal_encoder: likewise of the encoder behind its signals, where that is another one: a search has found how
            to pretrain that of its own, and signals are those of the file.
        extra_tests: digest of the further test sets that it is measured on; empty: there are none.
    """

    trial_id: str
    role: str
    label: str
    strategy: Strategy
    seed: int
    model_seed: int
    fold: int
    budget: Budget | None
    pool_size: int
    total_steps: int
    grid: dict[str, Any]
    config: RaybertConfig
    data_key: str
    signal_runs: tuple[SignalRuns, ...] = ()
    null: NullInputs | None = None
    checkpoints: int | None = None
    last_step: int | None = None
    passes: float | None = None
    examples: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    scored_fraction: float | None = None
    encoder: str = ""
    signal_encoder: str = ""
    extra_tests: str = ""

    @property
    def encoders(self) -> tuple[str, ...]:
        """Fingerprints of the encoders that are pretrained for it, each once."""
        return tuple(dict.fromkeys(one for one in (self.encoder, self.signal_encoder) if one))

    @property
    def proxies(self) -> tuple[str, ...]:
        """Trial ids of all runs whose outputs it reads."""
        return tuple(run for source in self.signal_runs for run in source.runs)

    @property
    def num_chosen(self) -> int:
        """How many examples it trains on in a pass: the budget, or without one what the strategy takes of the pool."""
        return self.strategy.takes(self.pool_size) if self.budget is None else self.budget.count

    @property
    def best_metric(self) -> str:
        """Of validation, by which its best evaluation is chosen."""
        return self.config.train.best_metric

    @property
    def reads_signals(self) -> bool:
        """Whether something has to be scored before it begins."""
        return bool(self.strategy.all_signals() - FREE)

    @property
    def trains_on(self) -> str:
        """On what, in words."""
        return f"{self.num_chosen:,} of {self.pool_size:,} examples"

    @property
    def size(self) -> str:
        """How much of its data it may take, in words."""
        return f"budget {self.num_chosen}"

    @property
    def augment(self) -> AugmentConfig | None:
        """What changes the examples that it trains on; runs that only serve scores see them as they are."""
        return self.config.data.augment if self.role in (TRIAL, TUNE, REFIT) else None

    def share_of(self, row: Mapping[str, Any]) -> float:
        """Return which share of the run is done at an evaluation: of its steps, passes or examples.

        Args:
            row: with `pass`, `step` and `examples_seen`.
        """
        if self.passes is not None:
            return min(1.0, float(row["pass"]) / self.passes)
        if self.examples is not None:
            return float(row["examples_seen"]) / self.examples
        return float(row["step"]) / self.total_steps

    def position_of(self, row: Mapping[str, Any]) -> int:
        """Return how much of T is done at an evaluation."""
        if self.passes is None and self.examples is None:
            return int(row["step"])
        share = self.share_of(row)
        return self.total_steps if share > _ALL_BUT_ROUNDED else round(share * self.total_steps)

    @property
    def replicate(self) -> str:
        """Which seed, and which fold if there are folds, in words."""
        return f"seed {self.seed}" + (f" fold {self.fold}" if self.config.data.folds else "")

    def summary(self) -> dict[str, Any]:
        """Return its line of `plan.json`, the columns `PLANNED`."""
        return {
            "trial_id": self.trial_id,
            "role": self.role,
            "strategy": self.label,
            "seed": self.seed,
            "fold": self.fold,
            "budget": self.num_chosen,
            "pool_size": self.pool_size,
            "budget_kind": self.strategy.spends(),
            "total_steps": self.total_steps,
            "grid": self.grid,
        }

    def to_yaml(self) -> str:
        """Return the whole specification as YAML."""
        head = {**self.summary(), "strategy_parameters": strategy_identity(self.strategy)}
        lines = [f"# {key}: {value}" for key, value in head.items()]
        return "\n".join(lines) + "\n" + dump_yaml(self.config)


def identified(spec: RunSpec, facts: PoolFacts) -> RunSpec:
    """Return the specification with its content hash as id."""
    config, resources, selection = spec.config, spec.config.resources, spec.config.selection
    needed = {signal.name: signal for signal in needed_signals(spec.strategy.all_signals(), config.selection)}
    columns = {signal.column: facts.columns[signal.column] for signal in needed.values() if signal.column}
    own = {name: signal.text.identity() for name, signal in needed.items() if signal.is_own and signal.text}
    encoder = facts.encoder_of(config)
    signal_encoder = _signal_encoder(spec, facts)
    extra_tests = facts.extra_tests if spec.role in MEASURED_ELSEWHERE else ""
    identity = {
        "format": FORMAT,
        "data": facts.fingerprint,
        "encoder": encoder,
        "model": config.model.task(),
        "train": config.train.identity(without=("length",)),
        "total_steps": spec.total_steps,
        "strategy": strategy_identity(spec.strategy),
        "role": spec.role,
        "budget": spec.num_chosen,
        "seeds": [spec.seed, spec.model_seed],
        "fold": spec.fold,
        "sources": [dataclasses.asdict(source) for source in spec.signal_runs],
        "null": spec.null if spec.null is None else [spec.null, _DRAW_OF_NULLS],
        "checkpoints": spec.checkpoints,
        "embedding": config.selection.embedding.identity() if "embeddings" in needed else None,
        "perplexity": config.selection.scorers.perplexity.identity() if "perplexity" in needed else None,
        **({"parts": _RULE_OF_PARTS} if chooses_in_parts(spec.strategy, spec.pool_size) else {}),
        **_of_valuation(needed, config.selection),
        **({"dropout": config.selection.scorers.dropout.passes} if "dropout_probs" in needed else {}),
        **({"sample": selection.scorers.sample} if samples_signals(needed, selection) else {}),
        **({"rounds": "by the final budget"} if _rounds_would_turn(spec) else {}),
        **({"signals": own} if own else {}),
        **({"columns": columns} if columns else {}),
        **({} if spec.last_step is None else {"last_step": spec.last_step}),
        **({} if spec.passes is None else {"passes": spec.passes}),
        **({} if spec.examples is None else {"examples": spec.examples}),
        **({} if spec.scored_fraction is None else {"scored_fraction": spec.scored_fraction}),
        **({} if spec.augment is None else {"augment": spec.augment.model_dump(mode="json")}),
        **({"signal_encoder": signal_encoder} if signal_encoder else {}),
        **({"extra_tests": extra_tests} if extra_tests else {}),
        "machine": [resources.workers_per_trial, resources.cpus_per_worker, resources.num_gpus > 0],
    }
    is_pretrained = facts.pretraining is not None and encoder != facts.pretraining.base
    return replace(
        spec,
        trial_id=content_key(identity)[:12],
        columns=columns,
        encoder=encoder if is_pretrained else spec.encoder,
        signal_encoder=signal_encoder,
        extra_tests=extra_tests,
    )


def samples_signals(needed: Mapping[str, Signal], selection: SelectionConfig) -> bool:
    """Tell whether some signal of a run is computed of a share of its pool, and extended by neighbours."""
    return selection.scorers.sample is not None and any(map(is_extended, needed))


def _of_valuation(needed: Mapping[str, Signal], selection: SelectionConfig) -> dict[str, Any]:
    """Return what signals of valuation depend on beside data and encoder; nothing: none is read."""
    found: dict[str, Any] = {}
    if targets := {name: digest_of_target(signal.target) for name, signal in needed.items() if signal.target}:
        found["targets"] = targets
    if any(name.partition(":")[0] == "knn_shapley" for name in needed):
        found["knn_shapley"] = selection.scorers.knn_shapley.neighbours
    if "data_oob" in needed:
        found["data_oob"] = selection.scorers.data_oob.models
    return found


def _signal_encoder(spec: RunSpec, facts: PoolFacts) -> str:
    """Return the fingerprint of the encoder whose signals a run reads, where it is not the one that it fine-tunes."""
    if facts.pretraining is None:  # of a run that is told again from its file
        return spec.signal_encoder
    is_other = facts.encoder_fingerprint != facts.encoder_of(spec.config)
    return facts.encoder_fingerprint if is_other and reads_encoder(spec) else ""


def reads_encoder(spec: RunSpec) -> bool:
    """Tell whether a run reads signals of the encoder as it is before it is fine-tuned."""
    selection = spec.config.selection
    names = {signal.name for signal in needed_signals(spec.strategy.all_signals(), selection)}
    embeds = "embeddings" in names and selection.embedding.of == "encoder"
    return embeds or ("perplexity" in names and selection.scorers.perplexity.model is None)


def _rounds_would_turn(spec: RunSpec) -> bool:
    """Tell whether the first round alone would keep another end of the ranking than the whole budget does.

    Until the whole budget decided for all rounds, such trials turned on their way: their old results do not count.
    """
    composed = compose(spec.strategy)
    if composed.schedule != "rounds" or composed.rounds == 1 or spec.budget is None:
        return False
    follower = composed.follower
    ranked = [part.inner for part in (composed, follower) if part is not None]
    first, whole = (
        count / spec.pool_size for count in (round_targets(spec.num_chosen, composed.rounds)[0], spec.num_chosen)
    )
    return any(part.kept_order(first) != part.kept_order(whole) for part in ranked if isinstance(part, RankedStrategy))
