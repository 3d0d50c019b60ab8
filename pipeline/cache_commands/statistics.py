"""``cache stats``: what the cache holds and saves, and what lies in it without use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.cache.statistics import statistics
from pipeline.publish.figures import duration_text, size_text
from pipeline.publish.json_output import print_json

if TYPE_CHECKING:
    from pipeline.cache.statistics import KindStatistics, Statistics
    from pipeline.cache_commands.call import Call


def show_statistics(call: Call) -> int:
    """Print one line for each kind, and the sums."""
    found = statistics(call.store, now_s=call.now_s, watch=call.watch)
    if call.as_json:
        print_json(_json_from_statistics(found))
    else:
        _print(found)
    return 0


def _print(found: Statistics) -> None:
    print(f"{'kind':12} {'entries':>8} {'blobs':>8} {'size':>10} {'made in':>12}  made between")
    for kind in found.kinds:
        size = size_text(kind.size_bytes)
        made_in = duration_text(kind.made_in_s) if kind.timed else "-"
        between = f"{kind.oldest} and {kind.newest}" if kind.oldest else "-"
        damaged = f"  {kind.damaged} DAMAGED" if kind.damaged else ""
        print(f"{kind.kind:12} {kind.entries:8} {kind.blobs:8} {size:>10} {made_in:>12}  {between}{damaged}")
    entries = sum(kind.entries for kind in found.kinds)
    saved = duration_text(sum(kind.made_in_s for kind in found.kinds))
    print(f"{entries} entries, {size_text(found.size_bytes)}; a run that finds all of them saves {saved}")
    print(f"{found.shared_blobs} blobs are shared, which saves {size_text(found.shared_saved_bytes)}")
    in_use = f" ({found.unreachable_in_use} of them new)" if found.unreachable_in_use else ""
    print(f"{found.unreachable_blobs} blobs{in_use} that no entry names, {size_text(found.unreachable_bytes)}")
    length = "" if found.dead_bytes is None else f", {size_text(found.dead_bytes)}"
    print(f"{found.dead_uploads} dead uploads{length}")


def _json_from_statistics(found: Statistics) -> dict[str, Any]:
    return {
        "kinds": [_json_from_kind(kind) for kind in found.kinds],
        "entries": sum(kind.entries for kind in found.kinds),
        "size_bytes": found.size_bytes,
        "made_in_s": round(sum(kind.made_in_s for kind in found.kinds), 3),
        "shared": {"blobs": found.shared_blobs, "saved_bytes": found.shared_saved_bytes},
        "unreachable": {
            "blobs": found.unreachable_blobs,
            "size_bytes": found.unreachable_bytes,
            "new": found.unreachable_in_use,
        },
        "dead_uploads": {"count": found.dead_uploads, "size_bytes": found.dead_bytes},
    }


def _json_from_kind(kind: KindStatistics) -> dict[str, Any]:
    return {
        "kind": kind.kind,
        "entries": kind.entries,
        "damaged": kind.damaged,
        "blobs": kind.blobs,
        "receipts_bytes": kind.receipts_bytes,
        "blobs_bytes": kind.blobs_bytes,
        "made_in_s": round(kind.made_in_s, 3),
        "oldest": kind.oldest or None,
        "newest": kind.newest or None,
        "unused_s": round(kind.unused_s, 1),
    }
