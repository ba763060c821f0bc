"""Mutate files of every format that raybert reads: each is read or refused in one line, soon, in little memory.

    python -m tests.benchmarks.fuzz_readers [--minutes 5] [--seed 0]

Every mutated file is read in a process of its own, as a sweep would and as `evaluate` would. A traceback, an error of
several lines, more than `--seconds` or more memory than 20 times the file (unpacked; and 64 MiB, which libraries take) is a finding:
its file is kept, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import json
import lzma
import os
import random
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from raybert.config import DataConfig
from raybert.data.sources import read_source
from raybert.data.unseen import read_unseen
from raybert.errors import RaybertError

SLACK = 64 << 20
TOKENS = [
    b'"',
    b'""',
    b"\\",
    b'\\"',
    b",",
    b";",
    b"\t",
    b"\r",
    b"\n",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"{",
    b"[",
    b"]",
    b"}",
    b":",
    b"null",
    b"NaN",
    b"1e999",
    b"\\ud800",
    b"sep=;\n",
    b"\xed\xa0\x80",
    b"PAR1",
    b"-1",
    b"01",
]


def rows(count: int, generator: random.Random) -> pd.DataFrame:
    words = ["good", "bad", 'say "hi"', "a, b", "日本", "tab\there", "line\nend", "back\\slash", "é", "x" * 40]
    texts = [" ".join(generator.choices(words, k=generator.randint(1, 9))) for _ in range(count)]
    return pd.DataFrame({"text": texts, "label": [generator.choice([0, 1, 2]) for _ in texts]})


def seeds(folder: Path, count: int, generator: random.Random) -> list[Path]:
    """Write a right file of every format."""
    frame = rows(count, generator)
    plain = frame.to_csv(index=False).encode()
    lines = frame.to_json(orient="records", lines=True).encode()
    contents = {
        "a.csv": plain,
        "b.csv": frame.to_csv(index=False, sep=";").encode("utf-16"),
        "c.csv": frame.to_csv(index=False, doublequote=False, escapechar="\\").encode(),
        "d.csv": plain.replace(b"\n", b"\r"),
        "e.tsv": frame.to_csv(index=False, sep="\t").encode(),
        "f.csv.gz": gzip.compress(plain),
        "g.csv.xz": lzma.compress(plain),
        "h.jsonl": lines,
        "i.jsonl.bz2": bz2.compress(lines),
        "j.json": frame.to_json(orient="records").encode(),
        "k.json": frame.to_json(orient="columns").encode(),
        "l.json": frame.to_json(orient="split", indent=1).encode(),
        "m.csv": plain.decode().encode("utf-16-le"),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    feature = {"info": {"features": {"label": {"names": ["a", "b", "c"], "_type": "ClassLabel"}}}}
    table = pa.Table.from_pandas(frame, preserve_index=False)
    named = table.replace_schema_metadata({"huggingface": json.dumps(feature)})
    coded = table.set_column(0, "text", table["text"].cast(pa.string()).dictionary_encode())
    pq.write_table(named, folder / "n.parquet")
    pq.write_table(coded, folder / "o.parquet", compression="zstd")
    pq.write_table(table, folder / "p.parquet", data_page_version="2.0", compression="none")
    for name, kind, written in (("q.arrow", pa.ipc.new_file, named), ("r.arrow", pa.ipc.new_stream, coded)):
        with pa.OSFile(str(folder / name), "wb") as file, kind(file, written.schema) as writer:
            writer.write_table(written)
    return sorted(folder.iterdir())


def mutate(content: bytes, generator: random.Random) -> bytes:
    """Return content with one to four mistakes."""
    data = bytearray(content)
    for _ in range(generator.randint(1, 4)):
        start = generator.randrange(len(data) + 1)
        length = min(len(data) - start, int(2 ** generator.uniform(0, 12)))
        kind = generator.randrange(8)
        if kind == 0:
            del data[start:]
        elif kind == 1:
            data[start : start + length] = bytes(length)
        elif kind == 2:
            data[start : start + length] = generator.randbytes(length)
        elif kind == 3:
            data[start:start] = generator.choice(TOKENS) * generator.choice([1, 1, 2, 500])
        elif kind == 4:
            data[start:start] = data[start : start + length] * generator.choice([1, 3])
        elif kind == 5:
            del data[start : start + length]
        elif kind == 6 and start < len(data):
            data[start] ^= 1 << generator.randrange(8)
        else:
            data.extend(data[start : start + length])
    return bytes(data)


def outcome(path: Path) -> str:
    """Return what became of reading a file, in one word; a traceback if there is one."""
    words = []
    config = DataConfig(source=str(path))
    columns = {"text": "text", "label": "label"}
    reads: list[Callable[[], object]] = [
        lambda: read_source(config, path.parent),
        lambda: read_unseen(path, columns, required=set(columns), label_names=("0", "1", "2", "a", "b", "c")),
    ]
    for read in reads:
        try:
            read()
            words.append("read")
        except RaybertError as error:
            if "\n" in str(error):
                return f"several lines: {error}"
            words.append("refused")
        except BaseException:
            return traceback.format_exc()
    return " ".join(words)


def in_child(path: Path, seconds: float) -> tuple[str, int]:
    """Return the outcome in a process of its own, and the bytes by which its memory grew."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = outcome(path)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(sending, json.dumps([found[-60_000:], grown * 1024]).encode())
        os._exit(0)
    os.close(sending)
    ready, _, _ = select.select([receiving], [], [], seconds)
    if not ready:
        os.kill(child, signal.SIGKILL)
    answer = b""
    while ready and (part := os.read(receiving, 1 << 16)):
        answer += part
    os.close(receiving)
    _, status = os.waitpid(child, 0)
    if not ready:
        return f"hang: more than {seconds:g} s", 0
    if not answer:
        return f"died: status {status}", 0
    found, grown = json.loads(answer)
    return found, grown


