import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import raybert
from raybert.analysis.statistics.intervals import holm
from raybert.config.pretraining import load_pretraining
from raybert.errors import ConfigError, ModelError
from raybert.evaluation.language_models.crosseval import find_models
from raybert.evaluation.language_models.crosseval_plots import draw_matrix
from raybert.pretraining.corpora import read_corpora
from raybert.tables.pretrained import DOMAINS, MEASURED_DOCUMENTS, PERPLEXITIES, PERPLEXITY_DIFFERENCES
from tests.e2e.commands import run
from tests.pretraining.language_models import TEXTS, save_model

SOUTH, NORTH = TEXTS[::2][:2], TEXTS[1::2][:2]
OVERRIDES = ("crosseval.resamples=200", "crosseval.pseudo_perplexity=4", "crosseval.mask_share=0.3")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study with models that were trained on one corpus each, two seeds of one, in folders as `pretrain` leaves them."""
    place = tmp_path_factory.mktemp("study")
    for name, texts in (("south", SOUTH), ("north", NORTH)):
        pd.DataFrame({"text": [f"{text} {n}" for n in range(30) for text in texts]}).to_parquet(
            place / f"{name}.parquet"
        )
        for seed in range(2):
            save_model(place / "runs" / "models" / f"{name}-s{seed}" / "model", texts, seed=seed, steps=25)
    return place


@pytest.fixture
def document(study):
    corpora = {name: {"source": str(study / f"{name}.parquet"), "test_fraction": 0.4} for name in ("south", "north")}
    return {"name": "speech", "corpora": corpora | {"both": {"of": ["south", "north"]}}}


@pytest.fixture(scope="module")
def found(study, no_pixels):
    corpora = {name: {"source": str(study / f"{name}.parquet"), "test_fraction": 0.4} for name in ("south", "north")}
    file = {"name": "speech", "corpora": corpora | {"both": {"of": ["south", "north"]}}}
    return raybert.crosseval(file, output=study / "runs", overrides=OVERRIDES)


def test_each_model_is_best_on_the_corpus_that_it_was_trained_on(found):
    for kind in ("masked", "pseudo"):
        rows = found.perplexities[found.perplexities["kind"] == kind]
        wide = rows.pivot(index="model", columns="corpus", values="piece_perplexity")
        assert wide["south"].idxmin() == "south"
        assert wide["north"].idxmin() == "north"
        domains = found.domains[found.domains["kind"] == kind].set_index("model")
        assert domains["domain"].to_dict() == {"south": "south", "north": "north"}
        assert domains.loc["south", "out_in_ratio"] == pytest.approx(
            wide.loc["south", "north"] / wide.loc["south", "south"]
        )
        assert domains.loc["north", "bias_ratio"] == pytest.approx(
            wide.loc["north", "south"] / wide.loc["north", "north"]
        )
        assert (domains["worst"] + domains["best"]).to_dict() == {"south": "northsouth", "north": "southnorth"}
    assert found.unit == "piece"
    assert not found.notes


def test_perplexities_are_those_of_the_table_of_documents(found):
    for row in found.perplexities.itertuples():
        part = found.documents.query("model == @row.model and corpus == @row.corpus and kind == @row.kind")
        assert (row.num_seeds, row.documents) == (2, part["document"].nunique())
        for unit in ("piece", "word"):
            means = part.groupby("seed")["loss"].sum() / part.groupby("seed")[f"{unit}s"].sum()
            assert getattr(row, f"{unit}_perplexity") == pytest.approx(np.exp(means.mean()))
            assert getattr(row, f"{unit}_seeds_deviation") == pytest.approx(means.std())
            for kind in ("", "documents_"):
                low, high = (getattr(row, f"{unit}_{kind}{end}") for end in ("low", "high"))
                assert low < np.exp(means.mean()) < high


def test_pairs_of_models_are_one_family_of_each_kind(found):
    assert len(found.differences) == 2 * 3
    for _, rows in found.differences.groupby("kind"):
        np.testing.assert_allclose(rows["holm_p"], holm(rows["p"].to_numpy()))
        south = rows.set_index("corpus").loc["south"]
        assert (south["model"], south["other"]) == ("south", "north")
        assert south["ratio"] < 1


def test_tables_have_the_declared_columns_and_are_written(found, study):
    tables = {
        PERPLEXITIES: found.perplexities,
        PERPLEXITY_DIFFERENCES: found.differences,
        DOMAINS: found.domains,
        MEASURED_DOCUMENTS: found.documents,
    }
    for table, frame in zip(tables, tables.values(), strict=True):
        assert list(frame.columns) == table.order()
    folder = study / "runs" / "crosseval"
    for name, frame in (("perplexities", found.perplexities), ("differences", found.differences)):
        pd.testing.assert_frame_equal(pd.read_parquet(folder / f"{name}.parquet"), frame, check_dtype=False)
        assert (folder / f"{name}.csv").exists()
    text = (folder / "matrix.md").read_text()
    assert "| south |" in text
    first = found.perplexities["piece_perplexity"].iloc[0]
    assert first < 100, "with a digit behind the point"
    assert f"{first:.1f} (" in text


@pytest.mark.long
def test_the_command_prints_the_matrix_and_json(found, study, document, tmp_path, no_pixels):
    (tmp_path / "file.yaml").write_text(json.dumps(document))
    settings = [part for override in OVERRIDES for part in ("--set", override)]
    done = run("crosseval", tmp_path / "file.yaml", "--output", study / "runs", *settings)
    assert done.code == 0, done.said
    assert "Perplexity of masked words per piece" in done.out
    assert "pairs of models on a corpus differ (Holm, 5 %)" in done.out
    printed = json.loads(run("crosseval", tmp_path / "file.yaml", "--output", study / "runs", *settings, "--json").out)
    assert (printed["document"], printed["unit"], len(printed["perplexities"])) == ("crosseval", "piece", 12)
    again = pd.DataFrame(printed["perplexities"])
    pd.testing.assert_frame_equal(again, found.perplexities, check_dtype=False, rtol=1e-6)


def test_whole_groups_are_drawn_where_a_corpus_has_them(study, document, tmp_path, no_pixels):
    groups = [f"sitting {n % 7}" for n in range(60)]
    texts = [f"{text} {n}" for n in range(30) for text in SOUTH]
    pd.DataFrame({"text": texts, "sitting": groups}).to_parquet(tmp_path / "south.parquet")
    document["corpora"]["south"] |= {"source": str(tmp_path / "south.parquet"), "group": "sitting"}
    document["crosseval"] = {"models": {"south": str(study / "runs/models/south-s0/model")}, "pseudo_perplexity": 0}
    found = raybert.crosseval(document, output=tmp_path, overrides=OVERRIDES[::2])
    assert found.perplexities.set_index("corpus")["groups"].to_dict() == {"south": 3, "north": 0, "both": 27}
    assert [note for note in found.notes if "groups" in note] == [
        "intervals and tests draw whole groups of documents, which are alike: 3 of south, 27 of both; documents of "
        "north count as independent",
        "south: fewer than 10 groups, so that intervals are wide",
    ]
    part = found.documents.query("corpus == 'south'")
    of_text = dict(zip(texts, groups, strict=True))
    split = read_corpora(load_pretraining(document))["south"].test
    assert part["group"].tolist() == [f"south:{of_text[text]}" for text in split]
    sums = part.groupby("group")[["loss", "pieces"]].sum().to_numpy()
    every = [sum(sums[list(drawn)]) for drawn in product(range(3), repeat=3)]  # all resamples of 3 groups
    deviation = np.sqrt(np.var([loss / pieces for loss, pieces in every]) * 3 / 2)
    row = found.perplexities.set_index("corpus").loc["south"]
    assert row["piece_documents_deviation"] == pytest.approx(deviation, rel=0.15)
    half = stats.t.ppf(0.975, 2) * row["piece_documents_deviation"]
    assert np.log(row["piece_high"]) == pytest.approx(np.log(row["piece_perplexity"]) + half)


def test_what_was_measured_is_not_measured_again_and_another_model_or_mask_is(study, document, tmp_path, no_pixels):
    for name, seed in (("a", 0), ("b", 1)):
        save_model(tmp_path / name, SOUTH, seed=seed)
    document["crosseval"] = {"models": {name: str(tmp_path / name) for name in "ab"}, "of": ["south"]}
    said = []

    def evaluate(*overrides):
        said.clear()
        return raybert.crosseval(document, output=tmp_path, overrides=[*OVERRIDES, *overrides], told=said.append)

    first = evaluate()
    assert said == ["measuring a, seed 0", "measuring b, seed 0"]
    kept = sorted((tmp_path / "crosseval/scores").glob("*.npz"))
    assert len(kept) == 4
    again = evaluate()
    assert said == ["measured before: a, seed 0", "measured before: b, seed 0"]
    pd.testing.assert_frame_equal(again.documents, first.documents)
    kept[0].write_bytes(b"PK torn")  # and a killed one has not written it at all
    kept[1].unlink()
    pd.testing.assert_frame_equal(evaluate().documents, first.documents)
    assert [line for line in said if line.startswith("measuring")]
    save_model(tmp_path / "a", SOUTH, seed=5)
    assert not evaluate().documents.equals(first.documents)
    assert said == ["measuring a, seed 0", "measured before: b, seed 0"]
    evaluate("crosseval.seed=1")
    assert said == ["measuring a, seed 0", "measuring b, seed 0"]


def test_other_tokenizers_compare_by_words_and_one_seed_says_so(study, document, tmp_path, no_pixels):
    save_model(tmp_path / "bytes", tokenizer="byte_bpe")
    models = {"mine": str(study / "runs/models/south-s0/model"), "bytes": str(tmp_path / "bytes")}
    document["crosseval"] = {"models": models, "domains": {"mine": "south"}, "of": ["south", "north"]}
    found = raybert.crosseval(document, output=tmp_path, overrides=[*OVERRIDES, "crosseval.pseudo_perplexity=0"])
    assert found.unit == "word"
    assert "different tokenizers" in found.notes[0]
    assert "one seed" in found.notes[-1]
    assert found.domains["domain"].tolist() == ["south", ""]
    assert found.domains["out_in_ratio"].isna().tolist() == [False, True]
    words = found.perplexities.groupby("corpus")["words"].nunique()
    assert set(words) == {1}, "the same words are asked for"


def test_the_heat_map_has_the_cells_of_the_table_and_frames_the_best(found, study):
    rows = found.perplexities[found.perplexities["kind"] == "masked"]
    axes = draw_matrix(rows, "piece").axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["south", "north"]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    row = rows[(rows["model"] == "north") & (rows["corpus"] == "south")].iloc[0]
    assert cells[0, 1].startswith(f"{row.piece_perplexity:,.0f}\n" if row.piece_perplexity >= 100 else "")
    frames = sorted((round(frame.get_x() + 0.46), round(frame.get_y() + 0.46)) for frame in axes.patches)
    best = rows.pivot(index="corpus", columns="model", values="piece_perplexity").idxmin(axis=1)
    models = list(dict.fromkeys(rows["model"]))
    corpora = dict.fromkeys(rows["corpus"])
    assert frames == [(n, models.index(best[corpus])) for n, corpus in enumerate(corpora)]
    assert (study / "runs" / "crosseval" / "perplexity_pseudo.svg").exists()


def test_seeds_of_a_study_are_found_in_the_order_of_the_file(study, document, tmp_path):
    found = find_models(load_pretraining(document), study / "runs")
    assert {name: list(seeds) for name, seeds in found.items()} == {"south": [0, 1], "north": [0, 1]}
    with pytest.raises(ConfigError, match=r"^crosseval\.models: must name models, or there must be some in"):
        find_models(load_pretraining(document), tmp_path)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"of": ["west"]}, r"^crosseval\.of: must name corpora of this file, got 'west'"),
        ({"domains": {"south": "west"}}, r"^crosseval\.domains\.south: must name a corpus of this file, got 'west'"),
        ({"models": {"a": "x"}, "domains": {"b": "south"}}, r"^crosseval\.domains: must name models .* got 'b'"),
        ({"mask_share": 1.5}, r"^crosseval\.mask_share: must be < 1, got 1\.5"),
        ({"split": "train"}, r"^crosseval\.split: must be one of 'validation' or 'test', got 'train'"),
    ],
)
def test_a_wrong_section_is_refused_in_one_line(study, document, section, message):
    with pytest.raises(ConfigError, match=message):
        raybert.crosseval({**document, "crosseval": section}, output=study / "runs")


def test_seeds_with_other_tokenizers_are_refused(study, document, tmp_path):
    save_model(tmp_path / "bytes", tokenizer="byte_bpe")
    models = {"mine": [str(study / "runs/models/south-s0/model"), str(tmp_path / "bytes")]}
    with pytest.raises(
        ModelError, match=r"^crosseval\.models\.mine: the seeds of a model must have the same tokenizer"
    ):
        raybert.crosseval({**document, "crosseval": {"models": models}}, output=tmp_path, overrides=OVERRIDES)
