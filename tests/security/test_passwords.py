"""Passwords of a sweep file are used, and stand nowhere: in no copy, no line, no error, no representation."""

import json
import os
import stat
import subprocess

import pytest
import yaml

from raybert import commands, passwords
from raybert.config import dump_yaml, load_config, load_stored_config
from raybert.errors import ConfigError, RaybertError, SweepError
from raybert.passwords import holds_password, keep_password, whole, write_private_text
from raybert.plain import hide, remember_secret
from raybert.sweeping.folder.manifest import describe_run
from raybert.sweeping.folder.trial_folder import TrialFolder
from raybert.sweeping.plan.design import read_design
from raybert.sweeping.plan.extension import check_extension
from raybert.sweeping.search.storage import open_storage, study_name
from raybert.terminal.console import command_again
from tests.e2e.commands import run

SECRET = "geheim-Xy7"
URL = f"postgresql://me:{SECRET}@db.example:5432/studies"
HIDDEN = "postgresql://me:***@db.example:5432/studies"
TUNE = {"suggestions_per_strategy": 2, "space": {"train.learning_rate": {"low": 1e-4, "high": 1e-2}}}


def sweep_file(storage):
    return {"name": "secret", "sweep": {"strategies": ["random"], "tune": {**TUNE, "storage": storage}}}


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "sweep.yaml"
    path.write_text(f"# remember: {URL}\n" + yaml.safe_dump(sweep_file(URL)), encoding="utf-8")
    return path


@pytest.mark.fault("password in a URL")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (URL, HIDDEN),
        (f"cannot reach {URL}, is it up?", f"cannot reach {HIDDEN}, is it up?"),
        ("mysql+pymysql://u:p@ss/w:rd@h/d", "mysql+pymysql://u:***@h/d"),
        ("postgresql://:pw@h/d", "postgresql://:***@h/d"),
        ("https://u:pw@h/x.csv", "https://u:***@h/x.csv"),
        ("https://hf_abcdef@huggingface.co/a/b", "https://***@huggingface.co/a/b"),
        ("https://h/x.csv?token=abc&n=3", "https://h/x.csv?token=***&n=3"),
        ("https://h/x?a=1&X-Amz-Signature=abc", "https://h/x?a=1&X-Amz-Signature=***"),
        ("redis://h:6379/0?password=p%40ss", "redis://h:6379/0?password=***"),
        ("invalid dsn: host=h password=abc dbname=x", "invalid dsn: host=h password=*** dbname=x"),
        ("PGPASSWORD=abc psql", "PGPASSWORD=*** psql"),
        ("aws_secret_access_key=abc", "aws_secret_access_key=***"),
        ("{'password': 'a b', \"user\": 1}", "{'password': '***', \"user\": 1}"),
        # what is none
        ("https://h:8080/x@v1", "https://h:8080/x@v1"),
        ("postgresql://me@h/d", "postgresql://me@h/d"),
        ("sqlite:////tmp/a@b.db", "sqlite:////tmp/a@b.db"),
        ("postgresql://me:${PGPASSWORD}@h/d", "postgresql://me:${PGPASSWORD}@h/d"),
        ("https://h/x?token=${TOKEN}", "https://h/x?token=${TOKEN}"),
        ("max_tokens=3, a=b", "max_tokens=3, a=b"),
    ],
)
def test_passwords_in_texts_are_hidden(text, shown, fault):
    with fault.once():
        assert hide(text) == shown
        assert hide(shown) == shown
        assert str(RaybertError(text)) == shown


@pytest.mark.fault("password in a URL")
def test_a_password_is_hidden_wherever_it_stands_alone(fault):
    keep_password("postgresql://me:wo%20rt7@h/d")
    with fault.once():
        assert hide("FATAL: wo rt7 for me") == "FATAL: *** for me"
        assert hide("FATAL: wo%20rt7 for me") == "FATAL: *** for me"
        assert hide("swo rt7s") == "swo rt7s"
        remember_secret("abc")
        assert hide("abc") == "abc"  # so short that it would be found everywhere


@pytest.mark.fault("password in a URL")
@pytest.mark.parametrize("password", ["a b", "a'b\"c", "a@b/c:d", "***x", "${A}b", "\x1b[31m", "pässword"])
def test_a_password_may_have_any_letter(password, fault):
    url = f"postgresql://me:{password}@h/d"
    with fault.once():
        storage = load_config(sweep_file(url)).sweep.tune.storage
        assert storage == "postgresql://me:***@h/d"
        assert passwords._kept[storage] == url


