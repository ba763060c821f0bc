"""The model card of `best/`: what the model is, what it was trained on, how good it is, and what is not known."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from huggingface_hub import EvalResult, ModelCardData

from raybert.analysis.markdown import block, code, words
from raybert.analysis.results.load import num_chosen
from raybert.analysis.results.pretrained import describe_pretrained
from raybert.analysis.results.sweep import Sweep
from raybert.analysis.statistics.configurations import KEY
from raybert.analysis.statistics.intervals import two_values
from raybert.config import DataConfig, RaybertConfig, dump_yaml
from raybert.config.metrics import trial_metrics_of
from raybert.config.tasks import CLASSIFICATION, MULTI_LABEL, REGRESSION, Task
from raybert.files import read_json
from raybert.models import BUILT_IN_ENCODERS
from raybert.plain import printable
from raybert.selection.identity import strategy_entry
from raybert.sweeping.folder.layout import SweepFolder
from raybert.sweeping.folder.predictions import PREDICTIONS_FILE, measured, read_predictions
from raybert.sweeping.folder.spec_file import read_spec
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.plan.specs import RunSpec
from raybert.tables import own_metric_columns

_SMALL = 1000
"""Test examples below which a difference of a point is within chance."""


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of.

    Attributes:
        sweep: the results.
        spec: of the run whose model it is.
        result: of the run.
        configuration: the row of `summary` of the best configuration; None: there is none.
        refit: what `refit.json` says, if the model was trained once more on train and validation.
    """

    sweep: Sweep
    spec: RunSpec
    result: Mapping[str, Any]
    configuration: Mapping[Any, Any] | None
    refit: Mapping[str, Any] | None = None

    @property
    def config(self) -> RaybertConfig:
        """The run's configuration."""
        return self.spec.config

    @property
    def result_is_collapsed(self) -> bool:
        """Whether the run never predicted one of the classes; unknown counts as no."""
        trials = self.sweep.trials
        own = trials.loc[trials["trial_id"] == self.spec.trial_id, "num_never_predicted"]
        return bool((own.fillna(0) > 0).any())

    def measured(self, split: str, metric: str) -> float:
        """Return a metric of the run: its own, or measured from its predictions; NaN: undefined, or never predicted."""
        value = self.result.get(f"{split}_{metric}")
        if value is not None:
            return float(value)
        return measured(read_predictions(self.folder / PREDICTIONS_FILE), split, metric)

    @property
    def folder(self) -> Path:
        """Of the run."""
        return self.sweep.folder / "trials" / self.spec.trial_id

    @property
    def data(self) -> Mapping[str, Any]:
        """What is known of the data: the manifest's entry, or that of the joined pool."""
        if self.refit is not None:
            joined: Mapping[str, Any] = self.refit["data"]
            return joined
        described: Mapping[str, Any] = self.sweep.manifest.get("data", {}).get(self.spec.data_key) or {}
        return described


def write_model_card(folder: Path, sweep: Sweep, trial_id: str, refit: Mapping[str, Any] | None = None) -> None:
    """Write `README.md` into a model's folder.

    Args:
        folder: of the model.
        sweep: that it is the best of.
        trial_id: of the run whose model it is.
        refit: what `refit.json` says, if that run is the refit.

    Raises:
        SweepError: the run's specification cannot be read.
    """
    trial = TrialFolder(sweep.folder / "trials" / trial_id)
    of = refit["of"] if refit is not None else trial_id
    facts = CardFacts(sweep, read_spec(trial.path).spec, trial.result(), _configuration(sweep, of), refit)
    (folder / "README.md").write_text(model_card(facts), encoding="utf-8")


def model_card(facts: CardFacts) -> str:
    """Return a card in the format of the Hugging Face hub: YAML metadata, then Markdown."""
    encoder, data = words(facts.config.model.encoder), words(_source(facts))
    title = f"{words(facts.sweep.name)}: {encoder} fine-tuned on {data}"
    sections = [
        f"# {title}",
        _summary(facts),
        "## Data\n\n" + "\n".join(_data_lines(facts)),
        "## Selection\n\n" + "\n".join(_selection_lines(facts)),
        "## Metrics\n\n" + _metrics(facts),
        "## Use\n\n" + _use(facts),
        "## Limitations\n\n" + "\n".join(f"- {line}" for line in _limitations(facts)),
        f"## Versions\n\n{_versions(facts)}",
        "## Configuration\n\n" + block(dump_yaml(facts.config, without={"sweep", "limits"}), "yaml"),
    ]
    return f"---\n{_metadata(facts).to_yaml()}\n---\n\n" + "\n\n".join(sections) + "\n"


