"""``cache ACTION``: opens the cache, shows progress, turns a failure of the store into an exit code."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

from pipeline.cache.store import StoreFailed
from pipeline.cache_commands.call import Call
from pipeline.cache_commands.explaining import explain_keys
from pipeline.cache_commands.listing import list_cache
from pipeline.cache_commands.pruning import prune_cache
from pipeline.cache_commands.statistics import show_statistics
from pipeline.cache_commands.verifying import verify_cache
from pipeline.errors import CacheError, SettingsError
from pipeline.publish.counting import Counting
from pipeline.publish.progress import Progress
from pipeline.stores import store_from_settings

if TYPE_CHECKING:
    import argparse

    from pipeline.settings import Settings

_ACTIONS = {
    "list": list_cache,
    "stats": show_statistics,
    "explain": explain_keys,
    "verify": verify_cache,
    "prune": prune_cache,
}


def run_cache_command(settings: Settings, options: argparse.Namespace) -> int:
    """Carry out ``options.action`` on the cache of ``settings``; results on stdout, progress on stderr.

    Returns 9 where ``verify`` found damage. Raises ``SettingsError`` without a cache, ``CacheError`` where it cannot
    be read.
    """
    cancel = threading.Event()
    place, store = settings.cache, store_from_settings(settings, cancel, upkeep=True)
    if place is None or store is None:
        raise SettingsError("there is no cache to look after", fix="name one with --cache FOLDER")
    if place.bucket is None and place.folder is not None and not place.folder.is_dir():
        raise SettingsError(f"{place.folder} is no cache folder", fix="name the folder that `run --cache` was given")
    try:
        with Progress(sys.stderr) as progress:
            call = Call(store=store, options=options, now_s=time.time(), watch=Counting(progress))
            return _ACTIONS[options.action](call)
    except StoreFailed as failure:
        fix = failure.fix or "check its permissions"
        raise CacheError(f"the cache {store} failed", why=failure.reason, fix=fix) from failure
    finally:
        cancel.set()  # Whatever was begun ahead ends before its next request.
