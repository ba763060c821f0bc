"""Object stores: where a URL leads, and small operations on objects that are tried again and end in one line."""

from raybert.storage.place import check_local, check_url, is_url, url_of
from raybert.storage.store import Found, Objects, Store, open_store

__all__ = [
    "Found",
    "Objects",
    "Store",
    "check_local",
    "check_url",
    "is_url",
    "open_store",
    "url_of",
]
