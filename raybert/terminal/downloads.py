"""What of a sweep file is on this machine, what was fetched, and what could not be."""

from __future__ import annotations

from raybert.sweeping.downloads import Download, Downloads
from raybert.terminal.console import Console, say

_WORDS = {
    "built-in": "built in, nothing to fetch",
    "local": "local, nothing to fetch",
    "found": "found, nothing to fetch",
    "fetched": "fetched",
    "missing": "not fetched",
}


def print_download(download: Download) -> None:
    """Print a line about one data set or model, as soon as it is there or is known not to come."""
    size = "" if download.size_bytes is None else f", {download.size_bytes / 2**20:,.1f} MiB"
    place = f" in {download.place}" if download.place else ""
    problem = f": {download.problem}" if download.problem else ""
    say(Console(), f"{download.key} '{download.name}': {_WORDS[download.status]}{size}{place}{problem}")


def print_downloads(downloads: Downloads) -> None:
    """Print what all of it comes to, and what to do next."""
    console = Console()
    count, missing = len(downloads.items), len(downloads.missing)
    if missing:
        say(console, f"{missing} of {count} are not on this machine; {downloads.remedy}")
        return
    total = sum(item.size_bytes or 0 for item in downloads.items)
    size = f"{total / 2**20:,.1f} MiB"
    say(console, f"all {count} are on this machine ({size}); HF_HUB_OFFLINE=1 forbids the network from here on")
