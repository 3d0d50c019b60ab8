"""``cache verify``: reads every byte and says which entries are damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cache.blob_set import BlobSet
from pipeline.cache.verifying import find_orphans, verify_entries
from pipeline.cache_commands.call import json_from_entry, print_entry
from pipeline.errors import CacheError
from pipeline.publish.json_output import print_json

if TYPE_CHECKING:
    from pipeline.cache_commands.call import Call


def verify_cache(call: Call) -> int:
    """Print the damaged entries; returns 9 where there are any."""
    count, named, damaged = 0, BlobSet(), []
    for entry in call.watch("reading entries", verify_entries(call.store, now_s=call.now_s)):
        count += 1
        named.add(entry.blobs)
        if entry.damage:
            damaged.append(entry)
    orphans = call.watch("listing blobs", find_orphans(call.store, named, now_s=call.now_s))
    if call.as_json:
        print_json(
            {
                "entries": count,
                "damaged": [json_from_entry(entry) for entry in damaged],
                "orphans": [str(orphan.digest) for orphan in orphans],
            }
        )
        return CacheError.exit_code if damaged else 0
    orphan_count = sum(1 for _ in orphans)
    for entry in damaged:
        print_entry(entry)
    print(f"{count} entries read, {len(damaged)} damaged, {orphan_count} blobs that no entry names")
    if damaged:
        print("the next run makes them anew; `cache prune --damaged --yes` removes them now")
    return CacheError.exit_code if damaged else 0
