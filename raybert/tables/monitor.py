"""The tables that `monitor` writes while a run trains."""

from __future__ import annotations

from raybert.tables.schema import Column, Table

_STEP = Column("step", "whole", "optimizer steps done, this one included", "steps")

MONITOR = Table(
    "monitor",
    "a measurement at a step: of the whole model, a layer, or a head (`trials/<id>/monitor.parquet`)",
    (
        _STEP,
        Column("quantity", "text", "what was measured, e.g. `gradient_norm`"),
        Column("layer", "text", "where; `model`: all of it"),
        Column("head", "count32", "number of the attention head, where there is one of each", optional=True),
        Column("value", "number", "the measurement"),
    ),
)

MONITOR_HISTOGRAMS = Table(
    "monitor_histograms",
    "a layer at a step: a histogram of its weights (`trials/<id>/monitor_histograms.parquet`)",
    (
        _STEP,
        Column("layer", "text", "whose matrices"),
        Column("edges", "numbers", "of the bins, one more than there are bins"),
        Column("counts", "counts", "weights in each bin", "weights"),
    ),
)

MONITOR_SPIKES = Table(
    "monitor_spikes",
    "a step whose loss stands out (`trials/<id>/monitor_spikes.parquet`)",
    (
        _STEP,
        Column("loss", "number", "mean loss of its batch", "nat"),
        Column("limit", "number", "what it was above", "nat"),
        Column("example_ids", "texts", "ids of the examples of the batch"),
    ),
)
