"""`model.attention: unpadded`: the same outputs and gradients as with padding, on the CPU; what a GPU runs, as far as that goes."""

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from raybert.config import ModelConfig
from raybert.errors import ModelError
from raybert.models import build_classifier, embed_batch, pooled_features
from raybert.models.unpadded import attend, nested, read_unpadded, reads_unpadded, with_lengths
from raybert.training.monitor.attention import head_entropies
from raybert.training.optimization.precision import FP32
from raybert.training.ran_on import RanOn

SHAPE = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "pad_token_id": 0}
KINDS = {
    "bert": (BertForSequenceClassification, BertConfig(**SHAPE, intermediate_size=64, max_position_embeddings=64)),
    "roberta": (
        RobertaForSequenceClassification,
        RobertaConfig(**SHAPE | {"pad_token_id": 1}, intermediate_size=64, max_position_embeddings=66),
    ),
    "modernbert": (
        ModernBertForSequenceClassification,
        ModernBertConfig(
            **SHAPE, intermediate_size=48, local_attention=8, classifier_pooling="mean", bos_token_id=2, eos_token_id=3
        ),
    ),
}


def model_of(kind: str, **changed: object) -> torch.nn.Module:
    made, config = KINDS[kind]
    torch.manual_seed(0)
    return made(type(config)(**{**config.to_dict(), "id2label": dict(enumerate("abc")), "label2id": None, **changed}))


def batch_of(kind: str, lengths: tuple[int, ...] = (40, 3, 17, 1)) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    pad = KINDS[kind][1].pad_token_id
    ids = torch.randint(5, 60, mask.shape, generator=generator).where(mask.bool(), torch.tensor(pad))
    types = (torch.arange(max(lengths)) >= 2).long() * mask
    return {"input_ids": ids, "attention_mask": mask, **({"token_type_ids": types} if kind == "bert" else {})}


