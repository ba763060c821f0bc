import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
    GPT2Config,
    ModernBertConfig,
    ModernBertForMaskedLM,
    ModernBertForSequenceClassification,
    PerceiverConfig,
    PerceiverForMaskedLM,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from raybert.config import RaybertConfig
from raybert.errors import ConfigError, ModelError
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
from raybert.selection.scorers.scorer import Arithmetic, Scorer, ScoringData
from raybert.sweeping.phases.prepare import resolve_language_model

PAD, CLS, SEP, MASK, VOCABULARY = 0, 1, 2, 3, 50
MASKING = Masking(MASK, PAD, frozenset({PAD, CLS, SEP}))


SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
}


def tiny_config() -> BertConfig:
    return BertConfig(**SIZES)


def modernbert_config() -> ModernBertConfig:
    special = {"bos_token_id": CLS, "eos_token_id": SEP, "cls_token_id": CLS, "sep_token_id": SEP}
    return ModernBertConfig(**SIZES, **special, pad_token_id=PAD)


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
            everything = torch.ones_like(masked)[None]
            log_probs = model(input_ids=masked[None], attention_mask=everything).logits[0].log_softmax(-1)
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
    data = ScoringData(prepared.data, prepared.splits.train, Arithmetic("fp32", 512))
    positions = np.array([3, 0, 8])
    found = PerplexityScorer(encoder_with_head, None, 16).load(data)(positions)["perplexity"]
    texts = prepared.splits.train["text"].to_pylist()
    rows = [np.array(tokenizer(texts[i], truncation=True, max_length=16)["input_ids"]) for i in positions]
    special = frozenset({tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id})
    masking = Masking(tokenizer.mask_token_id, tokenizer.pad_token_id, special)
    expected = pseudo_perplexity(load_masked_model(encoder_with_head), rows, masking)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


class WithoutBackbone(torch.nn.Module):
    """A masked LM of one piece, as code from a hub may be: `base_model` is itself."""

    def __init__(self, model):
        super().__init__()
        self.parts = torch.nn.ModuleList([model])

    @property
    def base_model(self):
        return self

    def forward(self, **inputs):
        return self.parts[0](**inputs)


def perceiver(num_latents: int) -> PerceiverForMaskedLM:
    sizes = {"num_latents": num_latents, "d_latents": 16, "d_model": 16, "qk_channels": 16, "v_channels": 16}
    heads = {"num_self_attention_heads": 2, "num_cross_attention_heads": 2, "num_self_attends_per_block": 1}
    return PerceiverForMaskedLM(
        PerceiverConfig(**sizes, **heads, num_blocks=1, vocab_size=VOCABULARY, max_position_embeddings=14)
    )


ARCHITECTURES = {
    "distilbert": lambda: DistilBertForMaskedLM(
        DistilBertConfig(vocab_size=VOCABULARY, dim=16, n_layers=1, n_heads=2, hidden_dim=16)
    ),
    "modernbert": lambda: ModernBertForMaskedLM(modernbert_config()),
    "without a backbone": lambda: WithoutBackbone(BertForMaskedLM(tiny_config())),
    "a decoder of its own": lambda: perceiver(8),
    "a decoder of its own, and latents as many as pieces": lambda: perceiver(14),
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_head_sees_single_positions_only_where_the_architecture_allows_it(name):
    torch.manual_seed(0)
    model = ARCHITECTURES[name]().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    is_perceiver = isinstance(model, PerceiverForMaskedLM)
    rows = [row for row in ROWS if len(row) == 14] if is_perceiver else ROWS  # its brute force needs whole rows
    for mask_every in (None, 3):
        expected = []
        for row in rows:
            content = list(range(1, len(row) - 1))
            passes = min(mask_every or len(content), len(content))
            expected.append(brute_force(model, row, [content[start::passes] for start in range(passes)]))
        found = pseudo_perplexity(model, rows, MASKING, mask_every=mask_every)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def as_encoder(model, folder, *, without: tuple[str, ...] = ()) -> Encoder:
    model.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if name not in without}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return Encoder("some-model", folder, fingerprint_files(folder))


