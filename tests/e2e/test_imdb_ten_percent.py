"""The ready sweep of eleven strategies, with a small random ModernBERT and reviews in local files: no network."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoModelForMaskedLM

import raybert
from raybert.config import load_config
from tests.e2e.commands import ROOT, run
from tests.e2e.test_single import reviews
from tests.models.folders import config_of, save_encoder, tokenizer_of

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.ray, pytest.mark.usefixtures("ray_cluster", "no_pixels")]
FILE = ROOT / "sweeps" / "imdb_ten_percent.yaml"
CLASSIC = {
    *("el2n", "ifd", "entropy_diversity", "qdit_lite", "edfs_lite", "diversity", "k_center"),
    *("perplexity", "lexical_diversity", "aflite_readability", "curriculum"),
}


@pytest.fixture
def options(tmp_path, monkeypatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imdb").mkdir()
    for split, rows, seed in (("train", 240, 1), ("test", 60, 2)):
        table = reviews(rows, seed)[["review", "mood"]].set_axis(["text", "label"], axis=1)
        table.to_csv(tmp_path / "imdb" / f"{split}.csv", index=False)
    config = config_of("modernbert", pad_token_id=0, max_position_embeddings=64)
    save_encoder(Path("ModernBERT"), config, tokenizer_of(90), model=AutoModelForMaskedLM.from_config(config))
    pairs = ("data.source=imdb", "model.encoder=./ModernBERT", "data.max_length=24", "sweep.seeds=1")
    pairs += ("train.length={steps: 4}", "train.precision=fp32", "train.batch_size=8")
    return [part for pair in pairs for part in ("--set", pair)]


def test_eleven_strategies_are_compared_on_a_tenth_of_local_reviews(options):
    fetched = raybert.download(FILE, overrides=options[1::2])
    assert [item.status for item in fetched.items] == ["local", "local"]
    done = run("sweep", FILE, "--output", "run", *options)
    assert done.code == 0, done.said
    trials = raybert.load_sweep("run").trials
    trials = trials[trials["role"] == "trial"].set_index("strategy")
    assert set(trials.index) == CLASSIC | {"all", "random", "random_stratified"}
    assert (trials["status"] == "complete").all()
    assert (trials.loc[sorted(CLASSIC), "budget"] == 22).all()  # 10 % of the 216 that validation leaves


def test_the_file_is_of_eleven_classic_strategies_and_modernbert():
    config = load_config(FILE)
    names = {entry.name for entry in config.sweep.strategies}
    assert names - {"all", "random", "random_stratified"} == CLASSIC
    assert (config.model.encoder, config.data.source) == ("answerdotai/ModernBERT-base", "stanfordnlp/imdb")
    assert config.selection.budget == 0.1
