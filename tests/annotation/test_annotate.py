"""Rounds as their user goes through them: choose, label, choose again; choices against other ways to compute them."""

import numpy as np
import pandas as pd
import pytest

import raybert
from raybert.annotation.annotate import LATER
from raybert.config import load_config
from raybert.errors import ConfigError, DataError
from raybert.files import cache_folder
from raybert.models import load_backbone, load_tokenizer, resolve_encoder

WORDS = {
    "animals": ("cat", "dog", "cow", "horse"),
    "colours": ("red", "blue", "green", "pink"),
    "numbers": ("one", "two"),
}
ROUND = {"budget": 6, "seed": 3}


@pytest.fixture
def pool(tmp_path):
    """60 short texts, and the class of each."""
    generator = np.random.default_rng(0)
    classes = generator.choice(list(WORDS), size=60)
    texts = [f"{' '.join(generator.choice(WORDS[name], size=3))} number {i}" for i, name in enumerate(classes)]
    pd.DataFrame({"text": texts}).to_csv(tmp_path / "texts.csv", index=False)
    return pd.Series(classes, texts)


@pytest.fixture
def file(pool, tmp_path):
    return {
        "name": "pool",
        "data": {"source": str(tmp_path / "texts.csv"), "max_length": 16},
        "model": {"encoder": "raybert-tiny"},
        "train": {"length": {"steps": 12}, "batch_size": 8, "learning_rate": 1.0e-3, "precision": "fp32"},
    }


def label(found, pool, rows=None):
    """Write labels into the file of a round, as a person would."""
    frame = pd.read_csv(found.path, dtype=str, keep_default_na=False)
    frame["label"] = [pool[text] if rows is None or i < rows else "" for i, text in enumerate(frame["text"])]
    frame.to_csv(found.path, index=False)


def test_rounds_on_disk(file, pool, tmp_path):
    folder = tmp_path / "labels"
    first = raybert.annotate(file, folder, **ROUND)
    assert (first.number, first.labelled, first.stop) == (1, None, ())
    assert first.frame["text"].isin(pool.index).all()
    assert first.frame["text"].tolist() == [pool.index[row - 1] for row in first.frame["row"]]
    assert first.history["strategy"].tolist() == ["typiclust"]
    with pytest.raises(DataError, match=r"round-1\.csv: must have labels in column 'label' before the next round"):
        raybert.annotate(file, folder, **ROUND)

    label(first, pool, rows=5)
    second = raybert.annotate(file, folder, strategy="confidence", **ROUND)
    assert second.number == 2
    assert "round-1.csv: 1 of 6 rows have no label yet" in second.notes
    labelled = pd.read_csv(second.labelled)
    assert labelled["label"].tolist() == [pool[text] for text in labelled["text"]]
    assert set(labelled["text"]) == set(first.frame["text"][:5])
    assert not set(second.frame["text"]) & set(labelled["text"])
    row = second.history.iloc[-1]
    assert (row["num_labelled"], row["num_candidates"], row["num_chosen"]) == (5, 55, 6)
    assert np.isnan([row["kappa"], row["accuracy"]]).all()

    label(second, pool)
    third = raybert.annotate(file, folder, **ROUND)
    assert third.history["strategy"].tolist() == ["typiclust", "confidence", LATER]
    assert 0 <= third.history["changed"].iloc[-1] <= 1
    states = [
        pd.read_parquet(folder / "states" / f"round-{number}.parquet").set_index("example_id") for number in (2, 3)
    ]
    both = states[1].join(states[0].add_suffix("_before"), how="inner")
    assert len(both) == 49
    assert third.history["changed"].iloc[-1] == (both["predicted"] != both["predicted_before"]).mean()
    said = raybert.predict(folder / "model", pd.DataFrame({"text": third.frame["text"]}))
    assert said["predicted"].tolist() == states[1].loc[third.frame["example_id"], "predicted"].tolist()


def test_what_uncertainty_chooses_is_what_the_model_in_the_folder_is_least_sure_of(file, pool, tmp_path):
    folder = tmp_path / "labels"
    label(raybert.annotate(file, folder, strategy="random", **ROUND), pool)
    file["sweep"] = {"strategies": [{"name": "confidence", "direction": "hard", "balance": "none"}]}
    second = raybert.annotate(file, folder, strategy="confidence", **ROUND)
    labelled = set(pd.read_csv(second.labelled)["text"])
    rest = [text for text in pool.index if text not in labelled]
    probs = raybert.predict(folder / "model", pd.DataFrame({"text": rest})).filter(like="prob_").to_numpy(float)
    entropies = -(probs * np.log(probs)).sum(axis=1)
    assert set(second.frame["text"]) == {rest[i] for i in np.argsort(-entropies)[: ROUND["budget"]]}
    assert second.frame["score"].to_numpy() == pytest.approx(np.sort(entropies)[::-1][: ROUND["budget"]], abs=1e-5)
    assert second.frame["reason"].str.contains(r"the model's two most probable classes: 0\.\d\d and 0\.\d\d").all()


