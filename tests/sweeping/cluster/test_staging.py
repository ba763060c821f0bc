"""A run on a node that does not see the driver's disk: two folders, between which only the file server passes things."""

import contextlib
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest

from raybert.files import write_json, write_text
from raybert.polling import wait_until
from raybert.selection.store import ScoreStore
from raybert.sweeping.cluster import file_server, staging
from raybert.sweeping.cluster.file_server import DriverFiles, FileServer
from raybert.sweeping.cluster.hung_scoring import BlockSigns
from raybert.sweeping.cluster.shared_folder import not_to_be
from raybert.sweeping.cluster.staged_blocks import StagedBlocks
from raybert.sweeping.cluster.staging import Staging
from raybert.sweeping.folder.fence import Superseded
from raybert.sweeping.folder.owner import current_attempt
from raybert.sweeping.storage.work import STAGED
from raybert.training.checkpoint import load_last, save_last

RUN = "trials/0123456789ab"


@dataclass
class Actor:
    """Calls of an actor that are answered at once, by an object of this process."""

    real: FileServer

    def __getattr__(self, name):
        return SimpleNamespace(remote=getattr(self.real, name))


@pytest.fixture
def driver(tmp_path):
    """The results folder of the driver, with an owner."""
    folder = tmp_path / "driver" / "work" / "imdb"
    folder.mkdir(parents=True)
    write_text(folder / "attempt", "3")
    (folder / "lock").touch()
    return folder


@pytest.fixture
def node(tmp_path, driver, monkeypatch):
    """What a process of the node has: the results folder lies elsewhere there, where there is nothing."""
    monkeypatch.setattr(file_server, "ray", SimpleNamespace(get=lambda result: result))
    monkeypatch.setattr(staging, "_SECONDS_BETWEEN_PASSES", 0.02)
    monkeypatch.setattr(staging, "_away", {})
    encoder = tmp_path / "driver" / "bert"
    encoder.mkdir()
    (encoder / "config.json").write_text("{}")
    place = tmp_path / "node" / "work" / "imdb"
    server = Actor(FileServer(driver, (tmp_path / "node" / "bert", encoder)))
    return Staging(server, place, 3, ".nodes.0.tmp", {"model.encoder: bert": encoder})


def checkpoint(folder, step):
    save_last(folder / "checkpoint", "key", {}, None, {"step": step})


def step_of(folder):
    found = load_last(folder / "checkpoint", "key")
    return None if found is None else found[2]["step"]


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_what_a_run_leaves_is_on_the_drivers_disk_and_not_on_the_nodes(driver, node):
    with node.run(RUN):
        run = node.folder / RUN
        write_json(run / "config.yaml", {})
        checkpoint(run, 7)
        assert wait_until(lambda: step_of(driver / RUN) == 7, 0.01, 10), "the checkpoint goes while the run is at work"
        (run / "log.txt").write_text("one\ntwo\n")
        save_last(run / "checkpoint", "key", {}, None, {"step": 9})
        (run / "checkpoint" / "last").rename(run / "checkpoint" / "best")  # a run that has ended has no `last`
        write_json(run / "result.json", {"status": "complete"})
    assert names(driver / RUN) == {
        *("config.yaml", "log.txt", "result.json"),
        *(f"checkpoint/best/{name}" for name in ("COMPLETE", "state.pt", "weights.safetensors")),
    }
    assert (driver / RUN / "log.txt").read_text() == "one\ntwo\n"
    assert not (node.folder / RUN).exists()


def test_a_run_goes_on_from_the_last_checkpoint_wherever_it_begins_anew(driver, node):
    with contextlib.suppress(KeyboardInterrupt), node.run(RUN):
        checkpoint(node.folder / RUN, 5)
        raise KeyboardInterrupt
    assert step_of(driver / RUN) == 5
    checkpoint(node.folder / RUN, 2)  # of an older time of this node
    with node.run(RUN):
        assert step_of(node.folder / RUN) == 5


def test_a_process_that_counts_as_dead_writes_nothing_more(driver, node):
    with node.run(RUN):
        other = DriverFiles(node.server).begin(RUN)
        write_text(node.folder / RUN / "log.txt", "of the first")
        write_json(node.folder / RUN / "result.json", {"of": "the first"})
    assert not (driver / RUN).exists()
    note = node.folder / "note.txt"
    note.write_text("of the second")
    other.put_file(f"{RUN}/log.txt", note)
    assert (driver / RUN / "log.txt").read_text() == "of the second"
    with pytest.raises(Superseded, match="another process is at it"):
        replace(other, writer=1).delete(f"{RUN}/log.txt")


def test_requests_of_the_driver_are_found_where_the_run_looks(driver, node):
    with node.run(RUN):
        assert current_attempt(node.folder) == 3
        assert not (node.folder / "stop-requested").exists()
        (driver / "stop-requested").touch()
        (driver / RUN).mkdir(parents=True)
        (driver / RUN / "stop-requested").touch()
        write_text(driver / "attempt", "4")
        assert wait_until(lambda: current_attempt(node.folder) == 4, 0.01, 10)
        assert (node.folder / "stop-requested").exists()
        assert (node.folder / RUN / "stop-requested").exists()