def _metadata(facts: CardFacts) -> ModelCardData:
    """Return the YAML front matter; only what is on the hub is named as a data set or base model."""
    config, encoder = facts.config, facts.config.model.encoder
    is_from_hub = encoder not in BUILT_IN_ENCODERS and not Path(encoder).expanduser().exists()
    data_from_hub = config.data.source != "docstrings" and not Path(config.data.source).expanduser().exists()
    names = [name for name in _names(facts) if _is_number(facts.measured("test", name))]
    results = [
        EvalResult(
            task_type="text-classification",
            dataset_type=config.data.source if data_from_hub else "text",
            dataset_name=printable(_source(facts)),
            dataset_split="test",
            metric_type=name,
            metric_value=round(facts.measured("test", name), 4),
        )
        for name in names
    ]
    return ModelCardData(
        library_name="transformers" if config.model.kind == "encoder" else "raybert",
        pipeline_tag="text-classification",
        tags=["raybert", "data-selection", printable(str(strategy_entry(facts.spec.strategy)["name"]))],
        base_model=encoder if is_from_hub else None,
        datasets=[config.data.source] if data_from_hub else None,
        metrics=names,
        model_name=printable(facts.sweep.name),
        eval_results=results,
        ignore_metadata_errors=False,
    )


def _summary(facts: CardFacts) -> str:
    spec = facts.spec
    chosen = f"the strategy {code(spec.label)} chose {spec.num_chosen:,} of {spec.pool_size:,} training examples"
    if spec.strategy.takes_by_rule():
        size = num_chosen(facts.folder)  # of a refit, too, which is no trial of the table
        taken = "some" if size is None else f"{size:,}"
        chosen = f"the strategy {code(spec.label)} chose {taken} of {spec.pool_size:,} training examples"
    elif spec.budget is None:
        chosen = f"the strategy {code(spec.label)} has the whole pool of {spec.pool_size:,} examples"
    how = (
        f"It is the model of seed {spec.seed} of the configuration with the best mean validation "
        f"{facts.sweep.metric} over all replicates of the sweep."
    )
    if facts.refit is not None:
        how = (
            "The configuration with the best mean validation "
            f"{facts.sweep.metric} over all replicates of the sweep was trained once more, on training and "
            f"validation examples together, for {facts.result['optimizer_steps']:,} steps (the mean best step of its "
            "seeds, as a share of the run)."
        )
    classes = facts.data.get("label_names") or ()
    adapted = ""
    known = (read_json(SweepFolder(facts.sweep.folder).pretrained) or {}).get(facts.spec.encoder)
    if isinstance(known, dict):
        adapted = f" Before it was fine-tuned, {words(describe_pretrained(known))}."
    what = what_it_predicts(facts.config.data, len(classes))
    return f"{what}: {chosen}. {how}{adapted} Made with raybert."


def _data_lines(facts: CardFacts) -> Iterator[str]:
    data, section = facts.data, facts.config.data
    details = data.get("details") or {}
    yield f"- source: {code(section.source)}" + (f", configuration {code(section.config)}" if section.config else "")
    rows = details.get("rows") or {}
    if rows:
        joined = " (the validation examples are among the train examples)" if facts.refit is not None else ""
        yield "- examples: " + ", ".join(f"{count:,} {words(split)}" for split, count in rows.items()) + joined
    counts = (details.get("class_counts") or {}).get("train") or {}
    means = (details.get("output_means") or {}).get("train") or {}
    if means and facts.config.data.predicts == MULTI_LABEL:
        yield "- labels (share of the training examples): " + ", ".join(
            f"{words(name)} {100 * share:.1f} %" for name, share in means.items()
        )
    elif means:
        yield "- mean of the training examples: " + ", ".join(f"{words(k)} {v:.4g}" for k, v in means.items())
    if counts:
        yield "- classes (training examples): " + ", ".join(
            f"{words(name)} {count:,}" for name, count in counts.items()
        )
    yield f"- at most {section.max_length} word pieces of a text"
    yield f"- fingerprint of the token tables: {code(data.get('fingerprint', 'unknown'))}"
    for note in data.get("notes") or ():
        yield f"- note: {words(note)}"


