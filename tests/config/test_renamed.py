import warnings

import pytest

from raybert.config import load_config, load_stored_config, validate_config, validate_stored_config, with_value
from raybert.config.renamed import RENAMED_KEYS, rename_keys
from raybert.errors import ConfigError, RenamedWarning
from raybert.sweeping.plan.specs import PoolFacts
from tests.sweeping.planning import plan_of

SPACE = {"train.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}}
VALUES = {
    "data.subset": "sst2",
    "model.iris.pool": "mean",
    "selection.embedding.source": "proxy",
    "sweep.tune.trials_per_strategy": 7,
    "sweep.tune.seeds_per_trial": 3,
    "sweep.tune.startup_trials": 4,
    "sweep.tune.subset": 0.25,
}
"""Old key -> a value that is not its default."""


def document_with(key, value):
    tune = {"space": SPACE} | ({} if "s_per_strategy" in key else {"suggestions_per_strategy": 5})
    document = {"sweep": {"tune": tune}} if key.startswith("sweep.tune") else {}
    if key.startswith("model.iris"):
        document["model"] = {"kind": "iris"}
    return with_value(document, key, value)


def value_at(config, key):
    for part in key.split("."):
        config = getattr(config, part)
    return config


def test_every_renamed_key_has_a_value_here():
    assert VALUES.keys() == RENAMED_KEYS.keys()


@pytest.mark.parametrize("old", VALUES)
def test_an_old_key_means_what_the_new_one_means_and_is_noted(old):
    new = RENAMED_KEYS[old]
    with pytest.warns(RenamedWarning, match=rf"^{old} is called {new} now"):
        config = validate_config(document_with(old, VALUES[old]))
    assert value_at(config, new) == VALUES[old]
    assert config == validate_config(document_with(new, VALUES[old]))


def test_an_old_key_in_a_file_or_an_override_is_noted(tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text("data: {source: glue, subset: sst2}\nlimits: {}\n")
    with pytest.warns(RenamedWarning, match=r"data\.subset is called data\.config now"):
        assert load_config(file).data.config == "sst2"
    file.write_text("data: {source: glue}\n")
    with pytest.warns(RenamedWarning, match=r"data\.subset is called data\.config now"):
        assert load_config(file, ["data.subset=mrpc"]).data.config == "mrpc"


@pytest.mark.parametrize(("in_file", "override"), [("config", "subset"), ("subset", "config")])
def test_an_override_replaces_a_key_of_the_file_by_whichever_name(tmp_path, in_file, override):
    file = tmp_path / "sweep.yaml"
    file.write_text(f"data: {{source: glue, {in_file}: sst2}}\n")
    for given in ([f"data.{override}=mrpc"], {f"data.{override}": "mrpc"}):
        with pytest.warns(RenamedWarning, match=r"^data\.subset is called data\.config now"):
            assert load_config(file, given).data.config == "mrpc"


def test_what_raybert_has_written_itself_is_read_without_a_word(tmp_path):
    file = tmp_path / "resolved.yaml"
    file.write_text("data: {source: glue, subset: sst2}\nlimits: {}\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_stored_config(file).data.config == "sst2"
        assert (
            validate_stored_config({"selection": {"embedding": {"source": "proxy"}}}).selection.embedding.of == "proxy"
        )


def test_an_old_and_a_new_name_of_one_key_are_refused():
    with pytest.raises(ConfigError, match="subset: is the old name of config, which is given, too; leave subset out"):
        validate_config({"data": {"subset": "a", "config": "b"}})


def test_keys_of_grids_spaces_conditions_and_points_are_renamed_too():
    tune = {
        "suggestions_per_strategy": 3,
        "space": {
            "selection.embedding.source": {"choice": ["encoder", "proxy"]},
            "train.batch_size": {"choice": [16, 32], "when": {"selection.embedding.source": "proxy"}},
        },
        "points_to_evaluate": [{"selection.embedding.source": "proxy", "train.batch_size": 16}],
    }
    document = {"sweep": {"grid": {"data.subset": ["a", "b"]}, "tune": tune}}
    before = repr(document)
    renamed, notes = rename_keys(document)
    assert repr(document) == before
    assert list(renamed["sweep"]["grid"]) == ["data.config"]
    found = renamed["sweep"]["tune"]
    assert list(found["space"]) == ["selection.embedding.of", "train.batch_size"]
    assert found["space"]["train.batch_size"]["when"] == {"selection.embedding.of": "proxy"}
    assert found["points_to_evaluate"] == [{"selection.embedding.of": "proxy", "train.batch_size": 16}]
    assert notes == [
        "sweep.grid.data.subset: data.subset is called data.config now; the old name is accepted until the next release",
        "sweep.tune.space.selection.embedding.source: selection.embedding.source is called selection.embedding.of now; "
        "the old name is accepted until the next release",
    ]


@pytest.mark.parametrize("section", [None, "text", 3, ["a"]])
def test_what_is_no_section_is_left_to_validation(section):
    for document in ({"data": section}, {"sweep": section}, {"sweep": {"grid": section, "tune": section}}):
        assert rename_keys(document) == (document, [])


def ids_of(config):
    facts = PoolFacts("data", "encoder", num_examples=1000, num_classes=3)
    plan = plan_of(config, facts)
    return [(spec.label, spec.trial_id, spec.data_key) for spec in plan.trials]


def test_ids_are_those_of_raybert_0_1():
    sweep = {"strategies": ["random", "k_center"], "seeds": 1}
    config = validate_config({"data": {"config": "sst2"}, "selection": {"embedding": {"of": "proxy"}}, "sweep": sweep})
    assert ids_of(config) == OLD_IDS
    iris = {"kind": "iris", "iris": {"combine": "mean"}}
    assert ids_of(validate_config({"model": iris, "sweep": sweep})) == OLD_IRIS_IDS


OLD_IDS = [
    ("proxy", "5758719ace60", "52fa4c39abed4d6c6c9c"),
    ("random", "501e919c8d9b", "52fa4c39abed4d6c6c9c"),
    ("k_center", "b82926c0b1e4", "52fa4c39abed4d6c6c9c"),
]
OLD_IRIS_IDS = [
    ("random", "7e24723ce7a8", "45939169547b7f9ea9cf"),
    ("k_center", "4afc0b656f60", "45939169547b7f9ea9cf"),
]
"""Computed by raybert 0.1 from the same files with the old names."""


def test_the_command_line_says_an_old_name_in_a_note_of_one_line(tmp_path, capsys, monkeypatch):
    from raybert import cli

    file = tmp_path / "sweep.yaml"
    file.write_text("data: {source: glue, subset: sst2}\nlimits: {}\n")
    monkeypatch.setattr("sys.argv", ["raybert", "render", str(file)])
    with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    out, err = capsys.readouterr()
    assert "config: sst2" in out
    assert err == "note: data.subset is called data.config now; the old name is accepted until the next release\n"
