import json
import math
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from scipy import stats
from transformers import AutoConfig, AutoModelForSequenceClassification, BertConfig, BertForSequenceClassification

from raybert.config import MonitorConfig, TrainConfig, validate_config
from raybert.data import collate, training_batches
from raybert.errors import ConfigError, ModelError, TrialError
from raybert.models import quiet_transformers
from raybert.models.iris import IrisClassifier, IrisSettings
from raybert.training import FitRequest, FixedPasses, LocalSurroundings, fit
from raybert.training.monitor import Monitor, MonitoredModel, NoMonitor, check_weights
from raybert.training.monitor.activations import ActivationProbe
from raybert.training.monitor.attention import head_entropies, spread_rows
from raybert.training.monitor.layers import trained_layers
from raybert.training.monitor.spikes import SpikeDetector
from raybert.training.monitor.statistics import attention_entropy, dead_fraction, histogram, moments, norms_by_layer
from raybert.training.monitor.tables import HISTOGRAMS, MEASUREMENTS, GrowingTable
from raybert.training.monitor.throughput import StepFlops, ThroughputMeter, device_peak, peak_flops
from raybert.training.optimization.precision import BF16, FP32
from tests.processes import on_ranks
from tests.training.optimization.test_optimizer import SMALL
from tests.training.stop_after import StopAfter

NOTHING = MonitorConfig()
EVERYTHING = MonitorConfig(
    gradient_norm=1,
    weights=1,
    activations=1,
    weight_histograms=1,
    attention_entropy=1,
    throughput=1,
    loss_spikes=10.0,
    tensorboard=True,
)
LAYERS = ("embeddings", "layer.0", "layer.1", "head")


def small_bert(**changes):
    settings = {
        "vocab_size": 120,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 64,
        "num_labels": 3,
    }
    torch.manual_seed(0)
    return BertForSequenceClassification(BertConfig(**(settings | changes)))


def watched(model, tokens, precision=FP32):
    return MonitoredModel(model, tokens, precision)


