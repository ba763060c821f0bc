"""How a tokenizer cuts corpora."""

from __future__ import annotations

from raybert.display import Row, TextTable
from raybert.pretraining.tokenizer import MeasuredTokenizer
from raybert.terminal.console import Console, print_note, say
from raybert.terminal.table import FittingTable

_COLUMNS = ("corpus", "split", "documents", "words", "pieces", "pieces/word", "unknown", "one piece")


def print_tokenizer(found: MeasuredTokenizer) -> None:
    """Print a tokenizer, and how many pieces it makes of the words of every corpus."""
    console = Console()
    rows = tuple(
        Row(
            (
                str(cut.corpus),
                str(cut.split),
                f"{cut.documents:,}",
                f"{cut.words:,}",
                f"{cut.pieces:,}",
                f"{cut.pieces_per_word:.3f}",
                f"{cut.unknown_fraction:.2%}",
                f"{cut.one_piece_fraction:.1%}",
            )
        )
        for cut in found.cuts.itertuples()
    )
    console.print(FittingTable(TextTable(_COLUMNS, rows, left=frozenset({0, 1}), spare=(4, 2))))
    for note in found.notes:
        print_note(note)
    how = "trained" if found.is_new else "there already"
    say(console, f"{found.kind}, {found.vocabulary:,} pieces, {how}: {found.folder}")
