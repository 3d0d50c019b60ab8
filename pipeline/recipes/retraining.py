"""Whether a miss is a retraining: the same structure with other weights, and nothing else that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cache.answers import Miss

if TYPE_CHECKING:
    from pipeline.cache.answers import CacheLookup
    from pipeline.cache.receipt import Receipt
    from pipeline.planning.survey import SurveyedModel

_REUSE = "calibration.reuse-within"


def structure_notes(model: SurveyedModel) -> dict[str, str]:
    """What goes into a receipt so that a later miss can be told a retraining."""
    return {"structure": str(model.facts.structure)}


def entry_before_retraining(lookup: CacheLookup, model: SurveyedModel) -> Receipt | None:
    """The entry that was made of the same structure with other weights; ``None`` where something else changed too."""
    if not isinstance(lookup, Miss) or lookup.nearest is None:
        return None
    # Whether a table may be kept decides nothing about how it is made.
    changed = {difference.name for difference in lookup.differences} - {_REUSE}
    same = lookup.nearest.metadata.get("structure") == str(model.facts.structure)
    return lookup.nearest if same and changed == {"model"} else None
