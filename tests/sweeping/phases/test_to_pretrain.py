"""What encoders are pretrained from: the texts of the pool and no others, or a source; looked at before anything runs."""

import pandas as pd
import pyarrow as pa
import pytest

from raybert.config.encoder_pretraining import SweepCorpusConfig
from raybert.data.folds import load_folds
from raybert.errors import ConfigError, DataError, ModelError
from raybert.models import load_tokenizer
from raybert.sweeping.downloads import fetch_all
from raybert.sweeping.first_look import look_first
from raybert.sweeping.phases.prepare import facts_of_pools
from raybert.sweeping.phases.to_pretrain import describe_pretraining, pool_corpus
from raybert.sweeping.plan.comparison import plan_sweep
from raybert.sweeping.plan.design import read_design
from tests.sweeping.adapting import SECTION, config_of, prepared_of, texts, write_source


def only(found):
    (ready,) = found.values()
    return ready


def test_a_pool_is_a_corpus_of_its_texts_each_once_whatever_their_order():
    pool = pa.table({"text": ["a b", "c", "a b", " "], "text_pair": ["d", "c", "e", "f"]})
    corpus = pool_corpus(pool, SweepCorpusConfig(validation_fraction=0.4))
    assert sorted([*corpus.train, *corpus.validation]) == ["a b", "c", "d", "e", "f"]
    assert (len(corpus.validation), len(corpus.test)) == (2, 0)
    assert pool_corpus(pool.take([3, 1, 0, 2]), SweepCorpusConfig(validation_fraction=0.4)).fingerprint == (
        corpus.fingerprint
    )
    assert pool_corpus(pool, SweepCorpusConfig(validation_fraction=0.4, split_seed=1)).fingerprint != corpus.fingerprint


def test_texts_of_validation_and_test_are_never_read(tmp_path, tiny_bert):
    encoders, corpora = set(), []
    for seed in (1, 2):
        source = write_source(tmp_path / str(seed), held_out_seed=seed)
        ready = only(prepared_of(config_of(source, tiny_bert.path), tmp_path)[0])
        corpus = ready.pretraining.corpus
        held_out = set(ready.splits.validation["text"].to_pylist()) | set(ready.splits.test["text"].to_pylist())
        assert set(corpus.train) | set(corpus.validation) == set(ready.splits.train["text"].to_pylist())
        assert not held_out & (set(corpus.train) | set(corpus.validation) | set(corpus.test))
        encoders.add(ready.encoder.fingerprint)
        corpora.append(corpus.fingerprint)
    # All that decides about the encoder is the same, though every other text is another one.
    assert len(encoders) == 1
    assert corpora[0] == corpora[1]


def test_every_fold_has_a_corpus_without_what_it_holds_out(tmp_path, tiny_bert):
    source = tmp_path / "all.csv"
    pd.DataFrame({"text": texts(90, 3), "label": ["a", "b", "c"] * 30}).to_csv(source, index=False)
    config = config_of(source, tiny_bert.path, data={"source": str(source), "max_length": 16, "folds": 3})
    prepared, variants = prepared_of(config, tmp_path)
    folds = load_folds(config.data, tmp_path)
    assert len({ready.encoder.fingerprint for ready in prepared.values()}) == 3
    for variant in variants:
        corpus = prepared[variant.data_key].pretraining.corpus
        known = {*corpus.train, *corpus.validation}
        assert known == set(folds[variant.fold].train["text"].to_pylist())
        assert not known & set(folds[variant.fold].test["text"].to_pylist())
        assert corpus.name == f"pool-fold{variant.fold}"


def test_points_of_the_grid_share_their_word_pieces_and_differ_in_the_encoder(tmp_path, tiny_bert):
    source = write_source(tmp_path / "source")
    grid = {"strategies": ["random"], "seeds": 1, "grid": {"pretrain.length.steps": [0, 6, 9]}}
    prepared, variants = prepared_of(config_of(source, tiny_bert.path, sweep=grid), tmp_path)
    found = [prepared[variant.data_key] for variant in variants]
    assert [ready.encoder.is_pending for ready in found] == [False, True, True]
    assert found[0].encoder.fingerprint == tiny_bert.fingerprint
    assert len({ready.encoder.fingerprint for ready in found}) == 3
    assert all(ready.data is found[0].data for ready in found)


