"""The training loop: steps over what a pass planner chooses, evaluated, resumable, the same on N ranks."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from raybert.data.examples import ExampleData
from raybert.errors import TrialError
from raybert.files import json_digest
from raybert.models import checkpoint_activations
from raybert.models.tasks import scale_folded
from raybert.training import checkpoint, kept
from raybert.training.current_pass import CurrentPass, agree_on_plan
from raybert.training.evaluations import evaluation_row, is_better
from raybert.training.inference import Inference
from raybert.training.interface import PassPlanner, Surroundings
from raybert.training.measures.early_stopping import patience_is_over
from raybert.training.measures.history import LossHistory
from raybert.training.memory.out_of_memory import accumulate_what_fits, largest_micro_batch, memory_notes, obey_limit
from raybert.training.monitor import Monitor, MonitoredModel, check_weights
from raybert.training.objective import Measured, Objective
from raybert.training.optimization.averaging import WeightAverage
from raybert.training.optimization.gradients import GradientMaker
from raybert.training.optimization.optimizer import build_optimizer, set_step
from raybert.training.optimization.own_schedule import OwnSchedule
from raybert.training.optimization.plateau import plateau_factor
from raybert.training.optimization.precision import resolve_precision
from raybert.training.optimization.schedules import learning_rate_factor, weight_decay_at
from raybert.training.ran_on import RanOn
from raybert.training.ranks import broadcast_object, gather_objects
from raybert.training.request import FitRequest
from raybert.training.result import FitResult
from raybert.training.start import begin_from
from raybert.training.state import (
    RunState,
    generator_states,
    go_on_drawing,
    pack_plan,
    unpack_plan,
)
from raybert.training.targets import objective_of
from raybert.training.view import ModelView

Verdict = Literal["go on", "interrupted", "patience"]
_log = logging.getLogger(__name__)
_SEEDS_BETWEEN_RANKS = 7919
"""Ranks draw other dropout masks. A prime far above the seeds of a sweep: no rank draws those of another seed's run."""
_STEPS_BETWEEN_AGREEMENTS = 10
"""Steps after which several ranks ask rank 0 whether to stop or save between evaluations."""


def fit(
    model: nn.Module,
    data: ExampleData,
    planner: PassPlanner,
    request: FitRequest,
    surroundings: Surroundings,
    objective: Objective | None = None,
) -> FitResult:
    """Train a model for T optimizer steps (or passes, or examples) and leave its best evaluation's weights in it.

    The loss of a step is over the examples of the whole batch (all micro-batches, all ranks), so accumulation and ranks
    do not change it. It stops and saves between any two steps; a complete `last` checkpoint of the same run is
    continued, bit-identically on CPU. `best` (transformers folder) is written at the end. `last` stays for
    whoever keeps the result, and then removes it (`checkpoint.remove_last`): who dies before has not trained in vain.

    Args:
        model: a classifier of `raybert.models`, or whatever the objective trains, on the device to use.
        data: pool, validation and test.
        planner: says what each pass trains on.
        request: how to train.
        surroundings: ranks, reporting, checkpoint folder.
        objective: what is minimised and measured; default: that of the data's task.

    Raises:
        TrialError: loss or weights are not finite, a pass is empty, or the checkpoint is of another run.
        ModelError: the model cannot be measured as `request.monitor` asks.
    """
    run = _Run(model, data, planner, request, surroundings, objective)
    with contextlib.closing(run.monitor):
        run.restore()
        if run.rank == 0:
            surroundings.begun(run.ran_on)
        while not run.is_over:
            run.begin_pass()
            while run.batches_left():
                run.train_step()
                verdict = run.evaluate() if run.evaluation_is_due() else run.look_around()
                run.keep(is_end=run.is_over or verdict == "patience")
                if verdict != "go on":
                    return run.result(stopped=verdict == "interrupted")
            run.end_pass()
        return run.result(stopped=False)


