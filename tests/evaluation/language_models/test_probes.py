import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import raybert
from raybert.analysis.statistics.decision import sign_flip_p
from raybert.analysis.statistics.intervals import holm
from raybert.config.pretraining import load_pretraining
from raybert.errors import ConfigError
from raybert.evaluation.language_models.probe_plots import draw_preferences
from raybert.tables import pretrained
from tests.e2e.commands import run
from tests.pretraining.language_models import save_model

TRAINED = [
    f"the {who} said {what} left" for who in ("hunter", "elder", "member") for what in ("snow", "snow", "snow", "house")
]
TEMPLATES = [
    f"the {who} said [MASK] left" for who in ("hunter", "elder", "member", "minister", "speaker", "hunter member")
]
PAIRS = [
    {"more": f"the {who} said snow left", "less": f"the {who} said budget left", "kind": kind}
    for who, kind in (("hunter", "north"), ("elder", "north"), ("member", "south"), ("minister", "south"))
]
PROBES = {
    "place": {"templates": TEMPLATES, "groups": {"north": ["snow", "caribou"], "south": ["budget", "house"]}, "top": 3},
    "weather": {"templates": TEMPLATES[:3], "groups": {"one": ["snow"], "two": ["house"], "three": ["chair"]}},
    "sayings": {"pairs": PAIRS},
}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    place = tmp_path_factory.mktemp("study")
    pd.DataFrame({"text": [f"text number {n}" for n in range(20)]}).to_parquet(place / "a.parquet")
    for seed in range(2):
        save_model(place / f"trained{seed}", TRAINED, seed=seed, steps=40, pieces=300)
    save_model(place / "random", seed=5, pieces=90)
    return place


@pytest.fixture
def document(study):
    return file_of(study)


def file_of(study):
    models = {"trained": [str(study / "trained0"), str(study / "trained1")], "random": str(study / "random")}
    return {"corpora": {"a": str(study / "a.parquet")}, "crosseval": {"models": models}, "probes": PROBES}


@pytest.fixture(scope="module")
def found(study, no_pixels):
    return raybert.probe(file_of(study), output=study)


def test_a_model_prefers_the_group_that_it_was_trained_on(found):
    row = found.groups.query("probe == 'place' and model == 'trained' and group == 'north'").iloc[0]
    assert (row.preferred_fraction, row.prompts, row.chance) == (1.0, 6, 0.5)
    assert row.binomial_p == stats.binomtest(6, 6, 0.5).pvalue
    assert (row.low, row.high) == pytest.approx((0.025 ** (1 / 6), 1.0))
    difference = found.differences.query("probe == 'place' and model == 'trained'").iloc[0]
    assert difference.low > 0
    assert difference.sign_flip_p == pytest.approx(2 / 2**6)


def test_groups_and_differences_are_those_of_the_table_of_words(found):
    words = found.words.query("probe == 'place'")
    for model in ("trained", "random"):
        rows = words[words["model"] == model]
        mean = rows.groupby(["seed", "prompt", "group"])["log_probability"].agg(lambda v: np.log(np.mean(np.exp(v))))
        wide = mean.groupby(["prompt", "group"]).mean().unstack("group")
        prompts = found.prompts.query("probe == 'place' and model == @model")
        np.testing.assert_allclose(prompts.pivot(index="prompt", columns="group", values="log_probability"), wide)
        difference = found.differences.query("probe == 'place' and model == @model").iloc[0]
        values = (wide["north"] - wide["south"]).to_numpy()
        assert difference.difference == pytest.approx(values.mean())
        assert difference.preferred_fraction == (values > 0).mean()
        assert difference.sign_flip_p == pytest.approx(float(sign_flip_p(values)))
        share = found.groups.query("probe == 'place' and model == @model").set_index("group")["preferred_fraction"]
        assert share["north"] == (values > 0).mean()
        assert share.sum() == 1


def test_three_groups_have_a_chance_of_a_third_and_three_pairs(found):
    rows = found.groups.query("probe == 'weather' and model == 'random'")
    assert rows["chance"].tolist() == pytest.approx([1 / 3] * 3)
    assert len(found.differences.query("probe == 'weather' and model == 'random'")) == 3
    tests = found.groups[~found.groups["group"].isin(["south", "less"])]  # of two groups the second is the first's test
    assert len(tests) == 2 * (1 + 3 + 3)
    np.testing.assert_allclose(tests["holm_p"], holm(tests["binomial_p"].to_numpy()))
    wide = found.groups[found.groups["probe"] == "place"].pivot(index="model", columns="group", values="holm_p")
    assert wide["north"].tolist() == wide["south"].tolist()
    np.testing.assert_allclose(found.differences["holm_p"], holm(found.differences["sign_flip_p"].to_numpy()))


