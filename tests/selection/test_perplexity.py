import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast

from raybert.errors import ModelError
from raybert.models import Encoder, load_tokenizer
from raybert.models.encoder import fingerprint_files
from raybert.selection.scorers.perplexity import (
    Masking,
    PerplexityScorer,
    check_has_masked_lm_head,
    count_passes,
    load_masked_model,
    pseudo_perplexity,
)
from raybert.selection.scorers.scorer import ScoringData

PAD, CLS, SEP, MASK, VOCABULARY = 0, 1, 2, 3, 50
MASKING = Masking(MASK, PAD, frozenset({PAD, CLS, SEP}))


def tiny_config() -> BertConfig:
    return BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = BertForMaskedLM(tiny_config()).eval()
    with torch.no_grad():  # random weights are nearly uniform
        model.cls.predictions.bias.normal_(0, 2)
    return model


ROWS = [np.array([CLS, *np.random.default_rng(n).integers(4, VOCABULARY, n), SEP]) for n in (1, 7, 3, 12, 12, 5)]


def brute_force(model, row: np.ndarray, groups: list[list[int]]) -> float:
    total, count = 0.0, 0
    for columns in groups:
        masked = torch.tensor(row)
        masked[columns] = MASK
        with torch.no_grad():
            log_probs = model(input_ids=masked[None]).logits[0].log_softmax(-1)
        total -= sum(float(log_probs[column, row[column]]) for column in columns)
        count += len(columns)
    return math.exp(total / count)


def test_exact_values_equal_one_mask_at_a_time(model):
    expected = [brute_force(model, row, [[i] for i in range(1, len(row) - 1)]) for row in ROWS]
    for max_tokens in (1, 60, 10_000):
        found = pseudo_perplexity(model, ROWS, MASKING, max_tokens=max_tokens)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("mask_every", [1, 3, 5])
def test_strided_values_mask_every_mth_piece_in_m_passes(model, mask_every):
    expected = []
    for row in ROWS:
        content = list(range(1, len(row) - 1))
        passes = min(mask_every, len(content))
        expected.append(brute_force(model, row, [content[start::passes] for start in range(passes)]))
    found = pseudo_perplexity(model, ROWS, MASKING, mask_every=mask_every)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_many_passes_are_exact(model):
    exact = pseudo_perplexity(model, ROWS, MASKING)
    np.testing.assert_allclose(pseudo_perplexity(model, ROWS, MASKING, mask_every=12), exact, rtol=1e-6)


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary(model):
    with torch.no_grad():
        for parameter in model.cls.parameters():
            parameter.zero_()
    np.testing.assert_allclose(pseudo_perplexity(model, ROWS, MASKING), VOCABULARY, rtol=1e-6)


def test_a_text_without_word_pieces_has_none(model):
    assert np.isnan(pseudo_perplexity(model, [np.array([CLS, SEP])], MASKING)).all()


def test_passes_are_counted():
    lengths = np.array([1, 7, 12])
    assert count_passes(lengths, None) == 20
    assert count_passes(lengths, 5) == 11


@pytest.fixture
def encoder_with_head(tiny_bert, tmp_path) -> Encoder:
    torch.manual_seed(1)
    BertForMaskedLM(BertConfig.from_pretrained(tiny_bert.path)).save_pretrained(tmp_path)
    load_tokenizer(tiny_bert).save_pretrained(tmp_path)
    return Encoder("with-head", tmp_path, fingerprint_files(tmp_path))


def test_an_encoder_without_the_head_is_refused_with_the_remedy(tmp_path, encoder_with_head):
    check_has_masked_lm_head(encoder_with_head)
    BertModel(BertConfig.from_pretrained(encoder_with_head.path)).save_pretrained(tmp_path / "bare")
    bare = replace(encoder_with_head, name="bare", path=tmp_path / "bare")
    for refuse in (check_has_masked_lm_head, load_masked_model):
        with pytest.raises(
            ModelError, match=r"'bare' hold no weights of a masked-LM head; .*scorers\.perplexity\.model"
        ):
            refuse(bare)


def test_the_scorer_tokenizes_with_the_models_own_tokenizer(encoder_with_head, prepared):
    tokenizer = load_tokenizer(encoder_with_head)
    assert isinstance(tokenizer, PreTrainedTokenizerFast)
    data = ScoringData(prepared.data, prepared.splits.train, 512, "fp32")
    positions = np.array([3, 0, 8])
    found = PerplexityScorer(encoder_with_head, None, 16).load(data)(positions)["perplexity"]
    texts = prepared.splits.train["text"].to_pylist()
    rows = [np.array(tokenizer(texts[i], truncation=True, max_length=16)["input_ids"]) for i in positions]
    special = frozenset({tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id})
    masking = Masking(tokenizer.mask_token_id, tokenizer.pad_token_id, special)
    expected = pseudo_perplexity(load_masked_model(encoder_with_head), rows, masking)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
