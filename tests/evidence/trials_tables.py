"""Does a change of the code leave results bit-identical? Every sweep file, shrunk, before and after.

    python tests/evidence/trials_tables.py run BEFORE --root /path/of/the/old/checkout
    python tests/evidence/trials_tables.py run AFTER
    python tests/evidence/trials_tables.py compare BEFORE AFTER

`run` runs the files in `sweeps/` of the checkout at `--root` (default: the one of this script) with the flags in
`SHRUNK`, and those in `tests/evidence/sweeps/`, which cover what the first do not, each in a process of its own and all
with one fresh cache. A sweep whose tables are there already is not run again. `compare` ends with 1 on any difference.
Both need the real datasets (`RAYBERT_DATA`, default `../shared/data` beside the checkout). Runs on one machine, with one
set of installed packages: the built-in corpus and the rounding of bf16 depend on them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))  # whichever raybert is measured, names are compared by this one's

from raybert.tables import RENAMED_COLUMNS  # noqa: E402

DOCSTRINGS = (
    "data.source=docstrings",
    "data.train_examples=300",
    "data.validation_examples=60",
    "data.test_examples=80",
)
ONE_AT_A_TIME = "resources.concurrent_trials=1"  # where the order counts: a search suggests by what has ended
NO_GPU = "resources={}"

SHRUNK: dict[str, tuple[str, ...]] = {
    "all_strategies": (*DOCSTRINGS, "data.max_length=32", "train.length={steps: 12}", "sweep.seeds=2"),
    "imbalanced": (
        "data.max_length=48",
        "model.encoder=tiny-bert",
        "data.folds=2",
        "train.length={epochs: 1}",
        ONE_AT_A_TIME,  # `keep_best` deletes models by what has ended
    ),
    "imdb": (
        "data.source=imdb",
        "data.max_length=48",
        "model.encoder=raybert-tiny",
        "train.length={epochs: 2, min_steps: 10}",
        "sweep.seeds=2",
        NO_GPU,
    ),
    "imdb_ten_percent": (
        "data={source: imdb, max_length: 48}",
        "model.encoder=tiny-bert",
        "train.length={epochs: 2, min_steps: 10}",
        "sweep.seeds=2",
        "sweep.strategies=[all, random, el2n, k_center, curriculum]",  # the head for perplexity is not in its files
        NO_GPU,
    ),
    "long_documents": (
        "data={source: imdb, train_examples: 160, validation_examples: 40, test_examples: 60}",
        "model.encoder=tiny-bert",
        "model.iris={chunk_tokens: 32, stride: 24}",
        "train.length={epochs: 12}",
        "sweep.seeds=2",
    ),
    "modernbert_budget10": (
        "data={source: imdb, max_length: 64}",
        "model.encoder=raybert-tiny",
        "train.length={epochs: 1, min_steps: 10}",
        "sweep.seeds=2",
        NO_GPU,
    ),
    "strategies": (*DOCSTRINGS, "data.train_examples=600", "train.length={epochs: 1, min_steps: 15}"),
    "tune": (
        *DOCSTRINGS,
        "train.length={epochs: 2, min_steps: 12}",
        "sweep.seeds=2",
        # Names of raybert 0.1, which knows no others; today's takes them with a note.
        "sweep.tune.trials_per_strategy=5",
        "sweep.tune.startup_trials=3",
        ONE_AT_A_TIME,
    ),
}
"""Name of a file in `sweeps/` -> what is overridden there; a file without an entry is an error."""

MEASURED = frozenset(
    {
        "seconds",
        "train_seconds",
        "evaluation_seconds",
        "selection_seconds",
        "wall_seconds",
        "signal_seconds",
        "signal_seconds_shared",
        "total_seconds",
    }
)
"""Columns that a clock measured."""

NOT_COMPARED = frozenset({"grid"})
"""A run that is taken from the score store brings the `grid` of the sweep that made it; every grid key is a column too."""

RENAMED = dict(RENAMED_COLUMNS)
"""Column before -> column after, in all tables."""

TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "trials": (("trials",), ("trial_id",)),
    "evaluations": (("evaluations", "epochs"), ("trial_id", "evaluation")),
    "search": (("search",), ("arm", "number")),
    "summary": (("summary",), ()),
}
"""Table -> its names in `results/`, and the key of its rows."""

KEPT_OF_TRIALS = ("selection.parquet", "predictions.parquet", "pool_scores.npy")
"""Files of every run, of whose columns digests are compared."""


@dataclass(frozen=True)
class Sweep:
    """A sweep file with overrides."""

    name: str
    file: Path
    overrides: tuple[str, ...] = field(default=())


def sweeps_of(root: Path) -> list[Sweep]:
    """Return all sweeps: the files of a checkout, then the further ones."""
    files = [f for f in sorted((root / "sweeps").glob("*.yaml")) if "corpora" not in yaml.safe_load(f.read_text())]
    missing = {file.stem for file in files} ^ SHRUNK.keys()
    if missing:
        raise SystemExit(f"SHRUNK and {root / 'sweeps'} must have the same names; only in one: {sorted(missing)}")
    further = sorted((HERE / "sweeps").glob("*.yaml"))
    return [*(Sweep(file.stem, file, SHRUNK[file.stem]) for file in files), *(Sweep(f.stem, f) for f in further)]


def write_inputs(folder: Path) -> None:
    """Write the data, the encoder and the module that the sweep files name, always the same."""
    data = Path(os.environ.get("RAYBERT_DATA", ROOT.parent / "shared" / "data"))
    if not data.is_dir():
        raise SystemExit(f"real datasets are not at {data}; set RAYBERT_DATA")
    (folder / "imdb").mkdir(parents=True, exist_ok=True)
    for split, rows in (("train", 400), ("test", 120)):
        pd.read_parquet(data / "imdb" / f"{split}.parquet").head(rows).to_parquet(folder / "imdb" / f"{split}.parquet")
    spam = pd.read_parquet(data / "sms_spam" / "train.parquet").head(360)
    spam[["text", "label", "group"]].to_csv(folder / "sms.csv", index=False)
    answers = pd.read_parquet(data / "wikiqa" / "train.parquet").head(2400)
    answers = pd.concat([answers[answers["label"] == 1].head(90), answers[answers["label"] == 0].head(270)])
    pairs = answers.rename(columns={"text_pair": "criterion", "text": "post", "group": "author"})
    pairs[["criterion", "post", "label", "author"]].to_csv(folder / "pairs.csv", index=False)
    shutil.copy(HERE / "own_parts.py", folder)
    if not (folder / "tiny-bert" / "config.json").exists():
        write_tiny_bert(spam["text"].tolist() + answers["text"].tolist(), folder / "tiny-bert")


def write_tiny_bert(texts: list[str], folder: Path) -> None:
    """Write a random BERT of two layers with dropout and a masked-LM head; nothing of raybert makes it."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words: dict[str, int] = {}
    for text in texts:
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)):
            words[word] = words.get(word, 0) + 1
    letters = sorted({letter for word in words for letter in word})
    common = sorted(words, key=lambda word: (-words[word], word))[:1500]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters), *common]
    ids = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **names).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 96}
    BertForMaskedLM(BertConfig(vocab_size=len(ids), max_position_embeddings=128, **sizes)).save_pretrained(folder)


