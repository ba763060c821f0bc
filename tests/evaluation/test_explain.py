"""Explanations: their terms sum to the logit, their text is the chunk's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from raybert.config import validate_config
from raybert.data.chunks import ChunkTable
from raybert.errors import ModelError
from raybert.evaluation.explain_plots import draw_query_overlap, draw_retrieval
from raybert.evaluation.retrieval import explain_documents, shared_chunks, strongest_chunks
from raybert.models.iris import IrisClassifier, IrisSettings, iris_settings
from raybert.tables.evaluation import EXPLAINED, QUERY_OVERLAP
from tests.analysis.plots.layout import flaws

LENGTHS = [1, 3, 12, *[7] * 40]
VARIANTS = [
    {"num_classes": 2},
    {"num_classes": 2, "combine": "mean"},
    {"num_classes": 3},
    {"num_classes": 2, "is_pair": True},
    {"num_classes": 3, "is_pair": True, "combine": "mean"},
    {"num_classes": 2, "is_pair": True, "interaction": False},
]


def example(**settings: object) -> tuple[IrisClassifier, ChunkTable, np.ndarray, list[str]]:
    """Return a random classifier in train mode, and documents whose chunks are the words `<document>-<chunk>`."""
    model = IrisClassifier(IrisSettings(**{"width": 6, "num_queries": 3, "top_k": 4, **settings}), 1)
    generator = np.random.default_rng(2)
    vectors = generator.standard_normal((sum(LENGTHS), 6)).astype(np.float32)
    companions = generator.standard_normal((len(LENGTHS), 6)).astype(np.float32) if model.settings.is_pair else None
    offsets = np.cumsum([0, *LENGTHS])
    table = ChunkTable(vectors, offsets, np.zeros(len(LENGTHS), np.int64), companions)
    words = [[f"{i:02d}-{j:02d}" for j in range(length)] for i, length in enumerate(LENGTHS)]
    spans = np.concatenate([np.arange(length)[:, None] * 6 + [0, 5] for length in LENGTHS])
    return model, table, spans, [" ".join(row) for row in words]


def logits_of(model: IrisClassifier, table: ChunkTable) -> np.ndarray:
    batch = table.collate(np.arange(len(table)))
    del batch["labels"]
    with torch.no_grad():
        return model.eval()(**batch).logits.numpy()


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_terms_of_a_document_sum_to_its_logit(variant):
    model, table, spans, texts = example(**variant)
    frame = explain_documents(model, table, np.arange(len(table)), spans, texts)
    sums = frame.groupby("position")["contribution"].sum().to_numpy()
    labels = frame.groupby("position")["label"].first().to_numpy()
    logits = logits_of(model, table)
    expected_labels = np.ones(len(table)) if variant["num_classes"] == 2 else logits.argmax(1)
    assert labels.tolist() == expected_labels.tolist()
    np.testing.assert_allclose(sums, logits[np.arange(len(table)), labels], atol=1e-5)


def test_the_logit_of_any_class_can_be_explained():
    model, table, spans, texts = example(num_classes=3)
    logits = logits_of(model, table)
    for label in range(3):
        frame = explain_documents(model, table, np.array([5, 2]), spans, texts, label=label)
        sums = frame.groupby("position", sort=False)["contribution"].sum()
        assert sums.index.tolist() == [5, 2]
        np.testing.assert_allclose(sums, logits[[5, 2], label], atol=1e-5)


def test_chunk_rows_say_what_was_retrieved_and_its_text():
    model, table, spans, texts = example(num_classes=2)
    frame = explain_documents(model, table, np.array([2, 1]), spans, texts)
    chunks = frame[(frame["term"] == "chunk") & (frame["position"] == 2)]
    assert chunks["query"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert chunks["text"].tolist() == [f"02-{chunk:02d}" for chunk in chunks["chunk"]]
    queries = model.queries.detach().numpy()
    weights = model.head[-1].weight.detach().numpy().reshape(3, 6)
    for query, rows in chunks.groupby("query"):
        vectors = table.vectors[4:16]
        similarities = vectors @ queries[query] / np.linalg.norm(queries[query])
        best = np.argsort(-similarities)[:4]
        attention = np.exp(similarities[best] / 0.1) / np.exp(similarities[best] / 0.1).sum()
        assert rows["chunk"].tolist() == best.tolist()
        np.testing.assert_allclose(rows["similarity"], similarities[best], rtol=1e-5)
        np.testing.assert_allclose(rows["attention"], attention, rtol=1e-4, atol=1e-9)
        np.testing.assert_allclose(rows["contribution"], attention * (vectors[best] @ weights[query]), atol=1e-6)
    assert len(frame[frame["position"] == 1]) == 3 * 3 + 1  # three chunks, less than top_k


def test_terms_that_are_of_no_chunk_have_rows_without_query():
    model, table, spans, texts = example(num_classes=2, is_pair=True)
    frame = explain_documents(model, table, np.array([0]), spans, texts)
    others = frame[frame["term"] != "chunk"]
    assert others["term"].tolist() == ["companion", "interaction", "bias"]
    assert others[["query", "chunk", "similarity", "attention", "text"]].isna().all(axis=None)
    assert others["contribution"].iloc[-1] == pytest.approx(model.head[-1].bias.item())


def test_no_positions_give_an_empty_frame_with_the_same_columns():
    model, table, spans, texts = example(num_classes=2)
    some = explain_documents(model, table, np.array([0]), spans, texts)
    none = explain_documents(model, table, np.array([], np.int64), spans, texts)
    assert none.columns.tolist() == some.columns.tolist() == EXPLAINED.order()[2:]  # who reads texts adds the ids
    assert len(none) == 0


@pytest.mark.parametrize(("num_classes", "label", "rule"), [(3, 3, r"0\.\.2"), (2, 0, r"1\.\.1")])
def test_a_label_without_logit_is_refused(num_classes, label, rule):
    model, table, spans, texts = example(num_classes=num_classes)
    with pytest.raises(ModelError, match=rf"label: must be in {rule} \(has a logit\), got {label}"):
        explain_documents(model, table, np.array([0]), spans, texts, label=label)


def test_an_mlp_head_is_refused():
    model, table, spans, texts = example(num_classes=2, hidden_sizes=(4,))
    with pytest.raises(ModelError, match=r"model\.head: must be linear for contributions"):
        explain_documents(model, table, np.array([0]), spans, texts)


def test_the_strongest_chunks_of_each_query_come_first_and_parts_can_be_joined():
    rows = [(0, 0, 0.1), (0, 1, 2.0), (1, 0, 0.3), (1, 1, -1.0), (2, 0, 0.2), (2, 1, 0.5)]
    frame = pd.DataFrame(rows, columns=["position", "query", "contribution"]).assign(term="chunk", label=1)
    bias = pd.DataFrame({"position": [0], "query": [None], "contribution": [9.0], "term": ["bias"], "label": [1]})
    strongest = strongest_chunks(pd.concat([frame, bias.astype({"query": "Int64"})]), 2)
    assert strongest[["query", "position"]].to_numpy().tolist() == [[0, 1], [0, 2], [1, 0], [1, 2]]
    parts = pd.concat([strongest_chunks(frame[:3], 2), strongest_chunks(frame[3:], 2)])
    joined = strongest_chunks(parts, 2)
    assert joined[["query", "position"]].to_numpy().tolist() == strongest[["query", "position"]].to_numpy().tolist()


def brute_force_overlap(model: IrisClassifier, table: ChunkTable, one: int, other: int) -> float:
    """The mean Jaccard index of what two queries retrieve, document by document."""
    queries, k = torch.nn.functional.normalize(model.queries.detach(), dim=-1).numpy(), model.settings.top_k
    shares = []
    for start, end in zip(table.offsets[:-1], table.offsets[1:], strict=True):
        if end - start > k:
            first, second = (set(np.argsort(-(table.vectors[start:end] @ queries[q]))[:k]) for q in (one, other))
            shares.append(len(first & second) / len(first | second))
    return float(np.mean(shares))


def test_the_overlap_of_queries_is_that_of_what_they_retrieve():
    model, table, _, _ = example(num_classes=2)
    found = shared_chunks(model, table)
    assert found.columns.tolist() == QUERY_OVERLAP.order()
    assert found[["query", "other"]].values.tolist() == [[0, 1], [0, 2], [1, 2]]
    for row in found.to_dict("records"):
        assert row["jaccard"] == pytest.approx(brute_force_overlap(model, table, row["query"], row["other"]), abs=1e-6)
    queries = torch.nn.functional.normalize(model.queries.detach(), dim=-1)
    assert found["cosine"].iloc[1] == pytest.approx(float(queries[0] @ queries[2]), abs=1e-6)
    # 12 chunks once and 7 forty times, 4 of each retrieved: by chance 16 / m are shared, so of 8 - 16 / m the part 4 / (2 m - 4)
    expected = np.mean([4 / (2 * m - 4) for m in (12, *[7] * 40)])
    assert found["jaccard_by_chance"].iloc[0] == pytest.approx(expected)


def test_where_every_query_reads_everything_no_overlap_is_claimed():
    model, table, _, _ = example(num_classes=2, top_k=12)
    found = shared_chunks(model, table)
    assert found["jaccard"].isna().all()
    assert found["cosine"].notna().all()


def test_weight_and_margin_of_the_penalty_are_keys_and_ids_hold_them_where_they_are_set():
    plain = validate_config({"model": {"kind": "iris"}})
    same = validate_config({"model": {"kind": "iris", "iris": {"diversity_weight": 0.1, "diversity_margin": 0.4}}})
    other = validate_config({"model": {"kind": "iris", "iris": {"diversity_weight": 0.5, "diversity_margin": 0.2}}})
    assert plain.model.task() == same.model.task()
    assert "diversity_weight" not in plain.model.task()["iris"]
    assert other.model.task()["iris"] == plain.model.task()["iris"] | {"diversity_weight": 0.5, "diversity_margin": 0.2}
    assert plain.model.data_part() == other.model.data_part()
    settings = iris_settings(other.model, 6, 2, is_pair=False)
    model = IrisClassifier(settings, 1)
    with torch.no_grad():
        model.queries.copy_(torch.eye(8, 6) + 0.2)
    queries = torch.nn.functional.normalize(model.queries.detach(), dim=-1).numpy()
    cosines = queries @ queries.T
    expected = 0.5 * sum(max(0.0, cosines[i, j] - 0.2) for i in range(8) for j in range(8) if i != j)
    assert model.penalty().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_pictures_of_retrieval_and_overlap_have_no_flaws():
    model, table, spans, texts = example(num_classes=2)
    frame = explain_documents(model, table, np.array([2, 5]), spans, texts)
    frame.insert(0, "split", "test")
    for _, rows in frame.groupby("position"):
        figure = draw_retrieval(rows, ("no", "yes"), np.array([0.25, 0.75]))
        assert not flaws(figure)
        attention = figure.axes[0].images[0].get_array()
        assert attention.sum() == pytest.approx(3.0, abs=1e-5)  # three queries
    assert not flaws(draw_query_overlap(shared_chunks(model, table)))
