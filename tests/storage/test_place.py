"""URLs of object stores: which are taken, and what is said of the others."""

from pathlib import Path

import pytest

from raybert.errors import ConfigError
from raybert.storage import check_local, check_url, is_url, url_of


@pytest.mark.parametrize(
    ("place", "url"),
    [
        ("s3://bucket/runs/imdb/", "s3://bucket/runs/imdb"),
        (Path("s3://bucket/runs/imdb"), "s3://bucket/runs/imdb"),
        ("S3://bucket//runs/imdb", "s3://bucket/runs/imdb"),
        ("gs://bucket/x", "gs://bucket/x"),
        ("s3://bucket/x?region=eu-west-1", "s3://bucket/x?region=eu-west-1"),
        (
            "s3://bucket/x?endpoint_override=127.0.0.1:9&scheme=http",
            "s3://bucket/x?endpoint_override=127.0.0.1:9&scheme=http",
        ),
    ],
)
def test_a_url_has_one_form_also_as_a_path_that_has_lost_a_slash(place, url):
    assert is_url(place)
    assert url_of(place) == check_url(place) == url


@pytest.mark.parametrize("place", ["runs/imdb", "/shared/runs", "./s3", "s3", "C:/runs", "runs/s3:/x"])
def test_a_path_is_none(place):
    assert not is_url(place)
    check_local(place, "output", "")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://key:secret@bucket/x", "without credentials"),
        ("s3://key@bucket/x", "without credentials"),
        ("s3://bucket/x?access_key=abcd&secret_key=efgh", r"may have the options .* got access_key, secret_key"),
        ("s3://bucket", "must name a bucket and a folder in it"),
        ("s3://bucket/", "must name a bucket and a folder in it"),
        ("s3://bucket/x/../y", "without `.` and `..`"),
    ],
)
def test_a_url_that_cannot_be_is_refused_in_one_line_without_its_secret(url, words):
    with pytest.raises(ConfigError, match=f"^output: .*{words}") as refused:
        check_url(url)
    assert "secret@" not in str(refused.value)
    assert "efgh" not in str(refused.value)


@pytest.mark.parametrize("url", ["s3://bucket/x.csv", "https://example.org/x", Path("hdfs://host/x")])
def test_a_url_where_a_path_is_needed_is_refused(url):
    with pytest.raises(ConfigError, match=r"^output: must be a path here, got the URL [a-z0-9]+://.*; use a path"):
        check_local(url, "output", "use a path")
