"""What the results of a folder stand on besides its sweep file, and whether it is what it was: no table mixes two.

Data and encoders are known by `manifest.json`, a user's own code by the `spec.json` of every run that ran it: what is
broken may be mended while nothing that ran it is finished.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from raybert.errors import SweepError
from raybert.files import read_json
from raybert.models import Encoder
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.manifest import installed_versions
from raybert.sweeping.folder.spec_file import FILE_NAME
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.phases.prepare import Prepared
from raybert.sweeping.plan.own_code import OwnCode, changed


def check_data(folder: SweepFolder, manifest: Mapping[str, Any], prepared: Mapping[str, Prepared]) -> None:
    """Refuse to mix results of two contents of the same source or encoder.

    Args:
        folder: of the results.
        manifest: of the last start; empty: there was none.
        prepared: what is there today, by key.

    Raises:
        SweepError: says what changed since the folder was begun.
    """
    known = manifest.get("data", {})
    for key, ready in prepared.items():
        for name, what, remedy, digest in _contents(ready):
            before = known.get(key, {}).get(name)
            if before is not None and digest is not None and before != digest:
                raise SweepError(
                    f"{folder.path}: the content of {what} changed since this folder was begun; give `output` a new "
                    f"folder, or bring the old one back{remedy}"
                )


def _contents(ready: Prepared) -> Iterator[tuple[str, str, str, str | None]]:
    source, encoder, models = ready.splits.details.get("source"), ready.encoder, ready.language_models.values()
    yield "fingerprint", f"data.source '{source}' (or the tokenizer)", "", ready.data.fingerprint
    if ready.pretraining is not None:
        encoder, corpus = ready.pretraining.base, ready.pretraining.corpus
        yield "corpus_fingerprint", f"what the encoder is pretrained on ({corpus.name})", "", corpus.fingerprint
    yield "encoder_fingerprint", f"the encoder '{encoder.name}'", _pin("model", encoder), encoder.fingerprint
    for column, digest in ready.column_digests.items():
        yield f"column:{column}", f"the column '{column}' of data.source '{source}'", "", digest
    for name, digest in ready.splits.digests_of_extra_tests().items():
        yield f"extra_test:{name}", f"data.extra_tests.{name}", "", digest
    for model in models:
        pin = _pin("selection.scorers.perplexity", model)
        # raybert 0.1 knew one, of the kind masked.
        name = "masked_model_fingerprint" if len(models) == 1 else f"fingerprint of {model.name}"
        yield name, f"the language model '{model.name}'", pin, model.fingerprint


def _pin(section: str, encoder: Encoder) -> str:
    return f" (`{section}.revision` names a commit of the hub, which does not move)" if encoder.is_of_hub else ""


def describe_contents(ready: Prepared) -> dict[str, Any]:
    """Return what `check_data` knows a data set by the next time."""
    return {name: digest for name, _, _, digest in _contents(ready)}


def changed_versions(manifest: Mapping[str, Any]) -> list[str]:
    """Return a note if packages have other versions than at the last start: bits may differ by that alone."""
    then, now = manifest.get("versions", {}), installed_versions()
    changes = [
        f"{name} was {then[name]}, is {version}" for name, version in now.items() if then.get(name, version) != version
    ]
    if not changes:
        return []
    what = "; ".join(changes)
    return [f"note: {what} since trials of this folder began: some of a difference between trials may be due to it"]


def check_code(folder: SweepFolder, now: Sequence[OwnCode], note: Callable[[str], None]) -> None:
    """Refuse to mix results of two versions of a user's own code; `run_trial` begins anew what is not finished.

    Args:
        folder: of the results.
        now: the code that the sweep runs today.
        note: told about code that cannot be watched.

    Raises:
        SweepError: runs are finished by other code.
    """
    for one in now:
        if one.digest is None:
            note(f"note: {one.what} cannot be read: whether it changes is not noticed")
    finished: Counter[OwnCode] = Counter()
    for trial, then in _code_of_trials(folder) if now else ():
        other = changed(now, then)
        if other and trial.status() in ("complete", "pruned"):
            finished.update(other)
    for one, count in finished.items():
        trials = "a trial" if count == 1 else f"{count} trials"
        ways = ["give `output` a new folder", *([one.remedy] if one.remedy else []), "bring the old one back"]
        raise SweepError(
            f"{folder.path}: {one.what} changed since {trials} of this folder finished; {', '.join(ways[:-1])}, or "
            f"{ways[-1]}"
        )


def _code_of_trials(folder: SweepFolder) -> Iterator[tuple[TrialFolder, dict[str, str]]]:
    """Yield every run that has begun with code of a user's own, with its digests."""
    for path in sorted((folder.path / "trials").glob(f"*/{FILE_NAME}")):
        code = (read_json(path) or {}).get("code")
        if code:
            yield TrialFolder(path.parent), code
