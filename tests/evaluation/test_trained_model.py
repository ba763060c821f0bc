"""A model's folder used on its own, and what a path stands for."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from raybert.config import DataConfig
from raybert.data.identity import example_ids
from raybert.data.token_store import TokenStore
from raybert.data.tokens import TextEncoder, tokenize_examples
from raybert.errors import ConfigError, DataError, ModelError, SweepError
from raybert.evaluation.evaluate import Question, evaluate_target, predict_texts, write_model_evaluation
from raybert.evaluation.find import Target, find_target
from raybert.evaluation.targets import stored_predictions
from raybert.evaluation.trained_model import TrainedModel
from raybert.models import load_classifier, load_tokenizer, quiet_transformers
from raybert.models.description import DataColumns, ModelDescription, read_description, write_description
from raybert.models.tokenizer_options import with_options
from raybert.tables.evaluation import PREDICTED
from raybert.training.checkpoint import save_best

NAMES = ("cold", "warm", "hot")
TEXTS = ["red green blue", "one", "north south one two three red green blue north south", "two two", "blue"]
PAIRS = ["three", "one two three " * 9, "red", "north", "south south"]


@pytest.fixture(scope="module")
def model_folder(tiny_bert, tmp_path_factory) -> Path:
    """A classifier of three classes as a run leaves it, trained on single texts of 8 word pieces, in fp32."""
    folder = tmp_path_factory.mktemp("model")
    save_best(folder, load_classifier(tiny_bert, NAMES, 3))
    load_tokenizer(tiny_bert).save_pretrained(folder / "best")
    write_description(folder / "best", ModelDescription(NAMES, 8, precision="fp32"))
    return folder / "best"


@pytest.fixture
def copied(model_folder, tmp_path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "copied"))


def reference(folder: Path, texts: list[str], pairs: list[str] | None, max_length: int) -> np.ndarray:
    """One text after another, as transformers' documentation does it."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with quiet_transformers():
        model = AutoModelForSequenceClassification.from_pretrained(folder)
    rows = []
    for text, pair in zip(texts, pairs or [None] * len(texts), strict=True):
        tokens = tokenizer(text, pair, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.no_grad():
            rows.append(model(**tokens).logits.softmax(-1)[0].numpy())
    return np.array(rows)


@pytest.mark.parametrize("pairs", [None, PAIRS])
def test_probabilities_are_those_of_plain_transformers_in_the_order_of_the_texts(model_folder, pairs):
    probs = TrainedModel.load(model_folder).predict_probs(TEXTS, pairs)
    assert probs.dtype == np.float32
    np.testing.assert_allclose(probs, reference(model_folder, TEXTS, pairs, 8), atol=2e-6)
    assert len(np.unique(probs[:, 0])) == len(TEXTS)


def test_what_a_sweep_has_tokenized_is_not_tokenized_again_to_evaluate(model_folder, tiny_bert, tmp_path, monkeypatch):
    store = TokenStore(tmp_path / "tokens", smallest=0)
    examples = pa.table({"text": TEXTS, "text_pair": PAIRS, "label": pa.array([0] * len(TEXTS), pa.int64())})
    tokenize_examples(examples, with_options(load_tokenizer(tiny_bert), DataConfig()), 8, store=store)
    model = TrainedModel.load(model_folder)
    expected = model.predict_probs(TEXTS, PAIRS)
    monkeypatch.setattr(TextEncoder, "_parts", lambda *_: pytest.fail("tokenized again"))
    np.testing.assert_array_equal(model.predict_probs(TEXTS, PAIRS, store=store), expected)


def test_held_out_data_of_a_file_are_kept_and_what_predict_is_given_is_not(model_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(TokenStore, "in_cache", lambda: TokenStore(tmp_path / "tokens", smallest=0))
    predict_texts(model_folder, TEXTS)
    assert not (tmp_path / "tokens").exists()
    table = pd.DataFrame({"text": TEXTS, "label": ["cold", "warm", "hot", "hot", "cold"]})
    evaluate_target(model_folder, Question(data=table, num_resamples=0))
    assert len(TokenStore(tmp_path / "tokens").entries()) == 1


def test_no_texts_give_no_rows(model_folder):
    assert TrainedModel.load(model_folder).predict_probs([]).shape == (0, 3)


def test_a_model_of_pairs_wants_second_texts(copied):
    write_description(copied, ModelDescription(NAMES, 8, DataColumns(text_pair="answer")))
    model = TrainedModel.load(copied)
    with pytest.raises(DataError, match="was trained on pairs; give the second texts too"):
        model.predict_probs(TEXTS)
    with pytest.raises(DataError, match=r"text_pairs: must be as many as texts \(5\), got 1"):
        model.predict_probs(TEXTS, ["one"])


def test_a_description_reads_back_as_it_was_written(tmp_path):
    description = ModelDescription(
        NAMES, 64, DataColumns("review", "reply", "mood", "key", "author"), "bf16", "bert", "abc", "t1", "all", 2, 100
    )
    write_description(tmp_path, description)
    assert read_description(tmp_path) == description


def test_a_folder_of_somebody_else_says_what_was_assumed(copied):
    (copied / "raybert.json").unlink()
    model = TrainedModel.load(copied)
    assert model.description == ModelDescription(NAMES, 64)  # the positions that it has
    (note,) = model.notes
    assert "has no raybert.json: assumed columns 'text' and 'label', 64 word pieces" in note
    assert "(cold, warm, hot)" in note
    settings = json.loads((copied / "tokenizer_config.json").read_text())
    (copied / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 16}))
    assert TrainedModel.load(copied).description.max_length == 16


