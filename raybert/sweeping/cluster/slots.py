"""How many runs go at once, while nodes join a cluster and leave it; and a line for each that does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from raybert.config import ResourcesConfig
from raybert.polling import Guard, Throttle
from raybert.sweeping.cluster.connect import Cluster, concurrent_trials, describe_nodes
from raybert.sweeping.cluster.stateless import Stateless, StatelessSearcher
from raybert.sweeping.cluster.stranded import give_back_stranded_places

SECONDS_BETWEEN_LOOKS = 3.0
"""At the nodes: Ray itself needs longer to find one dead."""
_WHY = {1: " as asked", 2: " unexpectedly", 3: ", its machine is taken away", 4: ", as it was idle"}
"""By the number of the reason (`NodeDeathInfo` of Ray's protocol); 3 is what a notice to spot machines becomes."""


@dataclass
class NodeWatch:
    """Knows how many runs fit on a cluster as it is, and says which node has joined or left.

    Attributes:
        resources: of a run.
        cluster: as it was when it was joined.
        max_nodes: `limits.max_nodes`.
        note: told of nodes in one line each.
        slots: how many runs fit at once, at the last look.
    """

    resources: ResourcesConfig
    cluster: Cluster
    max_nodes: int | None
    note: Callable[[str], None]
    slots: int = field(init=False)
    _known: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.slots = concurrent_trials(self.resources, self.cluster, self.max_nodes)

    def look(self, nodes: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Count anew.

        Args:
            nodes: as `ray.nodes` has them, those that have left among them; default: of now.
        """
        nodes = ray.nodes() if nodes is None else nodes
        alive = {str(node["NodeID"]): _name(node) for node in nodes if node["Alive"]}
        before, is_first = self.slots, not self._known
        there = describe_nodes(nodes, joins=self.cluster.address is not None)
        self.slots = concurrent_trials(self.resources, there, self.max_nodes)
        gone = [node for node in nodes if not node["Alive"] and node["NodeID"] in self._known]
        if gone and self.resources.workers_per_trial > 1:
            give_back_stranded_places()
        lines = [f"{_name(node)} has left the cluster{_why(node)}" for node in gone]
        lines += [f"{name} has joined the cluster" for key, name in alive.items() if key not in self._known]
        if lines and not is_first:
            at_once = f"{self.slots} at once fit now" + (f", {before} did" if before != self.slots else "")
            self.note(f"{'; '.join(lines)}: {at_once}")
        self._known = alive


def _name(node: Mapping[str, Any]) -> str:
    host, address = node.get("NodeManagerHostname"), node.get("NodeManagerAddress")
    return f"node {str(node['NodeID'])[:8]} ({host}, {address})"


def _why(node: Mapping[str, Any]) -> str:
    return _WHY.get(int(node.get("DeathReason") or 0), "")


class NodesCallback(Stateless, tune.Callback):
    """Lets a watch look every few seconds while Ray Tune runs.

    Args:
        watch: of the cluster's nodes.
    """

    def __init__(self, watch: NodeWatch) -> None:
        self._watch = watch
        self._looks = Throttle(SECONDS_BETWEEN_LOOKS)
        self._guard = Guard("looking at the cluster's nodes", watch.note, OSError)

    def setup(self, **info: Any) -> None:
        """Learn which nodes there are."""
        self._guard(self._watch.look, None)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._looks.is_due():
            self._guard(self._watch.look, None)


class SlotLimiter(StatelessSearcher):
    """Lets a searcher suggest as many runs at once as fit on the nodes that are there: Ray Tune counts them only once.

    Args:
        searcher: suggests runs.
        watch: of the cluster's nodes.
    """

    def __init__(self, searcher: Searcher, watch: NodeWatch) -> None:
        super().__init__()
        self._suggests, self._watch = searcher, watch
        self._live: set[str] = set()

    def suggest(self, trial_id: str) -> Any:
        if len(self._live) >= self._watch.slots:
            return None
        suggestion = self._suggests.suggest(trial_id)
        if suggestion not in (None, Searcher.FINISHED):
            self._live.add(trial_id)
        return suggestion

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._suggests.on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if trial_id in self._live:
            self._live.remove(trial_id)
            self._suggests.on_trial_complete(trial_id, result=result, error=error)
