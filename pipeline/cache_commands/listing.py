"""``cache list``: every entry, as soon as it was read."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pipeline.cache.entries import read_entries
from pipeline.cache_commands.call import MIB, json_from_entry, print_entry
from pipeline.publish.json_output import print_json_array

if TYPE_CHECKING:
    from pipeline.cache_commands.call import Call


def list_cache(call: Call) -> int:
    """Print the entries in the order of the store: by kind, then by key."""
    entries = read_entries(call.store, now_s=call.now_s)
    if not sys.stdout.isatty():  # Where somebody watches them come, they show well enough how far it is.
        entries = call.watch("reading receipts", entries)
    if call.as_json:
        print_json_array(map(json_from_entry, entries))
        return 0
    count = size_bytes = 0
    for entry in entries:
        print_entry(entry)
        count += 1
        size_bytes += entry.size_bytes
    print(f"{count} entries, {size_bytes / MIB:.1f} MiB")
    return 0
