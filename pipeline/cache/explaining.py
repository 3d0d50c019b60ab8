"""What an entry was made from, and what two entries do not have in common; found by the first digits of a key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.cache.entries import Watch, unwatched
from pipeline.cache.receipt import ReceiptDamaged, receipt_from_bytes
from pipeline.errors import CacheError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.cache.receipt import Receipt
    from pipeline.cache.store import Store
    from pipeline.digest import Digest
    from pipeline.keys import Difference

SHORTEST_PREFIX = 6
_HEX = re.compile(rf"[0-9a-f]{{{SHORTEST_PREFIX},64}}")
_SHOWN_MATCHES = 5
_SHOWN_DIGITS = 16
_NEAR_DIGITS = 4
"""A key that begins with as many of the digits asked for is worth naming where none begins with all of them."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One receipt, or two with the ingredients that lead from the first to the second."""

    receipts: tuple[Receipt, ...]
    differences: tuple[Difference, ...]


def explain(store: Store, prefixes: Sequence[str], *, watch: Watch = unwatched) -> Explanation:
    """Explain one key or compare two, each given as a digest or its first digits.

    Names are listed once, and only the receipts asked for are read. Raises ``SettingsError`` for digits that are too
    few, unknown or ambiguous, ``CacheError`` for a receipt that is damaged, ``StoreFailed``.
    """
    wanted = [_digits(text) for text in prefixes]
    found = _Found(wanted)
    for kind, key, _ in watch("listing receipts", store.receipts()):
        found.consider(kind, key)
    receipts = tuple(_receipt(store, *found.only(prefix)) for prefix in wanted)
    return Explanation(receipts, receipts[1].key.differences(receipts[0].key) if len(receipts) == 2 else ())


class _Found:
    """The keys that begin with each prefix, some of them, and how many; and the key nearest to a prefix."""

    def __init__(self, prefixes: Sequence[str]) -> None:
        self._matches: dict[str, list[tuple[str, Digest]]] = {prefix: [] for prefix in prefixes}
        self._counts = dict.fromkeys(prefixes, 0)
        self._nearest: dict[str, tuple[int, str, str]] = dict.fromkeys(prefixes, (0, "", ""))

    def consider(self, kind: str, key: Digest) -> None:
        for prefix, matches in self._matches.items():
            if key.hex.startswith(prefix):
                self._counts[prefix] += 1
                if len(matches) < _SHOWN_MATCHES:
                    matches.append((kind, key))
            elif not matches:
                common = next(number for number, digit in enumerate(prefix) if digit != key.hex[number])
                self._nearest[prefix] = max(self._nearest[prefix], (common, key.hex, kind))

    def only(self, prefix: str) -> tuple[str, Digest]:
        matches, count = self._matches[prefix], self._counts[prefix]
        if count == 1:
            return matches[0]
        if count > 1:
            named = ", ".join(f"{kind} {key.hex[:_SHOWN_DIGITS]}" for kind, key in matches)
            more = f" and {count - len(matches)} more" if count > len(matches) else ""
            raise SettingsError(f"{count} keys begin with {prefix}", why=f"{named}{more}", fix="give more digits")
        common, digits, kind = self._nearest[prefix]
        near = f"did you mean {digits[: max(len(prefix), _SHOWN_DIGITS)]} ({kind})? " if common >= _NEAR_DIGITS else ""
        raise SettingsError(f"no key begins with {prefix}", fix=f"{near}`cache list` shows the first digits of each")


def _digits(text: str) -> str:
    digits = text.strip().lower().removeprefix("sha256:")
    if not _HEX.fullmatch(digits):
        raise SettingsError(
            f"{text!r} is no key",
            why=f"a key is {SHORTEST_PREFIX} to 64 hexadecimal digits",
            fix="`cache list` shows the first digits of each",
        )
    return digits


def _receipt(store: Store, kind: str, key: Digest) -> Receipt:
    try:
        data = store.get_receipt(kind, key)
        if data is not None:
            return receipt_from_bytes(data, kind=kind, stored_as=key)
    except ReceiptDamaged as damage:
        raise CacheError(
            f"{kind} {key.hex[:_SHOWN_DIGITS]} cannot be explained",
            why=damage.reason,
            fix="remove it with `cache prune`",
        ) from damage
    raise SettingsError(f"{kind} {key.hex[:_SHOWN_DIGITS]} is gone", why="another run removed it", fix="list anew")