def test_an_older_folder_of_the_node_is_kept_for_its_own_next_driver(driver, node):
    write_text(node.folder / "attempt", "1")
    write_json(node.folder / "trials" / "unpublished" / "result.json", {})
    (node.folder / "lock").touch()
    node = replace(node, sign=".nodes.1.tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "_SECONDS_OF_A_FILE_SERVER", 0.0)
        assert node.is_away
    node.begin()
    (older,) = node.folder.parents[1].glob("older-*")
    assert (older / "trials" / "unpublished" / "result.json").exists()
    assert (node.folder / STAGED).read_text() == node.sign
    (node.folder / "signals").mkdir()
    replace(node, sign=".nodes.2.tmp").begin()  # another driver, of which this one's things say nothing
    assert not (node.folder / "signals").exists()


def test_a_node_that_sees_the_sign_works_in_the_drivers_folder(driver, node, tmp_path):
    seeing = replace(node, folder=driver, sign=".nodes.3.tmp")
    (driver / seeing.sign).touch()
    with seeing.run(RUN):
        write_text(driver / RUN / "log.txt", "here")
    assert (driver / RUN / "log.txt").read_text() == "here"
    late = replace(node, folder=driver, sign=".nodes.4.tmp")  # a file server that shows it late
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "_SECONDS_OF_A_FILE_SERVER", 0.0)
        assert not late.is_away


def test_an_encoder_is_brought_to_its_path_with_what_its_links_lead_to(driver, node, tmp_path):
    real, wanted = tmp_path / "blob", tmp_path / "hub" / "bert"
    real.write_bytes(b"weights")
    encoder = tmp_path / "driver" / "bert"
    (encoder / "model.safetensors").symlink_to(real)
    node.server.real._readable = frozenset([wanted])
    moved = encoder.rename(tmp_path / "kept")
    node.server.real.sizes_of_readable = lambda folder: {path.name: 0 for path in moved.iterdir()}
    node.server.real.read = lambda folder, name, start: (moved / name).read_bytes() if folder == wanted else None
    node.bring_folder(wanted)
    assert (wanted / "model.safetensors").read_bytes() == b"weights"
    assert not (wanted / "model.safetensors").is_symlink()
    assert not_to_be([str(wanted), str(tmp_path / "a" / "b")]) == []


def test_only_folders_that_are_served_are_read_and_names_stay_inside(driver, node, tmp_path):
    (tmp_path / "secret").write_text("x")
    with pytest.raises(PermissionError, match="is not served"):
        node.server.real.read(tmp_path, "secret", 0)
    for name in ("../../../secret", "/etc/passwd", "trials/../../x"):
        with pytest.raises(PermissionError, match="is no name in"):
            node.server.real.read(None, name, 0)
        with pytest.raises(PermissionError, match="is no name in"):
            node.server.real.write("", None, name, None, 0, b"", True)
    elsewhere = tmp_path / "mine"
    elsewhere.write_text("x")
    with pytest.raises(PermissionError, match="is no file of pieces"):
        node.server.real.write(RUN, None, f"{RUN}/log.txt", elsewhere, 0, b"y", False)
    assert elsewhere.read_text() == "x"


@pytest.mark.parametrize("size", [0, 1, 10, 11, 29, 30])
def test_a_file_arrives_whole_in_pieces_of_whatever_size(driver, node, tmp_path, monkeypatch, size):
    monkeypatch.setattr(file_server, "_PIECE", 10)
    content = bytes(range(size))
    (tmp_path / "sent").write_bytes(content)
    files = DriverFiles(node.server)
    assert files.put_file("signals/x", tmp_path / "sent") == size
    assert (driver / "signals" / "x").read_bytes() == content
    assert files.get_file("signals/x", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert not list((driver.parent / "staged").iterdir())


def test_a_block_is_computed_from_what_is_brought_and_its_scores_are_sent(driver, node):
    theirs, ours = ScoreStore(driver / "signals"), ScoreStore(node.folder / "signals")
    theirs.begin("read", {"scorer": "x"})
    theirs.write_block("read", 0, np.arange(3), {"loss": np.arange(3.0)})
    theirs.finish("read", 1, 3)
    write_json(driver / RUN / "result.json", {})
    write_text(driver / RUN / "checkpoint" / "best" / "config.json", "{}")
    signs = BlockSigns(node.folder / "signals" / ".watch-0")
    blocks = StagedBlocks(signs, replace(node, readable={}), {"made": (RUN[7:],)}, {"made": ("read",)})
    with blocks("made", 2):
        assert ours.load("read")["loss"].tolist() == [0, 1, 2]
        assert (node.folder / RUN / "checkpoint" / "best" / "config.json").exists()
        ours.write_block("made", 2, np.arange(2), {"el2n": np.arange(2.0)})
    assert theirs.read_block("made", 2)[1]["el2n"].tolist() == [0, 1]
    assert (driver / "signals" / ".watch-0" / "ended").exists()
    assert not list((driver / "signals" / ".watch-0").glob("made-*"))
