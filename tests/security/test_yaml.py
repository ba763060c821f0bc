"""YAML of other people: nothing is built that is not data, and a small file stays small."""

import pytest

from raybert import commands
from raybert.config import load_config
from raybert.config.yaml_text import MOST_TEXT, MOST_VALUES, parse_yaml
from raybert.errors import ConfigError
from tests.e2e.commands import run

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
QUADRATIC = f"a: &a '{'x' * 50_000}'\nb: [{', '.join(['*a'] * 500)}]\n"
MERGES = "a: &a {k: 1, l: 2, m: 3}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 12)}]}}\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.slow
@pytest.mark.fault("YAML that grows, nests, or names objects")
@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            LAUGHS,
            r"must hold at most 200,000 values and 4,000,000 letters once its aliases are filled in, got 1,234,567,909 and",
        ),
        (QUADRATIC, r"must hold at most 200,000 values .* got 50\d and 25,050,\d+"),
        (MERGES, r"must hold at most 200,000 values"),
        ("a: &a [*a]", r"an alias must not stand inside what it names"),
        ("a: &a {b: *a}", r"an alias must not stand inside what it names"),
        ("[" * 5000, r"must not be nested so deeply"),
        ("{a: " * 5000, r"must not be nested so deeply"),
        ("- " * 5000, r"must not be nested so deeply"),
        ("a: " + "9" * 5000, r"a number must have at most 100 digits, got 5,000"),
        ("a: 0x" + "f" * 5000, r"a number must have at most 100 digits, got 5,002"),
        ("a: " + ":".join(["59"] * 3000), r"a number must have at most 100 digits"),
        ("a: " + "1" * 400 + ".5", r"a number must have at most 100 digits, got 402"),
        ("a: 2024-13-45", r"not valid YAML: month must be in 1\.\.12"),
        ("a: !!python/object/apply:os.system ['true']", r"could not determine a constructor for the tag"),
        ("a: !!python/name:os.system", r"could not determine a constructor for the tag"),
        (f"a: !{'x' * 5000} 1", r"could not determine a constructor .* letters \.\.\.\]"),
        ("a: 1\na: 2", r"key 'a' is given twice"),
        (f"? {'k' * 5000}\n: 1\n? {'k' * 5000}\n: 2", r"key 'k+ \[\.\.\. "),
        ("a: \x1b[31m", r"special characters are not allowed"),
        ("a: 1\n---\nb: 2", r"but found another document"),
        ("x" * (MOST_TEXT + 1), r"must be a text of at most 2,000,000 letters"),
    ],
)
def test_it_is_refused_in_one_short_line(content, line, tmp_path, fault):
    with fault.once():
        with pytest.raises(ConfigError, match=rf"^file.*{line}") as caught:
            parse_yaml(content, "file")
        assert len(str(caught.value)) < 700
        assert "\n" not in str(caught.value)
        (tmp_path / "x.yaml").write_text(content, encoding="utf-8")
        done = run("validate", tmp_path / "x.yaml")
        assert (done.code, done.err.count("\n")) == (2, 1)


@pytest.mark.fault("YAML that grows, nests, or names objects")
def test_values_of_set_and_stored_files_have_the_same_limits(tmp_path, fault):
    with fault.once():
        with pytest.raises(ConfigError, match="override of name: must hold at most"):
            load_config({}, [f"name={{{QUADRATIC.strip().replace(chr(10), ', ')}}}"])
        (tmp_path / "resolved.yaml").write_text(LAUGHS)
        from raybert.config import load_stored_config

        with pytest.raises(ConfigError, match=r"resolved\.yaml: must be as raybert wrote it"):
            load_stored_config(tmp_path / "resolved.yaml")


@pytest.mark.slow
@pytest.mark.fault("endless value in an error")
@pytest.mark.parametrize(
    "key", ["name", "train.learning_rate", "sweep.strategies", "data.max_length", "sweep.grid", "k" * 10**5]
)
def test_what_is_wrong_with_a_long_value_is_a_short_line(key, fault):
    with fault.once(), pytest.raises(ConfigError) as caught:
        commands.validate({}, overrides={key: "/x" * 10**6})
    assert len(str(caught.value)) < 4000


def test_aliases_of_a_usual_size_work():
    document = parse_yaml("a: &a {x: 1, y: 2e-5}\nc: [*a, *a]", "file")
    assert document == {"a": {"x": 1, "y": 2e-5}, "c": [{"x": 1, "y": 2e-5}] * 2}
    assert MOST_VALUES > 10 * 10_000
    assert parse_yaml("", "file") is None
    assert parse_yaml("- 1_000\n- 0x1F\n- .inf\n- 1:30", "file") == [1000, 31, float("inf"), 90]