def _selection_lines(facts: CardFacts) -> Iterator[str]:
    spec, result = facts.spec, facts.result
    parameters = {key: value for key, value in strategy_entry(spec.strategy).items() if key != "name"}
    yield f"- strategy: {code(spec.label)}" + (f", parameters {code(json.dumps(parameters))}" if parameters else "")
    if spec.strategy.citation:
        yield f"- source: {words(spec.strategy.citation)}"
    yield f"- budget: {spec.num_chosen:,} of {spec.pool_size:,} examples"
    done, planned = result["optimizer_steps"], spec.total_steps
    passes = f"{spec.passes:g} passes over what the strategy kept, " if spec.passes is not None else ""
    yield f"- training: {passes}{done:,} of {planned:,} optimizer steps, {result['examples_seen']:,} examples seen"
    if facts.configuration is not None:
        yield f"- configuration: {words(facts.configuration[KEY])}"
    if spec.grid:
        yield f"- grid point: {code(json.dumps(spec.grid))}"
    yield f"- seed {spec.seed}, run {code(spec.trial_id)}"


def _metrics(facts: CardFacts) -> str:
    """Return a table: this model's own metrics, and mean and interval of its configuration."""
    row = facts.configuration
    lines = [f"| metric | this model | {_several_in_words(facts)} |", "|---|---|---|"]
    for split in ("validation", "test"):
        for name in _names(facts):
            own, several = facts.measured(split, name), _interval(row, f"{split}_{name}")
            if _is_number(own):
                lines.append(f"| {split} {name} | {own:.4f} | {several} |")
            elif several and split == "validation" and facts.refit is not None:
                lines.append(f"| {split} {name} | trained on it | {several} |")
    text = "\n".join(lines)
    if facts.refit is not None:
        text += (
            "\n\nThe test split was evaluated once for this model. The means and intervals are those of the runs that "
            "trained without the validation examples."
        )
    return text


def _names(facts: CardFacts) -> list[str]:
    """Return the metrics of a card, that of the sweep first."""
    own = [name.partition("_")[2] for name in own_metric_columns(facts.sweep.trials, "test")]
    return [*dict.fromkeys((facts.sweep.metric, *trial_metrics_of(facts.sweep.task), *own))]


def _several_in_words(facts: CardFacts) -> str:
    """Return what the last column of the metrics is."""
    row, replicates = facts.configuration, facts.sweep.replicates
    number = 0 if row is None else int(row["num_replicates"])
    if number == 2:
        return f"both {replicates} of the configuration"
    if number < 2:
        return f"the configuration, {number} {replicates.rstrip('s')}"
    return f"mean of the configuration over {number} {replicates} [95 % interval]"


def _interval(row: Mapping[Any, Any] | None, metric: str) -> str:
    """Return what all replicates of the configuration reached: the mean with its interval, of two both values."""
    if row is None or not _is_number(row.get(f"{metric}_mean")):
        return ""
    mean, std, low, high = (float(row[f"{metric}_{part}"]) for part in ("mean", "std", "low", "high"))
    if row["num_replicates"] == 2 and not math.isnan(std):
        return ", ".join(f"{value:.4f}" for value in two_values(mean, std))
    return f"{mean:.4f}" if math.isnan(low) else f"{mean:.4f} [{low:.4f}, {high:.4f}]"


def what_it_predicts(data: DataConfig, num_classes: int) -> str:
    """Return what a model is, as the beginning of a sentence."""
    if data.predicts == MULTI_LABEL:
        return "A classifier of texts, each of which may have any number of labels"
    if data.predicts == REGRESSION:
        return f"A model that predicts the number {code(data.label_words)} of texts"
    return f"A classifier of texts into {num_classes} classes"