def main() -> int:
    """Mutate and read until the time is over; print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--seconds", type=float, default=30, help="for one file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    options = parser.parse_args()
    generator = random.Random(options.seed)
    counts: Counter[str] = Counter()
    worst, findings = Counter[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        sources = []
        for name, count in (("small", 12), ("large", 20_000)):
            (Path(folder) / name).mkdir()
            child = os.fork()  # so that this process never has threads of Arrow's
            if child == 0:
                seeds(Path(folder) / name, count, random.Random(options.seed))
                os._exit(0)
            os.waitpid(child, 0)
            sources.append(sorted((Path(folder) / name).iterdir()))
        end = time.monotonic() + 60 * options.minutes
        first = [path for group in sources for path in group]
        while time.monotonic() < end:
            if first:  # the right files themselves
                seed, content = (path := first.pop()), path.read_bytes()
            else:
                seed = generator.choice(sources[generator.random() < 0.15])
                content = mutate(seed.read_bytes(), generator)
            path = Path(folder) / f"x{''.join(seed.suffixes)}"
            path.write_bytes(content)
            found, grown = in_child(path, options.seconds)
            size = max(len(content), _unpacked(seed))
            if grown > SLACK:
                worst[seed.name] = max(worst[seed.name], round((grown - SLACK) / size))
            is_fine = set(found.split()) <= {"read", "refused"} and grown <= 20 * size + SLACK
            counts[found if is_fine else "FINDING"] += 1
            if not is_fine:
                findings += 1
                options.keep.mkdir(exist_ok=True)
                kept = options.keep / f"{options.seed}-{findings}{''.join(seed.suffixes)}"
                kept.write_bytes(content)
                print(f"{kept} (of {seed.name}, {len(content):,} bytes, +{grown:,} bytes): {found}\n", flush=True)
    print(f"{sum(counts.values()):,} files: {dict(counts)}; most memory, in times of the file: {dict(worst)}")
    return int(findings > 0)


def _unpacked(path: Path) -> int:
    """Return how large a right file is, unpacked; parquet packs as well, and holds as much as the csv beside it."""
    if path.suffix == ".parquet":
        return (path.parent / "a.csv").stat().st_size
    opened = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}.get(path.suffix)
    if opened is None:
        return path.stat().st_size
    with opened(path) as file:
        return len(file.read())


if __name__ == "__main__":
    sys.exit(main())
