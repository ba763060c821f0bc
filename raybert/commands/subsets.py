"""Commands on what scoring computes: choose a subset with it, see and free what is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from raybert.commands.arguments import Listener, listening
from raybert.config import ConfigSource, Overrides, load_config, takes_safe
from raybert.errors import ConfigError
from raybert.files import cache_folder, check_frame_path, write_frame
from raybert.sweeping.storage.arguments import needs_path

if TYPE_CHECKING:
    from raybert.selection.store import ScoreStore, StoreEntry
    from raybert.sweeping.single.select import ChosenSubset


@dataclass(frozen=True)
class StoredSignals:
    """Signals of a score store.

    Attributes:
        folder: of the store.
        entries: what each is, its bytes, and what computing it took.
    """

    folder: Path
    entries: tuple[StoreEntry, ...] = field(repr=False)

    @property
    def size_bytes(self) -> int:
        """Of all of them."""
        return sum(entry.size_bytes for entry in self.entries)


@needs_path("output")
@takes_safe
def select_subset(
    config: ConfigSource,
    strategy: str,
    *,
    budget: float | str | None = None,
    seed: int = 0,
    output: str | Path | None = None,
    overrides: Overrides = (),
    address: str | None = None,
    progress: Listener = None,
    safe: bool = False,
) -> ChosenSubset:
    """Score the pool and return the subset that a strategy chooses, for any other trainer. Nothing is trained on it.

    For arrays of your own there is `raybert.select`.

    Args:
        config: a sweep file, a mapping like one, or a configuration; its grid is not used.
        strategy: a label or name among its strategies (then with their parameters), else any strategy's name.
        budget: examples, or a fraction of the pool; default: the file's.
        seed: of ties, random draws and proxies.
        output: .parquet, .csv or .jsonl file to write the subset to, and near-duplicates with different labels beside
            it; default: nothing is written.
        overrides: keys to override, as for `load_config`.
        address: of a Ray cluster; without it Ray is started here, if something has to be computed.
        safe: refuse code that the file names (`module:attribute`, `model.trust_remote_code`), and weights that are no
            safetensors.
        progress: a function that is called with every `Event`, `"auto"` for standard output, or None.

    Returns:
        The subset: `frame` has a row per example, best first.

    Raises:
        RaybertError: the strategy, the budget or the data are impossible, or a run that it reads failed.
        Interrupted: stopped on request; the same call continues.

    Example:
        >>> subset = raybert.select_subset("sweeps/strategies.yaml", "k_center", budget=400)
        >>> len(subset.frame)
        400
    """
    if output is not None:
        check_frame_path(Path(output), "output")
    loaded = load_config(config, overrides if budget is None else _with_budget(overrides, budget))
    from raybert.sweeping.first_look import look_first
    from raybert.sweeping.plan.narrow import narrow_to_one

    look_first(narrow_to_one(loaded, strategy, seed), only_scores=True)
    from raybert.data.whole_source import for_text_file
    from raybert.sweeping.single.select import choose_subset, conflicts_file  # and with it torch

    with listening(progress) as told:
        subset = choose_subset(loaded, strategy, seed, told, address=address)
    if output is not None:
        is_binary = Path(output).suffix == ".parquet"
        shown = subset.frame if is_binary else for_text_file(subset.frame, nested=Path(output).suffix == ".jsonl")
        write_frame(shown, Path(output))
        if subset.conflicts is not None and len(subset.conflicts):
            write_frame(subset.conflicts, conflicts_file(Path(output)))
    return subset


def list_scores(store: str | Path | None = None) -> StoredSignals:
    """Return what a score store holds.

    Args:
        store: its folder; default: the one that the sweeps of this machine share.
    """
    found = _store(store)
    return StoredSignals(found.folder, tuple(found.entries()))


def remove_scores(
    keys: Sequence[str] = (), *, everything: bool = False, store: str | Path | None = None
) -> StoredSignals:
    """Delete signals of a score store, and return what they were; what a sweep needs again is computed again.

    Args:
        keys: of the signals, or beginnings of keys.
        everything: in place of keys.
        store: folder of the store; default: the one that the sweeps of this machine share.

    Raises:
        ConfigError: a key is not the beginning of exactly one; nothing is deleted then.
    """
    if bool(keys) == everything:
        raise ConfigError("keys: must be given, or everything=True")
    found = _store(store)
    known = {entry.key: entry for entry in found.entries()}
    chosen: list[str] = list(known) if everything else []
    for prefix in keys:
        matches = [key for key in known if key.startswith(prefix)]
        if len(matches) != 1:
            raise ConfigError(
                f"{prefix}: must be the beginning of one key, got {len(matches)}; see `raybert scores ls`"
            )
        chosen += matches
    for key in chosen:
        found.remove(key)
    return StoredSignals(found.folder, tuple(known[key] for key in chosen))


def _with_budget(overrides: Overrides, budget: float | str) -> Overrides:
    if isinstance(overrides, Mapping):
        return {**overrides, "selection.budget": budget}
    return [*([overrides] if isinstance(overrides, str) else overrides), f"selection.budget={budget}"]


def _store(folder: str | Path | None) -> ScoreStore:
    from raybert.selection.store import ScoreStore

    if folder is not None and Path(folder).exists() and not Path(folder).is_dir():
        raise ConfigError(f"store: must be a folder, got {folder}, which is a file")
    return ScoreStore(cache_folder() / "scores" if folder is None else Path(folder))