def run_all(out: Path, root: Path, only: list[str], keep: bool) -> int:
    """Run the sweeps whose tables are not in `out` yet; return how many failed."""
    work = out / "work"
    write_inputs(work)
    environment = {
        **os.environ,
        "PYTHONPATH": f"{root}{os.pathsep}{work}",
        "RAYBERT_CACHE": str(work / "cache"),
        "HF_HUB_OFFLINE": "1",
        "COLUMNS": "120",
    }
    check_origin(root, environment, work)
    write_about(out, root)
    failed = 0
    for sweep in sweeps_of(root):
        target = out / "tables" / sweep.name
        if (only and sweep.name not in only) or (target / "ids.json").exists():
            continue
        started = time.monotonic()
        code = run_one(sweep, target, work, environment)
        failed += code != 0
        print(f"{sweep.name:22} exit code {code}  {time.monotonic() - started:5.0f} s", flush=True)
        if not keep:
            shutil.rmtree(work / "runs" / sweep.name, ignore_errors=True)
    return failed


def check_origin(root: Path, environment: dict[str, str], cwd: Path) -> None:
    """Refuse to measure another checkout than the one that was named."""
    script = "import raybert; print(raybert.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, cwd=cwd, capture_output=True, text=True, check=True
    )
    if Path(done.stdout.strip()).resolve().parent != (root / "raybert").resolve():
        raise SystemExit(f"must import raybert from {root}, got {done.stdout.strip()}")


def write_about(out: Path, root: Path) -> None:
    """Write what was run, and where."""
    from importlib.metadata import version

    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=root, capture_output=True, text=True, check=False
    )
    packages = ("torch", "transformers", "ray", "optuna", "numpy", "pandas", "scipy", "scikit-learn")
    about = {
        "root": str(root),
        "revision": revision.stdout.strip(),
        "written": time.strftime("%F %T"),
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in packages},
    }
    (out / "about.json").write_text(json.dumps(about, indent=1) + "\n")


