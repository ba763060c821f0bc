"""IRIS: a classifier of long documents that retrieves, from each document's own chunks, what learned queries ask for.

After "IRIS: Interpretable Retrieval-Augmented Classification for Long Interspersed Document Sequences" (ACL 2025). The
encoder is frozen and has run before: the classifier sees unit embeddings of chunks, and trains the queries and a head.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional
from transformers.modeling_outputs import SequenceClassifierOutput

from raybert.config import ModelConfig
from raybert.errors import ModelError
from raybert.files import read_json

MODEL_TYPE = "raybert-iris"
_CONFIG, _WEIGHTS = "config.json", "model.safetensors"


@dataclass(frozen=True)
class IrisSettings:
    """What makes an IRIS classifier.

    Attributes:
        width: d, of a chunk's embedding.
        num_classes: C.
        num_queries: N, learned.
        top_k: most chunks that a query retrieves from a document.
        temperature: of the softmax over what is retrieved, > 0.
        combine: the features are the retrieved vectors of all queries end to end, or their mean.
        is_pair: the first text of a pair comes as one embedding, e; chunks are those of the second.
        interaction: with a pair, also c_i . e for every query: a linear head cannot relate the two otherwise.
        dropout: before every linear layer of the head.
        hidden_sizes: of an MLP head; empty: the head is linear.
        diversity_weight: of `IrisClassifier.penalty`.
        diversity_margin: cosine of two queries from which they are penalised.
    """

    width: int
    num_classes: int
    num_queries: int = 8
    top_k: int = 12
    temperature: float = 0.1
    combine: Literal["concat", "mean"] = "concat"
    is_pair: bool = False
    interaction: bool = True
    dropout: float = 0.1
    hidden_sizes: tuple[int, ...] = ()
    diversity_weight: float = 0.1
    diversity_margin: float = 0.4

    @property
    def num_outputs(self) -> int:
        """What the head gives: one logit for two classes, else one for each."""
        return 1 if self.num_classes == 2 else self.num_classes

    @property
    def feature_parts(self) -> dict[str, int]:
        """Sizes of the parts of h in their order: retrieved, companion, interaction."""
        retrieved = self.width * (self.num_queries if self.combine == "concat" else 1)
        companion = self.width if self.is_pair else 0
        interaction = self.num_queries if self.is_pair and self.interaction else 0
        return {"retrieved": retrieved, "companion": companion, "interaction": interaction}


@dataclass(frozen=True)
class Retrieval:
    """What every query took from every document, most similar first; k = min(top_k, m).

    Attributes:
        chunks: (b, N, k) int64, numbers of chunks within their document.
        is_chosen: (b, N, k) bool; False where the document has fewer than k chunks.
        similarities: (b, N, k), s_ij = q_i . x_j.
        attention: (b, N, k), a_ij: sums to 1 over k, 0 where nothing is chosen.
        vectors: (b, N, k, d), x_j.
    """

    chunks: torch.Tensor
    is_chosen: torch.Tensor
    similarities: torch.Tensor
    attention: torch.Tensor
    vectors: torch.Tensor

    @property
    def summaries(self) -> torch.Tensor:
        """(b, N, d), c_i = sum_j a_ij x_j."""
        return torch.einsum("bnk,bnkd->bnd", self.attention, self.vectors)


@dataclass(frozen=True)
class Contributions:
    """The terms of a linear head's outputs (O = 1 for two classes, else C); with `bias` they sum to them.

    Attributes:
        chunks: (b, O, N, k), w_i . (a_ij x_j), places as in `Retrieval`.
        companion: (b, O), of e; 0 without a pair.
        interaction: (b, O), of all c_i . e; 0 without.
        bias: (O,).
    """

    chunks: torch.Tensor
    companion: torch.Tensor
    interaction: torch.Tensor
    bias: torch.Tensor


class IrisClassifier(nn.Module):
    """Learned queries over a document's own chunks, and a head on what they retrieve.

    With q_i = Q_i / ||Q_i|| and s_ij = q_i . x_j, R_i are the `top_k` chunks of the document with the largest s_ij,
    ties to the earlier one; a_ij = softmax over R_i of s_ij / temperature; c_i = sum_j a_ij x_j; h = [c_1..c_N], for a
    pair [c_1..c_N, e, c_1 . e..c_N . e]. Training and inference retrieve alike. Gradients go through the attention and
    the head, none through the choice of R_i and none into x and e. Computes outside of autocast.

    Args:
        settings: sizes and options.
        seed: of queries (standard normal) and head (the default of `nn.Linear`); the global generator is not touched.

    Source: the paper above; only its abstract could be read, so everything but attention over chunks that learned
    queries retrieve is our choice, and the penalty is ours.
    """

    def __init__(self, settings: IrisSettings, seed: int) -> None:
        super().__init__()
        self.settings = settings
        generator = torch.Generator().manual_seed(seed)
        self.queries = nn.Parameter(torch.randn(settings.num_queries, settings.width, generator=generator))
        self.head = _build_head(settings, generator)

    def forward(
        self, chunks: torch.Tensor, chunk_mask: torch.Tensor, companions: torch.Tensor | None = None
    ) -> SequenceClassifierOutput:
        """Return an output whose `logits` are (b, C).

        Of two classes the logits are [0, z]: cross entropy over them is binary cross entropy of z.

        Args:
            chunks: (b, m, d) unit vectors, padded.
            chunk_mask: (b, m) bool, True for chunks; every document has at least one.
            companions: (b, d) unit vectors of the first texts of pairs.
        """
        with torch.autocast(chunks.device.type, enabled=False):
            outputs = self.head(self.features(chunks, chunk_mask, companions))
        if self.settings.num_outputs == 1:
            outputs = torch.cat([torch.zeros_like(outputs), outputs], dim=1)
        return SequenceClassifierOutput(logits=outputs)

    def features(
        self, chunks: torch.Tensor, chunk_mask: torch.Tensor, companions: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return h (b, H), the input of the head; arguments as of `forward`."""
        summaries = self.retrieve(chunks, chunk_mask).summaries
        parts = [summaries.flatten(1) if self.settings.combine == "concat" else summaries.mean(1)]
        if self.settings.is_pair:
            companions = self._checked(companions)
            parts.append(companions)
            if self.settings.interaction:
                parts.append(_interactions(summaries, companions))
        return torch.cat(parts, dim=1)

    def retrieve(self, chunks: torch.Tensor, chunk_mask: torch.Tensor) -> Retrieval:
        """Return what every query takes from every document; arguments as of `forward`."""
        return self.attend(chunks, chunk_mask, self.choose(chunks, chunk_mask))

    @torch.no_grad()
    def choose(self, chunks: torch.Tensor, chunk_mask: torch.Tensor) -> torch.Tensor:
        """Return R (b, N, k), numbers of the chunks most similar to each query, ties to the earlier one."""
        similarities = torch.einsum("nd,bmd->bnm", self._unit_queries(), chunks)
        similarities = similarities.masked_fill(~chunk_mask.unsqueeze(1), -math.inf)
        # Not `topk`: it does not say which of equals it takes.
        order = similarities.sort(dim=-1, descending=True, stable=True).indices
        return order[..., : self.settings.top_k]

    def attend(self, chunks: torch.Tensor, chunk_mask: torch.Tensor, choice: torch.Tensor) -> Retrieval:
        """Return the attention over chosen chunks; `choice` (b, N, k) as from `choose`."""
        documents = torch.arange(len(chunks), device=chunks.device).view(-1, 1, 1)
        vectors = chunks.detach()[documents, choice]  # (b, N, k, d)
        is_chosen = chunk_mask[documents, choice]
        similarities = torch.einsum("nd,bnkd->bnk", self._unit_queries(), vectors)
        scores = (similarities / self.settings.temperature).masked_fill(~is_chosen, -math.inf)
        return Retrieval(choice, is_chosen, similarities, scores.softmax(dim=-1), vectors)

    def cosines(self) -> torch.Tensor:
        """Return (N, N), how alike every two queries are."""
        queries = self._unit_queries()
        return queries @ queries.T

    def penalty(self) -> torch.Tensor:
        """Return diversity_weight * sum over i != j of relu(cos(q_i, q_j) - diversity_margin), a scalar.

        To be added once to the loss of an optimizer step. A sum: with a mean, two queries of eight collapsed to
        cosine .90 (measured).
        """
        cosines = self.cosines()
        excess = functional.relu(cosines - self.settings.diversity_margin)
        others = ~torch.eye(len(cosines), dtype=torch.bool, device=cosines.device)
        return self.settings.diversity_weight * excess[others].sum()

    def contributions(self, retrieval: Retrieval, companions: torch.Tensor | None = None) -> Contributions:
        """Return what each retrieved chunk adds to the outputs of a linear head.

        Raises:
            ModelError: the head is an MLP.
        """
        if self.settings.hidden_sizes:
            raise ModelError(
                "model.head: must be linear for contributions of chunks, got hidden sizes "
                f"{list(self.settings.hidden_sizes)}; an MLP's logit is not a sum over chunks"
            )
        layer: Any = self.head[-1]
        parts = layer.weight.split(list(self.settings.feature_parts.values()), dim=1)
        num_queries, width = self.settings.num_queries, self.settings.width
        if self.settings.combine == "concat":
            weights = parts[0].view(-1, num_queries, width)  # (O, N, d)
        else:
            weights = parts[0].unsqueeze(1).expand(-1, num_queries, -1) / num_queries
        chunks = torch.einsum("ond,bnkd->bonk", weights, retrieval.vectors) * retrieval.attention.unsqueeze(1)
        companion = interaction = chunks.new_zeros(chunks.shape[:2])
        if self.settings.is_pair:
            companions = self._checked(companions)
            companion = companions @ parts[1].T
            if self.settings.interaction:
                interaction = _interactions(retrieval.summaries, companions) @ parts[2].T
        return Contributions(chunks, companion, interaction, layer.bias)

    def no_decay_names(self) -> frozenset[str]:
        """Return parameters that weight decay must leave alone, besides biases: only directions of queries matter."""
        return frozenset({"queries"})

    def save_pretrained(self, folder: Path) -> None:
        """Write config.json and model.safetensors into a folder, which is made."""
        folder.mkdir(parents=True, exist_ok=True)
        config = {"model_type": MODEL_TYPE, "settings": asdict(self.settings)}
        (folder / _CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        save_file({name: tensor.detach().cpu() for name, tensor in self.state_dict().items()}, folder / _WEIGHTS)

    @classmethod
    def from_pretrained(cls, folder: Path) -> IrisClassifier:
        """Return a saved classifier, in eval mode.

        Raises:
            ModelError: the folder holds none.
        """
        path = folder / _CONFIG
        if not path.is_file():
            raise ModelError(f"{folder}: must hold a saved IRIS classifier, has no {_CONFIG}")
        config = read_json(path) or {}
        if config.get("model_type") != MODEL_TYPE:
            raise ModelError(f"{path}: model_type: must be '{MODEL_TYPE}', got '{config.get('model_type')}'")
        settings = {**config["settings"], "hidden_sizes": tuple(config["settings"]["hidden_sizes"])}
        if "pool" in settings:  # saved by raybert 0.1
            settings["combine"] = settings.pop("pool")
        model = cls(IrisSettings(**settings), seed=0)
        model.load_state_dict(load_file(folder / _WEIGHTS))
        return model.eval()

    def _unit_queries(self) -> torch.Tensor:
        return functional.normalize(self.queries, dim=-1)

    def _checked(self, companions: torch.Tensor | None) -> torch.Tensor:
        if companions is None:
            raise ModelError("companions: an IRIS classifier of pairs needs the embeddings of first texts, got none")
        return companions.detach()


def iris_settings(config: ModelConfig, width: int, num_classes: int, *, is_pair: bool) -> IrisSettings:
    """Return the settings that a model section asks for.

    Args:
        config: with the kind `iris`.
        width: d.
        num_classes: C.
        is_pair: whether the examples are pairs.
    """
    own = config.iris.model_dump(exclude={"chunk_tokens", "stride", "max_chunks"})
    sizes = config.head.sizes if config.head is not None and config.head.name == "mlp" else ()
    return IrisSettings(width=width, num_classes=num_classes, is_pair=is_pair, hidden_sizes=sizes, **own)


def _interactions(summaries: torch.Tensor, companions: torch.Tensor) -> torch.Tensor:
    """Return c_i . e (b, N)."""
    return torch.einsum("bnd,bd->bn", summaries, companions)


def _build_head(settings: IrisSettings, generator: torch.Generator) -> nn.Sequential:
    """Return dropout and linear layers, with GELU in between."""
    sizes = [sum(settings.feature_parts.values()), *settings.hidden_sizes, settings.num_outputs]
    layers: list[nn.Module] = []
    for i in range(len(sizes) - 1):
        layers += [nn.GELU()] if i else []
        layers += [nn.Dropout(settings.dropout), _linear(sizes[i], sizes[i + 1], generator)]
    return nn.Sequential(*layers)


def _linear(num_inputs: int, num_outputs: int, generator: torch.Generator) -> nn.Linear:
    """Return `nn.Linear` with its default initialisation, from a generator of its own."""
    layer = nn.Linear(num_inputs, num_outputs, device="meta").to_empty(device="cpu")
    bound = 1.0 / math.sqrt(num_inputs)
    with torch.no_grad():
        for parameter in (layer.weight, layer.bias):
            parameter.uniform_(-bound, bound, generator=generator)
    return layer
