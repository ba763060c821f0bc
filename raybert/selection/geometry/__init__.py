"""Geometry of selection: pure numpy and torch functions on embeddings, positions out."""

from raybert.selection.geometry.clusters import Duplicates, nearest_to_centroids, semantic_duplicates
from raybert.selection.geometry.d2 import d2_select
from raybert.selection.geometry.facility_location import facility_location, qdit_greedy
from raybert.selection.geometry.k_center import covering_radius, find_medoid, k_center
from raybert.selection.geometry.neighbours import knn_graph, unit_rows
from raybert.selection.geometry.two_level import (
    choose_local_centres,
    merge_centres,
    partition_k_center,
    split_pool,
)

__all__ = [
    "Duplicates",
    "choose_local_centres",
    "covering_radius",
    "d2_select",
    "facility_location",
    "find_medoid",
    "k_center",
    "knn_graph",
    "merge_centres",
    "nearest_to_centroids",
    "partition_k_center",
    "qdit_greedy",
    "semantic_duplicates",
    "split_pool",
    "unit_rows",
]