def test_a_precision_that_only_another_device_has_is_replaced_and_said(copied):
    description = read_description(copied)
    write_description(copied, replace(description, precision="tf32"))
    model = TrainedModel.load(copied, device="cpu")
    assert model.precision == "auto"
    assert model.notes == ("trained in tf32, which is not possible on 'cpu': computes in its best format",)


def test_folders_without_a_usable_model_are_one_line(copied, tiny_bert, tmp_path):
    with pytest.raises(ModelError, match="must be a trained classifier, but has no weights of its head"):
        TrainedModel.load(tiny_bert.path)
    with pytest.raises(ModelError, match="has no config.json"):
        TrainedModel.load(tmp_path)
    (copied / "raybert.json").write_text('{"max_length": 8}')
    with pytest.raises(ModelError, match=r"raybert.json: must be as raybert wrote it"):
        TrainedModel.load(copied)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (copied / name).unlink()
    with pytest.raises(ModelError, match="must hold a tokenizer beside the model"):
        TrainedModel.load(copied)
    (copied / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match="cannot be loaded"):
        TrainedModel.load(copied)


@pytest.fixture
def run(model_folder, tmp_path) -> Path:
    """A results folder with one finished trial, `t1`, and one unfinished, `t2`."""
    folder = tmp_path / "run"
    (folder / "trials" / "t2").mkdir(parents=True)
    trials = [{"trial_id": "t1", "data_key": "k"}, {"trial_id": "t2", "data_key": "k"}]
    (folder / "plan.json").write_text(json.dumps({"trials": trials}))
    for target in (folder / "best", folder / "trials" / "t1" / "checkpoint" / "best"):
        shutil.copytree(model_folder, target)
    (folder / "best" / "trial_id").write_text("t1\n")
    probs = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1]], np.float32)
    frame = pd.DataFrame(probs, columns=["prob_0", "prob_1", "prob_2"])
    frame = frame.assign(split=["validation", *["test"] * 3], row=[0, 0, 1, 2], label=[0, 2, 1, 1])
    frame.to_parquet(folder / "trials" / "t1" / "predictions.parquet")
    held_out = pd.DataFrame({"example_id": list("cabdx"), "group": list("qprsz"), "row": [2, 0, 1, 0, 0]})
    held_out.assign(split=["test"] * 3 + ["validation", "test"], data_key=[*"kkkk", "other"]).to_parquet(
        folder / "held_out.parquet"
    )
    return folder


def test_a_run_a_trial_and_their_models_are_found(run, copied):
    run, trial = run.resolve(), run.resolve() / "trials" / "t1"
    assert find_target(run) == find_target(run / "best") == Target(run / "best", run, "t1")
    assert find_target(trial) == find_target(trial / "checkpoint" / "best")
    assert find_target(trial) == Target(trial / "checkpoint" / "best", run, "t1")
    assert find_target(copied) == Target(copied.resolve())


