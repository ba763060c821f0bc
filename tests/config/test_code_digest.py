"""Digests of a user's own code: they change with what it computes, and with nothing else."""

import functools
import sys
import textwrap
from pathlib import Path

import pytest

import raybert
from raybert.config import code_digest as code_digests
from raybert.config import import_attribute
from raybert.config.code_digest import code_digest

RULE = '''
"""What it is."""
import math
from torch import nn


class Rule(nn.Module):
    """Keeps the longest."""

    limit = 3  # of words

    def choose(self, values):
        return sorted(values)[: self.limit]


def loss(logits, labels):
    return math.nan
'''


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A function that writes modules into a folder on the path and returns the digest of what one of them has."""
    monkeypatch.syspath_prepend(tmp_path)

    def forget() -> None:
        here = [name for name, module in sys.modules.items() if str(tmp_path) in str(getattr(module, "__file__", ""))]
        for name in here:
            del sys.modules[name]

    def digest_of(reference: str, **sources: str) -> str | None:
        forget()
        for name, source in sources.items():
            path = tmp_path / f"{name.replace('__of__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(textwrap.dedent(source))
        sys.path_importer_cache.clear()
        return code_digest(import_attribute(reference, "strategy"), reference)

    yield digest_of
    forget()


@pytest.mark.parametrize("what", ["Rule", "loss"])
def test_comments_docstrings_and_layout_do_not_count(project, what):
    before = project(f"rules:{what}", rules=RULE)
    assert len(before) == 16
    told = RULE.replace("  # of words", "").replace("What it is", "What else it is").replace("the longest", "some")
    told = told.replace("sorted(values)[: self.limit]", "sorted(\n            values)[:self.limit]")
    assert project(f"rules:{what}", rules=told) == before


def test_what_a_definition_reaches_in_its_module_counts_and_its_neighbours_do_not(project):
    source = RULE + "\nBASE = 2\n\ndef base():\n    return BASE\n\n\ndef other(a, b):\n    return base()\n"
    before = {name: project(f"rules:{name}", rules=source) for name in ("Rule", "loss", "other")}
    assert len(set(before.values())) == 3
    changes = {"limit = 3": "limit = 4", "math.nan": "math.inf", "BASE = 2": "BASE = 3"}
    for name, (old, new) in zip(before, changes.items(), strict=True):
        now = {each: project(f"rules:{each}", rules=source.replace(old, new)) for each in before}
        assert [each for each in before if now[each] != before[each]] == [name]
    for statement in ("Rule.more = 3", "Rule.__doc__ += str()", "for Rule.limit in range(3): pass"):
        assert project("rules:Rule", rules=source + statement) != before["Rule"], statement


def test_modules_that_it_imports_count_wherever_they_are_imported_and_others_do_not(project):
    sources = {
        "rules": "from parts.first import number\ndef loss(a, b):\n    import late\n    return number() + late.NUMBER\n",
        "late": "NUMBER = 1\n",
        "other": "NUMBER = 1\n",
        "parts__of____init__": "",
        "parts__of__first": "from . import second\nfrom .third import NUMBER\ndef number():\n    return second.NUMBER\n",
        "parts__of__second": "NUMBER = 1\n",
        "parts__of__third": "import torch\nNUMBER = 1\n",
    }
    before = project("rules:loss", **sources)
    for name, counts in (("late", True), ("parts__of__second", True), ("parts__of__third", False), ("other", False)):
        assert (project("rules:loss", **sources | {name: "NUMBER = 2\n"}) != before) == counts, name
    third = sources["parts__of__first"].replace("second.NUMBER", "NUMBER")
    before = project("rules:loss", **sources | {"parts__of__first": third})
    assert project("rules:loss", **sources | {"parts__of__first": third, "parts__of__third": "NUMBER = 2\n"}) != before


def test_bases_of_a_class_in_other_modules_count_and_so_does_what_an_object_is_made_of(project):
    sources = {
        "rules": "from base import Base\nclass Rule(Base): pass\nrule = Rule()\n",
        "base": "class Base:\n    limit = 3\n",
    }
    before = [project(f"rules:{name}", **sources) for name in ("Rule", "rule")]
    changed = sources | {"base": "class Base:\n    limit = 4\n"}
    assert [project(f"rules:{name}", **changed) == old for name, old in zip(("Rule", "rule"), before, strict=True)] == [
        False,
        False,
    ]


def test_raybert_itself_is_never_read_even_where_it_lies_in_the_same_folder(project):
    beside = Path(raybert.__file__).parents[1]
    project("rules:loss", rules="import raybert\ndef loss(a, b):\n    return raybert.Pool\n")
    reached = list(code_digests._reached("rules", "loss", beside.parents[-1]))
    assert reached == ["rules: def loss(a, b):\n    return raybert.Pool", "rules: import raybert"]


def test_a_wrapped_function_is_known_by_what_it_wraps(project):
    source = "import functools\ndef base(power, a, b):\n    return a ** power\nsquare = functools.partial(base, 2)\n"
    before = project("rules:square", rules=source)
    assert before is not None
    assert project("rules:square", rules=source.replace("**", "*")) != before
    assert project("rules:square", rules=source.replace("(base, 2)", "(base, 3)")) != before


def test_the_answer_of_a_process_is_of_what_it_imported(project, tmp_path):
    before = project("rules:loss", rules=RULE)
    (tmp_path / "rules.py").write_text(RULE.replace("nan", "inf"))
    assert code_digest(sys.modules["rules"].loss) == before


def test_code_without_a_file_is_known_by_its_own_source_or_not_at_all():
    space = {"__name__": "nowhere"}
    exec("class Rule:\n    limit = 3\n", space)
    assert code_digest(space["Rule"]) is None
    assert code_digest(functools.partial(space["Rule"])) is None