def run_one(sweep: Sweep, target: Path, work: Path, environment: dict[str, str]) -> int:
    """Run one sweep and keep its tables; return its exit code."""
    folder = work / "runs" / sweep.name
    shutil.rmtree(folder, ignore_errors=True)
    target.mkdir(parents=True, exist_ok=True)
    flags = [part for override in sweep.overrides for part in ("--set", override)]
    command = [sys.executable, "-m", "raybert", "sweep", str(sweep.file), "--output", f"runs/{sweep.name}", *flags]
    with (target / "log.txt").open("w") as log:
        done = subprocess.run(command, env=environment, cwd=work, stdout=log, stderr=subprocess.STDOUT, check=False)
    if done.returncode == 0:
        keep_tables(folder, target)
    return done.returncode


def keep_tables(folder: Path, target: Path) -> None:
    """Copy the tables of a results folder, and digests of what its runs kept; `ids.json` last."""
    for names, _ in TABLES.values():
        for name in names:
            if (folder / "results" / f"{name}.parquet").exists():
                shutil.copy(folder / "results" / f"{name}.parquet", target)
    if (folder / "decisions.jsonl").exists():
        shutil.copy(folder / "decisions.jsonl", target)
    runs = sorted(path.name for path in (folder / "trials").iterdir())
    ids = {
        "planned": [row["trial_id"] for row in json.loads((folder / "plan.json").read_text())["trials"]],
        "runs": runs,
        "best": (folder / "best" / "trial_id").read_text().strip() if (folder / "best").exists() else None,
        "digests": {run: digests(folder / "trials" / run) for run in runs},
    }
    (target / "ids.json").write_text(json.dumps(ids, indent=1) + "\n")


def digests(folder: Path) -> dict[str, str]:
    """Return file:column -> digest of its values, of what a run kept."""
    found = {}
    for name in KEPT_OF_TRIALS:
        path = folder / name
        if path.suffix == ".npy" and path.exists():
            found[name] = digest(np.load(path))
        elif path.exists():
            frame = pd.read_parquet(path)
            found |= {f"{name}:{column}": digest(frame[column].to_numpy()) for column in frame}
    return found


def digest(values: np.ndarray) -> str:
    """Return a hash of values, strings included."""
    content = values.tobytes() if values.dtype != object else json.dumps(values.tolist(), default=str).encode()
    return hashlib.sha256(str(values.shape).encode() + content).hexdigest()[:16]


def compare_all(before: Path, after: Path) -> int:
    """Print a line per sweep; return how many differ."""
    names = sorted({path.name for out in (before, after) for path in (out / "tables").iterdir() if path.is_dir()})
    num_different = 0
    for name in names:
        one, other = before / "tables" / name, after / "tables" / name
        missing = [str(path) for path in (one, other) if not (path / "ids.json").exists()]
        if missing:
            print(f"{name:22} not there: {', '.join(missing)}")
            num_different += 1
            continue
        differences = [*compare_ids(one, other), *compare_decisions(one, other)]
        notes: list[str] = []
        rows = 0
        for table in TABLES:
            frames = [read_table(path, table) for path in (one, other)]
            if any(frame is None for frame in frames):
                if not all(frame is None for frame in frames):
                    differences.append(f"{table}: only in one")
                continue
            rows += len(frames[0])
            differences += compare_frames(frames[0].rename(columns=RENAMED), frames[1], table, notes)
        num_different += bool(differences)
        verdict = "identical" if not differences else "DIFFERENT"
        print(f"{name:22} {verdict}  ({rows} rows{'; ' if notes else ''}{'; '.join(dict.fromkeys(notes))})")
        for difference in differences[:12]:
            print(f"    {difference}")
        if len(differences) > 12:
            print(f"    and {len(differences) - 12} more")
    print(f"{len(names) - num_different} of {len(names)} sweeps are identical")
    return num_different


def read_table(folder: Path, table: str) -> pd.DataFrame | None:
    """Return a table under whichever of its names it is there."""
    for name in TABLES[table][0]:
        if (folder / f"{name}.parquet").exists():
            return pd.read_parquet(folder / f"{name}.parquet")
    return None


def compare_ids(one: Path, other: Path) -> Iterator[str]:
    """Yield how trial ids, the best model, and what the runs kept differ."""
    a, b = (json.loads((folder / "ids.json").read_text()) for folder in (one, other))
    for key in ("planned", "runs"):
        if set(a[key]) != set(b[key]):
            yield f"ids ({key}): {len(set(a[key]) - set(b[key]))} gone, {len(set(b[key]) - set(a[key]))} new"
        elif a[key] != b[key]:
            yield f"ids ({key}): in another order"
    if a["best"] != b["best"]:
        yield f"best model: {a['best']} and {b['best']}"
    for run in sorted(set(a["digests"]) & set(b["digests"])):
        was = {renamed(name): value for name, value in a["digests"][run].items()}
        now = b["digests"][run]
        different = [name for name, value in was.items() if now.get(name) != value]
        if different:
            yield f"run {run}: {', '.join(different)}"


