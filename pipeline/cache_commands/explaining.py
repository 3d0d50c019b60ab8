"""``cache explain KEY [KEY]``: what an entry was made from, or what changed between two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.cache.explaining import explain
from pipeline.cache_commands.call import KEY_DIGITS
from pipeline.errors import SettingsError
from pipeline.publish.escape import one_line
from pipeline.publish.figures import duration_text, size_text
from pipeline.publish.json_output import print_json

if TYPE_CHECKING:
    from pipeline.cache.receipt import Receipt
    from pipeline.cache_commands.call import Call
    from pipeline.keys import Difference, Ingredient

_MOST_KEYS = 2


def explain_keys(call: Call) -> int:
    """Print one entry with its ingredients, or two with what differs. Raises ``SettingsError`` for other keys."""
    if len(call.options.keys) > _MOST_KEYS:
        raise SettingsError("three keys cannot be compared", fix="give one key, or two")
    explanation = explain(call.store, call.options.keys, watch=call.watch)
    receipts, differences = explanation.receipts, explanation.differences
    if call.as_json:
        print_json(_json(receipts, differences))
        return 0
    for receipt in receipts:
        print(_title(receipt))
    if len(receipts) == 1:
        _print_one(receipts[0])
    else:
        _print_differences(receipts, differences)
    return 0


def _title(receipt: Receipt) -> str:
    took = f", in {duration_text(receipt.duration_s)}" if receipt.duration_s is not None else ""
    made = f"made {receipt.created} by {one_line(receipt.tool)}{took}"
    size = size_text(receipt.size_bytes)
    return f"{receipt.key.kind} {receipt.key.digest.hex[:KEY_DIGITS]}  {one_line(receipt.subject)}, {made}, {size}"


def _print_one(receipt: Receipt) -> None:
    width = max((len(name) for name, _ in receipt.key.ingredients), default=0)
    print(f"made from {len(receipt.key.ingredients)} ingredients")
    for name, value in receipt.key.ingredients:
        print(f"  {one_line(name):{width}}  {_text(value)}")
    for blob in receipt.blobs:
        print(f"  {blob.name}, {size_text(blob.size_bytes)}, {blob.digest}")


def _print_differences(receipts: tuple[Receipt, ...], differences: tuple[Difference, ...]) -> None:
    if not differences:
        print("every ingredient is the same")
        return
    total = len({name for receipt in receipts for name, _ in receipt.key.ingredients})
    width = max(len(difference.name) for difference in differences)
    print(f"{len(differences)} of {total} ingredients differ, first -> second")
    for difference in differences:
        change = f"{_text(difference.before)} -> {_text(difference.after)}"
        print(f"  {one_line(difference.name):{width}}  {change}")


def _text(value: Ingredient) -> str:
    return "(none)" if value is None else one_line(str(value))


def _json(receipts: tuple[Receipt, ...], differences: tuple[Difference, ...]) -> dict[str, Any]:
    entries = [
        {
            "kind": receipt.key.kind,
            "key": str(receipt.key.digest),
            "subject": receipt.subject,
            "created": receipt.created,
            "tool": receipt.tool,
            "duration_s": receipt.duration_s,
            "ingredients": dict(receipt.key.ingredients),
            "blobs": [
                {"name": blob.name, "digest": str(blob.digest), "size_bytes": blob.size_bytes} for blob in receipt.blobs
            ],
        }
        for receipt in receipts
    ]
    if len(receipts) == 1:
        return {"entries": entries}
    changes = [{"name": each.name, "before": each.before, "after": each.after} for each in differences]
    return {"entries": entries, "differences": changes}
