"""What results stand on besides the sweep file: changed data, encoders and code of a user's own are never mixed in."""

import json
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from raybert.errors import SweepError
from raybert.models import Encoder
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.phases.unchanged import changed_versions, check_code, check_data, describe_contents
from raybert.sweeping.plan.own_code import OwnCode

RULE = OwnCode("strategy rules:Rule", "new", "the code of strategy 'rules:Rule'", "raise the class's `rule_version`")


@dataclass(frozen=True)
class Ready:
    """As much of a prepared data set as is looked at."""

    encoder: Encoder
    language_models: dict = field(default_factory=dict)
    column_digests: dict = field(default_factory=dict)
    pretraining: None = None
    data: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(fingerprint="d"))
    splits: SimpleNamespace = field(
        default_factory=lambda: SimpleNamespace(details={"source": "mine.csv"}, digests_of_extra_tests=dict)
    )


def encoder(name, tmp_path, fingerprint="e"):
    return Encoder(name, tmp_path, fingerprint)


def test_changed_data_encoders_and_masked_models_are_named_with_the_way_to_pin_them(tmp_path):
    folder = SweepFolder(tmp_path)
    ready = Ready(encoder(str(tmp_path), tmp_path), {"mlm": encoder("org/mlm", tmp_path, "m")}, {"rating": "r"})
    manifest = {"data": {"key": describe_contents(ready)}}
    check_data(folder, {}, {"key": ready})
    check_data(folder, manifest, {"key": ready})
    check_data(folder, manifest, {"other": replace(ready, encoder=encoder("x", tmp_path, "other"))})
    changes = {
        "data.source 'mine.csv' (or the tokenizer) changed": replace(ready, data=SimpleNamespace(fingerprint="other")),
        f"the encoder '{tmp_path}' changed": replace(ready, encoder=encoder(str(tmp_path), tmp_path, "other")),
        "the language model 'org/mlm' changed": replace(
            ready, language_models={"mlm": encoder("org/mlm", tmp_path, "other")}
        ),
        "the column 'rating' of data.source 'mine.csv' changed": replace(ready, column_digests={"rating": "other"}),
    }
    for what, now in changes.items():
        with pytest.raises(SweepError) as caught:
            check_data(folder, manifest, {"key": now})
        assert f"the content of {what} since this folder was begun; give `output` a new folder" in str(caught.value)
        assert ("selection.scorers.perplexity.revision" in str(caught.value)) == ("mlm" in what)
    hub = Ready(encoder("org/x", tmp_path))
    moved = {"data": {"key": describe_contents(replace(hub, encoder=encoder("org/x", tmp_path, "old")))}}
    with pytest.raises(SweepError, match=r"the encoder 'org/x' changed .* \(`model.revision` names a commit"):
        check_data(folder, moved, {"key": hub})


def test_the_manifest_of_raybert_0_1_is_compared_as_far_as_it_goes(tmp_path):
    ready = Ready(encoder(str(tmp_path), tmp_path), {"mlm": encoder("org/mlm", tmp_path, "m")}, {"rating": "r"})
    known = {"fingerprint": "d", "encoder_fingerprint": "e"}
    check_data(SweepFolder(tmp_path), {"data": {"key": known}}, {"key": ready})
    with pytest.raises(SweepError, match="the encoder"):
        check_data(SweepFolder(tmp_path), {"data": {"key": known | {"encoder_fingerprint": "f"}}}, {"key": ready})


def test_packages_of_other_versions_are_a_note(monkeypatch):
    monkeypatch.setattr("raybert.sweeping.phases.unchanged.installed_versions", lambda: {"torch": "2", "numpy": "3"})
    assert changed_versions({}) == changed_versions({"versions": {"torch": "2", "ray": "1"}}) == []
    assert changed_versions({"versions": {"torch": "1", "numpy": "3"}}) == [
        "note: torch was 1, is 2 since trials of this folder began: some of a difference between trials may be due to it"
    ]


def begun(folder, trial_id, code, mark=None):
    path = folder.path / "trials" / trial_id
    path.mkdir(parents=True)
    (path / "spec.json").write_text(json.dumps({"spec": {}, **({"code": code} if code else {})}))
    if mark is not None:
        (path / mark).write_text("{}")


def test_code_is_refused_only_where_runs_are_finished_by_another_one(tmp_path):
    folder, notes = SweepFolder(tmp_path), []
    begun(folder, "a", {RULE.key: "old"})  # still to be finished
    begun(folder, "b", {RULE.key: "old"}, "error.txt")  # to be tried again, with what was mended
    begun(folder, "c", {RULE.key: "new"}, "result.json")
    begun(folder, "d", None, "result.json")  # of raybert 0.1
    begun(folder, "e", {"loss mine:focal": "old"}, "result.json")
    check_code(folder, [RULE], notes.append)
    begun(folder, "f", {RULE.key: "old"}, "result.json")
    begun(folder, "g", {RULE.key: "old"}, "pruned.json")
    with pytest.raises(SweepError) as caught:
        check_code(folder, [RULE], notes.append)
    assert str(caught.value) == (
        f"{tmp_path}: the code of strategy 'rules:Rule' changed since 2 trials of this folder finished; give `output` "
        "a new folder, raise the class's `rule_version`, or bring the old one back"
    )
    check_code(folder, [replace(RULE, key="strategy rules:Rule rule 2")], notes.append)
    check_code(folder, [], notes.append)
    assert notes == []
    check_code(folder, [replace(RULE, digest=None)], notes.append)
    assert notes == ["note: the code of strategy 'rules:Rule' cannot be read: whether it changes is not noticed"]