class _Run:
    """One training run, step by step."""

    def __init__(
        self,
        model: nn.Module,
        data: ExampleData,
        planner: PassPlanner,
        request: FitRequest,
        surroundings: Surroundings,
        objective: Objective | None,
    ) -> None:
        self.model, self.data, self.planner, self.surroundings = model, data, planner, surroundings
        self.request, self.config = request, request.config
        config = request.config
        self.rank, self.world_size = surroundings.rank, surroundings.world_size
        self.device = next(model.parameters()).device
        self.precision = resolve_precision(config.precision, self.device)
        if self.device.type == "cuda":
            torch.set_float32_matmul_precision("high" if self.precision.name == "tf32" else "highest")
        torch.manual_seed(request.seed + _SEEDS_BETWEEN_RANKS * self.rank)  # of dropout
        self.objective = objective or objective_of(model, data, request)
        own = request.own
        self.optimizer = own.optimizer or build_optimizer(model, config)
        self.own_schedule = None if own.scheduler is None else OwnSchedule(self.optimizer, own.scheduler)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision.scales_gradients)
        if config.gradient_checkpointing:
            checkpoint_activations(model)
        self.current_pass = CurrentPass(data, request, self.objective)
        self.gradients = GradientMaker(
            model,
            data,
            self.objective,
            config,
            self.precision,
            self.scaler,
            surroundings.rank,
            surroundings.world_size,
        )
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.state = RunState(micro_batch_size=None if config.micro_batch_size == "auto" else config.micro_batch_size)
        monitored = MonitoredModel(model, data, self.precision, self.world_size)
        self.monitor = Monitor.create(request.monitor, monitored, surroundings.checkpoint_folder, self.rank)
        self.history = LossHistory(data.example_ids, self.world_size, self.monitor.add_losses)
        self.best_weights: checkpoint.Tensors | None = None
        self.saved_at = time.monotonic()
        self.settings = request.settings(data.fingerprint, self.world_size)
        self.settings |= {"objective": dict(self.objective.identity)} if self.objective.identity else {}
        self.run_key = json_digest(self.settings)
        self.notes: tuple[str, ...] = ()
        self.average = WeightAverage(model, config.averaging)
        self.length = request.length
        self.position_before = 0.0
        """Where the last step began."""

    @property
    def position(self) -> float:
        """Where the run stands on its schedule, from 0 to T."""
        return self.length.position(self.state, self.current_pass.num_whole)

    @property
    def is_over(self) -> bool:
        """Whether all of its length is trained."""
        return self.position >= self.request.end

    @property
    def ran_on(self) -> RanOn:
        """On what it computes, and how; the micro-batch that fits is found in `restore`."""
        return RanOn.of(self.model, self.precision, self.state.micro_batch_size)

    # The steps of `fit`.

    def begin_pass(self) -> None:
        """Ask what to train on, unless a checkpoint left off inside a pass."""
        if self.current_pass.is_under_way:
            return
        started = time.monotonic()
        number, plan = self.state.passes, None
        if self.rank == 0:
            plan = self.planner.next_pass(number, self.current_pass.plan, self._view())
        plan = agree_on_plan(plan, number, self.world_size, self.device)
        self.state.samples_per_pass.append(len(plan.positions))
        self.history.begin_pass()
        self.state.selection_seconds += time.monotonic() - started
        self.current_pass.begin(plan, number)

    def batches_left(self) -> bool:
        return self.state.batch < len(self.current_pass.batches) and not self.is_over

    def train_step(self) -> None:
        """Do one optimizer step on the next batch."""
        started = time.monotonic()
        batch = self.current_pass.batches[self.state.batch][: self.length.examples_left(self.state)]
        step, position, total = self.state.step, self.position, self.request.total_steps
        factor = learning_rate_factor(self.config, position, total) * self.state.rate_factor
        if self.own_schedule is None:
            set_step(self.optimizer, factor, weight_decay_at(self.config, position, total))
        parts = self._accumulate(batch)
        if self.config.max_grad_norm is not None or self.monitor.wants_gradients(step + 1):
            self.scaler.unscale_(self.optimizer)
        self.monitor.before_update(step + 1)
        if self.config.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.config.max_grad_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        rate = factor * self.config.learning_rate
        if self.own_schedule is not None:
            self.own_schedule.stepped()
            rate = self.own_schedule.rate
        self.state.step += 1
        self.state.batch += 1
        self.state.examples_seen += len(batch)
        self.objective.stepped(batch)
        self.position_before = position
        self.average.update(self.position, total)
        self.monitor.after_step(self.state.step, batch, parts, started, rate)
        self.state.train_seconds += time.monotonic() - started
        if self.rank == 0:
            self.surroundings.stepped(int(self.position))

    def read_losses(self) -> None:
        """Take the losses of all steps from the device; a GPU is waited for, and that is time of training."""
        started = time.monotonic()
        self.history.read()
        self.state.train_seconds += time.monotonic() - started

    def look_around(self) -> Verdict:
        """Between evaluations: save what is due, and stop if asked to."""
        if self.world_size > 1 and self.state.step % _STEPS_BETWEEN_AGREEMENTS:
            return "go on"
        due = self.config.checkpoint_seconds > 0 and self._checkpoint_is_due()
        wishes = (self.surroundings.should_stop(), due) if self.rank == 0 else None
        stop, due = broadcast_object(wishes, self.world_size)
        if stop or due:
            self.read_losses()
            self.save()
        return "interrupted" if stop else "go on"

    def evaluation_is_due(self) -> bool:
        every = self.config.eval_every
        if self.is_over:
            return True
        if every == "epoch":
            return self.state.batch == len(self.current_pass.batches)
        every = every or max(1, math.ceil(self.request.total_steps / 10))
        return self.position // every > self.position_before // every

    def evaluate(self) -> Verdict:
        """Evaluate on validation, report, save; return whether and why to stop before T."""
        self.read_losses()
        started = time.monotonic()
        if self.rank == 0:
            with self.average.applied():
                metrics = self.objective.evaluate()
                self.state.evaluation_seconds += time.monotonic() - started
                self._add_row(metrics)
                self.monitor.evaluated(self.state.rows[-1])
            self.surroundings.report(self.state.rows[-1])
        is_end = self.is_over
        reasons = broadcast_object(self._reasons() if self.rank == 0 else None, self.world_size)
        interrupted, patience, due, self.state.rate_factor = reasons
        if not is_end and (interrupted or due):
            self.save()
        if is_end or not (interrupted or patience):
            return "go on"
        return "interrupted" if interrupted else "patience"

    def end_pass(self) -> None:
        self.read_losses()
        if self.state.batch >= len(self.current_pass.batches):
            self.state.passes += 1
            self.state.whole_passes += len(self.current_pass.batches) / self.current_pass.num_whole
            self.state.batch = 0
            self.current_pass.end()

    def result(self, *, stopped: bool) -> FitResult:
        """Put the best weights into the model, evaluate them, and return everything."""
        self.read_losses()
        measured = Measured()
        if not stopped and self.rank == 0:
            started = time.monotonic()
            assert self.best_weights is not None
            self.model.load_state_dict(self.best_weights)
            measured = self.objective.finish(evaluate_test=self.request.evaluate_test)
            self.state.evaluation_seconds += time.monotonic() - started
            if self.surroundings.checkpoint_folder is not None:
                folder, complete = self.surroundings.checkpoint_folder, self.surroundings.complete_model
                checkpoint.save_best(folder, self.model, complete)
        state = self.state
        return FitResult(
            rows=state.rows,
            best_row=state.best_row or {},
            stopped=stopped,
            optimizer_steps=state.step,
            examples_seen=state.examples_seen,
            samples_per_pass=tuple(state.samples_per_pass),
            examples_scored=state.examples_scored,
            test_metrics=measured.test_metrics,
            validation_probs=measured.validation_probs,
            test_probs=measured.test_probs,
            train_losses=self.history.losses,
            train_loss_passes=self.history.loss_passes,
            train_seconds=state.train_seconds,
            evaluation_seconds=state.evaluation_seconds,
            selection_seconds=state.selection_seconds,
            notes=(*self.objective.notes, *self.notes, *memory_notes(state)),
            micro_batch_size=state.micro_batch_size,
            extra=measured.extra,
            ran_on=self.ran_on,
        )

    # Checkpoints.

    def save(self) -> None:
        """Write `last`: everything that the rest of the run depends on.

        Raises:
            TrialError: the weights are not finite; the checkpoint before stays.
        """
        check_weights(self.model, self.state.step, self.history.last_checkpoint)
        generators = gather_objects(generator_states(self.device), self.world_size)
        folder = self.surroundings.checkpoint_folder
        if self.rank == 0 and folder is not None:
            checkpoint.save_last(folder, self.run_key, *self._saved(generators))
            _log.info("checkpoint/last is of step %d", self.state.step)
            self.history.saved_step = self.state.step
        self.saved_at = time.monotonic()

    def _saved(self, generators: list[dict[str, torch.Tensor]]) -> tuple[checkpoint.Tensors, Any, dict[str, Any]]:
        """Return weights, best weights, and everything else that `restore` goes on from."""
        assert self.current_pass.plan is not None
        state = {
            "state": self.state.to_json(),
            "plan": pack_plan(self.current_pass.plan),
            "history": self.history.state(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "average": self.average.state(),
            "generators": generators,
            "monitor": self.monitor.state(),
            **({} if self.own_schedule is None else {"own_schedule": self.own_schedule.state()}),
            **({"objective": objective} if (objective := self.objective.state()) else {}),
        }
        return self.model.state_dict(), self.best_weights, state

    def keep(self, *, is_end: bool) -> None:
        """Write a checkpoint that stays, where one is due; nothing that follows depends on it.

        Raises:
            TrialError: the weights are not finite.
        """
        rule, folder, state = self.config.checkpoints, self.surroundings.checkpoint_folder, self.state
        pass_ends = state.batch == len(self.current_pass.batches)
        if not kept.is_due(rule, state, pass_ends=pass_ends, is_end=is_end):
            return
        self.read_losses()
        check_weights(self.model, state.step, self.history.last_checkpoint)
        generators = gather_objects(generator_states(self.device), self.world_size)
        if self.rank == 0 and folder is not None:
            facts = {"step": state.step, "pass": self._passes_done(), "settings": self.settings}
            target = kept.folder_of_step(folder, state.step)
            kept.write_kept(target, facts, self.run_key, self._saved(generators), self._write_model)
            kept.drop_older(folder, rule.keep_last, state, is_end=is_end)
            _log.info("checkpoint/%s stays", target.name)

    def _write_model(self, folder: Path) -> None:
        with self.average.applied(), scale_folded(self.model):
            self.model.save_pretrained(folder)  # type: ignore[operator]
        self.surroundings.complete_model(folder)

    def restore(self) -> None:
        """Go on from `last`, if there is one of this run, or begin from another's checkpoint, if asked to.

        Else find what fits into memory, if asked to.
        """
        folder = self.surroundings.checkpoint_folder
        loaded = checkpoint.load_last(folder, self.run_key) if folder is not None else None
        begins = loaded is None and self.config.start.checkpoint is not None
        if begins:
            beginning = begin_from(self.config.start, self.settings, self.model)
            loaded = beginning.loaded
            self.notes = (beginning.note,) if beginning.note else ()
        if loaded is None:
            if self.config.micro_batch_size == "auto":
                self.state.micro_batch_size = largest_micro_batch(self.gradients, self.parameters)
            obey_limit(self.state, folder)
            self.monitor.begin(0)
            return
        weights, self.best_weights, saved = loaded
        self.model.load_state_dict(weights)
        self.optimizer.load_state_dict(saved["optimizer"])
        self.scaler.load_state_dict(saved["scaler"])
        if self.own_schedule is not None:
            self.own_schedule.load(saved["own_schedule"])
        self.average.load(saved["average"])
        self.objective.load(saved.get("objective", {}))
        self.state = RunState.from_json(saved["state"])
        self.monitor.begin(self.state.step, saved.get("monitor"))
        self.history.load(saved.get("history", saved))  # raybert 0.1 kept it beside the rest
        self.current_pass.begin(unpack_plan(saved["plan"]), self.state.passes)
        if self.state.batch >= len(self.current_pass.batches):
            self.end_pass()
        go_on_drawing(saved["generators"], self.rank, self.device, self.state.step)
        if begins and self.is_over:
            raise TrialError(
                f"{self.config.start.checkpoint}: must be of before the end of this run, is of step {self.state.step} "
                f"of {self.request.end}; give it a longer `train.length`"
            )
        self.history.saved_step = self.state.step
        if self.rank == 0:
            _log.info("goes on from checkpoint/last, at step %d", self.state.step)
        obey_limit(self.state, folder)

    # Parts of the steps.

    def _reasons(self) -> tuple[bool, bool, bool, float]:
        """Return whether a stop was asked for, patience is at its end, a checkpoint is due; and the rate's factor."""
        patience = patience_is_over(self.config, self.state.rows)
        reduced = plateau_factor(self.config, self.state.rows, self.length)
        return self.surroundings.should_stop(), patience, self._checkpoint_is_due(), reduced

    def _checkpoint_is_due(self) -> bool:
        return time.monotonic() - self.saved_at >= self.config.checkpoint_seconds

    def _accumulate(self, batch: np.ndarray) -> list[np.ndarray]:
        """Add the gradient of a batch, and return this rank's parts of it."""
        watch = partial(self.monitor.step, self.state.step + 1, self.gradients.share(batch))
        folder = self.surroundings.checkpoint_folder
        parts = accumulate_what_fits(self.gradients, batch, self.current_pass.weights, self.state, folder, watch)
        for part in parts:
            if len(part.positions):
                self.history.add(part.positions, part.losses, part.hits, self.state.step + 1, part.counts)
        return [part.positions for part in parts]

    def _add_row(self, metrics: dict[str, float]) -> None:
        """Append the row of this evaluation, and keep the weights if it is the best so far."""
        state = self.state
        done = self._passes_done()
        row = evaluation_row(self.objective, metrics, state, self.history, self.request, done, self.position_before)
        if self.own_schedule is not None:
            row["learning_rate"] = self.own_schedule.rate
            self.own_schedule.evaluated(metrics[self.config.best_metric])
        if is_better(row, state.best_row, self.config.best_metric):
            state.best = len(state.rows)
            self.best_weights = {name: t.detach().clone() for name, t in self.model.state_dict().items()}
        state.rows.append(row)

    def _passes_done(self) -> float:
        """Return the passes that are done, with the share of the current one."""
        if self.length.passes is not None:
            return self.state.whole_passes + self.state.batch / self.current_pass.num_whole
        return self.state.passes + self.state.batch / len(self.current_pass.batches)

    def _view(self) -> ModelView:
        inference = Inference(self.model, self.data, self.config.precision)
        return ModelView(inference, self.data.train, self.length, self.state, self.history)
