"""A results folder that some node does not see is refused before anything is trained, with the node and the remedy."""

import threading

import pytest

from raybert.errors import ResourceError
from raybert.sweeping.cluster import shared_folder
from raybert.sweeping.cluster.shared_folder import check_shared, unseen

HERE, THERE, HEAD = (
    {"NodeID": name, "Alive": True, "NodeManagerHostname": name, "Resources": resources}
    for name, resources in (("here", {"CPU": 2.0}), ("there", {"CPU": 4.0, "GPU": 1.0}), ("head", {"memory": 1.0}))
)


class FakeRay:
    """The two calls of Ray that tell which nodes there are, and which one this is."""

    def __init__(self, *nodes):
        self._nodes = nodes

    def nodes(self):
        return list(self._nodes)

    def get_runtime_context(self):
        return self

    def get_node_id(self):
        return "here"


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(shared_folder, "ray", FakeRay(HERE, THERE, HEAD, {**THERE, "NodeID": "gone", "Alive": False}))


def blind(node, paths):
    return paths


def seeing(node, paths):
    return unseen(paths, 0.0)


def test_a_folder_of_this_machine_alone_is_refused_with_the_nodes_and_the_remedy(cluster, tmp_path):
    words = (
        f"^output: must be a folder that all nodes see, but what this one writes into {tmp_path} is not seen by there; "
    )
    with pytest.raises(ResourceError, match=words + r"give one on a file system that all of them mount"):
        check_shared(tmp_path, {}, blind)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_all_nodes_see_passes_and_nothing_is_left_there(cluster, tmp_path):
    asked = []
    check_shared(
        tmp_path, {"model.encoder: x": tmp_path}, lambda node, paths: asked.append(node) or seeing(node, paths)
    )
    assert {node["NodeID"] for node in asked} == {"there"}, "a head without CPUs, and what is gone, run no trials"
    assert not list(tmp_path.iterdir())


def test_nodes_are_asked_at_once_and_a_host_with_several_is_named_once(monkeypatch, tmp_path):
    nodes = [{**THERE, "NodeID": name, "NodeManagerHostname": name[:1]} for name in ("a1", "a2", "b1", "c1")]
    monkeypatch.setattr(shared_folder, "ray", FakeRay(HERE, *nodes))
    together = threading.Barrier(4, timeout=30)

    def ask(node, paths):
        together.wait()  # broken, were they asked one after another
        return [] if node["NodeID"] == "b1" else paths

    with pytest.raises(ResourceError, match="is not seen by a, c; give one"):
        check_shared(tmp_path, {}, ask)


def test_an_encoder_that_a_node_does_not_see_is_refused_by_its_name(cluster, tmp_path):
    encoder = tmp_path / "hub" / "bert"
    words = (
        f"^model.encoder: bert: its files must be seen by all nodes, but {encoder} is not by there; let RAYBERT_CACHE"
    )
    with pytest.raises(ResourceError, match=words):
        check_shared(tmp_path, {"model.encoder: bert": encoder}, seeing)


def test_one_machine_sees_what_it_has_and_nobody_is_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(shared_folder, "ray", FakeRay(HERE, HEAD))
    check_shared(tmp_path, {"x": tmp_path / "none"}, blind)


def test_the_working_folder_of_an_object_store_names_the_cache(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(shared_folder, "work_at", lambda folder: object())
    with pytest.raises(
        ResourceError, match=r"^RAYBERT_CACHE: must name a folder that all nodes see, .* not seen by there"
    ):
        check_shared(tmp_path, {}, blind)
