"""What an IRIS classifier read: which chunks its queries retrieved, and what each added to the logit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from raybert.data.chunks import ChunkTable
from raybert.errors import ModelError
from raybert.models.iris import IrisClassifier

_DOCUMENTS_AT_ONCE = 32


def explain_documents(
    model: IrisClassifier,
    table: ChunkTable,
    positions: np.ndarray,
    spans: np.ndarray,
    texts: Sequence[str],
    *,
    label: int | None = None,
) -> pd.DataFrame:
    """Return the terms that a logit of every document is the sum of: `EXPLAINED`, but for split and id.

    The terms of a document are `chunk`, a row for each query and chunk that it retrieved, most similar first; for pairs
    `companion` and `interaction`; and `bias`: these have no query and no chunk. Of two classes there is one logit, of
    class 1 against class 0.

    Args:
        model: with a linear head; dropout does not matter.
        table: the documents.
        positions: (b,) rows of the table to explain.
        spans: (chunks, 2) where in its document's text each chunk of the table begins and ends, in characters.
        texts: (n,) documents, by position.
        label: of more than two classes, whose logit; None: of the class that the document is given.

    Raises:
        ModelError: the head is an MLP, or no logit is that of `label`.
    """
    parts = np.array_split(np.asarray(positions), range(_DOCUMENTS_AT_ONCE, len(positions), _DOCUMENTS_AT_ONCE))
    frames = [_explain_batch(model, table, rows, label) for rows in parts]
    frame = pd.concat(frames, ignore_index=True)
    frame["text"] = [
        None if pd.isna(chunk) else texts[position][slice(*spans[table.offsets[position] + chunk])]
        for position, chunk in zip(frame["position"], frame["chunk"], strict=True)
    ]
    return frame


def strongest_chunks(frame: pd.DataFrame, num_chunks: int) -> pd.DataFrame:
    """Return for every label and query the chunks of highest contribution, highest first.

    May be taken of parts of many documents, and then of the results together.

    Args:
        frame: of `explain_documents`.
        num_chunks: for each query, at most.
    """
    chunks = frame[frame["term"] == "chunk"]
    ordered = chunks.sort_values(["label", "query", "contribution"], ascending=[True, True, False], kind="stable")
    return ordered.groupby(["label", "query"]).head(num_chunks).reset_index(drop=True)


def shared_chunks(model: IrisClassifier, table: ChunkTable) -> pd.DataFrame:
    """Return for every pair of queries how alike they are, and how often they retrieve the same: `QUERY_OVERLAP`.

    Documents of at most `top_k` chunks are left out: there every query retrieves everything. If there are no others,
    the shares are NaN.

    Args:
        model: whose queries.
        table: documents.
    """
    top_k, num_queries = model.settings.top_k, model.settings.num_queries
    longer = np.flatnonzero(table.lengths > top_k)
    total = np.zeros((num_queries, num_queries))
    for rows in np.array_split(longer, range(_DOCUMENTS_AT_ONCE, len(longer), _DOCUMENTS_AT_ONCE)):
        if len(rows):
            batch = {name: tensor.to(model.queries.device) for name, tensor in table.collate(rows).items()}
            taken = model.choose(batch["chunks"], batch["chunk_mask"]).cpu().numpy()  # (b, N, k)
            is_taken = np.zeros((*taken.shape[:2], batch["chunks"].shape[1]), np.float32)
            np.put_along_axis(is_taken, taken, 1.0, axis=2)
            both = np.einsum("bnm,bom->bno", is_taken, is_taken)
            total += (both / (2 * top_k - both)).sum(axis=0)
    with np.errstate(invalid="ignore"):
        jaccard = total / len(longer) if len(longer) else np.full_like(total, np.nan)
    chance = float(np.mean(top_k / (2 * table.lengths[longer] - top_k))) if len(longer) else float("nan")
    cosines = model.cosines().detach().cpu().numpy().astype(np.float64)
    one, other = np.triu_indices(num_queries, k=1)
    return pd.DataFrame(
        {
            "query": one,
            "other": other,
            "cosine": cosines[one, other],
            "jaccard": jaccard[one, other],
            "jaccard_by_chance": chance,
        }
    )


@torch.no_grad()
def _explain_batch(model: IrisClassifier, table: ChunkTable, rows: np.ndarray, label: int | None) -> pd.DataFrame:
    """Return the terms of some documents, without text."""
    batch = {name: tensor.to(model.queries.device) for name, tensor in table.collate(rows).items()}
    retrieval = model.retrieve(batch["chunks"], batch["chunk_mask"])
    terms = model.contributions(retrieval, batch.get("companions"))
    outputs = (terms.chunks.sum((2, 3)) + terms.companion + terms.interaction + terms.bias).cpu()  # (b, O)
    columns, labels = _explained_outputs(outputs, label, model.settings.num_classes)
    of_each = np.arange(len(rows))

    is_chosen = retrieval.is_chosen.cpu().numpy()  # (b, N, k)
    documents, queries, _ = np.nonzero(is_chosen)
    frames = [
        pd.DataFrame(
            {
                "document": documents,
                "term": "chunk",
                "query": pd.array(queries, "Int64"),
                "chunk": pd.array(retrieval.chunks.cpu().numpy()[is_chosen], "Int64"),
                "similarity": retrieval.similarities.cpu().numpy()[is_chosen],
                "attention": retrieval.attention.cpu().numpy()[is_chosen],
                "contribution": terms.chunks.cpu().numpy()[of_each, columns][is_chosen],
            }
        )
    ]
    others = {"companion": terms.companion, "interaction": terms.interaction, "bias": terms.bias.expand(len(rows), -1)}
    sizes = {**model.settings.feature_parts, "bias": 1}
    for term, values in others.items():
        if sizes[term]:
            contribution = values.cpu().numpy()[of_each, columns]
            frames.append(pd.DataFrame({"document": of_each, "term": term, "contribution": contribution}))
    frame = pd.concat(frames).sort_values("document", kind="stable", ignore_index=True)
    places = frame.pop("document").to_numpy()
    frame.insert(0, "position", rows[places])
    frame.insert(1, "label", labels[places])
    return frame


def _explained_outputs(outputs: torch.Tensor, label: int | None, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (b,) which output is explained, and (b,) the class it is the logit of.

    Raises:
        ModelError: no output is the logit of this class.
    """
    is_binary = outputs.shape[1] == 1
    explained = range(1, 2) if is_binary else range(num_classes)
    if label is not None and label not in explained:
        raise ModelError(f"label: must be in {explained.start}..{explained.stop - 1} (has a logit), got {label}")
    labels = outputs.argmax(1).numpy() + (1 if is_binary else 0)
    if label is not None:
        labels = np.full(len(labels), label)
    return labels - explained.start, labels
