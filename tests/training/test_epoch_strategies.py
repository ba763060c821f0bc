"""Strategies that decide before every pass, trained for real."""

import numpy as np
import pytest

from raybert.config import StrategyConfig, TrainConfig
from raybert.models import load_classifier
from raybert.selection import Pool, build_strategy
from raybert.selection.ranking import tie_keys
from raybert.selection.schedule import make_pass_planner
from raybert.training import FitRequest, LocalSurroundings, fit

STEPS = 60


class Recorder:
    """Passes on plans and keeps them."""

    def __init__(self, source):
        self.source, self.plans, self.steps = source, [], []

    def next_pass(self, epoch, previous, view):
        self.plans.append(self.source.next_pass(epoch, previous, view))
        self.steps.append(view.step)
        return self.plans[-1]


def train(tiny_bert, tokens, budget=32, **entry):
    strategy = build_strategy(StrategyConfig.model_validate(entry))
    generator = np.random.default_rng(0)
    signals = {"probs": generator.dirichlet(np.ones(3), 96).astype(np.float32)}
    signals["irreducible_loss"] = generator.random(96).astype(np.float32)
    pool = Pool(np.asarray(tokens.train.labels), 3, tie_keys(tokens.example_ids, 0), signals, generator)
    source, _ = make_pass_planner(strategy, pool, budget, total_steps=STEPS, batch_size=8)
    recorder = Recorder(source)
    config = TrainConfig(batch_size=8, learning_rate=3e-3, precision="fp32", eval_every=20)
    model = load_classifier(tiny_bert, tokens.label_names, 0)
    result = fit(model, tokens, recorder, FitRequest(config, STEPS, seed=0), LocalSurroundings())
    return recorder, result


@pytest.mark.slow
def test_infobatch_prunes_the_learned_weighs_the_rest_and_ends_on_everything(tiny_bert, tokens):
    recorder, result = train(tiny_bert, tokens, name="infobatch", prune=0.6, anneal_from=0.8)
    sizes = [len(plan.positions) for plan in recorder.plans]
    assert sizes[0] == 96
    assert min(sizes[1:]) < 96
    pruned = [plan for plan in recorder.plans if plan.weights is not None]
    for plan in pruned:
        assert plan.weights.sum() == pytest.approx(96, rel=1e-4)
    first_full = next(i for i, plan in enumerate(recorder.plans) if i and plan.weights is None)
    assert recorder.steps[first_full] == 48  # 0.8 T, where the pruned pass before was cut
    assert result.optimizer_steps == STEPS
    assert result.examples_scored == 0  # it reads the losses of training itself


@pytest.mark.slow
def test_curriculum_grows_to_everything_in_its_last_pass(tiny_bert, tokens):
    recorder, result = train(tiny_bert, tokens, name="curriculum")
    sizes = [len(plan.positions) for plan in recorder.plans]
    assert sizes == sorted(sizes)
    assert sizes[0] < 16
    assert sizes[-1] == 32
    assert STEPS - recorder.steps[-1] >= 4  # a whole pass of 32 in batches of 8
    everything = set(recorder.plans[-1].positions)
    assert all(set(plan.positions) <= everything for plan in recorder.plans)
    assert result.optimizer_steps == STEPS


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rho_loss", "el2n", "confidence"])
def test_rankings_follow_the_model_from_pass_to_pass(tiny_bert, tokens, name):
    recorder, result = train(tiny_bert, tokens, name=name, schedule="epoch")
    assert all(len(plan.positions) == 32 for plan in recorder.plans)
    choices = [frozenset(plan.positions.tolist()) for plan in recorder.plans]
    assert len(set(choices)) > 2
    assert result.examples_scored == 96 * (len(recorder.plans) - 1)
