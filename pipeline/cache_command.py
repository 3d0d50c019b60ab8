"""``cache list``, ``cache verify`` and ``cache prune``."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from pipeline.cache.store import StoreFailed
from pipeline.cache.upkeep import list_entries, prune, verify_entries
from pipeline.errors import CacheError, SettingsError
from pipeline.publish.escape import one_line
from pipeline.publish.json_output import print_json
from pipeline.run import store_from_settings

if TYPE_CHECKING:
    import argparse

    from pipeline.cache.store import Store
    from pipeline.cache.upkeep import Entry
    from pipeline.settings import Settings

_DAY_S = 86400.0
_MIB = 1 << 20


def run_cache_command(settings: Settings, options: argparse.Namespace) -> int:
    """Carry out ``options.action`` on the cache of ``settings``.

    Returns 9 where ``verify`` found damage. Raises ``SettingsError`` without a cache, ``CacheError`` where it cannot
    be read.
    """
    place, store = settings.cache, store_from_settings(settings, threading.Event(), upkeep=True)
    if place is None or store is None:
        raise SettingsError("there is no cache to look after", fix="name one with --cache FOLDER")
    if place.bucket is None and place.folder is not None and not place.folder.is_dir():
        raise SettingsError(f"{place.folder} is no cache folder", fix="name the folder that `run --cache` was given")
    actions = {"list": _list, "verify": _verify, "prune": _prune}
    try:
        return actions[options.action](store, options)
    except StoreFailed as failure:
        fix = failure.fix or "check its permissions"
        raise CacheError(f"the cache {store} failed", why=failure.reason, fix=fix) from failure


def _list(store: Store, options: argparse.Namespace) -> int:
    entries = list_entries(store, now_s=time.time())
    if options.json:
        print_json([_json_from_entry(entry) for entry in entries])
    else:
        _print_entries(entries)
        print(f"{len(entries)} entries, {sum(entry.size_bytes for entry in entries) / _MIB:.1f} MiB")
    return 0


def _verify(store: Store, options: argparse.Namespace) -> int:
    verified = verify_entries(store, now_s=time.time())
    if options.json:
        print_json(
            {
                "entries": len(verified.entries),
                "damaged": [_json_from_entry(entry) for entry in verified.damaged],
                "orphans": [str(orphan.digest) for orphan in verified.orphans],
            }
        )
    else:
        _print_entries(verified.damaged)
        print(
            f"{len(verified.entries)} entries read, {len(verified.damaged)} damaged, "
            f"{len(verified.orphans)} blobs that no entry names"
        )
        if verified.damaged:
            print("the next run makes them anew; `cache prune --yes` removes them now")
    return CacheError.exit_code if verified.damaged else 0


def _prune(store: Store, options: argparse.Namespace) -> int:
    pruned = prune(
        store,
        now_s=time.time(),
        older_than_s=None if options.older_than_days is None else options.older_than_days * _DAY_S,
        keep_bytes=None if options.keep_mib is None else int(options.keep_mib * _MIB),
        damaged=True,
        dry_run=not options.yes,
    )
    if options.json:
        print_json(
            {
                "dry_run": pruned.dry_run,
                "entries": [_json_from_entry(entry) for entry in pruned.entries],
                "blobs": [str(digest) for digest in pruned.blobs],
                "freed_bytes": pruned.freed_bytes,
                "kept_bytes": pruned.kept_bytes,
                "kept_young": pruned.kept_young,
            }
        )
        return 0
    _print_entries(pruned.entries)
    done = "would remove" if pruned.dry_run else "removed"
    print(
        f"{done} {len(pruned.entries)} entries and {len(pruned.blobs)} blobs, {pruned.freed_bytes / _MIB:.1f} MiB; "
        f"{pruned.kept_bytes / _MIB:.1f} MiB stay"
    )
    if pruned.kept_young:
        print(f"{pruned.kept_young} more were used within the last hour and stay for the run that may need them")
    if pruned.dry_run:
        print("nothing was removed: add --yes to do it")
    return 0


def _print_entries(entries: tuple[Entry, ...]) -> None:
    for entry in entries:
        subject = one_line(entry.receipt.subject) if entry.receipt else "?"
        damage = f"  DAMAGED: {one_line(entry.damage)}" if entry.damage else ""
        age = f"{entry.age_s / _DAY_S:.1f} d"
        print(f"{entry.kind:12} {entry.key.hex[:12]}  {entry.size_bytes / _MIB:9.2f} MiB {age:>9}  {subject}{damage}")


def _json_from_entry(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.kind,
        "key": str(entry.key),
        "subject": entry.receipt.subject if entry.receipt else None,
        "created": entry.receipt.created if entry.receipt else None,
        "duration_s": entry.receipt.duration_s if entry.receipt else None,
        "size_bytes": entry.size_bytes,
        "age_s": round(entry.age_s, 1),
        "damage": entry.damage,
    }
