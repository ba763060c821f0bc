"""Symbolic links that others have put into a folder are not followed: nothing outside is written, deleted or copied."""

import json
import shutil

import numpy as np
import pytest

from raybert import commands
from raybert.durable import atomic_folder
from raybert.errors import DataError, SweepError
from raybert.evaluation.find import default_folder
from raybert.links import leads_outside, refuse_links, remove_tree, without_links
from raybert.selection.store import DamagedBlock, ScoreStore
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.driver.session import owned_folder
from raybert.sweeping.folder.layout import SweepFolder
from tests.e2e.commands import run
from tests.security.conftest import edit_json


@pytest.fixture
def outside(tmp_path):
    """A folder that is none of raybert's business."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "identity.json").write_text("{}")
    (folder / "complete.json").write_text(json.dumps({"num_blocks": 1, "num_rows": 2, "seconds": 0.0}))
    (folder / "private").write_text("secret")
    return folder


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def store(tmp_path):
    store = ScoreStore(tmp_path / "store")
    store.begin("good", {"scorer": "x"})
    store.write_block("good", 0, np.arange(2), {"v": np.ones(2, np.float32)})
    store.finish("good", 1, 2)
    return store


@pytest.mark.fault("link in a shared score store")
def test_a_key_that_is_a_link_is_no_signal(store, outside, fault):
    before = content(outside)
    (store.folder / "evil").symlink_to(outside)
    with fault.once():
        assert [entry.key for entry in store.entries()] == ["good"]
        assert store.completion("evil") is None
        with pytest.raises(DataError, match="is a symbolic link; delete it"):
            store.begin("evil", {"scorer": "x"})
        with pytest.raises(DataError, match="not complete"):
            store.load("evil")
        assert content(outside) == before


@pytest.mark.fault("link in a shared score store")
def test_removing_a_link_leaves_what_it_points_to(store, outside, fault):
    before = content(outside)
    (store.folder / "evil").symlink_to(outside)
    with fault.once():
        store.remove("evil")
        assert not (store.folder / "evil").is_symlink()
        (store.folder / "evil").symlink_to(outside)
        commands.remove_scores(everything=True, store=store.folder)
        assert content(outside) == before
        assert not (store.folder / "good").exists()


@pytest.mark.fault("link in a shared score store")
def test_a_block_that_is_a_link_is_computed_again(store, outside, fault):
    path = store.block_path("good", 0)
    path.rename(outside / path.name)
    path.symlink_to(outside / path.name)
    with fault.once():
        with pytest.raises(DamagedBlock, match="is a symbolic link"):
            store.read_block("good", 0)
        missing, damaged = store.check_blocks("good", 1)
        assert (missing, len(damaged)) == ([0], 1)
        assert (outside / path.name).exists()
        assert not path.is_symlink()


@pytest.mark.fault("link in a shared score store")
def test_a_kept_run_is_not_adopted_through_a_link(store, outside, tmp_path, fault):
    (outside / "result.json").write_text("{}")
    (store.folder / "good" / "runs").mkdir()
    (store.folder / "good" / "runs" / "t1").symlink_to(outside)
    with fault.once():
        assert store.kept_run("good", "t1") is None
        store.keep_run("good", "t1", tmp_path / "nothing")
    kept = store.folder / "good" / "runs" / "t2"
    kept.mkdir()
    (kept / "result.json").write_text("{}")
    (kept / "predictions.parquet").symlink_to(outside / "private")
    with fault.once():
        SweepFolder(tmp_path / "run").trial("t2").adopt(kept)
        assert {path.name for path in (tmp_path / "run" / "trials" / "t2").iterdir()} == {"result.json"}


@pytest.mark.fault("link in a cache")
@pytest.mark.parametrize("keeps_existing", [False, True])
@pytest.mark.parametrize("is_dangling", [False, True])
def test_a_folder_takes_the_place_of_a_link_and_not_of_what_it_leads_to(
    keeps_existing, is_dangling, outside, tmp_path, fault
):
    before = content(outside)
    target = tmp_path / "cache" / "made"
    target.parent.mkdir()
    target.symlink_to(tmp_path / "nowhere" if is_dangling else outside)
    with fault.once():
        with atomic_folder(target, mark="COMPLETE", keeps_existing=keeps_existing) as fresh:
            (fresh / "file").write_text("new")
        assert not target.is_symlink()
        assert {path.name for path in target.iterdir()} == {"file", "COMPLETE"}
        assert {path.name for path in target.parent.iterdir()} == {"made"}
        assert content(outside) == before


@pytest.mark.slow
@pytest.mark.fault("link in a results folder")
@pytest.mark.parametrize("name", ["results", "plots", "best", "trials", "results/trials.csv", "state.json", "lock"])
def test_a_results_folder_with_links_is_not_written(name, foreign, outside, fault, no_pixels):
    before = content(outside)
    place = foreign / name
    if place.is_dir():
        shutil.rmtree(place) if name != "trials" else place.rename(foreign.parent / "moved")
    place.unlink(missing_ok=True)
    place.symlink_to(foreign.parent / "moved" if name == "trials" else outside / ("private" if "." in name else ""))
    with fault.once():
        done = run("report", foreign)
        assert done.code == 2
        assert f"{name}: must not be a symbolic link (to " in done.err
        with pytest.raises(SweepError, match="must not be a symbolic link"), owned_folder(foreign, Progress()):
            pass
        assert content(outside) == before


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.fault("link in a results folder")
def test_a_model_is_published_without_what_its_links_point_to(foreign, outside, fault, no_pixels):
    best = (foreign / "best" / "trial_id").read_text().strip()
    (foreign / "trials" / best / "checkpoint" / "best" / "vocab.txt").symlink_to(outside / "private")
    with fault.once():
        assert run("report", foreign).code == 0
        assert not (foreign / "best" / "vocab.txt").exists()
        assert (foreign / "best" / "model.safetensors").is_file()


@pytest.mark.slow
@pytest.mark.fault("link in a results folder")
def test_evaluations_and_reproductions_are_not_written_through_links(foreign, outside, fault):
    before = content(outside)
    (foreign / "evaluation").symlink_to(outside)
    (foreign / "reproductions").symlink_to(outside)
    with fault.once():
        with pytest.raises(SweepError, match=r"evaluation: must not be a symbolic link"):
            default_folder(foreign)
        assert run("evaluate", foreign).code == 2
        done = run("reproduce", next(foreign.glob("trials/*/spec.json")).parent)
        assert (done.code, "reproductions: must not be a symbolic link" in done.err) == (2, True), done.err
        assert content(outside) == before


@pytest.mark.slow
@pytest.mark.fault("path in place of a trial's id")
@pytest.mark.parametrize("trial_id", ["../../outside", "/etc", "..", "a/b", "x\x00y"])
def test_ids_that_are_paths_are_refused(trial_id, foreign, fault):
    edit_json(foreign / "plan.json", lambda document: document["trials"][0].update(trial_id=trial_id))
    with fault.once():
        for command in ("report", "status"):
            done = run(command, foreign)
            assert done.code == 2, done.said
            assert "must name its trials by ids, got the path" in done.err
            assert done.err.count("\n") == 1


def test_links_are_found_wherever_they_stand(tmp_path):
    (tmp_path / "trials" / "a" / "checkpoint").mkdir(parents=True)
    refuse_links(tmp_path)
    (tmp_path / "trials" / "a" / "checkpoint" / "last").symlink_to("/nowhere")
    with pytest.raises(SweepError, match=r"checkpoint/last: must not be a symbolic link \(to /nowhere\)"):
        refuse_links(tmp_path)
    assert leads_outside(tmp_path, tmp_path / "trials" / "a" / "checkpoint" / "last" / "x")
    assert not leads_outside(tmp_path, tmp_path / "trials" / "a")
    assert without_links("b*")(str(tmp_path / "trials" / "a" / "checkpoint"), ["last", "best", "c"]) == {"last", "best"}
    remove_tree(tmp_path / "trials")
    assert not (tmp_path / "trials").exists()
    refuse_links(tmp_path / "nowhere")
