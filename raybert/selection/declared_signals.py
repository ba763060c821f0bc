"""What a signal is, and the signals that raybert computes, declared once: in which runs, of what, and by whom.

What plans, scores, checks or lists signals finds them by `raybert.selection.signals`, which knows a user's own as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raybert.config import import_attribute
from raybert.config.tasks import EVERY_TASK, ONE_CLASS, Task
from raybert.selection.scorers.aflite import aflite_signal
from raybert.selection.scorers.lexical import Lexical
from raybert.selection.scorers.readability import Readability
from raybert.selection.scorers.request import ScorerRequest, SignalRunsKind
from raybert.selection.scorers.scorer import PoolScorer, Scorer
from raybert.selection.scorers.source import COLUMN, ColumnScorer
from raybert.selection.scorers.text import TextScorer
from raybert.selection.scorers.tfidf import tfidf_distances
from raybert.selection.scorers.valuation import data_oob
from raybert.selection.text_signal import TextSignal


@dataclass(frozen=True)
class Signal:
    """A per-example array that strategies read.

    Attributes:
        name: of the array in a pool.
        description: what it is, in one line.
        shape: letters of its dimensions: n examples, m proxies, t checkpoints, C classes, d of an embedding.
        dtype: of its values.
        plain_shape: that `raybert.select` takes besides, from one proxy.
        runs: the training runs whose outputs it is.
        reads: signals that it is computed from.
        scorer: `module:function` that makes its scorer from a `ScorerRequest`; empty: the data set itself has it.
        text: what computes it of single texts, in place of `scorer`.
        given: name of an array of a user's own from which `derive` computes it where there is no sweep.
        derive: (that array, labels) -> values.
        is_refreshed: whether the model in training can give it anew.
        passes: forward passes of a model over the pool: a number, or the dotted key of `selection` that says it.
        comes_with: the signal in whose passes it is computed, where that one is read too.
        work: what else computing it takes, in words.
        column: of the source, of which it is the values; empty: it is none.
        target: file of the examples that it is computed for, where it is of those; empty: it is not.
        tasks: what it is defined for.
    """

    name: str
    description: str
    shape: str
    dtype: str = "float32"
    plain_shape: str = ""
    runs: SignalRunsKind | None = None
    reads: tuple[str, ...] = ()
    scorer: str = ""
    text: TextSignal | None = None
    given: str = ""
    derive: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None
    is_refreshed: bool = False
    passes: int | str = 0
    comes_with: str = ""
    work: str = ""
    column: str = ""
    target: str = ""
    tasks: frozenset[Task] = ONE_CLASS

    @property
    def shapes(self) -> tuple[tuple[str, ...], ...]:
        """The dimensions that it may have, as letters."""
        return tuple(tuple(shape.split()) for shape in (self.plain_shape, self.shape) if shape)

    @property
    def is_own(self) -> bool:
        """Whether it is not raybert's, but a user's own."""
        return self.text is not None and not type(self.text).__module__.startswith("raybert.")

    def make_scorer(self, request: ScorerRequest) -> Scorer | PoolScorer | None:
        """Return what computes it for a trial; None: the data set itself has it."""
        if self.text is not None:
            return TextScorer.of(self.text)
        if self.column:
            return ColumnScorer(self.column, request.columns[self.column])
        if not self.scorer:
            return None
        options = {"source": self.target, "signal": self.name} if self.target else {}
        made: Scorer | PoolScorer = import_attribute(self.scorer, f"signal '{self.name}'")(request, **options)
        return made


def of_texts(text: TextSignal) -> Signal:
    """Return the declaration of a signal of single texts."""
    summary = (type(text).__doc__ or "").strip().splitlines() or [""]
    shape = f"n {len(text.columns)}" if text.columns else "n"
    return Signal(
        text.name,
        summary[0],
        shape,
        text=text,
        given="texts",
        derive=_of_objects(text),
        work="a pass over the texts, without a model",
        tasks=EVERY_TASK,
    )


def of_column(column: str) -> Signal:
    """Return the declaration of a column of the source as a signal."""
    return Signal(
        COLUMN + column, f"The column `{column}` of the data.", "n", dtype="any", column=column, tasks=EVERY_TASK
    )


def is_column(name: str) -> bool:
    """Tell whether a signal of this name is a column of the source."""
    return name.startswith(COLUMN) and name != COLUMN


def is_of_target(name: str) -> bool:
    """Tell whether a signal of this name is one that is computed for the examples of a file."""
    base, _, target = name.partition(":")
    return base in OF_TARGETS and target != ""


def _of_objects(text: TextSignal) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda texts, labels: text.values(texts.tolist(), labels)


_MODELS = "raybert.selection.scorers.models"  # by name: importing torch takes seconds, and a plan needs none of it
TABLE: tuple[Signal, ...] = (
    Signal("lengths", "Word pieces of each example.", "n", dtype="int64", tasks=EVERY_TASK),
    Signal(
        "texts",
        "The text itself, a str; both texts of a pair as paragraphs of one.",
        "n",
        dtype="object",
        scorer="raybert.selection.scorers.source:texts_scorer",
        tasks=EVERY_TASK,
    ),
    of_texts(Lexical()),
    of_texts(Readability()),
    Signal(
        "tfidf_distance",
        "How far the words of a text are from the geometric median of the pool, by TF-IDF.",
        "n",
        scorer="raybert.selection.scorers.tfidf:tfidf_scorer",
        given="texts",
        derive=lambda texts, _: tfidf_distances(texts.tolist()),
        work="TF-IDF vectors of the texts and their geometric median, without a model",
        tasks=EVERY_TASK,
    ),
    Signal(
        "perplexity",
        "Pseudo-perplexity of the text under a masked language model, or perplexity under a causal one.",
        "n",
        scorer="raybert.selection.scorers.language_models:perplexity_scorer",
        passes="scorers.perplexity.mask_every",
        tasks=EVERY_TASK,
    ),
    Signal(
        "probs",
        "Class probabilities by proxies; rows sum to 1.",
        "n m C",
        plain_shape="n C",
        runs="proxy",
        scorer=f"{_MODELS}:proxy_scorer",
        tasks=EVERY_TASK,
        is_refreshed=True,
        passes="proxy.num_seeds",
    ),
    Signal(
        "feature_norms",
        "Norms of the inputs of the proxies' last layers.",
        "n m",
        plain_shape="n",
        runs="proxy",
        scorer=f"{_MODELS}:proxy_scorer",
        tasks=EVERY_TASK,
        given="features",
        derive=lambda features, _: np.asarray(np.linalg.norm(features, axis=-1)),
        is_refreshed=True,
        passes="proxy.num_seeds",
        comes_with="probs",
    ),
    Signal(
        "features",
        "Inputs of the last layer of a proxy, the first one of several.",
        "n d",
        runs="proxy",
        scorer="raybert.selection.scorers.one_proxy:feature_scorer",
        is_refreshed=True,
        passes=1,
    ),
    Signal(
        "dropout_probs",
        "Class probabilities by a proxy with dropout, pass by pass (Monte Carlo dropout); rows sum to 1.",
        "n p C",
        runs="proxy",
        scorer="raybert.selection.scorers.one_proxy:dropout_scorer",
        passes="scorers.dropout.passes",
    ),
    Signal(
        "class_error",
        "Share of validation examples of the example's class that a proxy gets wrong; of a class without any, of all.",
        "n",
        runs="proxy",
        scorer="raybert.selection.scorers.class_error:class_error_scorer",
        work="a forward pass over validation",
    ),
    Signal(
        "null_probs",
        "Class probabilities by proxies that see no text.",
        "n m C",
        plain_shape="n C",
        runs="proxy",
        scorer=f"{_MODELS}:proxy_scorer",
        passes="proxy.num_seeds",
    ),
    Signal(
        "heldout_probs",
        "Class probabilities by models that did not train on the example.",
        "n C",
        runs="heldout",
        scorer=f"{_MODELS}:heldout_scorer",
        passes=1,
    ),
    Signal(
        "irreducible_loss",
        "Cross entropy of the twin model that trained on the other half.",
        "n",
        runs="irreducible",
        scorer=f"{_MODELS}:irreducible_scorer",
        passes=1,
    ),
    Signal(
        "dynamics",
        "Class probabilities at checkpoints of a run over the whole pool.",
        "n t C",
        runs="dynamics",
        scorer=f"{_MODELS}:dynamics_scorer",
        passes="scorers.dynamics.checkpoints",
    ),
    Signal(
        "loss",
        "Cross entropy when the example was last trained on in a run over the whole pool; NaN where it never was.",
        "n",
        runs="proxy",
        scorer="raybert.selection.scorers.training_loss:training_loss_scorer",
    ),
    Signal(
        "embeddings",
        "Unit vectors of the text by the frozen encoder, or by a proxy's.",
        "n d",
        scorer=f"{_MODELS}:embedding_scorer",
        tasks=EVERY_TASK,
        passes=1,
    ),
    Signal(
        "influence",
        "Product and cosine of an example's last-layer gradient with that of target examples, by a proxy.",
        "n 2",
        runs="proxy",
        scorer="raybert.selection.scorers.influence:influence_scorer",
        passes=1,
        work="a forward pass over the target",
    ),
    Signal(
        "knn_shapley",
        "Exact Shapley value of an example for a nearest-neighbour classifier of target examples.",
        "n",
        reads=("embeddings",),
        scorer="raybert.selection.scorers.valuation:knn_shapley_scorer",
        work="a forward pass over the target, and the order of the pool by distance from each example of it",
    ),
    Signal(
        "data_oob",
        "Share of models on bootstrap samples without the example that predict its label.",
        "n",
        reads=("embeddings",),
        scorer="raybert.selection.scorers.valuation:data_oob_scorer",
        given="embeddings",
        derive=lambda embeddings, labels: data_oob(embeddings, labels, np.random.default_rng(0), 100),
        work="100 linear models on the embeddings (`selection.scorers.data_oob`)",
    ),
    Signal(
        "aflite",
        "When adversarial filtering removed the example, and how predictable it was then.",
        "n 2",
        reads=("embeddings",),
        scorer="raybert.selection.scorers.derived:aflite_scorer",
        given="embeddings",
        derive=lambda embeddings, labels: aflite_signal(embeddings, labels, 0),
        work="64 linear models on the embeddings a round, as long as some examples are predictable",
    ),
)
"""In the order in which they are computed: what another one reads comes before it."""
OF_TARGETS = frozenset({"influence", "knn_shapley"})
"""What is computed for target examples: validation, or with `:<file>` behind the name those of a file."""
FREE = frozenset(signal.name for signal in TABLE if not signal.scorer and signal.text is None)
"""What every pool has."""
