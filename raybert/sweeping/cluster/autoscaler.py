"""What the autoscaler of a cluster may still start, by the file that `ray up` leaves on the head.

Ray 2.60 tells nobody else: what its state holds of an autoscaler's kinds of nodes is written by managed services alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

BOOTSTRAP_FILE = "~/ray_bootstrap_config.yaml"
"""Where the cluster launcher puts the cluster's file on the head; Ray tells by it whether it is on one, too."""
IS_HEAD = "node:__internal_head__"
"""Resource by which Ray marks the head."""
_MOST_WORKERS = 2
"""`max_workers` of a file that says nothing, as Ray has it."""


def nodes_to_come(nodes: Sequence[Mapping[str, float]], path: Path | None = None) -> tuple[dict[str, float], ...]:
    """Return the resources of the nodes that may still be started, most CPUs and GPUs first; nothing if unknown.

    Args:
        nodes: resources of every living node, one of them the head on which this process runs.
        path: of the cluster's file; default: where the launcher puts it.
    """
    try:
        text = (path or Path(BOOTSTRAP_FILE).expanduser()).read_text(encoding="utf-8")
        found = yaml.safe_load(text)
        kinds = dict(found["available_node_types"])
        kinds.pop(found.get("head_node_type"), None)
        most = int(found.get("max_workers", _MOST_WORKERS))
        shapes = [(_shape(kind), int(kind.get("max_workers", most))) for kind in kinds.values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return ()  # no cluster of the launcher's, or a file of another form: what is there counts
    workers = [_shape({"resources": node}) for node in nodes if IS_HEAD not in node]
    coming = [shape for shape, count in shapes for _ in range(min(count, most) - workers.count(shape))]
    coming.sort(key=lambda shape: (shape.get("GPU", 0.0), shape.get("CPU", 0.0)), reverse=True)
    return tuple(coming[: max(0, most - len(workers))])


def _shape(kind: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(kind["resources"][name]) for name in ("CPU", "GPU") if kind["resources"].get(name)}
