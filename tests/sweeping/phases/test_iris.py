"""IRIS in a sweep: chunks embedded once, pairs, proxies, and explanations that add up."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from raybert.config import validate_config
from raybert.errors import ConfigError, ModelError
from raybert.evaluation.explain import explain_run
from raybert.evaluation.trained_model import TrainedModel
from raybert.files import cache_folder
from raybert.models import load_backbone, load_model, load_tokenizer
from raybert.models.description import read_description, write_description
from raybert.selection.scorers.models import DocumentEmbeddingScorer, ProxyScorer
from raybert.selection.scorers.scorer import Arithmetic, ScoringData
from raybert.selection.store import ScoreStore
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.embed_chunks import chunk_job, embed_chunks_here
from raybert.sweeping.phases.prepare import prepare_variants
from raybert.sweeping.plan.grid import expand_grid
from raybert.sweeping.trial.run import run_trial
from raybert.terminal.explanation import explanation_lines
from raybert.training import Inference
from tests.sweeping.planning import plan_of

WORDS = ["red", "green", "blue", "one", "two", "three", "north", "south"]


def documents(count, seed, pairs):
    """Documents of 5 to 60 words; those of class 1 have `blue blue blue` somewhere."""
    generator = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        words = generator.choice(["red", "green", "one", "two"], generator.integers(5, 60)).tolist()
        if i % 2:
            words[2:5] = ["blue"] * 3
        rows.append({"text": " ".join(words) + f". {generator.choice(WORDS)} {i} {seed}", "label": "ab"[i % 2]})
    frame = pd.DataFrame(rows)
    if pairs:
        frame = frame.rename(columns={"text": "document"})
        frame.insert(0, "question", generator.choice(WORDS, count))
    return frame


@pytest.fixture(params=[False, True], ids=["single", "pairs"])
def trained(request, tiny_bert, tmp_path):
    """A finished IRIS trial in a results folder, with its data."""
    source = tmp_path / "data"
    source.mkdir()
    for number, (split, count) in enumerate((("train", 60), ("validation", 20), ("test", 20))):
        documents(count, number, request.param).to_csv(source / f"{split}.csv", index=False)
    columns = {"text": "question", "text_pair": "document"} if request.param else {}
    config = validate_config(
        {
            "data": {"source": str(source), "max_length": 16, **columns},
            "model": {
                "kind": "iris",
                "encoder": str(tiny_bert.path),
                "iris": {"chunk_tokens": 8, "stride": 6, "num_queries": 3, "top_k": 4},
            },
            "train": {"length": {"steps": 30}, "batch_size": 8},
            "sweep": {"strategies": ["all", "el2n", "k_center"], "seeds": 1},
            "selection": {"store": str(tmp_path / "store")},
        }
    )
    variants = expand_grid(config)
    key = variants[0].data_key
    ready = prepare_variants(variants, cache_folder())[key]
    ready = embed_chunks_here(key, ready, config, ScoreStore(tmp_path / "store"))
    plan = plan_of(config, ready.facts)
    folder = SweepFolder(tmp_path / "run")
    for spec in plan.trials:
        if spec.label in ("all", "proxy"):
            assert run_trial(spec, ready.data, ready.encoder, (), folder, lambda row: None) == "complete"
    return config, key, ready, plan, folder


def spec_of(plan, label):
    return next(spec for spec in plan.trials if spec.label == label)


def test_every_document_has_the_vectors_of_its_own_chunks(trained):
    _, _, ready, _, _ = trained
    data, tokenizer = ready.data, load_tokenizer(ready.encoder)
    backbone = load_backbone(ready.encoder)
    for split in ("train", "validation", "test"):
        table, parts = getattr(data, split), data.chunks[split]
        texts = getattr(ready.splits, split)["text_pair" if data.is_pair else "text"].to_pylist()
        for document in (0, len(table) - 1):
            first, end = table.offsets[document], table.offsets[document + 1]
            assert end - first == -(-max(0, len(tokenizer(texts[document])["input_ids"]) - 2 - 8) // 6) + 1
            ids = parts.table.ids[parts.table.offsets[first] : parts.table.offsets[first + 1]]
            hidden = backbone(**tokenizer.pad({"input_ids": [ids.tolist()]}, return_tensors="pt")).last_hidden_state
            mean = hidden[0].mean(0).detach().numpy()
            np.testing.assert_allclose(table.vectors[first], mean / np.linalg.norm(mean), atol=2e-2)  # bf16
        if data.is_pair:
            firsts = getattr(ready.splits, split)["text"].to_pylist()
            hidden = backbone(**tokenizer([firsts[3]], return_tensors="pt")).last_hidden_state
            mean = hidden[0].mean(0).detach().numpy()
            np.testing.assert_allclose(table.companions[3], mean / np.linalg.norm(mean), atol=2e-2)


def test_a_trial_trains_with_the_defaults_of_iris_and_is_saved(trained):
    config, _, ready, plan, folder = trained
    assert (config.train.learning_rate, config.train.schedule.name, config.train.precision) == (
        1e-3,
        "constant",
        "fp32",
    )
    result = folder.trial(spec_of(plan, "all").trial_id).result()
    assert result["examples_seen"] > 0
    model = load_model(folder.trial(spec_of(plan, "all").trial_id).checkpoints / "best")
    assert model.settings.is_pair == ready.data.is_pair
    assert model.settings.interaction
    assert sum(parameter.numel() for parameter in model.parameters()) == 3 * 32 + 3 * 32 + 1 + ready.data.is_pair * 35


def test_the_saved_model_reads_texts_and_gives_what_the_trial_predicted(trained):
    _, _, ready, plan, folder = trained
    trial = folder.trial(spec_of(plan, "all").trial_id)
    model = TrainedModel.load(trial.checkpoints / "best", device="cpu")
    test = ready.splits.test
    pairs = test["text_pair"].to_pylist() if ready.data.is_pair else None
    found = model.predict_probs(test["text"].to_pylist(), pairs)
    kept = pd.read_parquet(trial.path / "predictions.parquet").query("split == 'test'")
    np.testing.assert_allclose(found, kept[["prob_0", "prob_1"]].to_numpy(), atol=2e-3)  # chunks are embedded in bf16


def test_a_model_whose_encoder_is_gone_says_so(trained):
    _, _, _, plan, folder = trained
    best = folder.trial(spec_of(plan, "all").trial_id).checkpoints / "best"
    description = read_description(best)
    write_description(best, replace(description, encoder_path="/nowhere"))
    with pytest.raises(ModelError, match="needs the encoder that it was trained with, .*not at '/nowhere'"):
        TrainedModel.load(best)
    write_description(best, replace(description, encoder_fingerprint="other"))
    with pytest.raises(ModelError, match="its files have changed"):
        TrainedModel.load(best)


def test_signals_of_iris(trained):
    _, _, ready, plan, folder = trained
    rows = np.array([5, 0, 59])
    scoring = ScoringData(ready.data, ready.splits.train, Arithmetic("fp32", 64))
    found = DocumentEmbeddingScorer(ready.encoder).load(scoring)(rows)["embeddings"]
    expected = ready.data.train.mean_vectors()[rows]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)
    (source,) = spec_of(plan, "el2n").signal_runs
    best = folder.trial(source.runs[0]).checkpoints / "best"
    signals = ProxyScorer(source.runs, (best,)).load(scoring)(rows)
    model = load_model(best)
    batch = ready.data.train.collate(rows)
    del batch["labels"]
    np.testing.assert_allclose(signals["probs"][:, 0], model(**batch).logits.softmax(-1).detach(), atol=1e-6)
    norms = model.features(**batch).detach().norm(dim=1)
    np.testing.assert_allclose(signals["feature_norms"][:, 0], norms, rtol=1e-5)  # grand uses h
    assert spec_of(plan, "k_center").signal_runs == ()


def test_an_explanation_adds_up_to_the_logit(trained):
    _, _, ready, plan, folder = trained
    trial = spec_of(plan, "all").trial_id
    found = explain_run(folder.path, trial_id=trial, rows=[4, 1], num_chunks=2)
    logits = np.log(found.probs[:, 1] / found.probs[:, 0])
    sums = found.documents.groupby("position", sort=False)["contribution"].sum()
    np.testing.assert_allclose(sums, logits, atol=1e-4)
    assert sums.index.tolist() == [4, 1]
    column = "text_pair" if ready.data.is_pair else "text"
    texts = ready.splits.test[column].to_pylist()
    chunks = found.documents[found.documents["term"] == "chunk"]
    assert all(row["text"] in texts[row["position"]] for row in chunks.to_dict("records"))
    assert found.queries.groupby("query").size().tolist() == [2, 2, 2]
    best = found.queries.groupby("query")["contribution"].max()
    whole = explain_run(folder.path, trial_id=trial, split="train", num_documents=60)
    every = whole.documents[whole.documents["term"] == "chunk"].groupby("query")["contribution"].max()
    np.testing.assert_allclose(best, every, rtol=1e-5)
    lines = list(explanation_lines(found, 2))
    assert lines[0].startswith("test 4 (")
    assert any("query 2, for b" in line for line in lines)


def test_vectors_come_from_the_store_when_they_are_there(trained, tmp_path):
    config, key, ready, _, _ = trained
    job, store = chunk_job(key, ready, config), ScoreStore(tmp_path / "other")
    count = len(ready.data.pieces.train)
    marked = np.arange(count * 32, dtype=np.float32).reshape(count, 32)
    store.begin(job.key, job.identity)
    store.write_block(job.key, 0, np.arange(count), {"embeddings": marked})
    store.finish(job.key, 1, count)
    again = embed_chunks_here(key, ready, config, store)
    np.testing.assert_array_equal(again.data.train.vectors, marked[: len(again.data.train.vectors)])
    rows = np.arange(count)
    data = ready.data.pieces
    vectors = Inference(load_backbone(ready.encoder), data).embeddings(data.train, rows)
    np.testing.assert_allclose(ready.data.test.vectors[-1], vectors[sum(map(len_of, data_parts(ready))) - 1], atol=1e-5)


def data_parts(ready):
    return [ready.data.chunks[split] for split in ("train", "validation", "test")]


def len_of(part):
    return len(part.table)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"model": {"kind": "iris", "pooling": "mean"}}, "model.pooling: must be left out with `kind: iris`"),
        ({"model": {"kind": "iris", "freeze_layers": 2}}, "model.freeze_layers: must be left out"),
        ({"model": {"kind": "iris", "head": "residual"}}, "model.head: must be linear or mlp"),
        ({"model": {"iris": {"num_queries": 4}}}, "model.iris: must be left out without `kind: iris`"),
        ({"model": {"kind": "iris", "iris": {"stride": 200}}}, r"stride: must be <= chunk_tokens \(128\), got 200"),
        (
            {"model": {"kind": "iris"}, "selection": {"embedding": {"of": "proxy"}}},
            "selection.embedding.of: must be encoder",
        ),
    ],
)
def test_what_makes_no_sense_with_iris_is_refused(sections, message):
    with pytest.raises(ConfigError, match=message):
        validate_config(sections)


def test_texts_and_layers_are_of_token_models_alone(trained):
    *_, plan, folder = trained
    trial_id = spec_of(plan, "proxy").trial_id
    for key, options in (("texts", {"texts": ["one"]}), ("layer", {"layer": 0})):
        with pytest.raises(ConfigError, match=f"{key}: must be left out with an IRIS model"):
            explain_run(folder.path, trial_id=trial_id, **options)


def test_a_model_without_its_tokenizer_is_not_explained(trained, tiny_bert, tmp_path):
    _, _, _, plan, folder = trained
    trial = folder.trial(spec_of(plan, "proxy").trial_id)
    from raybert.models import load_classifier

    load_classifier(tiny_bert, ("a", "b"), 0).save_pretrained(trial.checkpoints / "best")
    (trial.checkpoints / "best" / "tokenizer.json").unlink(missing_ok=True)
    (trial.checkpoints / "best" / "tokenizer_config.json").unlink(missing_ok=True)
    with pytest.raises(ModelError, match="must hold a tokenizer beside the model"):
        explain_run(folder.path, trial_id=spec_of(plan, "proxy").trial_id, texts=["one"])