def test_a_corpus_of_a_source_says_which_held_out_texts_it_has(tmp_path, tiny_bert):
    source = write_source(tmp_path / "source")
    test = pd.read_csv(source / "test.csv")["text"]
    (tmp_path / "more.txt").write_text("\n".join([*texts(80, 7), *test[:5].str.upper()]) + "\n")
    section = {**SECTION, "corpus": {"source": str(tmp_path / "more.txt"), "validation_fraction": 0.02}}
    ready = only(prepared_of(config_of(source, tiny_bert.path, section), tmp_path)[0])
    assert ready.pretraining.corpus.name == "more.txt"
    (note,) = [note for note in ready.splits.notes if "of test are in it" in note]
    seen = len({text.lower() for text in ready.pretraining.corpus.train} & set(test))
    assert note.startswith(f"pretrain.corpus: {seen} of the 20 texts of test are in it, without their labels: ")
    assert seen >= 3


def test_perplexity_needs_no_head_of_an_encoder_that_gets_one(tmp_path, tiny_bert):
    source, sweep = write_source(tmp_path / "source"), {"strategies": ["perplexity"], "seeds": 1}
    with pytest.raises(ModelError, match="masked-LM head"):
        from_file(config_of(source, tiny_bert.path, None, sweep=sweep), tmp_path)
    ready = only(from_file(config_of(source, tiny_bert.path, sweep=sweep), tmp_path))
    (model,) = ready.language_models.values()
    assert model == ready.encoder
    there = ready.with_pretrained(tmp_path / "there")
    assert [one.path for one in (there.encoder, *there.language_models.values())] == [tmp_path / "there"] * 2
    assert there.encoder.fingerprint == ready.encoder.fingerprint


def from_file(config, cache):
    from raybert.sweeping.phases.prepare import prepare_design

    return prepare_design(read_design(config), cache)


@pytest.mark.parametrize(
    ("section", "error", "message"),
    [
        ({"max_length": 65}, ConfigError, "pretrain.max_length: must be <= 64 (positions of model.encoder"),
        ({"corpus": "none.csv"}, DataError, "pretrain.corpus.source: no such file or folder 'none.csv'"),
        ({"corpus": {"source": "words.csv", "text": "txt"}}, DataError, "pretrain.corpus.text: "),
    ],
)
def test_what_cannot_be_pretrained_is_said_in_a_line(section, error, message, tmp_path, tiny_bert, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"text": ["a b"] * 3}).to_csv("words.csv", index=False)
    with pytest.raises(error) as said:
        prepared_of(config_of(write_source(tmp_path / "source"), tiny_bert.path, {**SECTION, **section}), tmp_path)
    assert str(said.value).startswith(message)
    assert "\n" not in str(said.value)


def test_a_corpus_that_cannot_be_is_refused_before_anything_is_loaded_and_found_where_things_are_fetched(
    tmp_path, tiny_bert
):
    section = {**SECTION, "corpus": str(tmp_path / "none.txt")}
    design = read_design(config_of(write_source(tmp_path / "source"), tiny_bert.path, section))
    with pytest.raises(DataError, match=r"^pretrain\.corpus\.source: no such file or folder"):
        look_first(design)
    (tmp_path / "none.txt").write_text("one\ntwo\n")
    look_first(design)
    found = {item.key: item.status for item in fetch_all(design, lambda item: None).items}
    assert found == {"data.source": "local", "pretrain.corpus.source": "local", "model.encoder": "local"}


def test_a_pool_without_words_and_a_tokenizer_without_a_mask_are_refused(tmp_path, tiny_bert):
    with pytest.raises(DataError, match=r"pretrain.corpus: must have two texts with words at least, the pool has 1"):
        pool_corpus(pa.table({"text": ["a", "a", "  "]}), SweepCorpusConfig())
    folder = tmp_path / "maskless"
    tokenizer = load_tokenizer(tiny_bert)
    tokenizer.mask_token = None
    tokenizer.save_pretrained(folder)
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((tiny_bert.path / name).read_bytes())
    with pytest.raises(ModelError, match=r"pretrain.masked: the tokenizer of '.*maskless' must have a mask piece"):
        prepared_of(config_of(write_source(tmp_path / "source"), folder), tmp_path)


def test_a_plan_says_what_is_pretrained(tmp_path, tiny_bert):
    grid = {"strategies": ["random"], "seeds": 2, "grid": {"pretrain.length.steps": [0, 6]}}
    design = read_design(config_of(write_source(tmp_path / "source"), tiny_bert.path, sweep=grid))
    prepared = from_file(design.config, tmp_path)
    made_from = {key: ready.pretraining for key, ready in prepared.items()}
    plan = plan_sweep(design, facts_of_pools(prepared))
    (line,) = describe_pretraining(plan, made_from, design.config)
    assert line.endswith("on pool (54 documents, 432 words): 6 steps, 8 sequences of 24 word pieces a step")
