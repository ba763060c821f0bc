"""Commands that train, and commands on the results folders that training leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from raybert.commands.arguments import Folder, Listener, folder_of, listening, text_of
from raybert.config import ConfigSource, Overrides, RaybertConfig, importing, load_config, takes_safe
from raybert.errors import ConfigError, SweepError
from raybert.machine import SPACE_OF_TORCH, check_address_space
from raybert.storage import is_url
from raybert.sweeping.storage.arguments import needs_path, publishes, reads

if TYPE_CHECKING:
    from raybert.analysis.results.beside import ComparedSweeps
    from raybert.analysis.results.sweep import Sweep
    from raybert.sweeping.driver.listing import ListedSweep
    from raybert.sweeping.folder.outcome import Outcome
    from raybert.sweeping.plan.design import Design
    from raybert.sweeping.single.reproduce import Reproduction


@publishes
@takes_safe
def sweep(
    config: ConfigSource,
    *,
    output: str | Path | None = None,
    overrides: Overrides = (),
    address: str | None = None,
    retry: str | None = None,
    progress: Listener = None,
    safe: bool = False,
) -> Sweep:
    """Run a sweep: train every strategy x seed x grid point, compare them, write tables and plots.

    The same call again continues an interrupted sweep or extends a finished one. In the main thread the first Ctrl-C
    (or interrupt of a notebook) lets running trials save and returns; a second one raises KeyboardInterrupt. In
    another thread `raybert.stop` does what the first one does.

    Args:
        config: a sweep file, a mapping like one, or a configuration.
        output: results folder; default: runs/<name of the sweep>.
        overrides: keys to override, as for `load_config`.
        address: of a Ray cluster to join, `auto` or HOST:PORT; without it the Ray that this process is connected to
            is used, else that which `RAY_ADDRESS` names, else one is started on this machine and ended with the sweep;
            `local`: the last one in any case.
        safe: refuse code that the file names (`module:attribute`, `model.trust_remote_code`), and weights that are no
            safetensors.
        retry: run failed trials again, from their last checkpoint: `failed`, or a kind of failure.
        progress: a function that is called with every `Event`, `"auto"` for standard output, or None.

    Returns:
        The results, also of a sweep with failed or unfinished trials: `outcome` says what became of them.

    Raises:
        RaybertError: what is wrong with the file, the data, the folder or the machine, before anything is trained.

    Example:
        >>> results = raybert.sweep("sweeps/strategies.yaml", overrides={"sweep.seeds": 5})
        >>> results.outcome.num_failed
        0
        >>> results.summary()[["strategy", "test_accuracy_mean"]]
    """
    from raybert.sweeping.first_look import look_first
    from raybert.sweeping.folder.failure_kinds import check_retry
    from raybert.sweeping.plan.design import read_design
    from raybert.sweeping.plan.placement import check_here

    check_retry(retry)
    loaded = load_config(config, overrides)
    folder = Path(output) if output is not None else Path("runs") / loaded.name
    design = read_design(loaded)
    look_first(design, folder)  # and then the imports that take seconds
    check_address_space(SPACE_OF_TORCH, "training")
    check_here(loaded, address, folder)
    from raybert.sweeping.runner import run_sweep
    from raybert.tracking.follow import tracking

    with listening(progress) as told, tracking(loaded.track, folder, told) as trackers:
        outcome = run_sweep(
            design, folder, trackers.progress, source_text=text_of(config), address=address, retry=retry
        )
        tracked = trackers.publish(partial(_publish, outcome))
    return _publish(outcome) if tracked is None else tracked


@publishes
@takes_safe
def train(
    config: ConfigSource,
    *,
    strategy: str = "all",
    seed: int = 0,
    output: str | Path | None = None,
    resume: bool = False,
    resume_from: str | Path | None = None,
    weights_only: bool = False,
    overrides: Overrides = (),
    address: str | None = None,
    progress: Listener = None,
    safe: bool = False,
) -> Sweep:
    """Train one model: one strategy (default: on all examples), one seed, no grid.

    It trains in this process, except with a strategy that reads signals, an IRIS model, several workers or an address,
    which take Ray. Interrupts are those of `sweep`.

    Args:
        config: a sweep file, a mapping like one, or a configuration.
        strategy: a label or name among its strategies (then with their parameters), else any strategy's name.
        seed: of head, order, ties and random draws.
        output: results folder; default: runs/<name of the sweep>-train.
        resume: continue the run that is in the folder.
        resume_from: folder of a checkpoint that `train.checkpoints` has kept: weights, optimizer, schedule and order go
            on from there, in a run of its own. Only the length may differ from the run that it is of.
        weights_only: take nothing but the weights of `resume_from`, which may be any model of a run, and train as from
            the start.
        overrides: keys to override, as for `load_config`.
        address: of a Ray cluster to join.
        safe: refuse code that the file names (`module:attribute`, `model.trust_remote_code`), and weights that are no
            safetensors.
        progress: a function that is called with every `Event`, `"auto"` for standard output, or None.

    Returns:
        The results of a sweep of one trial; `outcome` says whether it is complete.

    Raises:
        RaybertError: what is wrong with the file, the data, the folder or the machine, before anything is trained.

    Example:
        >>> results = raybert.train({"data": {"source": "reviews.csv", "text": "review", "label": "stars"}})
        >>> raybert.predict(results, ["What a film!"])
    """
    from raybert.sweeping.first_look import look_first
    from raybert.sweeping.folder.layout import SweepFolder
    from raybert.sweeping.folder.versions import check_version
    from raybert.sweeping.folder.whose import check_results_folder
    from raybert.sweeping.plan.narrow import narrow_to_one
    from raybert.sweeping.single.held import is_finished

    loaded = load_config(config, overrides)
    folder = Path(output) if output is not None else Path("runs") / f"{loaded.name}-train"
    narrowed = narrow_to_one(loaded, strategy, seed)
    if resume_from is not None:
        loaded = _beginning(loaded, narrowed, Path(resume_from), weights_only=weights_only)
        narrowed = narrow_to_one(loaded, strategy, seed)
    elif weights_only:
        raise ConfigError("weights_only: must be left out without `resume_from`, whose weights it takes")
    check_results_folder(folder)
    check_version(folder)
    is_finished(SweepFolder(folder), narrowed.config, resume=resume)
    look_first(narrowed, folder)
    check_address_space(SPACE_OF_TORCH, "training")
    from raybert.sweeping.single.train import train_one  # and with it torch
    from raybert.tracking.follow import tracking

    with listening(progress, one_run=True) as told, tracking(loaded.track, folder, told) as trackers:
        outcome = train_one(
            loaded,
            strategy,
            seed,
            folder,
            trackers.progress,
            resume=resume,
            source_text=text_of(config),
            address=address,
        )
        tracked = trackers.publish(partial(_publish, outcome))
    return _publish(outcome) if tracked is None else tracked


def _beginning(config: RaybertConfig, narrowed: Design, place: Path, *, weights_only: bool) -> RaybertConfig:
    """Return a configuration whose run begins from a checkpoint."""
    from raybert.evaluation.find import find_target
    from raybert.sweeping.single.begin import begin_from_checkpoint, begin_with_weights

    if weights_only:
        return begin_with_weights(config, find_target(place).model)
    return begin_from_checkpoint(config, narrowed, place)


@needs_path("output")
@reads("models", "target", gives_back=True)
def reproduce(
    target: Folder,
    trial: str | None = None,
    *,
    output: str | Path | None = None,
    address: str | None = None,
    trust: bool = False,
    progress: Listener = None,
) -> Reproduction:
    """Run one trial of a sweep, or one model of a study, again, alone, and compare bit by bit.

    All that is needed is in its folder. A failed trial should fail with the same error; a proxy is a trial like any
    other. Strategies, losses and signals of
    somebody's own, and code that comes with a model, run only if they are trusted.

    Args:
        target: folder of a trial or of a model; or a sweep or its results folder (or that of a study), followed by
            the id.
        trial: the id, or its beginning.
        output: folder of the new run; default: reproductions/<id> in the results folder.
        address: of a Ray cluster, for a trial of several workers.
        trust: whether code that the folder names (`UntrustedCode.names`) may run.
        progress: a function that is called with every `Event`, `"auto"` for standard output, or None.

    Returns:
        Both runs: `is_identical`, and `comparisons` of what both left.

    Raises:
        SweepError: no such trial, it never began, or data or encoder are not what they were.
        UntrustedCode: the folder names code, and `trust` was not given.

    Example:
        >>> raybert.reproduce("runs/strategies", results.trials["trial_id"][0]).is_identical
        True
    """
    from raybert.sweeping.single.held import check_trust, find_trial

    run, trial_id = find_trial(folder_of(target), trial)
    if not trust:
        check_trust(run, trial_id)
    place = None if output is None else Path(output)
    with listening(progress, one_run=True) as told, importing("all" if trust else "nothing"):
        if run.is_study:
            from raybert.sweeping.single.reproduce_model import reproduce_model  # and with it torch

            return reproduce_model(run, trial_id, told, output=place, address=address)
        from raybert.sweeping.single.reproduce import reproduce_trial

        return reproduce_trial(run, trial_id, told, output=place, address=address)


@reads("results")
def results(folder: Folder, *, trust: bool = False) -> Sweep:
    """Return the results in a folder, finished or not, as `load_sweep` does; nothing is written.

    Args:
        folder: a sweep or its results folder.
        trust: ask a database that the folder names (`sweep.tune.storage`) for the search.

    Raises:
        SweepError: the folder has no readable plan, or a later raybert wrote it.
    """
    from raybert.analysis.results.load import load_sweep

    return load_sweep(folder_of(folder), trust=trust)


@needs_path("output")
@reads("results", "folders")
def compare(
    folders: Sequence[Folder], *, metric: str | None = None, baseline: str = "random", output: str | Path | None = None
) -> ComparedSweeps:
    """Return several sweeps beside each other: other data sets, encoders or budgets in one table.

    From five data sets on ranks are tested (Friedman, Nemenyi, Holm), and drawn as a critical-difference diagram.

    Args:
        folders: sweeps or their results folders, two at least; finished or not.
        metric: what they are compared by, on test; default: that of the sweeps, if it is one.
        baseline: what ranks are compared with, where it is among the strategies.
        output: folder for tables (csv, Markdown, LaTeX) and diagrams; default: nothing is written.

    Returns:
        The comparison: `print` shows it; `rows`, `ranks` and `sweeps` are tables.

    Raises:
        SweepError: metrics differ and none is given, a folder is not a sweep's, or the output holds other files.

    Example:
        >>> print(raybert.compare(["runs/sst2", "runs/agnews"]))
    """
    from raybert.analysis.results.beside import compare_sweeps
    from raybert.analysis.results.several import load_sweeps

    if len(folders) < 2:
        raise SweepError(f"folders: must be two results folders at least, got {len(folders)}")
    if output is not None:
        from raybert.analysis.publish_compared import check_compared_folder, publish_compared

        check_compared_folder(Path(output))
    compared = compare_sweeps(load_sweeps(folders), metric, baseline)
    return replace(compared, plots=tuple(publish_compared(compared, Path(output)))) if output is not None else compared


@reads("signals", gives_back=True)
def report(
    folder: Folder,
    *,
    trust: bool = False,
    projection: Literal["pca", "umap"] | None = None,
    pairs: Sequence[tuple[str, str]] = (),
) -> Sweep:
    """Write tables and plots of a results folder again, and return the results.

    Nothing that the folder names is imported: whoever wrote it cannot run code here.

    Args:
        folder: a sweep or its results folder, finished or not.
        trust: ask a database that the folder names (`sweep.tune.storage`) for the search.
        projection: how embeddings of the pool are drawn in `plots/embeddings.png`: pca, or umap (an extra package);
            default: by pca, where the score store still has those that strategies have read.
        pairs: baseline and strategy each, as `Sweep.pair` takes them: `plots/pair_<baseline>_<strategy>.png` and
            `results/pairs.csv` are about these and those of `sweep.compare`.

    Returns:
        The results, as `load_sweep` returns them.

    Raises:
        SweepError: the folder is not a sweep's, a file of a trial is damaged, there are no embeddings to project, or a
            pair is not in the sweep.
    """
    from raybert.analysis import publish_results

    return publish_results(folder_of(folder), trust=trust, projection=projection, pairs=pairs)


@reads("results", is_followed=True)
def watch_report(
    folder: Folder, *, every_seconds: float = 30.0, note: Callable[[str], None] | None = None
) -> Iterator[Sweep]:
    """Return the results of a running sweep each time that tables, plots and `report.html` are written anew.

    They are whenever some of its runs have ended, until nobody runs it any more; where nobody does, once.

    Args:
        folder: a sweep or its results folder.
        every_seconds: at least so long between two times.
        note: called with what goes wrong on the way and is outlived, such as a file server that is away.

    Returns:
        An iterator that waits for the next results.

    Raises:
        ConfigError: the seconds are none.
        SweepError: it is no results folder.
    """
    if not every_seconds > 0:
        raise ConfigError(f"every_seconds: must be > 0, got {every_seconds:g}")
    from raybert.analysis.watch import watch_results

    return watch_results(folder_of(folder), every_seconds, note or (lambda _: None))


def list_sweeps(folder: str | Path = "runs") -> list[ListedSweep]:
    """Return the results folders in a folder, and how each stands.

    Args:
        folder: where to look, a few levels deep; a results folder itself is listed alone.

    Raises:
        SweepError: there is no such folder.
    """
    from raybert.sweeping.driver.listing import find_sweeps
    from raybert.sweeping.driver.stored import find_stored

    return find_stored(folder) if is_url(folder) else find_sweeps(Path(folder))


def _publish(outcome: Outcome) -> Sweep:
    """Write tables, plots and the best model of what has been run."""
    from raybert.analysis import publish_results

    return publish_results(outcome.folder, outcome)
