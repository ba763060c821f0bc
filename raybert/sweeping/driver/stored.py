"""The results folders below a URL, and how each stands."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from raybert.errors import SweepError
from raybert.storage import check_url
from raybert.sweeping.driver.listing import ListedSweep, find_sweeps
from raybert.sweeping.storage.copy import Needs, copied, results_folders


def find_stored(place: str | Path) -> list[ListedSweep]:
    """Return the results folders in a folder of an object store, or the folder itself if it is one, by their URLs.

    Raises:
        SweepError: there is no such folder.
    """
    urls = results_folders(place)
    if not urls:
        raise SweepError(
            f"{check_url(place, 'folder')}: must be a folder with results folders in it, but none is there; give one"
        )
    return [_look(url) for url in urls]


def _look(url: str) -> ListedSweep:
    with copied(url, Needs.STATUS, is_followed=True) as folder:
        found = find_sweeps(folder)
        return replace(found[0], folder=folder) if found else ListedSweep(folder, folder.name, "unreadable", None, {})