def train(model, tokens, monitor, num_steps=4, *, first=1, precision=FP32, micro=5, seed=3):
    """Do what the loop does: accumulate, clip, step; return all losses."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    torch.manual_seed(seed)
    batches = training_batches(tokens.train.lengths, np.arange(96), 16, np.random.default_rng(0))
    losses = []
    model.train()
    for step in range(first, first + num_steps):
        batch = batches[(step - 1) % len(batches)]
        parts = np.split(batch, range(micro, len(batch), micro))
        started = time.monotonic()
        with monitor.step(step, batch):
            for part in parts:
                inputs = collate(tokens.train, part, tokens.pad_id, tokens.uses_token_types)
                labels = inputs.pop("labels")
                with precision.autocast(torch.device("cpu")):
                    logits = model(**inputs).logits
                values = torch.nn.functional.cross_entropy(logits.float(), labels, reduction="none")
                (values.sum() / len(batch)).backward()
                losses.append(values.detach())
        monitor.before_update(step)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        monitor.after_step(step, batch, parts, started, 1e-2)
        of_step = torch.cat(losses[-len(parts) :]).numpy()
        monitor.add_losses(batch, of_step, np.full(len(batch), step))
    return torch.cat(losses)


def monitored(model, tokens, folder, config=EVERYTHING, **options):
    monitor = Monitor(config, watched(model, tokens), folder)
    monitor.begin(0)
    train(model, tokens, monitor, **options)
    monitor.close()
    return pd.read_parquet(folder / "monitor.parquet")


def has_our_hooks(model):
    """transformers leaves hooks of its own, which do nothing until they are asked for attention weights."""
    hooks = [h for m in model.modules() for h in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())]
    return any(hook.__module__.startswith("raybert") for hook in hooks)


def values_of(rows, quantity, step=1):
    chosen = rows[(rows["quantity"] == quantity) & (rows["step"] == step)]
    return dict(zip(chosen["layer"], chosen["value"], strict=True))


# The arithmetic.


def test_gradient_norms_are_those_computed_by_hand_per_layer_and_of_the_model(tokens, tmp_path):
    rows = monitored(small_bert(), tokens, tmp_path, MonitorConfig(gradient_norm=2), num_steps=3)
    assert set(rows["step"]) == {2}
    model = small_bert()
    seen = {}

    class Recorder(NoMonitor):
        def before_update(self, step):
            if step == 2:
                seen.update({name: p.grad.double().clone() for name, p in model.named_parameters()})

    train(model, tokens, Recorder(), num_steps=3)
    squares = dict.fromkeys(LAYERS, 0.0)
    for name, gradient in seen.items():
        parts = name.split(".")
        layer = "head"
        if parts[:2] == ["bert", "embeddings"]:
            layer = "embeddings"
        elif parts[:3] == ["bert", "encoder", "layer"]:
            layer = f"layer.{parts[3]}"
        squares[layer] += float(gradient.square().sum())
    expected = {"model": math.sqrt(sum(squares.values()))} | {name: math.sqrt(s) for name, s in squares.items()}
    assert values_of(rows, "gradient_norm", 2) == pytest.approx(expected, rel=1e-5)


def test_the_norm_of_an_update_is_that_of_the_difference_of_weights(tokens, tmp_path):
    model = small_bert()
    before = {name: [p.detach().double().clone() for p in parts] for name, parts in trained_layers(model).items()}
    rows = monitored(model, tokens, tmp_path, MonitorConfig(weights=1), num_steps=1)
    after = {name: [p.detach().double() for p in parts] for name, parts in trained_layers(model).items()}
    weights, updates, ratios = (values_of(rows, f"{name}") for name in ("weight_norm", "update_norm", "update_ratio"))
    for layer in LAYERS:
        old = torch.cat([p.flatten() for p in before[layer]])
        new = torch.cat([p.flatten() for p in after[layer]])
        assert weights[layer] == pytest.approx(float(old.norm()), rel=1e-5)
        assert updates[layer] == pytest.approx(float((new - old).norm()), rel=1e-4)
        assert ratios[layer] == pytest.approx(updates[layer] / weights[layer], rel=1e-6)
    assert updates["model"] == pytest.approx(math.hypot(*(updates[layer] for layer in LAYERS)), rel=1e-6)


def test_norms_of_a_3_4_triangle():
    layers = [[torch.tensor([3.0]), torch.tensor([[4.0]])], [torch.tensor([12.0])]]
    assert norms_by_layer(layers).tolist() == [13.0, 5.0, 12.0]


def test_moments_of_real_tokens_are_those_of_scipy():
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(3, 7, 11, generator=generator) ** 3 + 0.5
    mask = torch.ones(3, 7, dtype=torch.long)
    mask[1, 4:] = 0
    real = values[mask.bool()].double().numpy().ravel()
    assert moments(values, mask).tolist() == pytest.approx([real.mean(), real.std(), stats.kurtosis(real)], rel=1e-4)
    everything = values.double().numpy().ravel()
    assert moments(values, None)[2].item() == pytest.approx(stats.kurtosis(everything), rel=1e-4)
    assert abs(moments(torch.randn(200, 200, generator=generator), None)[2].item()) < 0.1  # 0: normal


def test_a_unit_is_dead_if_it_is_near_0_in_every_real_token():
    units = torch.tensor([[[0.0, 1.0, 0.0005, 0.0], [0.0, 0.0, -0.0005, 0.0], [5.0, 0.0, 0.0, 0.0]]])
    assert dead_fraction(units, None).item() == 0.5  # the third and the fourth
    assert dead_fraction(units, torch.tensor([[1, 1, 0]])).item() == 0.75  # the first is only alive in padding


def test_entropies_of_attention_to_one_and_to_all_tokens():
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    one = torch.eye(4).expand(2, 1, 4, 4)
    even = (mask / mask.sum(1, keepdim=True))[:, None, None, :].expand(2, 1, 4, 4)
    found = attention_entropy(torch.cat([one, even], 1), mask)
    # Six real queries: four of ln 4, two of ln 2.
    assert found.tolist() == pytest.approx([0.0, (4 * math.log(4) + 2 * math.log(2)) / 6])


def test_a_histogram_counts_every_weight_once():
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(50, 20, generator=generator), torch.randn(7, 3, generator=generator) - 2]
    found = histogram(tensors, 16)
    flat = torch.cat([tensor.flatten() for tensor in tensors]).double().numpy()
    counts, edges = np.histogram(flat, 16)
    assert found.counts.tolist() == counts.tolist()
    assert (found.low.item(), found.high.item()) == (edges[0], edges[-1])
    assert found.total.item() == pytest.approx(flat.sum(), rel=1e-4)
    assert found.total_squares.item() == pytest.approx((flat**2).sum(), rel=1e-5)
    assert histogram([torch.full((5, 2), 3.0)]).counts.sum() == 10


def test_a_loss_above_median_and_k_mads_is_a_spike():
    detector = SpikeDetector(3.0)
    losses = [1.0, 1.1, 0.9, 1.2] * 5  # median 1.05, |loss - median|: .05 .05 .15 .15, MAD 0.1
    assert [detector.add(loss) for loss in losses] == [None] * 20
    assert detector.limit() == pytest.approx(1.35)
    assert detector.add(1.3) is None
    detector = SpikeDetector(3.0, losses)
    assert detector.add(1.4) == pytest.approx(1.35)
    assert SpikeDetector(3.0, losses[:19]).add(100.0) is None
    assert len(SpikeDetector(3.0, losses * 10).recent) == 100


# What is measured in a model.


def test_activations_are_those_of_hidden_states_and_hooks(tokens):
    model = small_bert(hidden_act="relu").eval()
    probe = ActivationProbe(model)
    inputs = watched(model, tokens).inputs(np.arange(9))
    units = []
    handles = [
        layer.intermediate.register_forward_hook(lambda _, __, output: units.append(output.detach()))
        for layer in model.bert.encoder.layer
    ]
    with probe.attached():
        assert has_our_hooks(model)
        hidden = model(**inputs, output_hidden_states=True).hidden_states
        model(**watched(model, tokens).inputs(np.arange(20, 30)))  # not the first micro-batch
    for handle in handles:
        handle.remove()
    read = probe.read()
    mask = inputs["attention_mask"].bool()
    for i in range(2):
        real = hidden[i + 1][mask].detach().double().numpy().ravel()
        assert read["activation_mean"][i].item() == pytest.approx(real.mean(), abs=1e-6)
        assert read["activation_std"][i].item() == pytest.approx(real.std(), rel=1e-5)
        assert read["activation_kurtosis"][i].item() == pytest.approx(stats.kurtosis(real), rel=1e-3, abs=1e-4)
        dead = (units[i][mask].abs() < 1e-3).all(0).double().mean()
        assert read["activation_dead_fraction"][i].item() == pytest.approx(float(dead))
    assert not has_our_hooks(model)


def test_a_dead_unit_is_found(tokens):
    model = small_bert(hidden_act="relu").eval()
    with torch.no_grad():
        model.bert.encoder.layer[1].intermediate.dense.bias[:6] = -100.0
    probe = ActivationProbe(model)
    with probe.attached():
        model(**watched(model, tokens).inputs(np.arange(30)))
    assert probe.read()["activation_dead_fraction"].tolist() == [0.0, 6 / 24]


def test_head_entropies_are_those_of_the_attention_weights(tokens):
    model = small_bert().train()
    inputs = watched(model, tokens).inputs(np.arange(6))
    state, before = torch.get_rng_state(), model.config._attn_implementation
    found = head_entropies(model.base_model, inputs)
    assert before == "sdpa"
    assert model.config._attn_implementation == "sdpa"
    assert model.training
    assert model.bert.encoder.layer[0].training
    assert torch.equal(torch.get_rng_state(), state)
    eager = small_bert(attn_implementation="eager").eval()
    weights = eager(**inputs, output_attentions=True).attentions
    lengths = inputs["attention_mask"].sum(1).tolist()
    for layer, head in ((0, 0), (0, 1), (1, 1)):
        entropies = [
            -sum(a * math.log(a) for a in weights[layer][row, head, query, :length].tolist() if a > 0)
            for row, length in enumerate(lengths)
            for query in range(length)
        ]
        assert found[layer, head].item() == pytest.approx(np.mean(entropies), rel=1e-5)


def test_attention_weights_have_a_bounded_size(tokens, monkeypatch):
    model = small_bert()
    inputs = watched(model, tokens).inputs(np.argsort(tokens.train.lengths)[-20:])
    monkeypatch.setattr("raybert.training.monitor.attention._MAX_BYTES", 4 * 2 * 2 * 3 * 8 * 8)
    width = math.isqrt(3 * 8 * 8)  # one row of 13 columns
    last = spread_rows(20, 1)
    cut = {name: tensor[last, :width] for name, tensor in inputs.items()}
    found = head_entropies(model.base_model, inputs)
    monkeypatch.undo()
    torch.testing.assert_close(found, head_entropies(model.base_model, cut))
    assert spread_rows(20).tolist() == [0, 3, 5, 8, 11, 14, 16, 19]
    assert spread_rows(3).tolist() == [0, 1, 2]


@pytest.mark.slow
@pytest.mark.parametrize("model_type", SMALL)
@pytest.mark.parametrize("precision", [FP32, BF16], ids=["fp32", "bf16"])
def test_every_architecture_trains_bit_identically_with_everything_on(model_type, precision, tokens, tmp_path):
    def run(folder):
        torch.manual_seed(0)
        config = AutoConfig.for_model(model_type, vocab_size=120, pad_token_id=0, num_labels=3, **SMALL[model_type])
        with quiet_transformers():
            model = AutoModelForSequenceClassification.from_config(config)
        monitor = Monitor(EVERYTHING, watched(model, tokens, precision), folder) if folder else NoMonitor()
        monitor.begin(0)
        losses = train(model, tokens, monitor, precision=precision)
        monitor.close()
        assert not has_our_hooks(model)
        return model, losses, torch.get_rng_state()

    (plain, expected, generator), (model, losses, generator_after) = run(None), run(tmp_path)
    assert torch.equal(losses, expected)
    assert torch.equal(generator_after, generator)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))
    assert model.config.to_dict() == plain.config.to_dict()
    assert [m.training for m in model.modules()] == [m.training for m in plain.modules()]
    rows = pd.read_parquet(tmp_path / "monitor.parquet")
    assert values_of(rows, "gradient_norm").keys() == {
        "model",
        "embeddings",
        "layer.0",
        "layer.1",
        "layer.2",
        "head",
    }
    entropies = rows[rows["quantity"] == "attention_entropy"]
    assert len(entropies) == 4 * 3 * 2  # steps, layers, heads
    assert set(entropies["head"]) == {0, 1}
    assert entropies["value"].between(0, math.log(20)).all()
    assert set(values_of(rows, "activation_dead_fraction")) == {"layer.0", "layer.1", "layer.2"}
    finite = rows[rows["quantity"] != "mfu"]
    assert np.isfinite(finite["value"]).all()


def test_frozen_parameters_are_not_measured_and_shared_ones_once(tokens):
    model = small_bert()
    model.bert.embeddings.requires_grad_(False)
    assert list(trained_layers(model)) == ["layer.0", "layer.1", "head"]
    model.classifier.weight = torch.nn.Parameter(torch.zeros(3, 16))
    num_listed = sum(len(parts) for parts in trained_layers(model).values())
    assert num_listed == sum(p.requires_grad for p in model.parameters())


def test_a_model_that_is_no_encoder_has_its_parts_as_layers_and_says_what_it_lacks(tokens, tmp_path):
    iris = IrisClassifier(IrisSettings(width=8, num_classes=2, num_queries=3), 0)
    assert list(trained_layers(iris)) == ["queries", "head"]
    assert StepFlops.of(iris) is None
    with pytest.raises(ModelError, match=r"monitor\.activations: needs a transformers encoder, IrisClassifier is none"):
        Monitor(MonitorConfig(activations=1), watched(iris, tokens), tmp_path)
    monitor = Monitor(MonitorConfig(attention_entropy=2), watched(iris, tokens), tmp_path)
    with monitor.step(1, np.arange(4)):
        pass
    with (
        pytest.raises(ModelError, match=r"monitor\.attention_entropy: needs a transformers encoder"),
        monitor.step(2, np.arange(4)),
    ):
        pass


def test_hooks_that_saw_nothing_are_an_error(tokens, tmp_path):
    model = small_bert()
    monitor = Monitor(MonitorConfig(activations=1), watched(model, tokens), tmp_path)
    with pytest.raises(ModelError, match=r"saw 0 of 2 layers in the forward pass"), monitor.step(1, np.arange(4)):
        pass


def test_a_step_that_fails_and_is_repeated_is_measured_once(tokens, tmp_path):
    model = small_bert()
    view = watched(model, tokens)
    monitor = Monitor(MonitorConfig(activations=1, attention_entropy=1), view, tmp_path)
    monitor.begin(0)
    with pytest.raises(torch.OutOfMemoryError, match="too much"), monitor.step(1, np.arange(4)):
        raise torch.OutOfMemoryError("too much")
    assert not has_our_hooks(model)
    with monitor.step(1, np.arange(4)):
        model(**view.inputs(np.arange(4)))
    monitor.close()
    rows = pd.read_parquet(tmp_path / "monitor.parquet")
    assert not rows.duplicated(["step", "quantity", "layer", "head"]).any()
    assert len(rows) == 2 * 4 + 2 * 2


# Throughput.


def test_flops_of_a_step_are_those_of_the_palm_formula():
    model = small_bert()
    others = sum(p.numel() for name, p in model.named_parameters() if "embeddings" not in name)
    lengths = np.array([10, 4])
    by_hand = 14 * 6 * others + 12 * 2 * 16 * (10 * 10 + 4 * 4)
    assert StepFlops.of(model)(lengths) == by_hand
    model.bert.embeddings.requires_grad_(False)
    assert StepFlops.of(model)(lengths) == by_hand
    model.bert.encoder.layer[0].requires_grad_(False)
    assert StepFlops.of(model) is None


def test_rates_are_sums_over_the_steps_since_the_last_reading():
    meter = ThroughputMeter(StepFlops(100, 2), peak=1e5)
    meter.add(np.array([10, 4]), [np.array([10]), np.array([4])], 0.5)
    meter.add(np.array([3, 3, 5]), [np.array([3, 3, 5])], 1.5)
    flops = 600 * 25 + 2 * (100 + 16 + 9 + 9 + 25)
    assert meter.read() == pytest.approx(
        {
            "examples_per_second": 5 / 2,
            "tokens_per_second": 25 / 2,
            "padding_fraction": 1 - 25 / 29,
            "mfu": flops / 2 / 1e5,
        }
    )
    meter.add(np.array([2]), [np.array([2])], 1.0)
    assert meter.read()["tokens_per_second"] == 2.0


@pytest.mark.parametrize(
    ("name", "number_format", "tera"),
    [
        ("NVIDIA A100-SXM4-80GB", "bf16", 312),
        ("NVIDIA A100 80GB PCIe", "tf32", 156),
        ("NVIDIA H100 80GB HBM3", "bf16", 989.4),
        ("NVIDIA H100 PCIe", "fp16", 756),
        ("NVIDIA H200", "bf16", 989.4),
        ("Tesla T4", "fp16", 65),
        ("Tesla T4", "bf16", math.nan),
        ("Tesla V100-SXM2-16GB", "fp32", 15.7),
        ("NVIDIA L4", "bf16", 121),
        ("NVIDIA L40", "bf16", math.nan),
        ("NVIDIA A10G", "bf16", math.nan),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "bf16", math.nan),
        ("NVIDIA GeForce RTX 3090", "bf16", 71),
        ("NVIDIA GeForce RTX 4090", "fp16", 165.2),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "fp16", math.nan),
    ],
)
def test_a_peak_is_known_or_nan_and_never_guessed(name, number_format, tera):
    assert peak_flops(name, number_format) == pytest.approx(tera * 1e12, nan_ok=True)


def test_the_peak_of_a_cpu_is_unknown():
    assert math.isnan(device_peak(torch.device("cpu"), BF16))


# Files.


def rows_of(*steps):
    table = {"step": steps, "quantity": ["q"] * len(steps), "layer": ["model"] * len(steps)}
    return pa.table(table | {"head": [None] * len(steps), "value": np.arange(len(steps)) / 2}).cast(MEASUREMENTS)


def steps_in(table):
    return table.read()["step"].to_pylist()


def test_parts_become_one_file_and_more_can_follow(tmp_path):
    table = GrowingTable(tmp_path, "monitor", MEASUREMENTS)
    table.append(rows_of(1, 2))
    table.append(rows_of(3))
    assert steps_in(GrowingTable(tmp_path, "monitor", MEASUREMENTS)) == [1, 2, 3]
    table.merge()
    assert [path.name for path in tmp_path.rglob("*")] == ["monitor.parquet"]
    again = GrowingTable(tmp_path, "monitor", MEASUREMENTS)
    again.append(rows_of(4))
    again.merge()
    assert pq.read_table(tmp_path / "monitor.parquet")["step"].to_pylist() == [1, 2, 3, 4]
    again.keep_until(2)
    assert steps_in(again) == [1, 2]
    again.keep_until(0)
    assert list(tmp_path.rglob("*")) == []


def test_parts_that_a_crash_left_behind_are_not_read_twice(tmp_path):
    table = GrowingTable(tmp_path, "monitor", MEASUREMENTS)
    table.append(rows_of(1, 2))
    part = next(tmp_path.rglob("monitor-*.parquet"))
    kept = part.read_bytes()
    table.merge()
    part.parent.mkdir()
    part.write_bytes(kept)  # the merged file was written, its parts were not deleted
    (part.parent / ".monitor-00001.parquet.1234.tmp").write_bytes(b"torn")
    crashed = GrowingTable(tmp_path, "monitor", MEASUREMENTS)
    assert steps_in(crashed) == [1, 2]
    crashed.append(rows_of(3))
    assert steps_in(GrowingTable(tmp_path, "monitor", MEASUREMENTS)) == [1, 2, 3]


def test_tables_of_two_names_do_not_read_each_other(tmp_path):
    GrowingTable(tmp_path, "monitor_histograms", HISTOGRAMS).append(
        pa.Table.from_pylist([{"step": 1, "layer": "a", "edges": [0.0, 1.0], "counts": [3]}], HISTOGRAMS)
    )
    assert steps_in(GrowingTable(tmp_path, "monitor", MEASUREMENTS)) == []


def test_an_interrupted_run_goes_on_from_its_checkpoint_and_has_every_row_once(tokens, tmp_path):
    config = MonitorConfig(gradient_norm=1, weight_histograms=2, loss_spikes=10.0)
    model = small_bert()
    first = Monitor(config, watched(model, tokens), tmp_path)
    first.begin(0)
    train(model, tokens, first, 4)
    state = json.loads(json.dumps(first.state()))  # as a checkpoint keeps it
    assert len(state["recent_losses"]) == 4
    train(model, tokens, first, 3, first=5)
    first.log.flush()  # and then the process is killed
    second = Monitor(config, watched(model, tokens), tmp_path)
    second.begin(4, state)
    assert list(second.spikes.recent) == state["recent_losses"]
    train(model, tokens, second, 4, first=5)
    second.close()
    rows = pd.read_parquet(tmp_path / "monitor.parquet")
    assert rows["step"].tolist() == np.repeat(np.arange(1, 9), 5).tolist()
    histograms = pd.read_parquet(tmp_path / "monitor_histograms.parquet")
    assert histograms["step"].tolist() == np.repeat([2, 4, 6, 8], 4).tolist()


def test_a_new_run_in_the_same_folder_starts_with_no_rows(tokens, tmp_path):
    config = MonitorConfig(gradient_norm=1)
    monitored(small_bert(), tokens, tmp_path, config, num_steps=6)
    rows = monitored(small_bert(), tokens, tmp_path, config, num_steps=2)
    assert set(rows["step"]) == {1, 2}


def test_histograms_hold_all_weights_of_matrices(tokens, tmp_path):
    model = small_bert()
    monitored(model, tokens, tmp_path, MonitorConfig(weight_histograms=3, gradient_norm=3), num_steps=3)
    table = pd.read_parquet(tmp_path / "monitor_histograms.parquet")
    assert table["layer"].tolist() == list(LAYERS)
    for row in table.to_dict("records"):
        matrices = [p for p in trained_layers(model)[row["layer"]] if p.dim() > 1]
        flat = torch.cat([p.detach().flatten() for p in matrices]).numpy()
        assert sum(row["counts"]) == len(flat)
        assert len(row["edges"]) == 65
        assert (row["edges"][0], row["edges"][-1]) == (flat.min(), flat.max())


def test_a_spike_is_recorded_with_step_and_examples(tokens, tmp_path):
    model = small_bert()
    monitor = Monitor(MonitorConfig(loss_spikes=5.0), watched(model, tokens), tmp_path)
    monitor.begin(0)
    steps = np.repeat(np.arange(1, 31), 4)
    positions = np.arange(120) % 96
    losses = (1.0 + 0.1 * np.sin(steps)).astype(np.float32)
    losses[steps == 27] = [1.0, 1.0, 9.0, 1.0]
    monitor.add_losses(positions, losses, steps)
    monitor.close()
    spikes = pq.read_table(tmp_path / "monitor_spikes.parquet").to_pylist()
    before = np.array([losses[steps == step].mean(dtype=np.float64) for step in range(1, 27)])
    median = np.median(before)
    assert spikes == [
        {
            "step": 27,
            "loss": pytest.approx(3.0),
            "limit": pytest.approx(median + 5 * np.median(np.abs(before - median))),
            "example_ids": ["id8", "id9", "id10", "id11"],
        }
    ]


def test_tensorboard_has_the_same_numbers(tokens, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    rows = monitored(small_bert(), tokens, tmp_path, num_steps=2)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    for row in rows.to_dict("records"):
        head = "" if pd.isna(row["head"]) else f"/head.{int(row['head'])}"
        found = {event.step: event.value for event in events.Scalars(f"{row['quantity']}/{row['layer']}{head}")}
        assert found[row["step"]] == pytest.approx(row["value"], rel=1e-6, nan_ok=True)
    table = pd.read_parquet(tmp_path / "monitor_histograms.parquet")
    assert set(events.Tags()["histograms"]) == {f"weights/{layer}" for layer in LAYERS}
    last = events.Histograms("weights/layer.1")[-1].histogram_value
    assert last.num == sum(table[table["layer"] == "layer.1"]["counts"].iloc[-1])


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {tag: {e.step: e.value for e in events.Scalars(tag)} for tag in events.Tags()["scalars"]}


@pytest.mark.parametrize("stop", [None, 5])
def test_tensorboard_alone_has_losses_rates_and_metrics_also_of_a_run_that_was_interrupted(tokens, tmp_path, stop):
    config = MonitorConfig(tensorboard=True)
    if stop is not None:
        interrupted = StopAfter(tmp_path / "checkpoint", stop)
        assert fit_small(tokens, tmp_path, config, surroundings=interrupted)[0].optimizer_steps == stop
    result, _ = fit_small(tokens, tmp_path, config)
    found = scalars(tmp_path)
    # T = 9, one step of warm-up, then a straight line to 0, at a peak of 0.001
    rates = {1: 0.0, **{step: 1e-3 * (10 - step) / 8 for step in range(2, 10)}}
    assert found["train/learning_rate"] == pytest.approx(rates)
    assert set(found["train/loss"]) == set(range(1, 10))
    for row in result.rows:
        step = row["step"]
        assert found["train/mean_loss"][step] == pytest.approx(row["train_loss"])
        assert found["train/accuracy"][step] == pytest.approx(row["train_accuracy"])
        metrics = {name.removeprefix("validation_"): row[name] for name in row if name.startswith("validation_")}
        assert {"loss", "accuracy", "macro_f1"} <= set(metrics)
        assert {name: found[f"validation/{name}"][step] for name in metrics} == pytest.approx(metrics)
    assert set(found["validation/loss"]) == {4, 8, 9}
    of_four = [found["train/loss"][step] for step in range(1, 5)]  # batches of 16 each
    assert np.mean(of_four) == pytest.approx(result.rows[0]["train_loss"])
    assert not list(tmp_path.glob("monitor*"))


def test_tensorboard_that_is_not_installed_is_one_line(tokens, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(ConfigError, match=r"monitor\.tensorboard: needs the package tensorboard; `pip install raybert"):
        Monitor(MonitorConfig(gradient_norm=1, tensorboard=True), watched(small_bert(), tokens), tmp_path)


def test_nothing_is_measured_unless_asked_on_rank_0_with_a_folder(tokens, tmp_path):
    view = watched(small_bert(), tokens)
    assert not MonitorConfig().is_active
    assert MonitorConfig(tensorboard=True).is_active
    assert not Monitor.create(MonitorConfig(), view, tmp_path, 0).is_active
    assert not Monitor.create(EVERYTHING, view, tmp_path, 1).is_active
    assert Monitor.create(EVERYTHING, view, tmp_path / "checkpoint", 0).is_active
    with pytest.raises(ConfigError, match="monitor: needs a folder to write to, this run has none"):
        Monitor.create(EVERYTHING, view, None, 0)
    with pytest.raises(ConfigError, match=r"monitor\.weights: must be >= 1, got 0"):
        validate_config({"monitor": {"weights": 0}})
    with pytest.raises(ConfigError, match=r"activations and attention_entropy must be null with `model.kind: iris`"):
        validate_config({"model": {"kind": "iris"}, "monitor": {"activations": 5}})
    with pytest.raises(ConfigError, match=r"monitor\.activations: must be null with `train.compile`"):
        validate_config({"train": {"compile": True}, "monitor": {"activations": 5}})


# Failures.


def test_the_batch_of_a_loss_that_is_not_finite_is_left_in_a_file(tokens, tmp_path):
    monitor = Monitor(MonitorConfig(gradient_norm=100), watched(small_bert(), tokens), tmp_path)
    monitor.begin(0)
    losses = np.array([1.0, 2.0, np.nan, 1.0, np.inf, np.nan], np.float32)
    monitor.add_losses(np.arange(6), losses, np.array([7, 7, 8, 8, 8, 9]))
    assert json.loads((tmp_path / "monitor_nan.json").read_text()) == {
        "step": 8,
        "example_ids": ["id2", "id3", "id4"],
        "not_finite": ["id2", "id4"],
    }


def test_broken_weights_are_refused_by_name():
    model = small_bert()
    check_weights(model, 3, "last checkpoint: step 2")
    with torch.no_grad():
        model.bert.encoder.layer[1].output.dense.weight[2, 3] = math.nan
    with pytest.raises(
        TrialError, match=r"step 3: weights must be finite, bert.encoder.layer.1.output.dense.weight is not; last"
    ):
        check_weights(model, 3, "last checkpoint: step 2")


# In the loop.


def fit_small(tokens, folder, monitor=NOTHING, *, surroundings=None, total_steps=9, dropout=0.1, **changes):
    model = small_bert(hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    config = {"batch_size": 16, "micro_batch_size": 5, "learning_rate": 1e-3, "precision": "fp32", "eval_every": 4}
    result = fit(
        model,
        tokens,
        FixedPasses(np.arange(96)),
        FitRequest(TrainConfig(**(config | changes)), total_steps, seed=1, monitor=monitor),
        surroundings or LocalSurroundings(folder / "checkpoint"),
    )
    return result, model


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_fit_gives_the_same_with_all_monitors_on(tokens, tmp_path, precision):
    plain, expected = fit_small(tokens, tmp_path / "plain", precision=precision)
    result, model = fit_small(tokens, tmp_path / "watched", EVERYTHING, precision=precision)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))
    np.testing.assert_array_equal(result.train_losses, plain.train_losses)
    assert result.test_metrics == plain.test_metrics
    assert not (tmp_path / "plain" / "monitor.parquet").exists()
    rows = pd.read_parquet(tmp_path / "watched" / "monitor.parquet")
    assert set(rows["step"]) == set(range(1, 10))
    norms = rows[(rows["quantity"] == "gradient_norm") & (rows["layer"] == "model")]["value"]
    assert norms.between(0.01, 100).all()  # in fp16 too: the scaler's factor is taken out
    assert (rows[rows["quantity"] == "examples_per_second"]["value"] > 0).all()


def test_gradient_norms_are_those_before_clipping(tokens, tmp_path):
    def norms(folder, **changes):
        fit_small(tokens, folder, MonitorConfig(gradient_norm=1), total_steps=1, **changes)
        return values_of(pd.read_parquet(folder / "monitor.parquet"), "gradient_norm")

    free = norms(tmp_path / "free", max_grad_norm=None)
    assert norms(tmp_path / "clipped", max_grad_norm=1e-3) == free
    assert free["model"] > 0.1
    scaled = norms(tmp_path / "scaled", max_grad_norm=None, precision="fp16")
    assert scaled == pytest.approx(free, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [2, 5, 8])
def test_an_interrupted_fit_has_the_rows_of_one_that_was_not(tokens, tmp_path, stop):
    config = MonitorConfig(gradient_norm=1, weights=2, activations=3, attention_entropy=4, weight_histograms=3)
    fit_small(tokens, tmp_path / "whole", config)
    folder = tmp_path / "parts"
    first, _ = fit_small(tokens, folder, config, surroundings=StopAfter(folder / "checkpoint", stop))
    assert first.stopped
    assert first.optimizer_steps == stop
    fit_small(tokens, folder, config)
    for name in ("monitor.parquet", "monitor_histograms.parquet"):
        whole, parts = (pq.read_table(part / name).to_pylist() for part in (tmp_path / "whole", folder))
        assert parts == whole


def test_a_fit_that_breaks_leaves_its_batch_and_what_was_measured(tokens, tmp_path):
    with pytest.raises(TrialError, match=r"step \d: .* must be finite"):
        fit_small(tokens, tmp_path, MonitorConfig(gradient_norm=1), learning_rate=1e30, max_grad_norm=None)
    report = json.loads((tmp_path / "monitor_nan.json").read_text())
    assert len(report["example_ids"]) == 16
    assert set(report["not_finite"]) <= set(report["example_ids"])
    rows = pd.read_parquet(tmp_path / "monitor.parquet")
    assert report["step"] in set(rows["step"])


def test_broken_weights_never_replace_a_good_checkpoint(tokens, tmp_path):
    model = small_bert()
    backward_passes = []

    def break_the_fourth(gradient):
        backward_passes.append(1)
        return gradient * math.inf if len(backward_passes) == 4 else gradient

    model.classifier.bias.register_hook(break_the_fourth)
    config = TrainConfig(batch_size=16, precision="fp32", max_grad_norm=None, checkpoint_seconds=1e-9, eval_every=100)
    message = r"step 4: weights must be finite, classifier.bias is not; last checkpoint: step 3"
    with pytest.raises(TrialError, match=message):
        fit(
            model,
            tokens,
            FixedPasses(np.arange(96)),
            FitRequest(config, total_steps=12, seed=1),
            LocalSurroundings(tmp_path / "checkpoint"),
        )
    weights = load_file(tmp_path / "checkpoint" / "last" / "weights.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())


def test_a_fit_in_smaller_micro_batches_after_memory_ran_out_is_measured_once_per_step(tokens, tmp_path):
    model = small_bert()

    def refuse(_, __, inputs):
        if len(inputs["input_ids"]) > 8 and model.training:
            raise torch.cuda.OutOfMemoryError("too many rows")

    model.register_forward_pre_hook(refuse, with_kwargs=True)
    config = TrainConfig(batch_size=16, precision="fp32")
    everything = EVERYTHING.model_copy(update={"tensorboard": False})
    surroundings = LocalSurroundings(tmp_path / "checkpoint")
    epochs = FixedPasses(np.arange(96))
    result = fit(model, tokens, epochs, FitRequest(config, total_steps=3, seed=1, monitor=everything), surroundings)
    assert result.notes == ("memory ran out at step 1: micro-batches of 8 from there on",)
    rows = pd.read_parquet(tmp_path / "monitor.parquet")
    assert not rows.duplicated(["step", "quantity", "layer", "head"]).any()
    assert set(rows["step"]) == {1, 2, 3}


ON_RANKS = {"dropout": 0.0, "batch_size": 19, "total_steps": 7}


def _watch_as_rank(rank, tokens, folder, monitor):
    surroundings = LocalSurroundings(folder / "checkpoint", rank=rank, world_size=2)
    _, model = fit_small(tokens, folder, monitor, surroundings=surroundings, **ON_RANKS)
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


@pytest.mark.long
@pytest.mark.slow
def test_two_ranks_give_the_same_watched_or_not_and_rank_0_writes(tokens, tmp_path):
    plain, _ = on_ranks(_watch_as_rank, 2, tokens, tmp_path / "plain", NOTHING)
    watched_weights, _ = on_ranks(_watch_as_rank, 2, tokens, tmp_path / "watched", EVERYTHING)
    for name, array in plain.items():
        np.testing.assert_array_equal(watched_weights[name], array)
    fit_small(tokens, tmp_path / "one", MonitorConfig(gradient_norm=1), **ON_RANKS)
    together, alone = (pd.read_parquet(tmp_path / part / "monitor.parquet") for part in ("watched", "one"))
    for step in range(1, 8):
        norms = (values_of(rows, "gradient_norm", step) for rows in (together, alone))
        assert next(norms) == pytest.approx(next(norms), rel=1e-3)
    assert set(together["step"]) == set(range(1, 8))
    assert not together.duplicated(["step", "quantity", "layer", "head"]).any()