def test_paths_that_are_neither_are_one_line(run, tmp_path):
    with pytest.raises(SweepError, match="does not exist"):
        find_target(tmp_path / "nowhere")
    with pytest.raises(SweepError, match="'plan.json' is a file"):
        find_target(run / "plan.json")
    with pytest.raises(SweepError, match=r"must be a results folder .* has t1, t2"):
        find_target(run / "trials")
    shutil.rmtree(run / "best")
    with pytest.raises(SweepError, match=r"has no best model yet; .* one of its trials \(run/trials/<id>\)"):
        find_target(run)


def test_a_runs_own_split_is_what_its_trial_has_kept(run):
    examples, probs = stored_predictions(find_target(run), "test")
    assert examples.labels.tolist() == [2, 1, 1]
    assert examples.ids.tolist() == ["a", "b", "c"]
    assert examples.groups.tolist() == ["p", "r", "q"]
    np.testing.assert_array_equal(probs[0], np.array([0.1, 0.2, 0.7], np.float32))
    with pytest.raises(SweepError, match="split: must be one of validation, test of trial t1, got 'train'"):
        stored_predictions(find_target(run), "train")
    with pytest.raises(SweepError, match="trial, which has not finished"):
        stored_predictions(find_target(run / "trials" / "t2"), "test")


