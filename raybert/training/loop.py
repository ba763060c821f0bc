"""The training loop: T optimizer steps over what an epoch source chooses, evaluated, resumable, the same on N ranks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from raybert.config import LossConfig, TrainConfig
from raybert.data import TokenizedData, collate, training_batches
from raybert.errors import TrialError
from raybert.training import checkpoint
from raybert.training.averaging import WeightAverage
from raybert.training.history import LossHistory
from raybert.training.inference import embed_examples, predict_probs, predict_with_features
from raybert.training.interface import EpochPlan, EpochSource, Surroundings
from raybert.training.losses import build_loss
from raybert.training.metrics import classification_metrics, ranking_free_metrics
from raybert.training.optim import build_optimizer, set_step
from raybert.training.precision import resolve_precision
from raybert.training.ranks import broadcast_object, broadcast_positions, gather_objects
from raybert.training.schedules import learning_rate_factor, weight_decay_at

Row = dict[str, Any]
Verdict = Literal["go on", "interrupted", "patience"]


@dataclass(frozen=True)
class FitResult:
    """What a training run measured.

    Attributes:
        rows: one per evaluation.
        best_row: the row whose weights the model now has.
        stopped: whether it was asked to stop before T; a checkpoint is there, the rest is not final.
        optimizer_steps: done.
        examples_seen: forward and backward, repetitions included.
        samples_per_epoch: examples of every pass.
        examples_scored: forward passes that the epoch source asked for.
        test_metrics: of the best row's weights; None if the test split was not to be read.
        validation_probs: (v, C) float32, of the best row's weights.
        test_probs: (t, C) float32, likewise.
        train_losses: (epochs, n) float32, each example's plain cross entropy in training, per pass; NaN: not in it.
        train_seconds: in forward, backward and step.
        evaluation_seconds: on validation and test.
        selection_seconds: in the epoch source.
        notes: what a user should know of the run.
    """

    rows: list[Row]
    best_row: Row
    stopped: bool
    optimizer_steps: int
    examples_seen: int
    samples_per_epoch: tuple[int, ...]
    examples_scored: int
    test_metrics: dict[str, float] | None
    validation_probs: np.ndarray | None
    test_probs: np.ndarray | None
    train_losses: np.ndarray
    train_seconds: float
    evaluation_seconds: float
    selection_seconds: float
    notes: tuple[str, ...] = ()


def fit(
    model: nn.Module,
    data: TokenizedData,
    epochs: EpochSource,
    config: TrainConfig,
    *,
    total_steps: int,
    seed: int,
    surroundings: Surroundings,
    evaluate_test: bool = True,
) -> FitResult:
    """Train a classifier for T optimizer steps and leave the weights of its best evaluation in it.

    The loss of a step is sum(w_i * l_i) / sum(c_i) over the examples of the whole batch (all micro-batches, all ranks):
    w_i are example weights, l_i losses with the weight c_i of their class, all 1 by default. So accumulation and ranks
    do not change it. A complete `last` checkpoint of the same run is continued, bit-identically
    on CPU. `best` (transformers folder) is written at the end.

    Args:
        model: a classifier of `raybert.models`, on the device to use.
        data: pool, validation and test.
        epochs: what each pass trains on.
        config: the train section.
        total_steps: T.
        seed: of order and dropout.
        surroundings: ranks, reporting, checkpoint folder.
        evaluate_test: False never reads the test split.

    Raises:
        TrialError: the loss is not finite, a pass is empty, or the checkpoint is of another run.
    """
    run = _Run(model, data, epochs, config, total_steps, seed, surroundings)
    run.restore()
    while run.state.step < total_steps:
        run.begin_pass()
        while run.batches_left():
            run.train_step()
            if not run.evaluation_is_due():
                continue
            verdict = run.evaluate()
            if verdict == "interrupted":
                return run.result(stopped=True, evaluate_test=False)
            if verdict == "patience":
                return run.result(stopped=False, evaluate_test=evaluate_test)
        run.end_pass()
    return run.result(stopped=False, evaluate_test=evaluate_test)


@dataclass
class _State:
    """What changes while training, and is stored in checkpoints, besides tensors of model and optimizer."""

    step: int = 0
    epoch: int = 0
    batch: int = 0  # batches of the current pass that are done
    examples_seen: int = 0
    examples_scored: int = 0
    rows: list[Row] = field(default_factory=list)
    best: int = -1
    samples_per_epoch: list[int] = field(default_factory=list)
    train_seconds: float = 0.0
    evaluation_seconds: float = 0.0
    selection_seconds: float = 0.0


class _Run:
    """One training run; also the `PoolView` that its epoch source sees."""

    def __init__(
        self,
        model: nn.Module,
        data: TokenizedData,
        epochs: EpochSource,
        config: TrainConfig,
        total_steps: int,
        seed: int,
        surroundings: Surroundings,
    ) -> None:
        self.model, self.data, self.epochs, self.config = model, data, epochs, config
        self.total_steps, self.seed, self.surroundings = total_steps, seed, surroundings
        self.rank, self.world_size = surroundings.rank, surroundings.world_size
        self.device = next(model.parameters()).device
        self.precision = resolve_precision(config.precision, self.device)
        torch.manual_seed(seed + 7919 * self.rank)  # dropout
        self.module: Any = DistributedDataParallel(model) if self.world_size > 1 else model
        self.optimizer = build_optimizer(model, config)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision.scales_gradients)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.state = _State()
        self.plan: EpochPlan | None = None
        self.batches: list[np.ndarray] = []
        self.weights: np.ndarray | None = None  # (n,) by pool position, of the current pass
        self.history = LossHistory(data.example_ids, self.world_size)
        self.best_weights: checkpoint.Tensors | None = None
        self.saved_at = time.monotonic()
        self.run_key = self._run_key()
        self.labels = np.asarray(data.train.labels)
        self.loss = build_loss(config.loss, self.labels, data.num_classes, self.device)
        self.notes = dict.fromkeys(self.loss.notes)
        self.average = WeightAverage(model, config.averaging)

    # The PoolView that epoch sources see.

    @property
    def step(self) -> int:
        return self.state.step

    @property
    def train_losses(self) -> np.ndarray:
        return self.history.latest()[0]

    @property
    def train_loss_epochs(self) -> np.ndarray:
        return self.history.latest()[1]

    def predict(self, positions: np.ndarray | None = None) -> np.ndarray:
        positions = self._scored(positions)
        return predict_probs(self.model, self.data.train, positions, data=self.data, precision=self.config.precision)

    def predict_with_features(self, positions: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        positions = self._scored(positions)
        table, precision = self.data.train, self.config.precision
        return predict_with_features(self.model, table, positions, data=self.data, precision=precision)

    def embed(self, positions: np.ndarray | None = None, pooling: Literal["mean", "cls"] = "mean") -> np.ndarray:
        positions, precision = self._scored(positions), self.config.precision
        return embed_examples(
            self.model, self.data.train, positions, data=self.data, pooling=pooling, precision=precision
        )

    # The steps of `fit`.

    def begin_pass(self) -> None:
        """Ask what to train on, unless a checkpoint left off inside a pass."""
        if self.plan is None or not self.batches:
            started = time.monotonic()
            self.plan = self._next_plan()
            self.state.samples_per_epoch.append(len(self.plan.positions))
            self.history.begin_pass()
            self.state.selection_seconds += time.monotonic() - started
        self._cut_batches()

    def batches_left(self) -> bool:
        return self.state.batch < len(self.batches) and self.state.step < self.total_steps

    def train_step(self) -> None:
        """Do one optimizer step on the next batch."""
        started = time.monotonic()
        batch = self.batches[self.state.batch]
        step, total = self.state.step, self.total_steps
        factor = learning_rate_factor(self.config, step, total)
        set_step(self.optimizer, factor, weight_decay_at(self.config, step, total))
        micro_batches = self._micro_batches(batch)
        for i, positions in enumerate(micro_batches):
            is_last = i == len(micro_batches) - 1
            quiet = self.module.no_sync() if self.world_size > 1 and not is_last else contextlib.nullcontext()
            with quiet:
                self._backward(positions, self.loss.denominator(self.labels[batch]))
        if self.config.max_grad_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.state.step += 1
        self.state.batch += 1
        self.state.examples_seen += len(batch)
        self.average.update(self.state.step, self.total_steps)
        self.state.train_seconds += time.monotonic() - started

    def evaluation_is_due(self) -> bool:
        every, step = self.config.eval_every, self.state.step
        if step == self.total_steps:
            return True
        if every == "epoch":
            return self.state.batch == len(self.batches)
        return step % (every or max(1, math.ceil(self.total_steps / 10))) == 0

    def evaluate(self) -> Verdict:
        """Evaluate on validation, report, save; return whether and why to stop before T."""
        self.history.read()
        started = time.monotonic()
        if self.rank == 0:
            with self.average.applied():
                probs = self._probs_of(self.data.validation)
                metrics = self._validation_metrics(probs)
                self.state.evaluation_seconds += time.monotonic() - started
                self._add_row(metrics)
            self.surroundings.report(self.state.rows[-1])
        is_end = self.state.step == self.total_steps
        interrupted, patience, due = broadcast_object(self._reasons() if self.rank == 0 else None, self.world_size)
        if not is_end and (interrupted or due):
            self.save()
        if is_end or not (interrupted or patience):
            return "go on"
        return "interrupted" if interrupted else "patience"

    def end_pass(self) -> None:
        self.history.read()
        if self.state.batch >= len(self.batches):
            self.state.epoch += 1
            self.state.batch = 0
            self.batches = []

    def result(self, *, stopped: bool, evaluate_test: bool) -> FitResult:
        """Put the best weights into the model, evaluate them, and return everything."""
        self.history.read()
        validation_probs = test_probs = test_metrics = None
        if not stopped and self.rank == 0:
            started = time.monotonic()
            assert self.best_weights is not None
            self.model.load_state_dict(self.best_weights)
            validation_probs = self._probs_of(self.data.validation)
            if evaluate_test:
                test_probs = self._probs_of(self.data.test)
                test_metrics = classification_metrics(np.asarray(self.data.test.labels), test_probs)
            self.state.evaluation_seconds += time.monotonic() - started
            if self.surroundings.checkpoint_folder is not None:
                checkpoint.save_best(self.surroundings.checkpoint_folder, self.model)
                checkpoint.remove_last(self.surroundings.checkpoint_folder)
        state = self.state
        return FitResult(
            rows=state.rows,
            best_row=state.rows[state.best] if state.rows else {},
            stopped=stopped,
            optimizer_steps=state.step,
            examples_seen=state.examples_seen,
            samples_per_epoch=tuple(state.samples_per_epoch),
            examples_scored=state.examples_scored,
            test_metrics=test_metrics,
            validation_probs=validation_probs,
            test_probs=test_probs,
            train_losses=self.history.stacked(),
            train_seconds=state.train_seconds,
            evaluation_seconds=state.evaluation_seconds,
            selection_seconds=state.selection_seconds,
            notes=tuple(self.notes),
        )

    # Checkpoints.

    def save(self) -> None:
        """Write `last`: everything that the rest of the run depends on."""
        generators = gather_objects(self._generators(), self.world_size)
        folder = self.surroundings.checkpoint_folder
        if self.rank == 0 and folder is not None:
            assert self.plan is not None
            plan = {
                "positions": torch.from_numpy(np.array(self.plan.positions, np.int64)),
                "weights": None if self.plan.weights is None else torch.from_numpy(np.array(self.plan.weights)),
                "max_steps": self.plan.max_steps,
            }
            state = {
                "state": json.dumps(vars(self.state)),
                "plan": plan,
                "losses": torch.from_numpy(self.history.stacked()),
                "window": torch.from_numpy(self.history.window.copy()),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "average": self.average.state(),
                "generators": generators,
            }
            checkpoint.save_last(folder, self.run_key, self.model.state_dict(), self.best_weights, state)
        self.saved_at = time.monotonic()

    def restore(self) -> None:
        """Go on from `last`, if there is one of this run."""
        folder = self.surroundings.checkpoint_folder
        loaded = checkpoint.load_last(folder, self.run_key) if folder is not None else None
        if loaded is None:
            return
        weights, self.best_weights, saved = loaded
        self.model.load_state_dict(weights)
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        self.average.load(saved["average"])
        self.state = _State(**json.loads(saved["state"]))
        plan = saved["plan"]
        self.plan = EpochPlan(
            plan["positions"].numpy(),
            None if plan["weights"] is None else plan["weights"].numpy(),
            plan["max_steps"],
        )
        self.history.passes = list(saved["losses"].numpy())
        self.history.window = saved["window"].numpy()
        self._cut_batches()
        if self.state.batch >= len(self.batches):
            self.end_pass()
        self._set_generators(saved["generators"][self.rank])

    # Parts of the steps.

    def _reasons(self) -> tuple[bool, bool, bool]:
        """Return whether a stop was asked for, patience is at its end, and a checkpoint is due."""
        rule = self.config.early_stopping
        scores = [self._score(row) for row in self.state.rows]
        since = evaluations_since_better(scores, rule.min_change)
        patience = rule.patience is not None and since >= rule.patience
        due = time.monotonic() - self.saved_at >= self.config.checkpoint_seconds
        return self.surroundings.should_stop(), patience, due

    def _validation_metrics(self, probs: np.ndarray) -> dict[str, float]:
        labels = np.asarray(self.data.validation.labels)
        metrics = ranking_free_metrics(labels, probs)
        if self.config.best_metric not in metrics:
            metrics[self.config.best_metric] = classification_metrics(labels, probs)[self.config.best_metric]
        return metrics

    def _next_plan(self) -> EpochPlan:
        """Return rank 0's plan on every rank."""
        plan = self.epochs.next_epoch(self.state.epoch, self.plan, self) if self.rank == 0 else None
        positions = broadcast_positions(plan.positions if plan else None, self.world_size, self.device)
        rest = (plan.weights, plan.max_steps) if plan else None
        weights, max_steps = broadcast_object(rest, self.world_size)
        if len(positions) == 0:
            raise TrialError(f"epoch {self.state.epoch}: must train on at least one example, the strategy chose none")
        return EpochPlan(positions, weights, max_steps)

    def _cut_batches(self) -> None:
        """Cut the pass into batches, by a generator of its own, so that any rank and any restart agrees."""
        plan = self.plan
        assert plan is not None
        generator = np.random.default_rng([self.seed, self.state.epoch])
        lengths = self.data.train.lengths
        batches = training_batches(lengths, plan.positions, self.config.batch_size, generator)
        self.batches = batches[: plan.max_steps] if plan.max_steps is not None else batches
        if self.config.loss.weights_from == "selection":
            chosen = self.labels[plan.positions]
            self.loss = build_loss(self.config.loss, chosen, self.data.num_classes, self.device)
            self.notes.update(dict.fromkeys(self.loss.notes))
        self.weights = None
        if plan.weights is not None:
            self.weights = np.ones(len(self.data.train), np.float32)
            self.weights[plan.positions] = plan.weights

    def _micro_batches(self, batch: np.ndarray) -> list[np.ndarray]:
        """Return this rank's share of a batch, in parts that fit; a rank without a share gets an empty part."""
        share = batch[self.rank :: self.world_size]
        size = self.config.micro_batch_size or max(1, len(share))
        return [share[i : i + size] for i in range(0, len(share), size)] or [share]

    def _backward(self, positions: np.ndarray, denominator: float) -> None:
        """Add the gradient of some examples, as their part of a batch whose losses are divided by `denominator`."""
        is_empty = len(positions) == 0
        rows = np.zeros(1, np.int64) if is_empty else positions
        batch = collate(self.data.train, rows, self.data.pad_id, self.data.uses_token_types)
        inputs = {name: tensor.to(self.device, non_blocking=True) for name, tensor in batch.items()}
        labels = inputs.pop("labels")
        with self.precision.autocast(self.device):
            logits = self.module(**inputs).logits
        values = self.loss.values(logits, labels)  # (b,)
        if is_empty:
            # Every rank must take part in the gradient exchange, with nothing to add.
            self.scaler.scale(values.sum() * 0.0).backward()  # type: ignore[no-untyped-call]
            return
        weighted = values if self.weights is None else values * self._weights_of(positions)
        # DDP averages gradients over ranks; the loss is a sum over them.
        self.scaler.scale(weighted.sum() * (self.world_size / denominator)).backward()  # type: ignore[no-untyped-call]
        hits = logits.detach().argmax(dim=-1) == labels
        self.history.add(positions, self._plain_losses(logits, labels, values), hits, self.state.step + 1)

    def _plain_losses(self, logits: torch.Tensor, labels: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return (b,) cross entropies for the history, whatever is minimised; not finite where the loss is not."""
        if self.config.loss == LossConfig():
            return values.detach()
        with torch.no_grad():
            plain = nn.functional.cross_entropy(logits.float(), labels, reduction="none")
            return plain + 0.0 * values

    def _weights_of(self, positions: np.ndarray) -> torch.Tensor:
        assert self.weights is not None
        return torch.from_numpy(self.weights[positions]).to(self.device)

    def _add_row(self, metrics: dict[str, float]) -> None:
        """Append the row of this evaluation, and keep the weights if it is the best so far."""
        state = self.state
        train_loss, train_accuracy = self.history.close_window()
        factor = learning_rate_factor(self.config, state.step - 1, self.total_steps)
        row = {
            "evaluation": len(state.rows) + 1,
            "epoch": round(state.epoch + state.batch / max(1, len(self.batches)), 4),
            "step": state.step,
            "examples_seen": state.examples_seen,
            "samples": state.samples_per_epoch[-1],
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            **{f"validation_{name}": value for name, value in metrics.items()},
            "learning_rate": self.config.learning_rate * factor,
            "seconds": round(state.train_seconds + state.evaluation_seconds + state.selection_seconds, 3),
        }
        state.rows.append(row)
        best = self._score(state.rows[state.best]) if state.best >= 0 else math.nan
        if state.best < 0 or math.isnan(best) or self._score(row) > best:
            state.best = len(state.rows) - 1
            self.best_weights = {name: t.detach().clone() for name, t in self.model.state_dict().items()}

    def _score(self, row: Row) -> float:
        value = float(row[f"validation_{self.config.best_metric}"])
        return -value if self.config.best_metric == "loss" else value

    def _probs_of(self, table: Any) -> np.ndarray:
        return predict_probs(self.model, table, np.arange(len(table)), data=self.data, precision=self.config.precision)

    def _scored(self, positions: np.ndarray | None) -> np.ndarray:
        chosen = np.arange(len(self.data.train)) if positions is None else positions
        self.state.examples_scored += len(chosen)
        return chosen

    def _generators(self) -> dict[str, torch.Tensor]:
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        return states

    def _set_generators(self, states: dict[str, torch.Tensor]) -> None:
        torch.set_rng_state(states["cpu"])
        if "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], self.device)

    def _run_key(self) -> str:
        """Identify what a checkpoint continues."""
        settings = {
            "train": self.config.model_dump(mode="json", exclude={"checkpoint_seconds"}),
            "total_steps": self.total_steps,
            "seed": self.seed,
            "data": self.data.fingerprint,
            "world_size": self.world_size,
        }
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def evaluations_since_better(scores: list[float], min_change: float) -> int:
    """Return how many evaluations ago the score last rose by more than `min_change`.

    Args:
        scores: of all evaluations so far, higher = better; NaN is never better.
        min_change: >= 0.
    """
    best, since = -math.inf, 0
    for score in scores:
        since += 1
        if score > best + min_change:
            best, since = score, 0
    return since