def test_pairs_are_told_for_all_and_for_each_kind(found):
    rows = found.groups.query("probe == 'sayings' and model == 'trained' and group == 'more'").set_index("kind")
    assert rows["prompts"].to_dict() == {"all": 4, "north": 2, "south": 2}
    prompts = found.prompts.query("probe == 'sayings' and model == 'trained'")
    preferred = prompts[prompts["is_preferred"]].set_index("prompt")["group"]
    assert rows.loc["all", "preferred_fraction"] == (preferred == "more").mean()
    assert prompts["text"].iloc[0] == PAIRS[0]["more"]


def test_models_are_compared_over_the_same_prompts(found):
    row = found.models.query("probe == 'place'").iloc[0]
    each = found.differences.query("probe == 'place'").set_index("model")["difference"]
    assert (row.model, row.other) == ("trained", "random")
    assert row.difference == pytest.approx(each["trained"] - each["random"])


def test_the_most_probable_pieces_are_listed(found):
    rows = found.predictions.query("probe == 'place' and model == 'trained' and seed == 0 and prompt == 0")
    assert rows["rank"].tolist() == [1, 2, 3]
    assert rows["piece"].iloc[0] == "snow"
    words = found.words.query(
        "probe == 'place' and model == 'trained' and seed == 0 and prompt == 0 and word == 'snow'"
    )
    if words["pieces"].iloc[0] == 1:
        assert rows["probability"].iloc[0] == pytest.approx(np.exp(words["log_probability"].iloc[0]), rel=1e-5)
    assert rows["probability"].is_monotonic_decreasing


def test_tables_have_the_declared_columns_and_are_written(found, study):
    tables = {
        "groups": pretrained.PROBE_GROUPS,
        "differences": pretrained.PROBE_DIFFERENCES,
        "models": pretrained.PROBE_MODELS,
        "prompts": pretrained.PROBE_PROMPTS,
        "words": pretrained.PROBE_WORDS,
        "predictions": pretrained.PROBE_PREDICTIONS,
    }
    for name, table in tables.items():
        assert list(getattr(found, name).columns) == table.order(), name
        assert len(pd.read_parquet(study / "probes" / f"{name}.parquet")) == len(getattr(found, name))
    assert [path.name for path in found.plots] == ["01_place.png", "02_weather.png", "03_sayings.png"]
    text = (study / "probes" / "summary.md").read_text()
    assert "place: share of 6 prompts that prefer each (chance 50%)" in text
    assert "| trained | 100%" in text


def test_words_of_several_pieces_and_few_prompts_are_noted(found):
    assert found.words.query("word == 'caribou' and model == 'random'")["pieces"].unique().tolist() == [2]
    assert any(note.startswith("place: random cuts ") and "'caribou' (2)" in note for note in found.notes)
    assert any(note.startswith("sayings, weather: fewer than 6 prompts") for note in found.notes)


def test_the_picture_has_a_row_per_model(found):
    axes = draw_preferences(found.groups[found.groups["probe"] == "place"]).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["trained", "random"]
    points = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata())]
    shares = found.groups.query("probe == 'place' and group == 'north'")["preferred_fraction"]
    assert points == shares.tolist()


@pytest.mark.long
def test_the_command_prints_shares_and_json(study, document, found, tmp_path, no_pixels):
    (tmp_path / "file.yaml").write_text(json.dumps(document))
    done = run("probe", tmp_path / "file.yaml", "--output", tmp_path)
    assert done.code == 0, done.said
    assert "place: share of 6 prompts that prefer each (chance 50%)" in done.out
    printed = json.loads(run("probe", tmp_path / "file.yaml", "--output", tmp_path, "--json").out)
    pd.testing.assert_frame_equal(pd.DataFrame(printed["groups"]), found.groups, check_dtype=False, rtol=1e-6)


def test_pairs_and_templates_are_read_from_files(study, document, tmp_path):
    pd.DataFrame({"sent_more": ["a house", "b"], "sent_less": ["a chair", "c"], "bias_type": ["x", "y"]}).to_csv(
        tmp_path / "crows.csv"
    )
    (tmp_path / "templates.txt").write_text("# about snow\nthe [MASK] fell\n\nall [MASK] long\n")
    document["probes"] = {
        "crows": {"pairs": str(tmp_path / "crows.csv")},
        "lines": {"templates": str(tmp_path / "templates.txt"), "groups": PROBES["place"]["groups"]},
    }
    found = raybert.probe(document, output=tmp_path)
    assert found.prompts.query("probe == 'crows' and model == 'random'")["kind"].tolist() == ["x", "x", "y", "y"]
    assert set(found.words["template"]) == {"the [MASK] fell", "all [MASK] long"}


