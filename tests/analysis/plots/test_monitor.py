import numpy as np
import pandas as pd
import pytest

from raybert.analysis.plots.monitor import (
    draw_activations,
    draw_attention_entropy,
    draw_gradient_norms,
    draw_throughput,
    draw_update_ratios,
    write_monitor_plots,
)

NUM_LAYERS, NUM_HEADS = 12, 12
LAYERS = ["model", "embeddings", *(f"layer.{i}" for i in range(NUM_LAYERS)), "head"]


def rows_of_a_run(steps, num_layers=NUM_LAYERS):
    """Rows as a monitor writes them, with values that their step and layer give away."""
    rows = []
    layers = ["model", "embeddings", *(f"layer.{i}" for i in range(num_layers)), "head"]
    for step in steps:
        for depth, layer in enumerate(layers):
            rows.append((step, "gradient_norm", layer, None, 10.0 / (1 + step) * (depth + 1)))
            rows.append((step, "update_ratio", layer, None, 1e-3 * (1 + depth) / step))
        for i in range(num_layers):
            for quantity, value in (
                ("activation_mean", -0.01 * i),
                ("activation_std", 1 + 0.1 * i + step / 1000),
                ("activation_kurtosis", i * i + step / 10),
                ("activation_dead_fraction", 0.02 * i),
            ):
                rows.append((step, quantity, f"layer.{i}", None, value))
            rows += [(step, "attention_entropy", f"layer.{i}", h, 0.1 * i + 0.2 * h) for h in range(NUM_HEADS)]
        for quantity, value in (
            ("examples_per_second", 200 + 20 * np.sin(step)),
            ("tokens_per_second", 9000 + 900 * np.sin(step)),
            ("padding_fraction", 0.05 + 0.03 * np.cos(step)),
            ("mfu", np.nan),
        ):
            rows.append((step, quantity, "model", None, value))
    return pd.DataFrame(rows, columns=["step", "quantity", "layer", "head", "value"]).astype({"head": "Int32"})


@pytest.fixture
def rows():
    return rows_of_a_run(range(10, 501, 10))


def test_gradient_norms_show_the_model_the_layers_and_the_spikes(rows):
    figure = draw_gradient_norms(rows, pd.DataFrame({"step": [100, 250]}))
    top, bottom = figure.axes[:2]
    line, *marks = top.lines
    np.testing.assert_allclose(line.get_ydata(), [10 / (1 + step) for step in range(10, 501, 10)])
    assert [mark.get_xdata()[0] for mark in marks] == [100, 250]
    assert [label.get_text() for label in bottom.get_yticklabels()] == LAYERS[1:]
    image = bottom.images[0].get_array()
    assert image.shape == (14, 50)
    assert image[0, 0] == pytest.approx(10 / 11 * 2)
    assert image[13, 49] == pytest.approx(10 / 501 * 15)
    assert bottom.images[0].get_extent() == [5, 505, 13.5, -0.5]


def test_update_ratios_have_a_line_per_layer_and_name_the_others(rows):
    axes = draw_update_ratios(rows).axes[0]
    assert len(axes.lines) == len(LAYERS)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["model", "embeddings", "head"]
    assert axes.get_yscale() == "log"
    np.testing.assert_allclose(axes.lines[0].get_ydata()[:2], [3e-4, 1.5e-4])  # layer.0 is third in depth


def test_activations_have_a_panel_per_quantity(rows):
    figure = draw_activations(rows)
    panels = figure.axes[:4]
    assert [axes.get_title(loc="left") for axes in panels] == [
        "mean",
        "standard deviation",
        "excess kurtosis",
        "dead units of the feed-forward block",
    ]
    assert [len(axes.lines) for axes in panels] == [NUM_LAYERS] * 4
    assert panels[2].lines[3].get_ydata()[0] == pytest.approx(9 + 1)


def test_attention_entropy_shows_the_last_step_by_layer_and_head(rows):
    left, right = draw_attention_entropy(rows).axes[:2]
    image = left.images[0].get_array()
    assert image.shape == (NUM_LAYERS, NUM_HEADS)
    assert image[11, 2] == pytest.approx(1.1 + 0.4)  # layer.11, not the alphabet's second
    assert left.get_title(loc="left") == "step 500"
    assert len(left.texts) == NUM_LAYERS * NUM_HEADS
    assert right.lines[0].get_ydata()[0] == pytest.approx(0.2 * 5.5)


def test_throughput_leaves_out_what_is_unknown(rows):
    figure = draw_throughput(rows)
    assert [axes.get_ylabel() for axes in figure.axes] == ["examples / s", "tokens / s", "padding"]
    rows.loc[rows["quantity"] == "mfu", "value"] = 0.3
    assert draw_throughput(rows).axes[-1].get_ylabel() == "MFU"


@pytest.mark.long
@pytest.mark.slow
def test_one_measured_step_is_enough_and_a_gradient_of_zero_too(tmp_path):
    rows = rows_of_a_run([5], num_layers=1)
    rows.loc[rows["quantity"] == "gradient_norm", "value"] = 0.0
    rows.to_parquet(tmp_path / "monitor.parquet")
    assert [path.stem for path in write_monitor_plots(tmp_path, tmp_path / "plots")] == [
        name
        for name in ("gradient_norm", "update_ratio", "activations", "attention_entropy", "throughput")
        for _ in ("png", "svg")
    ]


@pytest.mark.long
@pytest.mark.slow
def test_only_what_was_measured_is_drawn(rows, tmp_path):
    assert write_monitor_plots(tmp_path, tmp_path / "plots") == []
    rows.to_parquet(tmp_path / "monitor.parquet")
    assert len(write_monitor_plots(tmp_path, tmp_path / "plots")) == 10
    rows[rows["quantity"] == "gradient_norm"].to_parquet(tmp_path / "monitor.parquet")
    pd.DataFrame({"step": [40], "loss": [3.0]}).to_parquet(tmp_path / "monitor_spikes.parquet")
    paths = write_monitor_plots(tmp_path, tmp_path / "plots")
    assert [path.name for path in paths] == ["gradient_norm.png", "gradient_norm.svg"]
    assert sorted((tmp_path / "plots").iterdir()) == paths
