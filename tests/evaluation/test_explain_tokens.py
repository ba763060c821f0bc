"""What token models attend to, what their weights were before: as transformers and torch give it; and the pictures."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from transformers import AutoModel

from raybert.analysis.plot_formats import in_formats
from raybert.analysis.plots.weights import draw_weights
from raybert.errors import ConfigError, DataError
from raybert.evaluation.explain_plots import draw_attention, write_explanation_plots
from raybert.evaluation.explain_tokens import explain_texts
from raybert.evaluation.trained_model import TokenReader, TrainedModel
from raybert.evaluation.weights import compare_weights
from raybert.models import load_backbone, load_classifier, load_tokenizer
from raybert.models.description import DataColumns, ModelDescription
from tests.analysis.plots.layout import flaws

TEXTS = ["red green", "one two three north south red"]


def model_of(encoder, *, pair: bool = False) -> TrainedModel:
    columns = DataColumns(text_pair="second" if pair else None)
    description = ModelDescription(label_names=("no", "yes"), max_length=16, columns=columns)
    reader = TokenReader(load_tokenizer(encoder), 16)
    return TrainedModel(encoder.path, description, (), load_classifier(encoder, ("no", "yes"), 0), reader, "fp32")


def test_attention_is_what_the_encoder_gives_for_each_text(tiny_bert):
    model = model_of(tiny_bert)
    found = explain_texts(model, TEXTS, ["one", "two"])
    encoder = model.model.base_model.eval()
    before = encoder.config._attn_implementation
    plain = AutoModel.from_config(copy.deepcopy(encoder.config), attn_implementation="eager").eval()
    plain.load_state_dict(encoder.state_dict())
    for text, pieces, attention in zip(TEXTS, found.pieces, found.attention, strict=True):
        inputs = model.reader.tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            expected = plain(**inputs, output_attentions=True).attentions
        np.testing.assert_allclose(attention, np.stack([each[0].numpy() for each in expected]), atol=1e-5)
        assert list(pieces) == model.reader.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist())
    assert encoder.config._attn_implementation == before
    with torch.no_grad():
        logits = model.model.eval()(**model.reader.tokenizer(TEXTS[0], return_tensors="pt")).logits
    np.testing.assert_allclose(found.probs[0], logits.softmax(-1)[0].numpy(), atol=1e-5)


def test_the_table_has_a_row_per_piece_of_the_layer_that_is_asked_for(tiny_bert):
    found = explain_texts(model_of(tiny_bert), TEXTS, ["one", "two"], layer=0)
    rows = found.documents
    assert rows.columns.tolist() == ["text", "place", "piece", "received", "of_first"]
    assert rows["text"].tolist() == ["one"] * len(found.pieces[0]) + ["two"] * len(found.pieces[1])
    second = rows[rows["text"] == "two"]
    np.testing.assert_allclose(second["received"], found.attention[1][0].mean(axis=(0, 1)), rtol=1e-6)
    np.testing.assert_allclose(second["of_first"], found.attention[1][0][:, 0].mean(axis=0), rtol=1e-6)
    assert second["received"].sum() == pytest.approx(1.0, abs=1e-5)
    assert explain_texts(model_of(tiny_bert), TEXTS[:1], ["one"]).layer == 1


def test_layers_and_pairs_that_are_not_there_are_refused(tiny_bert):
    with pytest.raises(ConfigError, match=r"layer: must be in 0\.\.1 \(layers of the encoder\), got 2"):
        explain_texts(model_of(tiny_bert), TEXTS, ["one", "two"], layer=2)
    with pytest.raises(DataError, match=r"was trained on pairs \(text, text_pair\), got a single text"):
        explain_texts(model_of(tiny_bert, pair=True), TEXTS, ["one", "two"])
    with pytest.raises(DataError, match="was trained on single texts, got a pair"):
        explain_texts(model_of(tiny_bert), [("red", "green")], ["one"])
    pairs = explain_texts(model_of(tiny_bert, pair=True), [("red", "green")], ["one"])
    assert pairs.pieces[0].count("[SEP]") == 2


def test_weights_are_compared_layer_by_layer(tiny_bert):
    model, before = load_classifier(tiny_bert, ("no", "yes"), 0), load_backbone(tiny_bert)
    with torch.no_grad():
        model.base_model.encoder.layer[1].output.dense.weight.add_(0.01)
    found = {layer.name: layer for layer in compare_weights(model, before)}
    assert list(found) == ["embeddings", "layer.0", "layer.1", "head"]
    changed = model.base_model.encoder.layer[1].output.dense.weight
    assert found["layer.1"].norm_of_change == pytest.approx(0.01 * changed.numel() ** 0.5, rel=1e-4)
    assert found["layer.0"].norm_of_change == 0.0
    parts = torch.cat([p.detach().flatten() for p in before.encoder.layer[0].parameters()])
    assert found["layer.0"].norm_before == pytest.approx(float(parts.norm()), rel=1e-5)
    assert found["head"].norm_before is None  # the classifier's own layers were not there
    matrices = torch.cat([p.detach().flatten() for p in before.encoder.layer[0].parameters() if p.dim() > 1])
    layer = found["layer.0"]
    inside = (matrices >= float(layer.edges[0])) & (matrices <= float(layer.edges[-1]))
    assert layer.counts_before is not None
    assert layer.counts_before.sum() == int(inside.sum())


@pytest.mark.long
@pytest.mark.slow
def test_pictures_have_no_flaws(tiny_bert, tmp_path):
    model = model_of(tiny_bert)
    found = explain_texts(model, [*TEXTS, " ".join(["red green blue"] * 40)], ["text 0", "text 1", "text 2"])
    with in_formats(["png"]):
        assert [path.name for path in write_explanation_plots(found, tmp_path)] == [
            "attention_text_0.png",
            "attention_text_1.png",
            "attention_text_2.png",
        ]
    assert not flaws(draw_attention(found.pieces[1], found.attention[1][0], 0, "text 1"))
    assert not flaws(draw_weights(compare_weights(model.model, load_backbone(tiny_bert))))
    assert not flaws(draw_weights(compare_weights(model.model, torch.nn.Linear(2, 2))))