def renamed(name: str) -> str:
    """Return file:column with the column's new name."""
    file, colon, column = name.partition(":")
    return file + colon + RENAMED.get(column, column)


def compare_decisions(one: Path, other: Path) -> Iterator[str]:
    """Yield the first decision of a search that differs."""
    paths = [folder / "decisions.jsonl" for folder in (one, other)]
    if not all(path.exists() for path in paths):
        if any(path.exists() for path in paths):
            yield "decisions.jsonl: only in one"
        return
    a, b = ([json.loads(line) for line in path.read_text().splitlines()] for path in paths)
    for number, (was, now) in enumerate(zip(a, b, strict=False), start=1):
        was, now = ({key: value for key, value in row.items() if key not in MEASURED} for row in (was, now))
        if was != now:
            yield f"decisions.jsonl line {number}: {json.dumps(was)[:150]} and {json.dumps(now)[:150]}"
            return
    if len(a) != len(b):
        yield f"decisions.jsonl: {len(a)} and {len(b)} lines"


def compare_frames(a: pd.DataFrame, b: pd.DataFrame, table: str, notes: list[str]) -> Iterator[str]:
    """Yield how two tables differ, bit by bit; what is only new, or only of another type, becomes a note."""
    key = [column for column in TABLES[table][1] if column in a and column in b]
    if len(a) != len(b):
        yield f"{table}: {len(a)} and {len(b)} rows"
        return
    if key and a[key].astype(str).to_numpy().tolist() != b[key].astype(str).to_numpy().tolist():
        yield f"{table}: rows are other ones, or in another order"
        a, b = (frame.sort_values(key, ignore_index=True) for frame in (a, b))
    ignored = [column for column in a if is_measured(str(column)) or column in NOT_COMPARED]
    for column in a.columns.drop(ignored):
        if column not in b:
            yield f"{table}: has no column {column} any more"
            continue
        if a[column].dtype != b[column].dtype:
            notes.append(f"{table}.{column} was {a[column].dtype}, is {b[column].dtype}")
        was, now = bits(a[column]), bits(b[column])
        rows = [number for number, pair in enumerate(zip(was, now, strict=True)) if pair[0] != pair[1]]
        if rows:
            first = rows[0]
            where = " ".join(str(a[name].iloc[first]) for name in key)
            values = f"{a[column].iloc[first]!r} and {b[column].iloc[first]!r}"
            yield f"{table}.{column}: {len(rows)} of {len(a)} rows, first {where}: {values}"
    new = [str(column) for column in b if column not in a and not is_measured(str(column))]
    if new:
        notes.append(f"{table} has new columns {', '.join(new)}")


def is_measured(column: str) -> bool:
    """Tell whether a clock measured a column, or a mean, interval or difference of it in the summary."""
    return column in MEASURED or any(column.startswith(f"{name}_") for name in MEASURED - {"seconds"})


def bits(values: pd.Series) -> list[Any]:
    """Return values that are equal exactly if all bits are; missing ones equal each other."""
    return [_exact(value) for value in values]


def _exact(value: Any) -> Any:
    if isinstance(value, np.ndarray | list | tuple):
        return [_exact(item) for item in value]
    if value is None or value is pd.NA or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, float | np.floating):
        is_whole = float(value).is_integer() and str(value) != "-0.0"  # equals the whole number in a column of integers
        return int(value) if is_whole else float(value).hex()
    return value.item() if isinstance(value, np.generic) else value


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run all sweeps and keep their tables")
    run.add_argument("out", type=Path)
    run.add_argument("--root", type=Path, default=ROOT, help="checkout whose raybert is run")
    run.add_argument("--only", nargs="*", default=[], help="names of sweeps")
    run.add_argument("--keep", action="store_true", help="keep the results folders in OUT/work/runs")
    compare = commands.add_parser("compare", help="compare two outputs of `run`")
    compare.add_argument("before", type=Path)
    compare.add_argument("after", type=Path)
    given = parser.parse_args()
    if given.command == "run":
        sys.exit(1 if run_all(given.out.resolve(), given.root.resolve(), given.only, given.keep) else 0)
    sys.exit(1 if compare_all(given.before, given.after) else 0)


if __name__ == "__main__":
    main()
