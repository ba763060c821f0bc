"""`raybert download`: from a hub on this machine, by the code that a sweep loads with; then found; then without a hub."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit

import datasets
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import close_session

import raybert
from raybert.config import ModelConfig
from raybert.errors import ConfigError, DataError, ExitCode
from raybert.models import resolve_encoder
from raybert.sweeping.downloads import Download, Downloads
from tests.e2e import commands
from tests.models.folders import config_of, save_encoder

pytestmark = pytest.mark.slow
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.BaseHTTPRequestHandler):
    """As much of the hub as its client asks for: what a model has, and its files."""

    models: ClassVar[dict[str, Path]] = {}
    sent: ClassVar[list[str]] = []

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        for name, folder in self.models.items():
            files = sorted(file.name for file in folder.iterdir())
            if path.startswith(f"api/models/{name}/tree/"):
                rows = [
                    {"type": "file", "path": file, "size": (folder / file).stat().st_size, "oid": "0"} for file in files
                ]
                return self._send(json.dumps(rows).encode(), with_body, {"Content-Type": "application/json"})
            if path.startswith(f"api/models/{name}"):
                info = {"id": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in files], "tags": []}
                return self._send(json.dumps(info).encode(), with_body, {"Content-Type": "application/json"})
            if path.startswith(f"{name}/resolve/") and path.rpartition("/")[2] in files:
                content = (folder / path.rpartition("/")[2]).read_bytes()
                if with_body:
                    self.sent.append(path.rpartition("/")[2])
                tag = hashlib.sha1(content).hexdigest()
                return self._send(content, with_body, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return None

    def _send(self, content: bytes, with_body: bool, headers: dict[str, str]) -> None:
        self.send_response(200)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Iterator[type[Hub]]:
    """A hub at this machine that the client asks, an empty cache, and a switch to do without."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("RAYBERT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    close_session()
    Hub.models, Hub.sent = {}, []
    yield Hub
    server.shutdown()
    server.server_close()
    close_session()


def file_of(**model: object) -> dict:
    return {"data": "docstrings", "model": model}


def test_a_model_is_fetched_once_and_then_found_also_without_the_hub(hub, tmp_path, monkeypatch):
    hub.models["org/small"] = tmp_path / "folder"
    encoder = save_encoder(tmp_path / "folder", config_of("bert"))
    size = sum(file.stat().st_size for file in (tmp_path / "folder").iterdir())
    first = raybert.download(file_of(encoder="org/small"))
    assert [(item.key, item.name, item.status) for item in first.items] == [
        ("data.source", "docstrings", "built-in"),
        ("model.encoder", "org/small", "fetched"),
    ]
    assert first.items[1].size_bytes == size
    assert Path(first.items[1].place).parent.parent == tmp_path / "hub" / "models--org--small"
    assert sorted(hub.sent) == sorted(file.name for file in (tmp_path / "folder").iterdir())
    again = raybert.download(file_of(encoder="org/small"))
    assert (again.items[1].status, again.exit_code) == ("found", ExitCode.DONE)
    assert len(hub.sent) == len(set(hub.sent))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert raybert.download(file_of(encoder="org/small")).items[1].status == "found"
    sweeps = resolve_encoder(ModelConfig(encoder="org/small"), [], tmp_path)
    assert (sweeps.fingerprint, str(sweeps.path)) == (encoder.fingerprint, first.items[1].place)


def test_what_cannot_be_fetched_is_said_and_the_rest_is_fetched(hub, tmp_path):
    hub.models["org/small"] = tmp_path / "folder"
    save_encoder(tmp_path / "folder", config_of("bert"))
    Path("file.yaml").write_text(
        "data: docstrings\nmodel: org/small\nselection: {scorers: {perplexity: {model: org/gone}}}\n"
    )
    done = commands.run("download", "file.yaml")
    assert done.code == 4
    assert "data.source 'docstrings': built in, nothing to fetch\n" in done.out
    assert "model.encoder 'org/small': fetched, 0." in done.out
    assert "selection.scorers.perplexity.model 'org/gone': not fetched: is not on this machine and the hub says: " in (
        done.out.replace("\n", " ")
    )
    assert "1 of 3 are not on this machine; the same command tries again, and fetches only what is not there" in (
        done.out.replace("\n", " ")
    )


def test_without_the_hub_it_is_one_line_with_the_way_out(hub, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    Path("file.yaml").write_text("data: docstrings\nmodel: org/small\n")
    done = commands.run("download", "file.yaml")
    assert done.code == 4
    assert "HF_HUB_OFFLINE=1 is set, so the hub was not asked: unset it for this command" in done.out.replace("\n", " ")
    found = commands.run("download", "file.yaml", "--json")
    assert (found.code, [item["status"] for item in json.loads(found.out)["items"]]) == (4, ["built-in", "missing"])
    assert not hub.sent


def test_local_data_and_models_are_nothing_to_fetch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_encoder(tmp_path / "small", config_of("bert"))
    Path("mine.csv").write_text("text,label\none,0\ntwo,1\n")
    found = raybert.download({"data": "mine.csv", "model": "./small"})
    assert found.table[["key", "name", "status"]].values.tolist() == [
        ["data.source", "mine.csv", "local"],
        ["model.encoder", "./small", "local"],
    ]
    assert found.items[0].size_bytes == Path("mine.csv").stat().st_size
    with pytest.raises(DataError, match="no such file"):
        raybert.download({"data": "yours.csv"})
    with pytest.raises(ConfigError, match="unknown"):
        raybert.download({"dta": "mine.csv"})


def test_the_exit_code_tells_all_some_and_none_apart():
    there, gone = Download("a", "b", "found"), Download("a", "c", "missing", problem="away")
    codes = [Downloads(items).exit_code for items in ((there,), (there, gone), (gone,))]
    assert codes == [ExitCode.DONE, ExitCode.SOME_FAILED, ExitCode.FAILED]


def test_code_that_a_file_names_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("trap.py").write_text("raise SystemExit('run')")
    found = raybert.download({"sweep": {"strategies": ["trap:Own"]}, "data": {"augment": "trap:own"}})
    assert [item.status for item in found.items] == ["built-in", "built-in"]


def test_a_data_set_is_fetched_then_found_and_its_columns_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.csv").write_text("review,label\none,0\ntwo,1\n")
    cache = tmp_path / "datasets"
    real = datasets.load_dataset

    def from_hub(name, config, revision):  # as the hub's parquet files become files of Arrow in the cache
        assert (name, config, revision) == ("org/reviews", "small", "v1")
        return real("csv", data_files={"train": "mine.csv"}, cache_dir=str(cache))

    monkeypatch.setattr(datasets, "load_dataset", from_hub)
    data = {"source": "org/reviews", "config": "small", "revision": "v1", "text": "review"}
    first, again = (raybert.download({"data": data}).items[0] for _ in range(2))
    assert (first.name, first.status, again.status) == ("org/reviews (small)", "fetched", "found")
    files = list(cache.rglob("*.arrow"))
    assert (first.place, first.size_bytes) == (str(files[0].parent), files[0].stat().st_size)
    wrong = raybert.download({"data": {**data, "text": "text"}})
    assert wrong.items[0].status == "missing"
    assert "text" in wrong.items[0].problem
    assert wrong.exit_code == ExitCode.SOME_FAILED