@pytest.mark.fault("password in the sweep file")
def test_no_face_of_a_configuration_shows_it(file, fault):
    config = load_config(file)
    with fault.once():
        assert config.sweep.tune.storage == HIDDEN
        faces = [repr(config), str(config), repr(config.sweep.tune), dump_yaml(config), config.model_dump_json()]
        assert not [face for face in faces if SECRET in face]
        assert holds_password(config.sweep.tune.storage)
        assert whole(config.sweep.tune.storage, "x") == URL
        assert whole(load_config(config, {"sweep.seeds": 2}).sweep.tune.storage, "x") == URL


@pytest.mark.fault("password in the sweep file")
@pytest.mark.parametrize(
    "arguments",
    [
        ("render",),
        ("validate",),
        ("validate", "--set", f"sweep.tune.storage=POSTGRES://me:{SECRET}@h/d"),
        ("validate", "--set", f"data.source=https://me:{SECRET}@h/x.csv"),
        ("validate", "--set", f"model.encoder=https://me:{SECRET}@h/x"),
        ("validate", "--set", f"data.{SECRET}://me:{SECRET}@h=1"),
        ("sweep", "--set", f"data.source=https://h/x.csv?token={SECRET}"),
        pytest.param(
            ("sweep", "--address", f"ray://me:{SECRET}@h:10001"), marks=[pytest.mark.long, pytest.mark.slow]
        ),  # waits for it
        ("plan", "--no-probe", "--set", f"selection.signals=['https://me:{SECRET}@h']"),
    ],
)
def test_no_command_prints_it(arguments, file, fault):
    command, *more = arguments
    with fault.once():
        done = run(command, file, *more)
        assert SECRET not in done.said, done.said
        assert done.said.strip()


@pytest.mark.fault("password in the sweep file")
def test_the_command_to_continue_with_hides_it(file, monkeypatch, capsys, fault):
    from raybert.terminal.console import echo

    monkeypatch.setattr("sys.argv", ["raybert", "sweep", str(file), "--set", f"sweep.tune.storage={URL}"])
    with fault.once():
        echo(f"continue with:  {command_again()}")
        shown = capsys.readouterr().out
        assert SECRET not in shown
        assert "***" in shown


@pytest.mark.fault("password in the sweep file")
def test_an_error_of_the_database_does_not_show_it(tmp_path, fault, monkeypatch):
    config = load_config(sweep_file(URL))

    def refuse(url, **_):
        assert url == URL
        raise ValueError(f"could not connect to {url}: {SECRET} is wrong")

    monkeypatch.setattr("raybert.sweeping.search.storage.RDBStorage", refuse)
    with fault.once(), pytest.raises(SweepError) as caught, open_storage(config.sweep.tune, tmp_path):
        pass
    assert str(caught.value).startswith(f"{HIDDEN}: cannot be opened")


@pytest.mark.fault("password in an error of a trial")
def test_failures_are_written_without_it(tmp_path, fault):
    trial = TrialFolder(tmp_path / "trial")
    with fault.once():
        trial.fail(f"OperationalError: cannot reach {URL}\n\nTraceback: {URL}")
        written = "".join(path.read_text() for path in trial.path.iterdir())
        assert SECRET not in written
        assert trial.failure().message == f"OperationalError: cannot reach {HIDDEN}"


@pytest.mark.fault("password from the environment")
def test_a_variable_stands_for_it(monkeypatch, fault):
    with fault.once():
        monkeypatch.setenv("PGPASSWORD", "p@ss/w:rd 1")
        config = load_config(sweep_file("postgresql://me:${PGPASSWORD}@h/d?sslmode=${MODE}"))
        storage = config.sweep.tune.storage
        assert storage == "postgresql://me:${PGPASSWORD}@h/d?sslmode=${MODE}"
        assert storage in dump_yaml(config)
        assert not holds_password(storage)
        with pytest.raises(
            ConfigError, match=r"^sweep\.tune\.storage: needs the environment variable MODE, which is not set$"
        ):
            whole(storage, "sweep.tune.storage")
        monkeypatch.setenv("MODE", "require")
        assert whole(storage, "x") == "postgresql://me:p%40ss%2Fw%3Ard%201@h/d?sslmode=require"
        assert hide("no such user: p@ss/w:rd 1") == "no such user: ***"
        monkeypatch.setenv("STORE", "postgresql://a:b-c-d@h:1/d")
        whole_one = load_config(sweep_file("${STORE}")).sweep.tune
        assert whole_one.in_database
        assert whole(whole_one.storage, "x") == "postgresql://a:b-c-d@h:1/d"
        assert study_name(load_config(sweep_file("${STORE}")), "random") == "secret: random"