def test_a_run_is_evaluated_without_its_model(run):
    for folder in (run / "best", run / "trials" / "t1" / "checkpoint" / "best"):
        (folder / "model.safetensors").unlink()
    answer = evaluate_target(run, Question(num_resamples=0))
    assert answer.metric("accuracy")[0] == pytest.approx(2 / 3)
    assert answer.predictions["predicted"].tolist() == ["hot", "warm", "cold"]
    assert answer.per_group["group"].tolist() == ["p", "q", "r"]
    shutil.rmtree(run / "trials" / "t1" / "checkpoint")  # names are then those of the manifest
    manifest = {"data": {"k": {"label_names": ["x", "y", "z"]}, "j": {"label_names": ["u", "v"]}}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    again = evaluate_target(run / "trials" / "t1", Question(num_resamples=0))
    assert again.predictions["predicted"].tolist() == ["z", "y", "x"]


def test_questions_that_make_no_sense_are_one_line(run, copied, tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("text,label\nred,cold\n")
    with pytest.raises(SweepError, match="is not in a results folder, which would know test examples; give `data`"):
        evaluate_target(copied, Question())
    with pytest.raises(DataError, match="label: names a column of `data`, which must be given too"):
        evaluate_target(run, Question(columns={"text": "a", "label": "b"}))
    with pytest.raises(ConfigError, match="threshold: must be 0.5 unless there are two classes"):
        evaluate_target(copied, Question(file, threshold=0.3))
    with pytest.raises(ConfigError, match="threshold: must be 0.5 unless there are two classes"):
        predict_texts(copied, file, threshold=0.3)
    with pytest.raises(DataError, match="must be a file of texts, got a folder"):
        predict_texts(copied, tmp_path)


def test_a_file_is_evaluated_by_the_columns_named_and_its_own_groups(copied, tmp_path):
    file = tmp_path / "x.csv"
    names = ["cold", "hot", "warm", "cold", "hot"]
    rows = [f"{text},{name},g{i % 2}" for i, (text, name) in enumerate(zip(TEXTS, names, strict=True))]
    file.write_text("\n".join(["words,truth,source", *rows]) + "\n")
    columns = {"text": "words", "label": "truth", "group": "source"}
    answer = evaluate_target(copied, Question(file, columns=columns, num_resamples=0))
    expected = reference(copied, TEXTS, None, 8)
    assert answer.labels.tolist() == [0, 2, 1, 0, 2]
    np.testing.assert_allclose(answer.probs, expected, atol=2e-6)
    assert answer.predictions["group"].tolist() == ["g0", "g1", "g0", "g1", "g0"]
    assert answer.metric("accuracy")[0] == np.mean(expected.argmax(1) == [0, 2, 1, 0, 2])


def test_pairs_are_predicted_with_their_second_texts_beside_them(copied, tmp_path):
    write_description(copied, replace(read_description(copied), columns=DataColumns("a", "b")))
    file = tmp_path / "x.jsonl"
    pd.DataFrame({"a": TEXTS, "b": PAIRS}).to_json(file, orient="records", lines=True)
    frame, notes = predict_texts(copied, file)
    assert not notes
    declared = [column.name for column in PREDICTED if not column.name.startswith("prob_")]
    assert list(frame.columns[: len(declared)]) == declared
    assert frame["text_pair"].tolist() == PAIRS
    probs = frame[[f"prob_{name}" for name in NAMES]].to_numpy()
    np.testing.assert_allclose(probs, reference(copied, TEXTS, PAIRS, 8), atol=2e-6)


def test_rows_without_a_text_are_predicted_as_nothing_and_the_others_as_ever(model_folder):
    texts = ["red green blue", " ", "one", None]
    frame, notes = predict_texts(model_folder, texts)
    alone, _ = predict_texts(model_folder, ["red green blue", "one"])
    assert frame["predicted"].isna().tolist() == [False, True, False, True]
    assert frame.loc[[0, 2], "predicted"].tolist() == alone["predicted"].tolist()
    np.testing.assert_array_equal(frame.loc[[0, 2]].filter(like="prob_"), alone.filter(like="prob_"))
    assert frame[["confidence", "prob_cold"]].isna().to_numpy()[[1, 3]].all()
    assert notes[-1] == "the list: 2 of 4 rows have no text (rows 2, 4 (from 1)) and no prediction"


@pytest.fixture
def run_of_texts(run, tmp_path) -> Path:
    """The run, trained on three of four texts of its pool, with one of validation and one of test."""
    labels = pa.array([0, 1, 2, 0, 1, 2])
    table = pa.table({"text": ["one", "two", "three", "red", "green", "blue"], "label": labels})
    ids = example_ids(table, NAMES).to_pylist()
    pd.DataFrame({"example_id": ids[:3], "position": range(3)}).to_parquet(run / "trials/t1/selection.parquet")
    pool = pd.DataFrame({"fold": 0, "example_id": [*ids[:4], "other"], "label": 0, "length": 3})
    pool.to_parquet(run / "pool.parquet")
    held_out = pd.DataFrame({"example_id": ids[4:], "split": ["validation", "test"], "row": [0, 0], "data_key": "k"})
    held_out.to_parquet(run / "held_out.parquet")
    frame = table.to_pandas().assign(label=[NAMES[label] for label in labels.to_pylist()])
    frame.to_csv(tmp_path / "mine.csv", index=False)
    return run


@pytest.mark.slow
def test_an_evaluation_on_the_training_file_says_what_was_trained_on(run_of_texts, tmp_path):
    found = evaluate_target(run_of_texts, Question(tmp_path / "mine.csv", num_resamples=0))
    assert found.predictions["seen"].tolist() == ["trained"] * 3 + ["pool", "validation", "test"]
    right = found.predictions["predicted"].iloc[5] == "hot"
    assert found.notes == (
        "of 6 examples 3 were trained on, 1 were in the pool that training examples were chosen from, 1 are of validation, "
        "by which the model was chosen, 1 are of the test split: what is measured on them says little about new texts; "
        f"accuracy on the 1 others: {right:.3f} (column `seen` of the predictions)",
    )
    written = write_model_evaluation(found, Question(tmp_path / "mine.csv"), tmp_path / "evaluation")
    assert "seen" in pd.read_parquet(tmp_path / "evaluation/predictions.parquet")
    assert json.loads((tmp_path / "evaluation/about.json").read_text())["notes"] == list(written.notes)


def test_copies_and_another_order_are_found_and_new_texts_are_not(run_of_texts, tmp_path):
    frame = pd.read_csv(tmp_path / "mine.csv")
    frame = pd.concat([frame[::-1], frame[:1], frame[:1].assign(text="one two"), frame[:1].assign(label="hot")])
    found = evaluate_target(run_of_texts, Question(frame, num_resamples=0))
    seen = ["test", "validation", "pool", "trained", "trained", "trained", "trained", "", ""]
    assert found.predictions["seen"].tolist() == seen


def test_only_new_texts_and_those_of_test_are_no_matter_of_a_note(run_of_texts):
    frame = pd.DataFrame({"text": ["blue", "something new"], "label": ["hot", "cold"]})
    found = evaluate_target(run_of_texts, Question(frame, num_resamples=0))
    assert (found.predictions["seen"].tolist(), found.notes) == (["test", ""], ())


def test_a_model_moved_away_from_its_run_does_not_know(model_folder):
    frame = pd.DataFrame({"text": ["blue", "one"], "label": ["hot", "cold"]})
    assert "seen" not in evaluate_target(model_folder, Question(frame, num_resamples=0)).predictions