_SHOWN: Mapping[Task, str] = {
    CLASSIFICATION: "print(model.config.id2label[int(model(**inputs).logits.argmax(-1))])",
    MULTI_LABEL: (
        "probs = model(**inputs).logits.sigmoid()[0].tolist()\n"
        "print({model.config.id2label[i]: p for i, p in enumerate(probs)})"
    ),
    REGRESSION: "print(float(model(**inputs).logits))",
}
"""How plain transformers say what a model predicts of a text."""


def _use(facts: CardFacts) -> str:
    loading = (
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer\n\n"
        'model = AutoModelForSequenceClassification.from_pretrained("FOLDER")\n'
        'tokenizer = AutoTokenizer.from_pretrained("FOLDER")\n'
        f'inputs = tokenizer(["a text"], truncation=True, max_length={facts.config.data.max_length}, '
        'return_tensors="pt")\n' + _SHOWN[facts.config.data.predicts]
    )
    if facts.config.model.kind == "iris" or facts.config.model.has_own_head:
        loading = 'import raybert\n\nmodel = raybert.load_model("FOLDER")  # its head is raybert\'s own'
    if facts.config.model.is_own:
        kind = printable(facts.config.model.kind)
        loading = f'import raybert\n\nmodel = raybert.load_model("FOLDER", trust_remote_code=True)  # imports {kind}'
    return (
        f"```python\n{loading}\n```\n\nFor files of texts: `raybert predict FOLDER texts.csv --output predicted.csv`."
    )


def _limitations(facts: CardFacts) -> Iterator[str]:
    row, rows = facts.configuration, (facts.data.get("details") or {}).get("rows") or {}
    if row is None or int(row["num_seeds"]) * int(row["num_folds"]) < 2:
        yield "One seed only: nothing is known of how much another seed would differ, so there are no intervals."
    elif facts.refit is None:
        yield "This is the best of several seeds by validation; the mean of the configuration says what to expect."
    if row is not None and row["num_replicates"] == 2:
        yield f"Two {facts.sweep.replicates} only: both values are given, and no interval."
    if row is not None and row["num_collapsed"]:
        yield f"{row['num_collapsed']} of {row['num_complete']} trials of the configuration never predict a class."
    if facts.result_is_collapsed:
        yield "This model itself never predicted one of the classes on the held-out examples."
    if rows.get("test", _SMALL) < _SMALL:
        yield f"The test split has {rows['test']:,} examples: small differences are within chance."
    if facts.refit is not None:
        yield "No examples were held out to choose the evaluation of this model: its last step is what was planned."
    counts = (facts.data.get("details") or {}).get("class_counts", {}).get("train") or {}
    rare = [name for name, count in counts.items() if count < 20]
    if rare:
        yield f"Fewer than 20 training examples of: {', '.join(map(words, rare))}."
    tried = int((facts.sweep.summary()["role"] == "trial").sum())
    if tried > 1:
        yield f"Chosen among {tried} configurations by validation: its validation metrics flatter it."
    notes = facts.result.get("notes")
    if isinstance(notes, str) and notes:
        yield from map(words, notes.split("; "))
    yield "Nothing was checked about biases of the data, texts of other kinds, or other languages."


def _versions(facts: CardFacts) -> str:
    manifest = facts.sweep.manifest
    versions = {"python": manifest.get("python"), **(manifest.get("versions") or {})}
    return ", ".join(f"{words(name)} {words(version)}" for name, version in versions.items() if version)


def _configuration(sweep: Sweep, trial_id: str) -> Mapping[Any, Any] | None:
    """Return the row of `summary` that a trial belongs to."""
    trials = sweep.trials[(sweep.trials["trial_id"] == trial_id) & (sweep.trials["status"] == "complete")]
    summary = sweep.summary()
    rows = summary[summary[KEY].isin(trials[KEY])]
    return rows.to_dict("records")[0] if len(rows) else None


def _source(facts: CardFacts) -> str:
    """Return the name of the data; of a path only its last part."""
    source = facts.config.data.source
    return Path(source).name if Path(source).expanduser().exists() else source


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not pd.isna(value)
