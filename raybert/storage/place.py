"""URLs of object stores, as `--output` and the arguments of other commands name results folders there."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from raybert.errors import ConfigError

SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss")
"""What pyarrow opens: Amazon S3 and all that speak like it, Google Cloud Storage, Azure."""
_URL = re.compile(rf"(?P<scheme>{'|'.join(SCHEMES)}):/{{1,2}}(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_OTHER = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/{1,2}")
_OPTIONS = ("region", "scheme", "endpoint_override")
_REMEDY = (
    "credentials come from the environment (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, ~/.aws, a role of the machine)"
)


def is_url(place: str | Path) -> bool:
    """Tell whether a place is in an object store; a `Path` has lost one of the two slashes of its URL."""
    return _URL.match(str(place)) is not None


def url_of(place: str | Path) -> str:
    """Return the URL of a place for which `is_url` holds, in one form: without a slash at the end."""
    match = _URL.match(str(place))
    assert match is not None, place
    path, question, query = match["rest"].partition("?")
    path = re.sub(r"/+", "/", path).strip("/")
    return f"{match['scheme'].lower()}://{path}{question}{query}"


def check_url(place: str | Path, what: str = "output") -> str:
    """Return the URL of a place in an object store, checked without asking the store.

    Args:
        place: for which `is_url` holds.
        what: names it, for the error.

    Raises:
        ConfigError: it has credentials, no folder in the bucket, or options that are none.
    """
    url = url_of(place)
    parts = urlsplit(url)
    if "@" in parts.netloc and parts.scheme in ("s3", "gs", "gcs"):
        raise ConfigError(f"{what}: must be a URL without credentials, got some; {_REMEDY}")
    options = parse_qs(parts.query, keep_blank_values=True)
    unknown = sorted(set(options) - set(_OPTIONS))
    if unknown:
        raise ConfigError(
            f"{what}: may have the options {', '.join(_OPTIONS)}, got {', '.join(unknown)}; leave it out: {_REMEDY}"
        )
    if not parts.netloc or not parts.path.strip("/"):
        raise ConfigError(f"{what}: must name a bucket and a folder in it (s3://bucket/runs/imdb), got {url}")
    if any(part in ("", ".", "..") for part in parts.path.strip("/").split("/")):
        raise ConfigError(f"{what}: must name a folder without `.` and `..`, got {url}")
    return url


def check_local(place: str | Path, what: str, remedy: str) -> None:
    """Refuse a URL where only a path will do; without this it would be taken for a folder called `s3:`.

    Raises:
        ConfigError: it is one.
    """
    match = _OTHER.match(str(place))
    if match is not None:
        raise ConfigError(f"{what}: must be a path here, got the URL {_with_slashes(str(place), match)}; {remedy}")


def _with_slashes(place: str, match: re.Match[str]) -> str:
    return f"{match['scheme']}://{place[match.end() :]}"