@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_gradients_are_those_with_padding(kind):
    batch = batch_of(kind)
    padded, unpadded = model_of(kind).eval(), read_unpadded(model_of(kind).eval())
    assert (reads_unpadded(padded), reads_unpadded(unpadded)) == (False, True)
    expected = padded(**batch).logits
    for given in (batch, with_lengths(batch)):
        torch.testing.assert_close(unpadded(**given).logits, expected, atol=1e-5, rtol=1e-5)
    for model in (padded, unpadded):
        torch.nn.functional.cross_entropy(model(**batch).logits, torch.tensor([0, 1, 2, 0])).backward()
    for (name, one), other in zip(padded.named_parameters(), unpadded.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_alone_has_the_hidden_states_that_it_has_in_company(kind):
    model = read_unpadded(model_of(kind).eval()).base_model
    batch = batch_of(kind)
    alone = {name: rows[2:3, :17] for name, rows in batch.items()}
    with torch.no_grad():
        hidden, single = (model(**each).last_hidden_state for each in (batch, alone))
    torch.testing.assert_close(hidden[2, :17], single[0], atol=1e-5, rtol=1e-5)
    assert hidden[1, 3:].abs().max() == 0


@pytest.mark.parametrize("head", [None, "mlp"])
def test_classifiers_of_every_head_take_it_and_a_run_says_so(tiny_bert, head):
    settings = {"head": head, "pooling": None if head is None else "max"}
    batch = batch_of("bert", (9, 4, 6))
    padded, unpadded = (
        build_classifier(tiny_bert, ("a", "b"), 0, ModelConfig(attention=attention, **settings)).eval()
        for attention in ("sdpa", "unpadded")
    )
    assert RanOn.of(unpadded, FP32, None).attention == "unpadded"
    with torch.no_grad():
        for one, other in zip(pooled_features(padded, batch), pooled_features(unpadded, batch), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
        for pooling in ("mean", "cls"):
            torch.testing.assert_close(embed_batch(padded, batch, pooling), embed_batch(unpadded, batch, pooling))
    torch.testing.assert_close(head_entropies(unpadded.base_model, batch), head_entropies(padded.base_model, batch))
    assert reads_unpadded(unpadded)  # entropies are of eager attention, for a moment


def test_a_saved_model_is_an_ordinary_one(tiny_bert, tmp_path):
    model = build_classifier(tiny_bert, ("a", "b"), 0, ModelConfig(attention="unpadded")).eval()
    model.save_pretrained(tmp_path)
    batch = batch_of("bert", (9, 4))
    again = BertForSequenceClassification.from_pretrained(tmp_path).eval()
    assert again.config._attn_implementation == "sdpa"
    torch.testing.assert_close(again(**batch).logits, model(**batch).logits, atol=1e-5, rtol=1e-5)


def test_other_architectures_are_refused_in_one_line():
    class Other(torch.nn.Module):
        config = type("Config", (), {"model_type": "deberta"})()
        base_model = property(lambda self: self)

    with pytest.raises(ModelError, match=r"^model\.attention: unpadded is for models of type bert, .*got 'deberta'"):
        read_unpadded(Other())


def test_dropout_of_attention_is_drawn_in_training_alone():
    model = read_unpadded(model_of("bert", attention_probs_dropout_prob=0.5, hidden_dropout_prob=0.0))
    batch = batch_of("bert")
    drawn = [model.train()(**batch).logits for _ in range(2)]
    assert (drawn[0] - drawn[1]).abs().max() > 1e-4
    kept = [model.eval()(**batch).logits for _ in range(2)]
    torch.testing.assert_close(*kept, atol=0, rtol=0)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
def test_nested_tensors_which_gpus_use_with_dropout_compute_the_same():
    """torch runs the same call on a GPU by its fused kernel."""
    generator = torch.Generator().manual_seed(2)
    rows = [torch.randn(20, 2, 8, generator=generator, requires_grad=True) for _ in range(3)]
    starts = torch.tensor([0, 9, 12, 20], dtype=torch.int32)
    wanted = attend(
        torch.nn.Identity(), *(each.transpose(0, 1)[None] for each in rows), None, cu_seq_lens_q=starts, max_length_q=9
    )[0][0]
    found = nested(*rows, starts, 9, 0.0, None)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
    weights = torch.randn(wanted.shape, generator=generator)
    for one, other in zip(*(torch.autograd.grad((out * weights).sum(), rows) for out in (found, wanted)), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("dropout", "window"), [(0.0, None), (0.0, 5)])
def test_torch_takes_the_calls_of_a_gpu(dropout, window):
    """Shapes and arguments, by torch's own stand-ins for kernels; no number is computed."""
    rows = [torch.empty(1, 4, 30, 64, device="meta", dtype=torch.bfloat16, requires_grad=True) for _ in range(3)]
    starts = torch.tensor([0, 12, 30], dtype=torch.int32, device="meta")
    given = {"cu_seq_lens_q": starts, "max_length_q": 18, "dropout": dropout, "sliding_window": window}
    out, _ = attend(torch.nn.Identity(), *rows, None, **given)
    assert (tuple(out.shape), out.dtype) == ((1, 30, 4, 64), torch.bfloat16)
    out.sum().backward()
    assert all(tuple(each.grad.shape) == (1, 4, 30, 64) for each in rows)


def test_a_window_with_dropout_is_refused_on_a_gpu():
    rows = [torch.empty(1, 4, 30, 64, device="meta", dtype=torch.bfloat16) for _ in range(3)]
    given = {"cu_seq_lens_q": torch.tensor([0, 12, 30]), "max_length_q": 18, "dropout": 0.1, "sliding_window": 5}
    with pytest.raises(ModelError, match=r"no dropout of attention on a GPU .* got torch.bfloat16 and dropout 0.1"):
        attend(torch.nn.Identity(), *rows, None, **given)


def test_lengths_are_those_of_the_mask():
    given = with_lengths({"attention_mask": torch.tensor([[1, 1, 0], [1, 0, 0], [1, 1, 1]])})
    np.testing.assert_array_equal(given["unpadded_pieces"], [0, 1, 3, 6, 7, 8])
    np.testing.assert_array_equal(given["unpadded_starts"], [0, 2, 3, 6])
