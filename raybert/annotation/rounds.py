"""The folder of an annotation: a file a round to write labels into, and what is known of every round."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from raybert.data.columns import plain_array
from raybert.data.local import read_table
from raybert.errors import DataError
from raybert.files import reading_back, write_frame
from raybert.tables.annotation import ROUNDS, STATES
from raybert.tables.schema import Table

_ROUND = re.compile(r"round-([1-9][0-9]*)\.csv")
LABELLED = "labelled.csv"
"""Everything that has a label, in the folder of the rounds."""
_RARE = 1
"""How often a class occurs that may be another one, written wrongly."""


@dataclass(frozen=True)
class Annotated:
    """What was written into the files of all rounds.

    Attributes:
        labels: id of an example -> name of its class.
        round_of: id -> number of the round that it is from.
        num_open: rows of the files that have no label.
        notes: what a user should look at.
    """

    labels: dict[str, str]
    round_of: dict[str, int]
    num_open: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class RoundsFolder:
    """Where the rounds of one annotation are.

    Attributes:
        path: of the folder; `round-<k>.csv` has the texts of round k, `states/round-<k>.parquet` what the model of that
            round said of the texts without a label, `rounds.csv` a row a round.
    """

    path: Path

    def numbers(self) -> list[int]:
        """Return the rounds that there are."""
        found = (_ROUND.fullmatch(path.name) for path in (self.path.iterdir() if self.path.is_dir() else ()))
        return sorted(int(match.group(1)) for match in found if match)

    def file(self, number: int) -> Path:
        """Return the file of a round."""
        return self.path / f"round-{number}.csv"

    def state(self, number: int) -> Path:
        """Return where the model's answers of a round are."""
        return self.path / "states" / f"round-{number}.parquet"

    @property
    def history(self) -> Path:
        """The table of rounds."""
        return self.path / "rounds.csv"

    @property
    def model(self) -> Path:
        """The model of the last round."""
        return self.path / "model"

    def read_state(self, number: int) -> pd.DataFrame | None:
        """Return what the model of a round said; None: there was no model."""
        path = self.state(number)
        if not path.exists():
            return None
        with reading_back(path, "delete it; the round after it is then compared with none"):
            return typed(pq.read_table(path).to_pandas(), STATES)

    def read_history(self) -> pd.DataFrame:
        """Return the table of rounds, a row each."""
        if not self.history.exists():
            return typed(pd.DataFrame(columns=ROUNDS.order()), ROUNDS)
        with reading_back(self.history, "delete it; it begins anew"):
            return typed(
                pd.read_csv(self.history, keep_default_na=False, na_values=[""], dtype={"stop": str}).fillna(
                    {"stop": ""}
                ),
                ROUNDS,
            )

    def read(self, column: str, known_ids: Collection[str], known_labels: Collection[str]) -> Annotated:
        """Return the labels of all rounds.

        Args:
            column: of the labels in the files.
            known_ids: of the rows of the source.
            known_labels: classes that the source itself has, as often as they occur.

        Raises:
            DataError: a file lacks a column, has rows that the source has not, or the newest one has no label at all.
        """
        labels: dict[str, str] = {}
        round_of: dict[str, int] = {}
        num_open, notes, known = 0, [], set(known_ids)
        numbers = self.numbers()
        for number in numbers:
            given = self._read_file(number, column, known)
            there = {example_id: label for example_id, label in given.items() if label}
            if not there and number == numbers[-1]:
                raise DataError(
                    f"{self.file(number)}: must have labels in column '{column}' before the next round, got none in "
                    f"{len(given)} rows; write them there, or delete the file to choose anew"
                )
            missing = len(given) - len(there)
            num_open += missing
            if missing:
                notes.append(f"{self.file(number).name}: {missing:,} of {len(given):,} rows have no label yet")
            labels |= there
            round_of |= dict.fromkeys(there, number)
        return Annotated(labels, round_of, num_open, (*notes, *_notes_on_typos(labels, known_labels)))

    def _read_file(self, number: int, column: str, known: Collection[str]) -> dict[str, str]:
        """Return id -> label of one file, empty where there is none.

        Raises:
            DataError: it is not of this source.
        """
        path = self.file(number)
        raw = read_table(path, {"id": "example_id", "label": column})
        ids = [str(value) for value in plain_array(raw.rows["id"], "id", path.name).to_pylist()]
        values = plain_array(raw.rows["label"], "label", path.name).to_pylist()
        unknown = [row for row, example_id in enumerate(ids) if example_id not in known]
        if unknown:
            raise DataError(
                f"{path}: column 'example_id' must hold ids of the source, got '{ids[unknown[0]]}' in "
                f"{raw.describe_rows(unknown)}; was the source, or that column, changed?"
            )
        return {
            example_id: "" if value is None else str(value).strip()
            for example_id, value in zip(ids, values, strict=True)
        }

    def write(self, number: int, chosen: pd.DataFrame, state: pd.DataFrame | None, history: pd.DataFrame) -> None:
        """Write a round, its file last: a round is there as soon as its file is."""
        if state is not None:
            self.state(number).parent.mkdir(exist_ok=True)
            write_frame(typed(state, STATES), self.state(number))
        write_frame(typed(history, ROUNDS), self.history)
        write_frame(chosen, self.file(number))


def _notes_on_typos(labels: dict[str, str], known: Collection[str]) -> list[str]:
    """Return notes about classes that occur once and are written nearly as another one."""
    counts = Counter([*labels.values(), *known])
    notes = []
    for label in dict.fromkeys(labels.values()):
        others = [other for other in counts if other != label and counts[other] > counts[label]]
        near = difflib.get_close_matches(label, others, n=1, cutoff=0.75)
        if counts[label] <= _RARE and near:
            notes.append(f"label '{label}' occurs once; was '{near[0]}' meant? It is a class of its own as it is")
    return notes


def typed(frame: pd.DataFrame, table: Table) -> pd.DataFrame:
    """Return a frame with the columns and types of a table."""
    return frame[table.order()].astype({column.name: column.dtype for column in table.columns})
