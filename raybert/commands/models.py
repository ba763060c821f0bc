"""Commands on a trained model: evaluate it, predict with it, explain it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from raybert.commands.arguments import Folder, folder_of
from raybert.errors import ConfigError, SweepError
from raybert.files import check_frame_path, check_place, write_frame
from raybert.sweeping.storage.arguments import needs_path, reads

if TYPE_CHECKING:
    import pandas as pd

    from raybert.evaluation.evaluate import ModelEvaluation
    from raybert.evaluation.every_strategy import SweepEvaluation
    from raybert.evaluation.explain import Explanation
    from raybert.evaluation.explain_tokens import TokenExplanation

_SPLITS = ("train", "validation", "test")


@needs_path("output")
@reads("models", "model")
def evaluate(
    model: Folder,
    data: str | Path | pd.DataFrame | None = None,
    *,
    split: str = "test",
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    group: str | None = None,
    by: str | Sequence[str] = (),
    quantiles: int | None = None,
    id: str | None = None,
    threshold: float = 0.5,
    resamples: int = 1000,
    trust: bool = False,
    output: str | Path | None = None,
) -> ModelEvaluation:
    """Evaluate a trained model: every metric with its interval, by class and by group.

    Args:
        model: a sweep or its results folder (its best model), the folder of a trial, of a checkpoint that it has kept,
            or of a model.
        data: labelled file (as for training), folder with a file per split, or table; default: what the sweep
            itself held out.
        split: of the sweep, or of the folder in `data`.
        text: column of the text; default of this and the other columns: that of training.
        text_pair: column of the second text.
        label: column of the label.
        group: column of groups, for metrics of each.
        by: column, or columns, of `data` or of what the sweep held out: metrics of each value with intervals.
        quantiles: into how many parts of equal size the columns of numbers in `by` are put together; default: none.
        id: column of ids; without one they are row numbers.
        threshold: of two classes the second is predicted from this probability on.
        resamples: of the bootstrap behind the intervals; 0: none.
        trust: import the metrics of your own that the model's run names (`train.metrics`), and measure them here;
            without it they are as the run has measured them, where it has. With `data`, also the model of your own
            (`model.kind`), which is not loaded without it.
        output: folder to write metrics, tables, plots and predictions to; default: nothing is written.

    Returns:
        Tables `overall`, `per_class`, `per_group`, `by`, `confusion` and `predictions`, and what had to be assumed.

    Raises:
        RaybertError: what is wrong with the path, the model or the data.

    Example:
        >>> found = raybert.evaluate("runs/strategies")
        >>> found.overall.loc["accuracy", "value"]
        0.756
    """
    if output is not None:
        from raybert.evaluation.find import check_evaluation_folder

        check_place(Path(output) / "metrics", "output")
        check_evaluation_folder(Path(output))
    from raybert.data.first_look import look_at_unseen
    from raybert.evaluation.find import find_target

    columns = _given(text=text, text_pair=text_pair, label=label, group=group, id=id)
    wanted = (by,) if isinstance(by, str) else tuple(by)
    if quantiles is not None and quantiles < 2:
        raise ConfigError(f"quantiles: must be >= 2, got {quantiles}")
    labelled = Path(data) if isinstance(data, str) else data
    find_target(folder_of(model))
    if isinstance(labelled, Path):
        look_at_unseen(labelled, columns, split)
    from raybert.evaluation.evaluate import Question, evaluate_target, write_model_evaluation  # and with it torch

    question = Question(labelled, split, columns, threshold, resamples, trust, wanted, quantiles)
    found = evaluate_target(folder_of(model), question)
    return found if output is None else write_model_evaluation(found, question, Path(output))


@needs_path("output")
@reads("results", "run", gives_back=True)
def evaluate_all(run: Folder, *, output: str | Path | None = None) -> SweepEvaluation:
    """Evaluate every strategy of a sweep over its seeds (and folds), on validation and test.

    Nothing is predicted anew: trials have kept what their best evaluations predict.

    Args:
        run: a sweep or its results folder.
        output: folder with a folder for each strategy and split; default: `artifacts/` in the results folder.

    Returns:
        Table `metrics` (means and deviations), the five classic metrics as `table`, and what could not be evaluated.

    Raises:
        SweepError: no results folder, no complete trial, or `output` holds other files.

    Example:
        >>> raybert.evaluate_all("runs/strategies").metrics.query("metric == 'macro_f1'")
    """
    if output is not None:
        check_place(Path(output) / "metrics.md", "output")
    from raybert.evaluation.every_strategy import evaluate_sweep

    return evaluate_sweep(folder_of(run), None if output is None else Path(output))


@needs_path("output")
@reads("models", "run")
def evaluate_checkpoints(
    run: Folder, *, split: str = "validation", output: str | Path | None = None, trust: bool = False
) -> pd.DataFrame:
    """Compare the checkpoints that a run has kept (`train.checkpoints`): every metric of each, by step.

    Args:
        run: a sweep or its results folder (its best run), or the folder of a trial.
        split: `validation`; or `test`, by whose metrics none should be chosen.
        output: folder to write `checkpoints.csv` to; default: nothing is written.
        trust: import what is your own and the run names: metrics (`train.metrics`), a model (`model.kind`).

    Returns:
        A row per checkpoint: its folder, step, pass, split and metrics; `attrs["notes"]` is what to know of them.

    Raises:
        RaybertError: the run has kept none, or its data are not what they were.

    Example:
        >>> found = raybert.evaluate_checkpoints("runs/strategies-train")
        >>> found.loc[found["accuracy"].idxmax(), "checkpoint"]
        'step-000200'
    """
    from raybert.evaluation.find import check_evaluation_folder, find_target

    if output is not None:
        check_place(Path(output) / "metrics", "output")
        check_evaluation_folder(Path(output))
    find_target(folder_of(run))
    from raybert.evaluation.checkpoints import evaluate_checkpoints as evaluate_kept  # and with it torch

    found = evaluate_kept(folder_of(run), split, trust=trust)
    if output is not None:
        write_frame(found, Path(output) / "checkpoints.csv")
    return found


@needs_path("output")
@reads("models", "model")
def predict(
    model: Folder,
    texts: str | Path | pd.DataFrame | Iterable[str],
    *,
    text: str | None = None,
    text_pair: str | None = None,
    id: str | None = None,
    threshold: float = 0.5,
    trust: bool = False,
    output: str | Path | None = None,
) -> pd.DataFrame:
    """Return what a trained model predicts for texts.

    Args:
        model: a sweep or its results folder (its best model), the folder of a trial, or that of a model.
        texts: a list of texts, a table, or a file: any that training reads, or txt with one text a line.
        text: column of the text; default of this and the other columns: that of training.
        text_pair: column of the second text.
        id: column of ids; without one they are row numbers.
        threshold: of two classes the second is predicted from this probability on.
        trust: import the model of your own that the folder names (`model.kind`).
        output: .parquet, .csv or .jsonl file to write; default: nothing is written.

    Returns:
        A row per text: example_id, text, predicted, confidence and prob_<class>; `attrs["notes"]` is what had to be
        assumed of a model.

    Raises:
        RaybertError: what is wrong with the path, the model or the texts.

    Example:
        >>> raybert.predict("runs/strategies", ["Draw a histogram.", "Create a session."])["predicted"].tolist()
        ['matplotlib', 'sqlalchemy']
    """
    if output is not None:
        check_frame_path(Path(output), "output")
    from raybert.data.first_look import look_at_unseen
    from raybert.evaluation.find import find_target

    columns = _given(text=text, text_pair=text_pair, id=id)
    given = Path(texts) if isinstance(texts, str) else texts
    find_target(folder_of(model))
    if isinstance(given, Path) and not given.is_dir():
        look_at_unseen(given, columns)
    import pandas as pd

    from raybert.evaluation.evaluate import predict_texts  # and with it torch

    given = given if isinstance(given, (Path, pd.DataFrame)) else list(given)
    frame, notes = predict_texts(folder_of(model), given, columns=columns, threshold=threshold, trust=trust)
    if output is not None:
        write_frame(frame, Path(output))
    frame.attrs["notes"] = list(notes)
    return frame


@needs_path("output", "plots")
@reads("models")
def explain(
    folder: Folder,
    *,
    texts: Sequence[str | tuple[str, str]] | None = None,
    split: str = "test",
    documents: Sequence[int] | None = None,
    num_documents: int = 3,
    chunks: int = 2,
    layer: int | None = None,
    trial: str | None = None,
    output: str | Path | None = None,
    plots: str | Path | None = None,
) -> Explanation | TokenExplanation:
    """Return what the queries of an IRIS model read in documents, or what a token model attends to in texts.

    Args:
        folder: a sweep, or its results folder.
        texts: to be read by a token model (pairs by one of pairs); default: rows of a split.
        split: train, validation or test.
        documents: rows of the split; default: the first `num_documents`.
        num_documents: how many, if no row is given.
        chunks: of the pool, for every query of an IRIS model.
        layer: of a token model, from 0; default: the last one.
        trial: whose model, by id; default: the best one.
        output: .parquet, .csv or .jsonl file to write all rows to; default: nothing is written.
        plots: folder to write pictures to: of every document, and of how the queries of an IRIS model overlap, or how
            the weights of a token model have changed.

    Returns:
        Of an IRIS model the tables `documents`, `queries` and `overlap`; of a token model `documents`, and the
        `attention` of all layers and heads.

    Raises:
        RaybertError: there is no such trial or row, or the model is of another kind.
    """
    if split not in _SPLITS:
        raise ConfigError(f"split: must be train, validation or test, got '{split}'")
    if output is not None:
        check_frame_path(Path(output), "output")
    if not folder_of(folder).is_dir():
        raise SweepError(f"{folder_of(folder)}: must be a results folder, does not exist")
    from raybert.sweeping.folder.versions import check_version

    check_version(folder_of(folder))
    from raybert.evaluation.explain import explain_run  # and with it torch

    found = explain_run(
        folder_of(folder),
        trial_id=trial,
        split=split,
        rows=documents,
        num_documents=num_documents,
        num_chunks=chunks,
        texts=texts,
        layer=layer,
    )
    if output is not None:
        write_frame(found.documents, Path(output))
    if plots is not None:
        from raybert.analysis.plot_formats import FORMATS, formats_of, in_formats
        from raybert.evaluation.explain_plots import write_explanation_plots
        from raybert.evaluation.explain_tokens import TokenExplanation

        with in_formats(formats_of(folder_of(folder)) or FORMATS):  # whoever names a folder for them wants some
            write_explanation_plots(found, Path(plots))
            if isinstance(found, TokenExplanation):
                from raybert.evaluation.weights import write_weights_plot

                write_weights_plot(folder_of(folder), Path(plots), trial)
    return found


def _given(**columns: str | None) -> dict[str, str]:
    """Return the columns that were given."""
    return {key: column for key, column in columns.items() if column is not None}
