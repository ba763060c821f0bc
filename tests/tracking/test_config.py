"""The section `track`: what it refuses, and that nothing depends on it."""

import os

import pytest

from raybert.config import load_config
from raybert.config.packages import check_trackers
from raybert.errors import ConfigError
from raybert.tracking import credentials
from raybert.tracking.libraries import make_tracker
from raybert.tracking.makers import place_of


@pytest.mark.parametrize(
    ("track", "message"),
    [
        ({"neptune": {}}, "track.neptune"),
        ({"mlflow": {"url": "x"}}, "track.mlflow.url"),
        ({"mlflow": {"uri": "https://me:secret@host"}}, r"track.mlflow.uri: must not hold a password .*\$\{NAME\}"),
        ({"trackio": {"server": "https://host/?write_token=secret"}}, "track.trackio.server: must not hold a password"),
        ({"wandb": {"mode": "dryrun"}}, "track.wandb.mode"),
    ],
)
def test_what_cannot_be_is_refused_without_the_secret(track, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_config({"track": track})
    assert "secret" not in str(caught.value)


def test_a_missing_package_is_refused_with_what_installs_it(monkeypatch):
    monkeypatch.setattr("raybert.config.packages.find_spec", lambda name: None)
    track = load_config({"track": {"wandb": {}, "clearml": None}}).track
    with pytest.raises(ConfigError, match=r"^track.wandb: needs the package wandb; `pip install raybert\[wandb\]`"):
        check_trackers(track)


def test_a_variable_that_is_not_set_is_refused_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr("raybert.config.packages.find_spec", lambda name: object())
    monkeypatch.delenv("MY_MLFLOW", raising=False)
    track = load_config({"track": {"mlflow": {"uri": "https://${MY_MLFLOW}/"}}}).track
    with pytest.raises(ConfigError, match="track.mlflow.uri: needs the environment variable MY_MLFLOW"):
        check_trackers(track)


def test_a_place_is_known_without_its_credentials(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:secret@host/path?token=secret")
    track = load_config({"track": {"mlflow": {"experiment": "mine"}, "clearml": {"offline": True}}}).track
    assert [place_of(config) for _, config in track.asked_for()] == ["https://host/path mine", "offline raybert"]


def test_credentials_of_the_environment_are_hidden_wherever_something_is_said(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    credentials.remember_credentials()
    assert str(ConfigError(f"said {os.environ['WANDB_API_KEY']}")) == "said ***"


def test_a_package_that_is_not_whole_is_said_like_one_that_is_missing(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.delitem(sys.modules, "raybert.tracking.to_mlflow", raising=False)
    ((name, config),) = load_config({"track": {"mlflow": {}}}).track.asked_for()
    with pytest.raises(ConfigError, match="track.mlflow: needs the package mlflow"):
        make_tracker(name, config, tmp_path)