def test_a_head_of_which_weights_are_missing_is_refused_before_anything_is_scored(tmp_path):
    missing = "cls.predictions.transform.dense.weight"
    encoder = as_encoder(BertForMaskedLM(tiny_config()), tmp_path, without=(missing,))
    for refuse in (check_has_masked_lm_head, load_masked_model):
        with pytest.raises(ModelError, match=rf"'some-model' lack {missing}; .*scorers\.perplexity\.model"):
            refuse(encoder)


def test_a_classifier_that_shares_layers_with_the_head_is_refused(tmp_path):
    encoder = as_encoder(ModernBertForSequenceClassification(modernbert_config()), tmp_path)
    with pytest.raises(ModelError, match=r"'some-model' lack decoder\.bias"):
        check_has_masked_lm_head(encoder)


def test_an_architecture_without_the_head_is_refused(tmp_path):
    GPT2Config().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"'gpt' \(type gpt2\) has no masked-LM head; .*scorers\.perplexity\.model"):
        check_has_masked_lm_head(Encoder("gpt", tmp_path, "f"))


def test_tied_weights_and_files_of_another_format_are_no_missing_head(tmp_path):
    tied = as_encoder(XLMRobertaForMaskedLM(XLMRobertaConfig(**SIZES)), tmp_path / "tied")
    assert "lm_head.decoder.weight" not in load_file(tied.path / "model.safetensors")
    check_has_masked_lm_head(tied)
    weights = tied.path / "model.safetensors"
    torch.save(load_file(weights), tied.path / "pytorch_model.bin")
    weights.unlink()
    check_has_masked_lm_head(tied)
    model = load_masked_model(tied)
    assert model.lm_head.decoder.weight is model.roberta.embeddings.word_embeddings.weight


def test_a_model_with_too_few_positions_is_refused_with_its_limit(encoder_with_head, tiny_bert):
    scorers = {"perplexity": {"model": str(encoder_with_head.path)}}
    config = RaybertConfig(data={"max_length": 65}, selection={"scorers": scorers})
    message = (
        r"data\.max_length: must be <= 64 \(positions of selection\.scorers\.perplexity\.model '.*'\), got 65; set"
    )
    with pytest.raises(ConfigError, match=message):
        resolve_language_model(config, tiny_bert, tiny_bert.path)


@pytest.mark.parametrize(("token", "piece"), [("mask_token", "mask"), ("pad_token", "padding")])
def test_a_masked_model_whose_tokenizer_lacks_a_piece_is_refused_before_anything_is_scored(
    encoder_with_head, tiny_bert, tmp_path, token, piece
):
    shutil.copytree(encoder_with_head.path, tmp_path / "m")
    path = tmp_path / "m" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {token: None}))
    config = RaybertConfig(selection={"scorers": {"perplexity": {"model": str(tmp_path / "m")}}})
    with pytest.raises(ModelError, match=f"must have a {piece} piece; name a masked language model"):
        resolve_language_model(config, tiny_bert, tmp_path)


def test_the_pieces_of_both_texts_of_a_pair_are_predicted_from_each_other(encoder_with_head):
    table = pa.table({"text": ["red", "one two"], "text_pair": ["green blue", "three"]})
    scorer = PerplexityScorer(encoder_with_head, None, 32)
    assert isinstance(scorer, Scorer)
    found = scorer.load(ScoringData(None, table, Arithmetic("fp32", 512)))(np.array([0, 1]))["perplexity"]
    assert found.dtype == np.float32
    tokenizer, model = load_tokenizer(encoder_with_head), load_masked_model(encoder_with_head)
    for value, first, second in zip(found, *table.to_pydict().values(), strict=True):
        encoded = tokenizer(first, second, return_tensors="pt", return_special_tokens_mask=True)
        is_special = encoded.pop("special_tokens_mask")[0].bool()
        losses = []
        for place in torch.nonzero(~is_special).flatten():
            masked = encoded["input_ids"].clone()
            masked[0, place] = tokenizer.mask_token_id
            with torch.no_grad():
                logits = model(**{**encoded, "input_ids": masked}).logits[0, place]
            losses.append(-float(logits.log_softmax(-1)[encoded["input_ids"][0, place]]))
        assert value == pytest.approx(math.exp(np.mean(losses)), rel=1e-5)