@pytest.mark.fault("password from the environment")
def test_a_database_is_opened_with_what_the_variable_says(tmp_path, monkeypatch, fault):
    monkeypatch.setenv("PLACE", str(tmp_path / "x.db"))
    config = load_config(sweep_file("sqlite:///${PLACE}"))
    with fault.once(), open_storage(config.sweep.tune, tmp_path) as storage:
        assert storage.get_all_studies() == []
    assert (tmp_path / "x.db").is_file()


@pytest.mark.fault("sweep is continued")
def test_another_password_is_the_same_sweep_and_a_copy_says_what_it_lacks(file, tmp_path, monkeypatch, fault):
    config = load_config(file)
    (tmp_path / "resolved.yaml").write_text(dump_yaml(config))
    old = load_stored_config(tmp_path / "resolved.yaml")
    with fault.once():
        for storage in (
            "postgresql://me:another-one@db.example:5432/studies",
            "postgresql://me:${PG}@db.example:5432/studies",
        ):
            check_extension(old, read_design(load_config(sweep_file(storage))))
        with pytest.raises(SweepError, match="sweep.tune.storage was"):
            check_extension(old, read_design(load_config(sweep_file("postgresql://me:x@elsewhere/studies"))))
        monkeypatch.setattr(passwords, "_kept", {})  # another process
        with pytest.raises(
            ConfigError, match=r"^sweep\.tune\.storage: its password is hidden here \(\*\*\*\), as in every copy"
        ):
            whole(old.sweep.tune.storage, "sweep.tune.storage")


@pytest.mark.fault("password in the results folder")
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_what_may_hold_a_password_is_readable_by_its_owner_alone(umask, tmp_path, fault):
    before = os.umask(umask)
    try:
        with fault.once():
            path = tmp_path / "sweep.yaml"
            path.write_text("open to all before")
            write_private_text(path, "text\n")
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert path.read_text() == "text\n"
    finally:
        os.umask(before)


@pytest.mark.fault("password in the results folder")
@pytest.mark.parametrize(("storage", "mode"), [(URL, 0o600), ("postgresql://me:${PG}@h/d", 0o644), ("sqlite", 0o644)])
def test_a_results_folder_has_no_password_in_it(storage, mode, tmp_path, prepared, fault):
    from raybert.sweeping.folder.layout import SweepFolder
    from raybert.sweeping.phases.head import write_head
    from raybert.sweeping.phases.opening import OpenSweep
    from raybert.sweeping.phases.prepare import facts_of_pools
    from raybert.sweeping.plan.comparison import plan_sweep
    from raybert.sweeping.runner import _password_notes

    design = read_design(load_config(sweep_file(storage)))
    ready = {design.variants[0].data_key: prepared}
    plan = plan_sweep(design, facts_of_pools(ready))
    text = f"# {URL}\n" + yaml.safe_dump(sweep_file(storage))
    with fault.once():
        write_head(OpenSweep(SweepFolder(tmp_path), design, plan, ready, None, None, ()), text, None)
        for path in tmp_path.rglob("*"):
            assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
        assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("sweep.yaml", "resolved.yaml")} == {mode}
        assert [line for line in _password_notes(design) if "write ${NAME} in its place" in line] == (
            _password_notes(design) if storage == URL else []
        )
        assert len(_password_notes(design)) == (storage == URL)


@pytest.mark.fault("password in a git remote or the environment")
def test_the_manifest_has_nothing_of_remotes_and_environment(tmp_path, monkeypatch, fault):
    monkeypatch.chdir(tmp_path)
    commit = ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
    remote = ("remote", "add", "origin", f"https://me:{SECRET}@git.example/repository.git")
    for command in (("init", "-q"), commit, remote):
        subprocess.run(["git", *command], check=True)
    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "WANDB_API_KEY", "PGPASSWORD"):
        monkeypatch.setenv(name, SECRET)
    with fault.once():
        found = describe_run(None)
        assert found["git"]
        assert SECRET not in json.dumps(found)
        assert "git.example" not in json.dumps(found)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.fault("foreign results name a database")
def test_reading_results_asks_no_database_that_they_name(foreign, monkeypatch, fault, no_pixels):
    resolved = foreign / "resolved.yaml"
    document = yaml.safe_load(resolved.read_text())
    document["sweep"]["tune"]["storage"] = "postgresql://evil.example/${HOME}"
    resolved.write_text(yaml.safe_dump(document))
    asked = []
    monkeypatch.setattr("optuna.storages.RDBStorage", lambda url, **_: asked.append(url))
    with fault.once():
        results = commands.report(foreign)
        assert results.search is None
        assert any(
            "in a database that this folder names (postgresql://evil.example/${HOME})" in note for note in results.notes
        )
        assert run("status", foreign).code == 0
        assert asked == []
