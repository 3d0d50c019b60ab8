"""``cache prune``: removes what is old, too much, unreachable or damaged, or says what would go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cache.pruning import GRACE_S, prune
from pipeline.cache_commands.call import DAY_S, MIB, json_from_entry, print_entry
from pipeline.publish.figures import duration_text
from pipeline.publish.json_output import print_json

if TYPE_CHECKING:
    from pipeline.cache.pruning import Pruned
    from pipeline.cache_commands.call import Call


def prune_cache(call: Call) -> int:
    """Prune, or say what would go where ``--yes`` is not given."""
    options = call.options
    pruned = prune(
        call.store,
        now_s=call.now_s,
        older_than_s=None if options.older_than_days is None else options.older_than_days * DAY_S,
        keep_bytes=None if options.keep_mib is None else int(options.keep_mib * MIB),
        damaged=options.damaged,
        dry_run=not options.yes,
        watch=call.watch,
    )
    if call.as_json:
        print_json(
            {
                "dry_run": pruned.dry_run,
                "entries": [json_from_entry(entry) for entry in pruned.entries],
                "blobs": [str(digest) for digest in pruned.blobs],
                "freed_bytes": pruned.freed_bytes,
                "kept_bytes": pruned.kept_bytes,
                "kept_young": pruned.kept_young,
            }
        )
    else:
        _print(pruned, GRACE_S + call.store.use_lag_s)
    return 0


def _print(pruned: Pruned, spared_s: float) -> None:
    for entry in pruned.entries:
        print_entry(entry)
    done = "would remove" if pruned.dry_run else "removed"
    print(
        f"{done} {len(pruned.entries)} entries and {len(pruned.blobs)} blobs, {pruned.freed_bytes / MIB:.1f} MiB; "
        f"{pruned.kept_bytes / MIB:.1f} MiB stay"
    )
    if pruned.kept_young:
        print(
            f"{pruned.kept_young} more were used within the last {duration_text(spared_s)} "
            "and stay for the run that may need them"
        )
    if pruned.dry_run:
        print("nothing was removed: add --yes to do it")
