"""JSON of another kind in every file of a results folder: numbers where words belong, words where lists do, nothing."""

import itertools
import json
import shutil

import pytest

import raybert
from raybert.analysis.search import search
from raybert.errors import RaybertError
from tests.e2e.commands import ROOT

pytestmark = pytest.mark.slow

OLD = ROOT / "tests" / "fixtures" / "folder_0_1"
OF_THE_SWEEP = ("plan.json", "manifest.json", "state.json", "estimate.json", "owner.json", "attempt")
OF_A_TRIAL = ("result.json", "spec.json", "heartbeat.json", "epochs.jsonl", "attempts.jsonl", "restarts.jsonl")


def exchanged(value, by):
    """Return a document in which every leaf is something else."""
    if isinstance(value, dict):
        return {key: exchanged(item, by) for key, item in value.items()}
    if isinstance(value, list) and value:
        return [exchanged(item, by) for item in value]
    return by


def kinds(text):
    """Yield contents that are whole, but not what was written."""
    yield from ("{}", "[1, 2]", '{"trials": [1], "versions": 3, "spec": 4}')
    lines = text.splitlines() if text.startswith("{") and "\n{" in text else [text]
    for by in ("words", 7, []):
        yield "\n".join(json.dumps(exchanged(json.loads(line), by)) for line in lines if line)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old") / "run"
    shutil.copytree(OLD, folder)
    best = (folder / "best" / "trial_id").read_text().strip()
    plan = json.loads((folder / "plan.json").read_text())
    plan["trials"] = [line for line in plan["trials"] if line["trial_id"] == best]  # few are read faster
    (folder / "plan.json").write_text(json.dumps(plan))
    # Importances, half of the time of a reader, follow from the study alone, which stays as it is.
    importances = raybert.load_sweep(folder).search.importances
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "importances_table", lambda *_: importances)
        yield folder


OFTEN = ("result.json",)
"""What a reader takes most from; the other files are left to CI."""


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [name if name in OFTEN else pytest.param(name, marks=pytest.mark.long) for name in (*OF_THE_SWEEP, *OF_A_TRIAL)],
)
def test_what_is_json_but_not_ours_is_passed_over_or_one_line(folder, name):
    best = (folder / "best" / "trial_id").read_text().strip()
    path = folder / name if name in OF_THE_SWEEP else folder / "trials" / best / name
    before = path.read_text() if path.exists() else None
    wrong = []
    try:
        for content, read in itertools.product(kinds(before or "{}"), (raybert.status, raybert.load_sweep)):
            path.write_text(content)
            try:
                str(read(folder))
            except Exception as error:
                if not isinstance(error, RaybertError) or "\n" in str(error):
                    wrong.append(f"{read.__name__} of {content[:80]!r}: {type(error).__name__}: {error}")
    finally:
        path.unlink() if before is None else path.write_text(before)
    assert wrong == []
