"""The pretrain phase: encoders that pending runs need, each pretrained once, before proxies and scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raybert.config import RaybertConfig, SweepPretrainConfig
from raybert.files import read_json, write_json
from raybert.models import Encoder
from raybert.pretraining.request import PretrainRequest
from raybert.pretraining.run import forget_checkpoints
from raybert.sweeping.cluster.connect import Cluster
from raybert.sweeping.cluster.pretrain_run import run_pretrainings
from raybert.sweeping.cluster.staging import Staging
from raybert.sweeping.driver.progress import Progress
from raybert.sweeping.folder.failures import Failure
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.phases.prepare import Prepared
from raybert.sweeping.phases.to_pretrain import encoders_needed, is_searched
from raybert.sweeping.plan.pretrained import PretrainingPrice
from raybert.sweeping.plan.specs import RunSpec
from raybert.sweeping.trial.pretrained import (
    PretrainedEncoder,
    find_pretrained,
    is_finished,
    keep_pretrained,
    request_of,
)


@dataclass(kw_only=True)
class PretrainPhase:
    """Has the encoders of a sweep pretrained, and knows those that are.

    Attributes:
        folder: of the results.
        config: the sweep file.
        prepared: data sets by key; their encoders get their own files once they are there.
        cluster: where they are pretrained.
        progress: told about every event.
        interruption: whether to stop.
        staging: how nodes reach the driver's files; None: there is one node.
        done: those that are there, by fingerprint.
        failed: why others could not be pretrained, likewise.
    """

    folder: SweepFolder
    config: RaybertConfig
    prepared: dict[str, Prepared]
    cluster: Cluster
    progress: Progress
    interruption: Callable[[], bool]
    staging: Staging | None = None
    done: dict[str, PretrainedEncoder] = field(default_factory=dict)
    failed: dict[str, Failure] = field(default_factory=dict)

    def run(self, specs: Sequence[RunSpec], *, only_score: bool = False) -> bool:
        """Pretrain what runs need and nobody has; return whether all of it is there, or has failed.

        Args:
            specs: pending runs.
            only_score: trials of the comparison are not run.
        """
        wanted = {
            encoder.fingerprint: (encoder, config, spec.data_key)
            for spec in specs
            for encoder, config in self._needs(spec, only_score=only_score)
        }
        missing = []
        for fingerprint, (encoder, config, data_key) in wanted.items():
            self.failed.pop(fingerprint, None)  # whoever needs it is to be tried again
            is_here = is_finished(self.folder.models / fingerprint)
            found = self.done.get(fingerprint) or find_pretrained(encoder, self.folder)
            if found is not None:
                self.done[fingerprint] = found
                if is_here:
                    forget_checkpoints(self.folder.models / fingerprint)
                else:
                    self.progress.note(f"note: the pretrained encoder {fingerprint} is taken from the cache")
                continue
            made_from = self.prepared[data_key].pretraining
            assert made_from is not None
            missing.append((encoder, request_of(made_from, config, self.folder, self.config.resources)))
        if missing and not self.interruption():
            self.progress.phase("pretrain: " + ("the encoder" if len(missing) == 1 else f"{len(missing)} encoders"))
            self._pretrain(missing)
        self._take_over()
        return all(fingerprint in self.done or fingerprint in self.failed for fingerprint in wanted)

    def failure_of(self, spec: RunSpec) -> Failure | None:
        """Return why a run cannot have its encoder; None: it can."""
        needed = (encoder.fingerprint for encoder, _ in self._needs(spec, only_score=False))
        return next((self.failed[one] for one in needed if one in self.failed), None)

    def prices(self, specs: Iterable[RunSpec], others: Iterable[RunSpec] = ()) -> dict[str, PretrainingPrice]:
        """Return by id what the encoders of some runs have cost each of them.

        Args:
            specs: the runs.
            others: all runs that share them, those of other phases too.
        """
        specs = list(specs)
        everybody = {spec.trial_id: spec for spec in (*others, *specs)}
        users = Counter(one for spec in everybody.values() for one in spec.encoders)
        return {
            spec.trial_id: sum(
                (self.done[one].price(users[one]) for one in spec.encoders if one in self.done), PretrainingPrice()
            )
            for spec in specs
            if spec.encoders
        }

    def bases(self) -> dict[str, Encoder]:
        """Return the encoders as `model.encoder` names them, by data key."""
        return {
            key: ready.encoder if ready.pretraining is None else ready.pretraining.base
            for key, ready in self.prepared.items()
        }

    def _needs(self, spec: RunSpec, *, only_score: bool) -> Iterator[tuple[Encoder, SweepPretrainConfig]]:
        made_from = self.prepared[spec.data_key].pretraining
        return encoders_needed(spec, made_from, only_score=only_score, is_searched=is_searched(self.config))

    def _pretrain(self, missing: Sequence[tuple[Encoder, PretrainRequest]]) -> None:
        for _, request in missing:
            TrialFolder(request.folder).forget_failure()
        outcomes = run_pretrainings(
            [request for _, request in missing],
            self.folder,
            self.cluster,
            self.config.resources,
            self.config.limits,
            self.progress,
            self.interruption,
            self.staging,
        )
        for (encoder, request), outcome in zip(missing, outcomes, strict=True):
            if outcome.failure is not None:
                self.failed[encoder.fingerprint] = outcome.failure
            if outcome.status != "complete":
                continue
            keep_pretrained(request.folder)
            found = find_pretrained(encoder, self.folder)
            if found is not None:
                self.done[encoder.fingerprint] = found

    def _take_over(self) -> None:
        """Let data sets have their encoders with their own files."""
        for key, ready in self.prepared.items():
            found = self.done.get(ready.encoder.fingerprint)
            if ready.encoder.is_pending and found is not None:
                self.prepared[key] = ready.with_pretrained(found.encoder.path)
        self._write()

    def _write(self) -> None:
        """Say in the results which encoders there are; those of earlier starts stay."""
        if not self.done:
            return
        known: Mapping[str, object] = read_json(self.folder.pretrained) or {}
        write_json(self.folder.pretrained, {**known, **{name: _describe(found) for name, found in self.done.items()}})


def _describe(found: PretrainedEncoder) -> dict[str, Any]:
    """Return what the results say of an encoder."""
    summary = found.summary
    settings = summary["configuration"]["pretrain"]
    return {
        "encoder": found.encoder.name,
        "folder": f"models/{found.encoder.fingerprint}/model",
        **{key: summary[key] for key in ("corpus", "seed", "steps", "tokens", "seconds", "stopped_early")},
        "documents": summary["corpora"]["train"]["documents"],
        "words": summary["corpora"]["train"]["words"],
        "masked": settings["masked"] is not None,
        "contrastive": settings["contrastive"] is not None,
        "before": summary.get("before") or {},
        "after": summary["best"],
    }
