"""IRIS against a plain numpy version, finite differences, hand-computed numbers, and planted chunks."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from raybert.data.chunks import ChunkTable
from raybert.errors import ModelError
from raybert.models import pooled_features
from raybert.models.iris import IrisClassifier, IrisSettings

Batch = dict[str, torch.Tensor]

SMALL = {"width": 6, "num_queries": 3, "top_k": 4}
VARIANTS = [
    {"num_classes": classes, "combine": combine, **pair}
    for classes, combine, pair in product(
        (2, 3), ("concat", "mean"), ({}, {"is_pair": True}, {"is_pair": True, "interaction": False})
    )
]


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def make_table(lengths: list[int], width: int = 6, seed: int = 0, *, is_pair: bool = False) -> ChunkTable:
    generator = np.random.default_rng(seed)
    vectors = unit(generator.standard_normal((sum(lengths), width))).astype(np.float32)
    companions = unit(generator.standard_normal((len(lengths), width))).astype(np.float32) if is_pair else None
    return ChunkTable(vectors, np.cumsum([0, *lengths]), np.arange(len(lengths)) % 2, companions)


def inputs_of(table: ChunkTable, positions: list[int] | None = None) -> Batch:
    batch = table.collate(np.arange(len(table)) if positions is None else np.array(positions))
    del batch["labels"]
    return batch


def build(seed: int = 0, **settings: object) -> IrisClassifier:
    return IrisClassifier(IrisSettings(**{"num_classes": 2, **SMALL, **settings}), seed).eval()


def logits_by_hand(model: IrisClassifier, chunks: np.ndarray, companion: np.ndarray | None) -> np.ndarray:
    """Return the outputs of a linear head for one document, chunk by chunk."""
    settings = model.settings
    summaries = []
    for query in model.queries.detach().double().numpy():
        similarities = [float(query @ chunk / np.linalg.norm(query)) for chunk in chunks]
        retrieved = sorted(range(len(chunks)), key=lambda j: (-similarities[j], j))[: settings.top_k]
        weights = np.exp([similarities[j] / settings.temperature for j in retrieved])
        summaries.append(sum(w * chunks[j] for w, j in zip(weights / weights.sum(), retrieved, strict=True)))
    features = list(np.concatenate(summaries) if settings.combine == "concat" else np.mean(summaries, axis=0))
    if companion is not None:
        features += list(companion)
        if settings.interaction:
            features += [float(summary @ companion) for summary in summaries]
    layer = model.head[-1]
    return layer.weight.detach().double().numpy() @ np.array(features) + layer.bias.detach().double().numpy()


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_logits_are_those_of_a_plain_version(variant):
    model = build(**variant)
    table = make_table([1, 3, 4, 9, 17], is_pair="is_pair" in variant)
    logits = model(**inputs_of(table)).logits
    assert logits.dtype == torch.float32
    for i, row in enumerate(logits.detach().numpy()):
        chunks = table.vectors[table.offsets[i] : table.offsets[i + 1]].astype(np.float64)
        companion = None if table.companions is None else table.companions[i].astype(np.float64)
        expected = logits_by_hand(model, chunks, companion)
        expected = np.array([0.0, expected[0]]) if variant["num_classes"] == 2 else expected
        np.testing.assert_allclose(row, expected, atol=2e-6)


def test_two_classes_at_the_usual_sizes_have_12289_parameters():
    model = IrisClassifier(IrisSettings(width=768, num_classes=2), 0)
    assert sum(parameter.numel() for parameter in model.parameters()) == 12_289
    assert model.queries.numel() == 6_144


def test_two_documents_have_different_logits():
    logits = build()(**inputs_of(make_table([9, 9]))).logits
    assert (logits[0, 1] - logits[1, 1]).abs() > 0.01


@pytest.mark.parametrize("is_pair", [False, True])
def test_the_order_of_a_documents_chunks_does_not_matter(is_pair):
    table, model = make_table([20], is_pair=is_pair), build(is_pair=is_pair)
    order = np.random.default_rng(1).permutation(20)
    permuted = ChunkTable(table.vectors[order], table.offsets, table.labels, table.companions)
    difference = model(**inputs_of(table)).logits - model(**inputs_of(permuted)).logits
    assert difference.abs().max() < 1e-6


@pytest.mark.parametrize("is_pair", [False, True])
def test_the_company_in_a_batch_does_not_matter(is_pair):
    table, model = make_table([2, 7, 40, 12], is_pair=is_pair), build(is_pair=is_pair)
    together = model(**inputs_of(table)).logits
    reversed_order = model(**inputs_of(table, [3, 2, 1, 0])).logits.flip(0)
    alone = torch.cat([model(**inputs_of(table, [i])).logits for i in range(4)])
    assert (together - alone).abs().max() < 1e-6
    assert (together - reversed_order).abs().max() < 1e-6


def test_equal_similarities_go_to_the_earlier_chunk():
    model = build(width=2, num_queries=1, top_k=2)
    with torch.no_grad():
        model.queries.copy_(torch.tensor([[3.0, 0.0]]))
    chunks = torch.tensor([[[0.5, 0.1], [0.5, 0.2], [0.0, 1.0], [0.5, 0.3], [1.0, 0.0]]]).repeat(1, 60, 1)
    retrieval = model.retrieve(chunks[:, :5], torch.ones(1, 5, dtype=torch.bool))
    assert retrieval.chunks.tolist() == [[[4, 0]]]
    assert retrieval.similarities.tolist() == [[[1.0, 0.5]]]
    many = model.retrieve(chunks, torch.ones(1, 300, dtype=torch.bool))
    assert many.chunks.tolist() == [[[4, 9]]]


def test_a_document_with_fewer_chunks_than_top_k_attends_to_its_own_only():
    retrieval = build().retrieve(**inputs_of(make_table([2, 9])))
    assert retrieval.is_chosen[0].sum(-1).tolist() == [2, 2, 2]
    assert sorted(retrieval.chunks[0, 0, :2].tolist()) == [0, 1]
    assert retrieval.attention[0, :, 2:].abs().max() == 0
    torch.testing.assert_close(retrieval.attention.sum(-1), torch.ones(2, 3))
    ratio = torch.exp((retrieval.similarities[0, :, 0] - retrieval.similarities[0, :, 1]) / 0.1)
    torch.testing.assert_close(retrieval.attention[0, :, 0] / retrieval.attention[0, :, 1], ratio, rtol=1e-4, atol=0)


def test_cross_entropy_over_the_two_logits_is_binary_cross_entropy_of_one():
    logits = build()(**inputs_of(make_table([9, 9, 9]))).logits
    labels = torch.tensor([1, 0, 1])
    assert logits[:, 0].tolist() == [0, 0, 0]
    expected = functional.binary_cross_entropy_with_logits(logits[:, 1], labels.float())
    torch.testing.assert_close(functional.cross_entropy(logits, labels), expected)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_gradients_are_those_of_finite_differences_that_do_not_change_the_choice(variant):
    model = build(**variant).double()
    batch = inputs_of(make_table([1, 3, 12], is_pair="is_pair" in variant))
    chunks, mask = batch["chunks"].double(), batch["chunk_mask"]
    companions = batch["companions"].double() if "companions" in batch else None
    similarities = torch.einsum("nd,md->nm", functional.normalize(model.queries, dim=1), chunks[2]).sort(dim=1).values
    assert (similarities[:, -4] - similarities[:, -5] > 1e-3).all()  # what comes 4th and 5th, when top_k is 4
    names = [name for name, _ in model.named_parameters()]

    def logits(*parameters: torch.Tensor) -> torch.Tensor:
        changed = dict(zip(names, parameters, strict=True))
        output: torch.Tensor = functional_call(model, changed, (chunks, mask, companions)).logits
        return output[:, -1:] if variant["num_classes"] == 2 else output

    assert torch.autograd.gradcheck(logits, tuple(model.parameters()), eps=1e-6, atol=1e-7)


def test_no_gradient_reaches_the_embeddings():
    model = build(is_pair=True)
    batch = inputs_of(make_table([5, 9], is_pair=True))
    batch["chunks"].requires_grad_()
    batch["companions"].requires_grad_()
    model(**batch).logits.sum().backward()
    assert batch["chunks"].grad is None
    assert batch["companions"].grad is None
    assert model.queries.grad is not None
    assert (model.queries.grad.norm(dim=1) > 0).all()


def test_with_one_chunk_queries_get_no_gradient():
    model = build()
    model(**inputs_of(make_table([1, 1]))).logits[:, 1].sum().backward()
    assert model.queries.grad is not None
    assert model.queries.grad.abs().max() == 0


def with_queries(*rows: list[float]) -> IrisClassifier:
    model = build(width=2, num_queries=len(rows))
    with torch.no_grad():
        model.queries.copy_(torch.tensor(rows))
    return model


def test_the_penalty_is_a_sum_over_ordered_pairs_of_queries():
    side = (1 - 0.9**2) ** 0.5
    near = with_queries([2.0, 0.0], [0.9, side])
    assert near.penalty().item() == pytest.approx(2 * 0.1 * (0.9 - 0.4))
    third = with_queries([2.0, 0.0], [0.9, side], [0.9, -side])  # the new one and the second: cosine .62
    assert third.penalty().item() == pytest.approx(2 * 0.1 * (0.5 + 0.5 + 0.22))
    assert with_queries([1.0, 0.0], [0.3, 1.0]).penalty().item() == 0
    near.penalty().backward()
    assert near.queries.grad is not None
    first_query, gradient = near.queries.detach()[0], near.queries.grad[0]
    assert (first_query @ gradient).item() == pytest.approx(0)  # only its direction
    assert (near.queries.detach()[1] @ gradient).item() > 0  # a step down leads away from the other


def test_a_seed_decides_queries_and_head_and_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    first, again, other = (build(seed, hidden_sizes=(5,)) for seed in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    for (name, a), b, c in zip(first.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b), name
        assert not torch.equal(a, c), name


def test_queries_are_standard_normal_and_the_head_is_as_torch_makes_it():
    model = build(7, hidden_sizes=(5,))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        queries = torch.randn(3, 6)
        layers = nn.Linear(18, 5), nn.Linear(5, 1)
    torch.testing.assert_close(model.queries.detach(), queries)
    made = [module for module in model.head if isinstance(module, nn.Linear)]
    for ours, torchs in zip(made, layers, strict=True):
        torch.testing.assert_close(ours.weight, torchs.weight)
        torch.testing.assert_close(ours.bias, torchs.bias)


def test_autocast_changes_nothing():
    model, batch = build(), inputs_of(make_table([5, 9]))
    with torch.autocast("cpu", torch.bfloat16):
        inside = model(**batch).logits
    assert torch.equal(inside, model(**batch).logits)


@pytest.mark.parametrize("hidden_sizes", [(), (7, 5)])
def test_dropout_works_in_training_only_and_features_are_the_input_of_the_last_layer(hidden_sizes):
    model, batch = build(hidden_sizes=hidden_sizes, dropout=0.5), inputs_of(make_table([5, 9]))
    logits, last_input = pooled_features(model, batch)
    assert torch.equal(logits, model(**batch).logits)
    features = model.features(**batch)
    assert torch.equal(last_input, model.head[:-1](features))
    assert features.shape == (2, 18)
    model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert not torch.equal(model(**batch).logits, logits)


def test_an_mlp_head_is_gelu_between_linear_layers():
    model, batch = build(hidden_sizes=(5,), num_classes=3), inputs_of(make_table([5, 9]))
    first, second = (module for module in model.head if isinstance(module, nn.Linear))
    inner = model.features(**batch) @ first.weight.T + first.bias
    inner = inner * (1 + torch.erf(inner / 2**0.5)) / 2
    torch.testing.assert_close(model(**batch).logits, inner @ second.weight.T + second.bias)


def test_decay_leaves_out_only_queries():
    model = build(hidden_sizes=(5,))
    assert model.no_decay_names() == {"queries"}
    assert model.no_decay_names() <= dict(model.named_parameters()).keys()


@pytest.mark.parametrize("variant", [{}, {"hidden_sizes": (5,), "num_classes": 3, "is_pair": True, "combine": "mean"}])
def test_a_saved_classifier_answers_as_before(tmp_path, variant):
    model = build(5, temperature=0.2, **variant)
    model.save_pretrained(tmp_path / "best")
    loaded = IrisClassifier.from_pretrained(tmp_path / "best")
    batch = inputs_of(make_table([3, 9], is_pair="is_pair" in variant))
    assert loaded.settings == model.settings
    assert not loaded.training
    assert torch.equal(loaded(**batch).logits, model(**batch).logits)
    assert json.loads((tmp_path / "best/config.json").read_text())["model_type"] == "raybert-iris"


def test_a_folder_without_an_iris_classifier_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"must hold a saved IRIS classifier, has no config\.json"):
        IrisClassifier.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ModelError, match="model_type: must be 'raybert-iris', got 'bert'"):
        IrisClassifier.from_pretrained(tmp_path)


def test_pairs_without_first_texts_are_refused():
    with pytest.raises(ModelError, match="needs the embeddings of first texts, got none"):
        build(is_pair=True)(**inputs_of(make_table([3])))


def test_an_mlp_has_no_contributions():
    model = build(hidden_sizes=(5,))
    retrieval = model.retrieve(**inputs_of(make_table([9])))
    with pytest.raises(ModelError, match=r"model\.head: must be linear for contributions.*got hidden sizes \[5\]"):
        model.contributions(retrieval)


WIDTH, NUM_CHUNKS = 32, 40


def planted_table(num_documents: int, key: np.ndarray, generator: np.random.Generator) -> tuple[ChunkTable, np.ndarray]:
    """Return documents of 40 random chunks, and where in the positives (every second) one is near the key instead."""
    vectors = unit(generator.standard_normal((num_documents, NUM_CHUNKS, WIDTH)))
    places = generator.integers(0, NUM_CHUNKS, num_documents)
    noise = generator.standard_normal((num_documents, WIDTH)) / np.sqrt(WIDTH)
    positives = np.arange(1, num_documents, 2)
    vectors[positives, places[positives]] = unit(key + noise)[positives]
    offsets, labels = np.arange(num_documents + 1) * NUM_CHUNKS, np.arange(num_documents) % 2
    return ChunkTable(vectors.reshape(-1, WIDTH).astype(np.float32), offsets, labels), places


def train(model: IrisClassifier, table: ChunkTable, validation: ChunkTable) -> None:
    """Train as IRIS is trained: AdamW, a constant rate, early stopping on the loss."""
    groups = [
        {"params": [model.queries], "weight_decay": 0.0},
        {"params": list(model.head.parameters()), "weight_decay": 1e-4},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    generator = np.random.default_rng(0)
    losses: list[float] = []
    states = []
    while len(losses) < 50 and len(losses) - 5 <= int(np.argmin(losses or [0])):
        model.train()
        for rows in np.array_split(generator.permutation(len(table)), len(table) // 32):
            batch = table.collate(rows)
            labels = batch.pop("labels")
            optimizer.zero_grad()
            (functional.cross_entropy(model(**batch).logits, labels) + model.penalty()).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            logits = model(**inputs_of(validation)).logits
        losses.append(functional.cross_entropy(logits, torch.from_numpy(validation.labels)).item())
        states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
    model.load_state_dict(states[int(np.argmin(losses))])


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_query_finds_the_planted_chunk_of_positives(seed):
    generator = np.random.default_rng(seed)
    key = unit(generator.standard_normal(WIDTH))
    tables = [planted_table(size, key, generator) for size in (640, 320, 1000)]
    (training, _), (validation, _), (test, places) = tables
    model = IrisClassifier(IrisSettings(WIDTH, 2), seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # dropout
        train(model, training, validation)

    with torch.no_grad():
        iris_auc = roc_auc_score(test.labels, model(**inputs_of(test)).logits[:, 1])
        top = model.retrieve(**inputs_of(test)).chunks[:, :, 0].numpy()  # (n, N)
    found = (top == places[:, None])[test.labels == 1].mean(axis=0).max()
    linear = LogisticRegression(C=100, max_iter=1000).fit(training.mean_vectors(), training.labels)
    mean_auc = roc_auc_score(test.labels, linear.decision_function(test.mean_vectors()))
    print(f"seed {seed}: found {found:.3f}, AUC {iris_auc:.3f}, of mean-pool + logistic regression {mean_auc:.3f}")
    assert found >= 0.7  # chance: 1 of 40
    assert iris_auc > mean_auc + 0.15
