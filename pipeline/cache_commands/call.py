"""What every action of the ``cache`` command is given, and how it shows an entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.publish.escape import one_line

if TYPE_CHECKING:
    import argparse

    from pipeline.cache.entries import Entry, Watch
    from pipeline.cache.store import Store

DAY_S = 86400.0
MIB = 1 << 20
KEY_DIGITS = 12
"""How many digits of a key are shown; enough to name it to ``cache explain``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of the command. ``now_s`` is seconds since the epoch, ``watch`` shows how far a count has come."""

    store: Store
    options: argparse.Namespace
    now_s: float
    watch: Watch

    @property
    def as_json(self) -> bool:
        """Whether a program reads the result."""
        return bool(self.options.json)


def print_entry(entry: Entry) -> None:
    """One line about an entry."""
    subject = one_line(entry.subject) if entry.subject else "?"
    damage = f"  DAMAGED: {one_line(entry.damage)}" if entry.damage else ""
    size, age = f"{entry.size_bytes / MIB:9.2f} MiB", f"{entry.age_s / DAY_S:.1f} d"
    print(f"{entry.kind:12} {entry.key.hex[:KEY_DIGITS]}  {size} {age:>9}  {subject}{damage}")


def json_from_entry(entry: Entry) -> dict[str, Any]:
    """An entry for a program; what a damaged receipt does not say is ``None``."""
    return {
        "kind": entry.kind,
        "key": str(entry.key),
        "subject": entry.subject or None,
        "created": entry.created or None,
        "duration_s": entry.duration_s,
        "size_bytes": entry.size_bytes,
        "age_s": round(entry.age_s, 1),
        "damage": entry.damage,
    }
