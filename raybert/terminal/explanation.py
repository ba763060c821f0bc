"""What a model read, as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from raybert.evaluation.explain import Explanation
from raybert.evaluation.explain_tokens import TokenExplanation
from raybert.terminal.console import Console, say

_SHOWN = 110
_MOST_PIECES = 8


def print_explanation(found: Explanation | TokenExplanation, num_chunks: int) -> None:
    """Print `explanation_lines`, or of a token model `attention_lines`."""
    lines = explanation_lines(found, num_chunks) if isinstance(found, Explanation) else attention_lines(found)
    for line in lines:
        say(Console(), line)


def attention_lines(found: TokenExplanation) -> Iterator[str]:
    """Yield of every text what is predicted, and the word pieces that most attention goes to."""
    last = len(found.attention[0]) - 1
    which = f"layer {found.layer}" + (", the last one" if found.layer == last else f" of 0..{last}")
    yield f"attention of {which}, mean over {found.attention[0].shape[1]} heads and all pieces of a text"
    for place, (name, rows) in enumerate(found.documents.groupby("text", sort=False)):
        yield f"{name}: predicted {found.predicted_words(place)}, {len(rows)} word pieces"
        most = rows.nlargest(_MOST_PIECES, "received", keep="first")
        yield "  " + ", ".join(f"{row['piece']} {100 * row['received']:.0f} %" for row in most.to_dict("records"))


def explanation_lines(found: Explanation, num_chunks: int) -> Iterator[str]:
    """Yield for every document its terms and for every query the chunks that it looks for.

    Args:
        found: what was explained.
        num_chunks: of every query.
    """
    for probs, (_, document) in zip(found.probs, found.documents.groupby("position", sort=False), strict=True):
        first = document.iloc[0]
        label = found.label_names[int(first["label"])]
        predicted = int(probs.argmax())
        yield (
            f"{first['split']} {first['position']} ({first['example_id']}): predicted {found.label_names[predicted]} "
            f"({probs[predicted]:.2f}); logit of {label} {document['contribution'].sum():+.3f} is the sum of"
        )
        yield from _terms(document, num_chunks)
        yield ""
    yield from _overlap(found.overlap)
    yield f"what the queries of trial {found.trial_id} look for (chunks of the pool with the highest contribution)"
    for (number, query), chunks in found.queries.groupby(["label", "query"]):
        yield f"  query {query}, for {found.label_names[int(str(number))]}"
        for row in chunks.to_dict("records"):
            yield f"    {row['contribution']:+.3f}  similarity {row['similarity']:.2f}  {_shorten(row['text'])}"


def _overlap(overlap: pd.DataFrame) -> Iterator[str]:
    """Yield how alike the queries are."""
    if overlap.empty:
        return
    nearest = overlap.nlargest(1, "cosine").iloc[0]
    pair = f"{int(nearest['query'])} and {int(nearest['other'])}"
    yield f"queries: mean cosine {overlap['cosine'].mean():.2f}, at most {nearest['cosine']:.2f} ({pair})"
    if overlap["jaccard"].isna().all():
        yield "  no document of the pool has more chunks than a query retrieves: every query reads all of each"
        return
    most = overlap.nlargest(1, "jaccard").iloc[0]
    yield (
        f"  two queries share {100 * overlap['jaccard'].mean():.0f} % of what they retrieve of a document (by chance "
        f"about {100 * overlap['jaccard_by_chance'].iloc[0]:.0f} %), at most {100 * most['jaccard']:.0f} % "
        f"({int(most['query'])} and {int(most['other'])})"
    )


def _terms(document: pd.DataFrame, num_chunks: int) -> Iterator[str]:
    for row in document[document["term"] != "chunk"].to_dict("records"):
        yield f"  {row['contribution']:+.3f}  {row['term']}"
    for query, rows in document[document["term"] == "chunk"].groupby("query"):
        yield f"  {rows['contribution'].sum():+.3f}  query {query}, {len(rows)} chunks:"
        strongest = rows.sort_values("contribution", key=lambda values: -values.abs(), kind="stable")
        for row in strongest.head(num_chunks).to_dict("records"):
            yield (
                f"      {row['contribution']:+.3f}  similarity {row['similarity']:.2f}  attention "
                f"{row['attention']:.2f}  {_shorten(row['text'])}"
            )


def _shorten(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN else flat[: _SHOWN - 3] + "..."
