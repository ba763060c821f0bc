"""Commands that run nothing: what a sweep file asks for, and what there is to ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raybert.config import (
    ConfigSource,
    Overrides,
    RaybertConfig,
    dump_yaml,
    file_schema,
    importing,
    load_config,
    takes_safe,
)
from raybert.config.kinds import AnySource, kind_of, load_any
from raybert.config.load import read_yaml
from raybert.config.pretraining import PretrainingConfig, PretrainingSource, load_pretraining
from raybert.errors import ConfigError
from raybert.sweeping.storage.arguments import reads

if TYPE_CHECKING:
    from raybert.sweeping.preview import PlannedSweep
    from raybert.sweeping.preview_study import PlannedStudy


@dataclass(frozen=True)
class SweepSize:
    """How much a sweep file asks for at most, by its keys alone.

    Attributes:
        num_trials: strategies x grid points x seeds.
        num_suggestions: of the search before them.
    """

    num_trials: int
    num_suggestions: int

    def __str__(self) -> str:
        search = f", after up to {self.num_suggestions} suggestions of the search" if self.num_suggestions else ""
        return f"up to {self.num_trials} trials{search}"


@dataclass(frozen=True)
class StudySize:
    """How much a pretraining file asks for.

    Attributes:
        num_corpora: of which each has a model.
        num_seeds: of each model.
        num_probes: that the models are asked.
    """

    num_corpora: int
    num_seeds: int
    num_probes: int

    @property
    def num_models(self) -> int:
        """Models that are trained: corpora x seeds."""
        return self.num_corpora * self.num_seeds

    def __str__(self) -> str:
        corpora = "1 corpus" if self.num_corpora == 1 else f"{self.num_corpora} corpora"
        seeds = "1 seed" if self.num_seeds == 1 else f"{self.num_seeds} seeds"
        probes = "1 probe" if self.num_probes == 1 else f"{self.num_probes} probes"
        models = "1 model" if self.num_models == 1 else f"{self.num_models} models"
        return f"{models} ({corpora}, {seeds})" + (f", {probes}" if self.num_probes else "")


@reads("status", "output", may_lack=True)
@takes_safe
def plan(
    config: ConfigSource,
    *,
    output: str | Path | None = None,
    overrides: Overrides = (),
    address: str | None = None,
    probe: bool = True,
    safe: bool = False,
) -> PlannedSweep:
    """Return what a sweep file asks for, and what is left of it will take, from a probe of a few steps.

    The data are loaded, split and tokenized. Nothing is kept of the probe.

    Args:
        config: a sweep file, a mapping like one, or a configuration.
        output: results folder, for what is finished already; default: runs/<name of the sweep>.
        overrides: keys to override, as for `load_config`.
        address: of the Ray cluster to look at; default: this machine.
        safe: refuse code that the file names (`module:attribute`, `model.trust_remote_code`), and weights that are no
            safetensors.
        probe: run a few steps of every model shape, and estimate time, compute and disk.

    Returns:
        The plan: `trials` and `table` are tables, `estimate` is what it will take.

    Raises:
        RaybertError: anything that is wrong with the file, the data or the encoder.

    Example:
        >>> planned = raybert.plan("sweeps/strategies.yaml", probe=False)
        >>> len(planned.trials)
        24
    """
    from raybert.sweeping.first_look import look_first
    from raybert.sweeping.plan.design import read_design

    loaded = load_config(config, overrides)
    folder = _results_folder(loaded, output)
    look_first(read_design(loaded))  # a plan may be of another file than the results that are there
    from raybert.sweeping.preview import preview_sweep  # and with it torch

    return preview_sweep(loaded, folder, address=address, probe=probe)


@reads("status", "output", may_lack=True)
@takes_safe
def plan_study(
    config: PretrainingSource,
    *,
    output: str | Path | None = None,
    overrides: Overrides = (),
    address: str | None = None,
    probe: bool = True,
    safe: bool = False,
) -> PlannedStudy:
    """Return what a pretraining file asks for, and what is left of it will take, from a probe of a few steps.

    Corpora are read, cut into word pieces and packed. Nothing is kept of the probe.

    Args:
        config: a pretraining file, a mapping like one, or a configuration.
        output: folder of the study, for what is finished already; default: runs/<name>.
        overrides: keys to override, as for `load_config`.
        address: of the Ray cluster to look at; default: this machine.
        safe: refuse code that the file names (`module:attribute`, `model.trust_remote_code`), and weights that are no
            safetensors.
        probe: run a few steps of a model, and estimate time, compute and disk.

    Returns:
        The plan: `models` is a table, `estimate` is what it will take.

    Raises:
        RaybertError: anything that is wrong with the file, a corpus, the tokenizer or an encoder.

    Example:
        >>> planned = raybert.plan_study("sweeps/three_corpora.yaml")
        >>> planned.estimate.wall_seconds.expected
    """
    loaded = load_pretraining(config, overrides)
    look_at_study(loaded)
    folder = Path("runs") / loaded.name if output is None else Path(output)
    from raybert.sweeping.preview_study import preview_study  # and with it torch

    return preview_study(loaded, folder, address=address, probe=probe)


def is_pretraining_file(file: str | Path) -> bool:
    """Tell whether a file has `corpora`, as pretraining files do; of one that cannot be read its command says why."""
    try:
        return kind_of(read_yaml(file), str(file)) == "pretraining"
    except ConfigError:
        return False


@takes_safe
def validate(
    config: AnySource, *, overrides: Overrides = (), imports: bool = True, safe: bool = False
) -> SweepSize | StudySize:
    """Check a sweep file or a pretraining file (one with `corpora`), and return how much it asks for.

    Data are not loaded, but local paths, formats and columns are looked at, and local encoders.

    Args:
        config: a file of either kind, a mapping like one, or a configuration.
        overrides: keys to override, as for `load_config`.
        safe: refuse code that the file names (`module:attribute`, `model.trust_remote_code`), and weights that are no
            safetensors.
        imports: whether `module:Class` strategies and signals are imported, which runs their code; without them
            everything else is checked, their parameters are not.

    Raises:
        RaybertError: a key, a path or a column is wrong.

    Example:
        >>> raybert.validate("sweeps/strategies.yaml").num_trials
        24
    """
    with importing("all" if imports else "labels"):
        loaded = load_any(config, overrides)
        if isinstance(loaded, PretrainingConfig):
            look_at_study(loaded)
            return StudySize(len(loaded.corpora), len(loaded.seeds), len(loaded.probes))
        from raybert.sweeping.first_look import look_first
        from raybert.sweeping.plan.design import read_design

        design = read_design(loaded)
        look_first(design)
    return SweepSize(design.num_trials, design.num_suggestions)


def look_at_study(config: PretrainingConfig) -> None:
    """Refuse what is wrong with a pretraining file as far as it shows without reading a corpus or training.

    Raises:
        RaybertError: a path, a column, a template or a pair is wrong.
    """
    from raybert.evaluation.language_models.probe_inputs import read_inputs
    from raybert.pretraining.first_look import look_first

    look_first(config)
    for name, probe in config.probes.items():
        read_inputs(name, probe, is_plain=config.form == "plain")


def render(config: AnySource, *, overrides: Overrides = ()) -> str:
    """Return a sweep file or a pretraining file fully resolved, as YAML: every key with its value.

    Args:
        config: a file of either kind, a mapping like one, or a configuration.
        overrides: keys to override, as for `load_config`.

    Raises:
        ConfigError: a key is wrong.
    """
    return dump_yaml(load_any(config, overrides))


def schema() -> dict[str, Any]:
    """Return the JSON Schema of sweep files and pretraining files, for editors."""
    return file_schema()


def list_strategies() -> list[dict[str, Any]]:
    """Return a row per strategy: name, summary, needs, cost, schedules, budget, parameters with defaults, citation."""
    from raybert.selection.catalogue import describe_strategies

    return describe_strategies()


def list_signals() -> list[dict[str, str]]:
    """Return a row per signal that strategies can read, a user's own included.

    Returns:
        Of each its name, description, shape in letters (n examples, m proxies, t checkpoints, C classes, d numbers of
        an embedding), dtype, runs (that train for it), reads (what it is computed from), scorer (`module:name`),
        price (what computing it takes with the settings at their defaults) and parameters (of a user's own).
    """
    from raybert.selection.price import describe_signals

    return describe_signals()


def _results_folder(config: RaybertConfig, output: str | Path | None) -> Path:
    return Path("runs") / config.name if output is None else Path(output)
