"""An explanation of IRIS as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from raybert.evaluation.explain import Explanation
from raybert.terminal.console import Console, say

_SHOWN = 110


def print_explanation(found: Explanation, num_chunks: int) -> None:
    """Print `explanation_lines`."""
    for line in explanation_lines(found, num_chunks):
        say(Console(), line)


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
    yield f"what the queries of trial {found.trial_id} look for (chunks of the pool with the highest contribution)"
    for (number, query), chunks in found.queries.groupby(["label", "query"]):
        yield f"  query {query}, for {found.label_names[int(str(number))]}"
        for row in chunks.to_dict("records"):
            yield f"    {row['contribution']:+.3f}  similarity {row['similarity']:.2f}  {_shorten(row['text'])}"


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
