"""The table of signals, and signals of a user's own: found, computed, checked, told apart by their code."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

import raybert
from raybert.config import SelectionConfig, import_attribute
from raybert.errors import ConfigError, SelectionError
from raybert.selection import registry
from raybert.selection.declared_signals import FREE, TABLE, of_texts
from raybert.selection.passes import REFRESHED
from raybert.selection.price import describe_signals
from raybert.selection.scorers.lexical import Lexical, lexical_statistics
from raybert.selection.scorers.readability import Readability, readability_statistics
from raybert.selection.scorers.scorer import Arithmetic, Scorer, ScoringData
from raybert.selection.scorers.text import TextScorer, joined_texts
from raybert.selection.signals import check_signals, find_signal, needed_signals
from raybert.testing import check_signal, make_pool

TEXTS = ["never gonna " * 20, "Quick zephyrs blow, vexing daft Jim.", ""]
MODULE = '''
import zlib
import raybert

@raybert.register_signal
class Compression(raybert.TextSignal):
    """How far a text can be compressed."""

    name = "compression"
    level: int = 9

    def compute(self, texts, labels):
        raw = [text.encode() for text in texts]
        return [len(zlib.compress(text, self.level)) / max(1, len(text)) for text in raw]

class Dense(raybert.RankedStrategy):
    """The texts that repeat themselves least first."""

    name = "dense"
    needs = {"compression"}
    uses_seed = False

    def scores(self, pool):
        return pool.signals["compression"]
'''


@pytest.fixture(autouse=True)
def _registered_for_one_test(monkeypatch):
    monkeypatch.setattr(registry, "text_signals", {})


@pytest.fixture
def dense(tmp_path, monkeypatch):
    """A user's module `dense` in the working directory; returns how to write it anew."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(source=MODULE):
        import sys

        sys.modules.pop("dense", None)
        (tmp_path / "dense.py").write_text(source, encoding="utf-8")
        return import_attribute("dense:Compression", "test")

    write()
    return write


def scoring_data(**columns):
    labels = np.arange(len(columns["text"]))
    data = SimpleNamespace(train=SimpleNamespace(labels=labels))
    return ScoringData(data, pa.table(columns), Arithmetic("fp32", 1024))


def test_every_signal_is_declared_once_and_what_it_is_computed_from_before_it():
    names = [signal.name for signal in TABLE]
    assert len(names) == len(set(names)) == 21
    for place, signal in enumerate(TABLE):
        assert set(signal.reads) <= set(names[:place])
        assert signal.description.endswith(".")
        assert signal.scorer == "" or callable(import_attribute(signal.scorer, "test"))
    assert {"lengths"} == FREE
    assert {signal.name for signal in TABLE if signal.is_refreshed} == REFRESHED


def test_pools_for_tests_hold_every_signal_in_a_declared_shape():
    pool = make_pool(20)
    for signal in TABLE:
        values = pool.signals[signal.name]
        assert values.dtype == signal.dtype
        assert any(
            len(shape) == values.ndim and (shape[-1] != "C" or values.shape[-1] == pool.num_classes)
            for shape in signal.shapes
        )


def test_what_a_signal_is_computed_from_is_computed_before_it():
    def names(needs, **selection):
        return [signal.name for signal in needed_signals(needs, SelectionConfig(**selection))]

    assert names({"aflite", "readability"}) == ["readability", "embeddings", "aflite"]
    assert names({"embeddings"}, embedding={"of": "proxy"}) == ["probs", "embeddings"]
    assert names(frozenset()) == []


def test_both_texts_of_a_pair_count():
    table = pa.table({"text": ["a b", "c"], "text_pair": ["a c", "d e"]})
    assert joined_texts(table, np.array([1, 0])) == ["c\n\nd e", "a b\n\na c"]


def test_signals_of_texts_are_computed_of_the_texts_of_the_positions():
    data = scoring_data(text=["red green", "one"], text_pair=["green blue", "two three"])
    lexical = TextScorer.of(Lexical()).load(data)(np.array([1, 0]))["lexical"]
    assert lexical.dtype == np.float32
    # red green green | blue: a factor closes at 2 of 3 types, the rest counts nothing, backward likewise.
    np.testing.assert_allclose(lexical, [[1, 1, 3, 3], [0.75, 0.75, 4, 4]], rtol=1e-6)
    data = scoring_data(text=["Two words", "No"], text_pair=["And three more", "end"])
    readability = TextScorer.of(Readability()).load(data)(np.array([1, 0]))["readability"]
    np.testing.assert_array_equal(readability, readability_statistics(["No. end.", "Two words. And three more!"]))
    assert isinstance(TextScorer.of(Readability()), Scorer)