def test_what_covers_goes_on_from_what_is_labelled(file, pool, tmp_path):
    """k-center of the second round: each next text is the farthest from all that have a label or were just chosen."""
    folder = tmp_path / "labels"
    first = raybert.annotate(file, folder, strategy="k_center", **ROUND)
    label(first, pool)
    second = raybert.annotate(file, folder, strategy="k_center", **ROUND)
    points = _embeddings(pool.index, file)
    place = {text: i for i, text in enumerate(pool.index)}
    chosen = [place[text] for text in first.frame["text"]]
    for text in second.frame["text"]:
        nearest = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(axis=1)
        assert nearest[place[text]] == pytest.approx(nearest.max(), abs=1e-4)
        chosen.append(place[text])
    cosines = points[[place[text] for text in second.frame["text"]]] @ points[chosen[:6]].T
    said = second.frame["reason"].str.extract(r"nearest labelled text: cosine (\S+)")[0].astype(float)
    assert said.to_numpy() == pytest.approx(cosines.max(axis=1), abs=0.006)


def _embeddings(texts, file):
    import torch

    encoder = resolve_encoder(load_config(file).model, list(texts), cache_folder())
    tokenizer, model = load_tokenizer(encoder), load_backbone(encoder).eval()
    batch = tokenizer(list(texts), padding=True, truncation=True, max_length=16, return_tensors="pt")
    with torch.no_grad():
        hidden = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    mask = batch["attention_mask"][:, :, None]
    means = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def test_a_strategy_that_needs_all_labels_or_a_model_says_so(file, tmp_path):
    folder = tmp_path / "labels"
    with pytest.raises(ConfigError, match=r"strategy: 'aum' reads dynamics .*, which needs the label of every text"):
        raybert.annotate(file, folder, strategy="aum", **ROUND)
    with pytest.raises(ConfigError, match=r"'el2n' asks a model, which needs labels of two classes, got none; begin"):
        raybert.annotate(file, folder, strategy="el2n", **ROUND)
    with pytest.raises(ConfigError, match=r"strategy: 'all' must choose a number of texts"):
        raybert.annotate(file, folder, strategy="all", **ROUND)
    with pytest.raises(ConfigError, match=r"budget: must be a number of texts, or a share of them below 1, got 2\.5"):
        raybert.annotate(file, folder, budget=2.5)
    assert not folder.exists()


def test_clusters_stand_for_classes_and_a_given_model_knows_them(file, pool, tmp_path):
    by_clusters = raybert.annotate(file, tmp_path / "clusters", strategy="el2n", clusters=3, **ROUND)
    assert len(by_clusters.frame) == 6
    assert not (tmp_path / "clusters" / "model").exists()  # its classes are none of the user's
    assert by_clusters.history["mean_confidence"].isna().all()
    label(by_clusters, pool)
    raybert.annotate(file, tmp_path / "clusters", **ROUND)
    given = raybert.annotate(file, tmp_path / "given", strategy="badge", model=tmp_path / "clusters" / "model", **ROUND)
    assert given.number == 1
    assert given.history["mean_confidence"].notna().all()


def test_the_same_files_give_the_same_round_and_another_order_the_same_texts(file, pool, tmp_path):
    one = raybert.annotate(file, tmp_path / "one", strategy="random", **ROUND)
    again = raybert.annotate(file, tmp_path / "again", strategy="random", **ROUND)
    pd.testing.assert_frame_equal(one.frame, again.frame)
    frame = pd.read_csv(tmp_path / "texts.csv")
    frame.iloc[::-1].to_csv(tmp_path / "texts.csv", index=False)
    turned = raybert.annotate(file, tmp_path / "turned", strategy="random", **ROUND)
    assert turned.frame["text"].tolist() == one.frame["text"].tolist()


def test_everything_labelled_is_the_end_and_the_last_labels_are_kept(file, pool, tmp_path):
    first = raybert.annotate(file, tmp_path / "labels", budget=1000, strategy="random")
    assert len(first.frame) == 60
    label(first, pool)
    with pytest.raises(DataError, match=r"must have texts without a label to choose from, got 60 that all have one"):
        raybert.annotate(file, tmp_path / "labels", **ROUND)
    kept = pd.read_csv(tmp_path / "labels" / "labelled.csv")
    assert kept["label"].tolist() == [pool[text] for text in kept["text"]]
    assert (len(kept), set(kept["round"])) == (60, {1})
