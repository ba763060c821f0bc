"""A model to pretrain, its packed sequences and its objective, as a request describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from raybert.config.pretrain import PretrainConfig
from raybert.data.token_store import TokenStore
from raybert.pretraining.build import BuiltModel, build_model, encoder_in
from raybert.pretraining.corpora import Corpus
from raybert.pretraining.masking import Masking
from raybert.pretraining.objective import Pretraining
from raybert.pretraining.packed_data import PackedData
from raybert.pretraining.packing import pack_documents, tokenize_documents
from raybert.pretraining.request import PretrainRequest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Assembled:
    """What a run trains.

    Attributes:
        built: the model at its beginning.
        data: packed sequences.
        objective: what it minimises and is measured by.
    """

    built: BuiltModel
    data: PackedData
    objective: Pretraining


def assemble(request: PretrainRequest, tokenizer: PreTrainedTokenizerFast, *, is_placed: bool = True) -> Assembled:
    """Return what a request trains.

    Args:
        request: what.
        tokenizer: of its folder.
        is_placed: False: the model stays on the CPU, as workers place copies of their own.

    Raises:
        ConfigError: the model does not fit the corpus.
        ModelError: the encoder cannot be loaded.
        DataError: a split has no documents with words.
    """
    config = request.pretrain
    built = build_model(request.model, config, tokenizer, request.seed)
    data = packed_data(request.corpus, tokenizer, config, packs=built.model.packs)
    device = torch.device(request.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if is_placed:
        built.model.to(device)
    micro = config.micro_batch_size
    built.model.choose_attention(micro if isinstance(micro, int) else config.batch_size, config.max_length, device)
    masked, contrastive = config.masked, config.contrastive
    masking = None if masked is None else Masking.of(tokenizer, **masked.model_dump())
    identity = {"model": built.identity, "masked": _dumped(masked), "contrastive": _dumped(contrastive)}
    objective = Pretraining(built.model, data, request.seed, config.precision, masking, contrastive, identity=identity)
    return Assembled(built, data, objective)


def packed_data(
    corpus: Corpus, tokenizer: PreTrainedTokenizerFast, config: PretrainConfig, *, packs: bool = True
) -> PackedData:
    """Return the packed sequences of a corpus.

    Args:
        corpus: train and validation are read.
        tokenizer: a fast one.
        config: the section `pretrain`.
        packs: False: every document has a sequence of its own.

    Raises:
        DataError: a split has no documents with words.
        ConfigError: the sequences are too short.
    """
    store = TokenStore.in_cache()
    lines = config.contrastive is not None and config.contrastive.sentences == "lines"
    tables = {}
    for split in ("train", "validation"):
        documents = corpus.split(split).lines() if lines else corpus.split(split)
        pieces = tokenize_documents(documents, tokenizer, store)
        tables[split] = pack_documents(pieces, tokenizer, config.max_length, alone=not packs)
    validation = tables["validation"].first_of_shuffled(config.evaluate_on)
    assert tokenizer.pad_token_id is not None
    return PackedData(tables["train"], validation, int(tokenizer.pad_token_id))


def tokenizer_of(request: PretrainRequest) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a request: that of its encoder, or of its folder.

    Raises:
        ModelError: it cannot be loaded.
    """
    from raybert.models.encoder import Encoder, load_tokenizer

    encoder = encoder_in(request.model)
    return load_tokenizer(encoder or Encoder("tokenizer", request.tokenizer, "", key="tokenizer"))


def _dumped(section: Any) -> Any:
    return None if section is None else section.model_dump(mode="json")