def test_keys_of_stored_statistics_are_those_of_raybert_0_1():
    assert TextScorer.of(Lexical()).identity() == {"scorer": "lexical"}
    assert TextScorer.of(Readability()).identity() == {"scorer": "readability", "pairs": "sentences of their own"}


def test_without_a_sweep_texts_are_enough_for_signals_of_texts():
    found = of_texts(Lexical()).derive(np.array(TEXTS, object), np.zeros(3, np.int64))
    np.testing.assert_array_equal(found, lexical_statistics(TEXTS))


def test_ones_own_signal_is_computed_where_its_strategy_needs_it(dense):
    labels = [0, 1, 0]
    chosen = raybert.select("dense:Dense", 2, labels=labels, texts=TEXTS, parameters={"balance": "none"})
    assert chosen.positions.tolist() == [2, 1]
    values = find_signal("compression").derive(np.array(TEXTS, object), np.array(labels))
    assert values.dtype == np.float32
    assert chosen.scores.tolist() == sorted(values.tolist(), reverse=True)[:2]
    check_signal(dense()())


def test_ones_own_parameters_come_from_the_sweep_file(dense):
    selection = SelectionConfig(signals=[{"name": "compression", "level": 1}])
    assert find_signal("compression", selection).text.level == 1
    assert find_signal("compression").text.level == 9
    by_path = SelectionConfig(signals=["dense:Compression"])
    assert [signal.name for signal in needed_signals({"compression", "lexical"}, by_path)] == ["lexical", "compression"]


def test_stored_values_are_told_apart_by_name_parameters_and_source(dense):
    kind = dense()
    first = kind().identity()
    assert first["scorer"] == "compression"
    assert first["parameters"] == {"level": 9}
    assert kind(level=1).identity() != first
    assert dense()().identity() == first
    changed = dense(MODULE.replace("max(1, len(text))", "max(2, len(text))"))().identity()
    assert changed != first
    pinned = MODULE.replace('name = "compression"', 'name = "compression"\n    version = "2"')
    assert dense(pinned)().identity() == {"scorer": "compression", "parameters": {"level": 9}, "version": "2"}


def test_processes_that_score_use_the_identity_of_the_plan(dense):
    scorer = TextScorer.of(dense()())
    before = scorer.identity()
    dense(MODULE + "\n# edited while the sweep runs\n")
    assert scorer.identity() == before == json.loads(scorer.stamp)


def test_code_that_cannot_be_read_must_have_a_version():
    kind = type("Typed", (raybert.TextSignal,), {"name": "typed", "__module__": "nowhere", "__doc__": "Typed in."})
    with pytest.raises(ConfigError, match="signal 'Typed': must have a `version`, because the source of 'nowhere'"):
        kind().identity()


@pytest.mark.parametrize(
    ("columns", "answer", "message"),
    [
        ((), [1.0, 2.0], r"signal 'odd': must be one number for each of 3 texts, shape \(3,\), got shape \(2,\)"),
        ((), [[1.0], [2.0], [3.0]], r"must be one number for each of 3 texts, shape \(3,\), got shape \(3, 1\)"),
        (("a", "b"), [1.0, 2.0, 3.0], r"must be 2 numbers \(a, b\) for each of 3 texts, shape \(3, 2\), got .*\(3,\)"),
        ((), ["x", "y", "z"], r"signal 'odd': must be numbers, got <U1 of shape \(3,\), first 'x'"),
        ((), [None, 1.0, 2.0], r"must be numbers, got object of shape \(3,\), first None"),
        ((), [[1], [1, 2], [3]], r"must be numbers, got object of shape \(3,\), first \[1\]"),
        ((), None, r"must be numbers, got object of shape \(\), first None"),
    ],
)
def test_what_is_no_signal_is_one_clear_line(columns, answer, message):
    class Odd(raybert.TextSignal):
        """Returns what it is told to."""

        name = "odd"

        def compute(self, texts, labels):
            return answer

    Odd.columns = columns
    with pytest.raises(SelectionError, match=message) as caught:
        Odd().values(TEXTS, np.zeros(3, np.int64))
    assert "\n" not in str(caught.value)


def test_the_check_finds_a_value_that_depends_on_the_other_texts():
    class Ranked(raybert.TextSignal):
        """Ranks of lengths."""

        name = "ranked"

        def compute(self, texts, labels):
            return np.argsort(np.argsort([len(text) for text in texts]))

    with pytest.raises(AssertionError, match="must not depend on the texts beside its own"):
        check_signal(Ranked())
    for signal in (Lexical(), Readability()):
        check_signal(signal)