def test_templates_have_the_form_of_the_corpora(study, document, tmp_path):
    document["probes"] = {"a": {"templates": ["The Hunter's [MASK], left!"], "groups": {"x": ["Snow"], "y": ["House"]}}}
    found = raybert.probe(document, output=tmp_path, overrides=["form=plain"])
    assert set(found.words["template"]) == {"the hunter s [MASK] left"}
    assert set(found.words["word"]) == {"snow", "house"}


@pytest.mark.parametrize(
    ("probe", "lines"),
    [
        (
            {"templates": ["no gap", "[MASK] and [MASK]", "a [MASK]", "a  [MASK]"], "groups": {"x": ["a"], "y": ["b"]}},
            [
                r"probes.p.templates[0]: must have [MASK] once, got none in 'no gap'",
                r"probes.p.templates[1]: must have [MASK] once, got 2 in '[MASK] and [MASK]'",
                r"probes.p.templates[3]: must differ from templates[2], got 'a  [MASK]' again",
            ],
        ),
        (
            {"templates": ["a [MASK]"], "groups": {"x": ["a", "b", "a"], "y": [], "z": ["b", " "]}},
            [
                "probes.p.groups.x[2]: must be in one group, once, got 'a', which is in x",
                "probes.p.groups.y: must have a word, got none",
                "probes.p.groups.z[0]: must be in one group, once, got 'b', which is in x",
                "probes.p.groups.z[1]: must be a word, got ' '",
            ],
        ),
        ({"templates": ["a [MASK]"]}, ["probes.p.groups: must be two at least beside `templates`, got none"]),
        (
            {"templates": ["a [MASK]"], "groups": {"x": ["a"]}},
            ["probes.p.groups: must be two at least beside `templates`, got 'x' alone"],
        ),
        ({}, ["probes.p: must have `templates` with `groups`, or `pairs`, got neither"]),
        (
            {"pairs": "x.csv", "templates": ["a [MASK]"]},
            ["probes.p.templates: must be left out of a probe with `pairs`"],
        ),
    ],
)
def test_what_is_wrong_with_a_probe_is_said_per_line(document, probe, lines):
    with pytest.raises(ConfigError) as caught:
        load_pretraining({**document, "probes": {"p": probe}})
    found = str(caught.value).splitlines()
    assert len(found) == len(lines)
    assert all(got.startswith(line) for got, line in zip(found, lines, strict=True)), found


@pytest.mark.parametrize(
    ("probe", "line"),
    [
        ({"templates": "FOLDER/bad.txt"}, r"probes\.p\.templates: bad\.txt, line 2: must have \[MASK\] once, got none"),
        ({"templates": "FOLDER/none.txt"}, r"probes\.p\.templates: '.*none\.txt' cannot be read"),
        (
            {"pairs": "FOLDER/pairs.csv"},
            r"probes\.p\.pairs\[1\]: must have two sentences that differ, got 'same' twice",
        ),
        ({"pairs": "FOLDER/columns.csv"}, r"has no column 'sent_more'"),
        (
            {"templates": ["a [MASK]"], "groups": {"x": ["snow", "№"], "y": ["house"]}},
            r"^probes\.p\.groups\.x: .* got '№', which is unknown to trained; leave it out$",
        ),
    ],
)
def test_wrong_lines_of_files_and_words_that_no_vocabulary_has_are_named(study, document, tmp_path, probe, line):
    (tmp_path / "bad.txt").write_text("a [MASK]\nno gap\n")
    pd.DataFrame({"more": ["a", "same"], "less": ["b", "same"]}).to_csv(tmp_path / "pairs.csv", index=False)
    pd.DataFrame({"a": ["a"]}).to_csv(tmp_path / "columns.csv", index=False)
    text = json.dumps({**({"groups": {"x": ["a"], "y": ["b"]}} if "templates" in probe else {}), **probe})
    document["probes"] = {"p": json.loads(text.replace("FOLDER", str(tmp_path)))}
    with pytest.raises(ConfigError, match=line):
        raybert.probe(document, output=tmp_path)


def test_a_file_without_probes_says_how_one_is_written(document, tmp_path):
    with pytest.raises(ConfigError, match=r"^probes: must have a probe, got none; write e\.g\."):
        raybert.probe({**document, "probes": {}}, output=tmp_path)
