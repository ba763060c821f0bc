"""What scorers are made from: a trial's settings, and what its sweep has prepared and trained for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raybert.config import DataConfig, SelectionConfig
from raybert.selection.strategy import NullInputs

if TYPE_CHECKING:
    from raybert.models import Encoder

SignalRunsKind = Literal["proxy", "heldout", "irreducible", "dynamics"]


@dataclass(frozen=True)
class SignalRuns:
    """Training runs whose outputs are a signal.

    Attributes:
        kind: which signals they give: `proxy` (probs, feature_norms, null_probs), `heldout` (heldout_probs),
            `irreducible` (irreducible_loss), `dynamics`.
        runs: their trial ids, repetition by repetition, fold by fold.
        num_folds: m of a cross-fit; None: every run saw the whole pool.
        null: which null the runs saw in training besides.
    """

    kind: SignalRunsKind
    runs: tuple[str, ...]
    num_folds: int | None = None
    null: NullInputs | None = None


@dataclass(frozen=True)
class ScorerRequest:
    """What the scorers of one trial are made from.

    Attributes:
        selection: the section of its sweep file.
        max_length: word pieces of an example, at most.
        encoder: of its data set.
        language_model: that of perplexity, where it is read.
        in_chunks: whether its examples are documents in chunks (IRIS).
        cross_fit_seed: of the folds.
        signal_runs: the runs whose outputs it reads.
        folder_of: trial id of a run -> its folder.
        model_of: trial id of a run -> the folder of its model.
        losses_of: trial id of a run -> the file of its training losses.
        columns: name of a column of the source that is read -> digest of its values.
        data: the section that says what columns are called; None: no file beside the source is read.
    """

    selection: SelectionConfig
    max_length: int
    encoder: Encoder
    language_model: Encoder | None
    in_chunks: bool
    cross_fit_seed: int
    signal_runs: tuple[SignalRuns, ...]
    folder_of: Callable[[str], Path]
    model_of: Callable[[str], Path]
    losses_of: Callable[[str], Path]
    columns: Mapping[str, str] = field(default_factory=dict)
    data: DataConfig | None = None

    def runs(self, kind: SignalRunsKind) -> SignalRuns:
        """Return the runs of a kind."""
        return next(runs for runs in self.signal_runs if runs.kind == kind)

    def models(self, runs: SignalRuns) -> tuple[Path, ...]:
        """Return the folders of the models of runs."""
        return tuple(self.model_of(run) for run in runs.runs)