@pytest.mark.parametrize(
    ("signals", "needs", "message"),
    [
        ([], {"compresion"}, r"strategy: 'mine' needs the signal 'compresion', .*; did you mean 'compression'\?"),
        ([], {"prbs"}, r"needs the signal 'prbs', which a sweep does not compute; did you mean 'probs'\?"),
        (["compresion"], {"probs"}, r"selection.signals\[0\]: unknown 'compresion'; did you mean 'compression'\?"),
        (["probs"], set(), r"selection.signals\[0\]: must be a signal of your own, 'probs' is raybert's"),
        (
            [{"name": "compression", "levl": 1}],
            set(),
            r"selection.signals\[0\].levl: unknown key; did you mean 'level'",
        ),
        ([{"name": "compression", "level": "x"}], set(), r"selection.signals\[0\].level: must be a whole number"),
        (["compression", "dense:Compression"], set(), r"\[1\]: must be there once, got 'compression' twice"),
        (["dense:Dense"], set(), r"selection.signals\[0\]: 'dense:Dense': must be a subclass of raybert.TextSignal"),
        (["dens:Compression"], set(), r"selection.signals\[0\]: 'dens:Compression': module cannot be imported"),
    ],
)
def test_a_wrong_name_or_parameter_is_one_clear_line(dense, signals, needs, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check_signals(needs, SelectionConfig(signals=signals), "strategy", "mine")
    assert "\n" not in str(caught.value)


def test_a_parameter_without_a_default_must_be_in_the_sweep_file():
    @raybert.register_signal
    class Demanding(raybert.TextSignal):
        """Needs a value."""

        name = "demanding"
        value: float

    with pytest.raises(ConfigError, match="selection.signals: 'demanding'.value: must be given"):
        find_signal("demanding")
    given = SelectionConfig(signals=[{"name": "demanding", "value": 2}])
    assert find_signal("demanding", given).text.value == 2.0


def test_a_name_of_rayberts_own_is_taken():
    @raybert.register_signal
    class Probs(raybert.TextSignal):
        """Takes a name."""

        name = "probs"

    with pytest.raises(ConfigError, match="signal 'probs': must have a name of its own"):
        check_signals({"probs"}, SelectionConfig(), "strategy", "mine")


def test_signals_of_installed_packages_are_found_by_their_entry_point(monkeypatch, dense):
    kind = dense()
    registry.text_signals.clear()
    point = SimpleNamespace(name="compression", value="dense:Compression", load=lambda: kind)
    monkeypatch.setattr("raybert.selection.signals.installed_parts", lambda group: [point])
    assert isinstance(find_signal("compression").text, kind)


def test_all_signals_are_listed_with_what_they_are(dense):
    rows = {row["name"]: row for row in describe_signals()}
    assert rows["probs"]["shape"] == "(n, m, C)"
    assert rows["dynamics"]["runs"] == "dynamics"
    assert rows["lexical"] == {
        "name": "lexical",
        "shape": "(n, 4)",
        "dtype": "float32",
        "runs": "",
        "reads": "texts",
        "scorer": "raybert.selection.scorers.lexical:Lexical",
        "price": "a pass over the texts, without a model",
        "parameters": "",
        "description": "Diversity of the words (MATTR, HD-D, MTLD) and their number.",
    }
    assert rows["lengths"]["price"] == "nothing"
    assert rows["compression"]["description"] == "How far a text can be compressed."
    assert rows["compression"]["scorer"].endswith("Compression")


def test_registered_signals_are_in_pools_for_tests(dense):
    values = make_pool(30).signals["compression"]
    assert values.shape == (30,)
    assert values.tolist() == make_pool(30).signals["compression"].tolist()


def test_a_signal_with_a_required_parameter_is_listed_with_it(monkeypatch):
    class Counted(raybert.TextSignal):
        """Count a word."""

        name = "counted"
        word: str
        at_most: int = 9

        def compute(self, texts, labels):
            return [text.count(self.word) for text in texts]

    monkeypatch.setattr(registry, "text_signals", {"counted": Counted})
    (row,) = [row for row in describe_signals() if row["name"] == "counted"]
    assert (row["description"], row["shape"]) == ("Count a word.", "(n)")
    assert row["parameters"] == "word (required), at_most=9"
    assert row["price"] == "a pass over the texts, without a model"


def test_an_installed_part_that_cannot_be_imported_is_one_line_that_names_it(monkeypatch):
    from importlib.metadata import EntryPoint

    from raybert.config import load_part

    for value in ("not_installed_here:Signal", "raybert.selection.pool:NoSuchName"):
        with pytest.raises(
            ConfigError, match=rf"raybert.signals: '{value}' of the installed package .* cannot be imported"
        ):
            load_part(EntryPoint("broken", value, "raybert.signals"))
