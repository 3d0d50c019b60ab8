"""What is told of a refit, beside what is told of every engine, and of a build that gave nothing to refit.

Loads no native package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.digest import Digest
from pipeline.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_REASON = "it gave no reason"
"""Why a build with REFIT failed whose builder said nothing."""
_ENGINE_STEPS = ("load", "refit", "write")


class NotRefittableError(BuildError):
    """The builder made no engine whose weights can be replaced; it may make one without that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refit:
    """``origin`` is the key of the engine whose weights were replaced, and whose build took ``instead_of_s``.

    ``origin_engine`` is the digest of that engine's bytes; ``None`` in outcomes from before it was told.

    ``seconds`` is what each step took: to read the ``model``, meanwhile to ``start`` TensorRT and ``load`` the engine,
    and to ``refit`` and ``write`` it. It has ``weights`` weights; ``changed`` tensors of the model had other values.
    """

    origin: Digest
    instead_of_s: float
    seconds: Mapping[str, float]
    weights: int
    changed: int
    origin_engine: Digest | None = None

    @property
    def engine_s(self) -> float:
        """What TensorRT took for the engine itself."""
        return round(sum(self.seconds[step] for step in _ENGINE_STEPS), 3)


def refit_to_json(refit: Refit) -> dict[str, Any]:
    """The JSON form; ``refit_from_json`` is its inverse."""
    bytes_of = {} if refit.origin_engine is None else {"origin_engine": str(refit.origin_engine)}
    return bytes_of | {
        "origin": str(refit.origin),
        "instead_of_s": refit.instead_of_s,
        "seconds": dict(refit.seconds),
        "weights": refit.weights,
        "changed": refit.changed,
    }


def refit_from_json(data: object) -> Refit:
    """Read what ``refit_to_json`` wrote. Raises ``ValueError`` for anything else."""
    match data:
        case {
            "origin": str(origin),
            "instead_of_s": int() | float() as instead_of_s,
            "seconds": {"load": _, "refit": _, "write": _, **_others} as seconds,
            "weights": int(weights),
            "changed": int(changed),
            **rest,
        } if rest.keys() <= {"origin_engine"} and all(isinstance(took, int | float) for took in seconds.values()):
            return Refit(
                origin=Digest.parse(origin),
                instead_of_s=float(instead_of_s),
                seconds={str(step): float(took) for step, took in seconds.items()},
                weights=weights,
                changed=changed,
                origin_engine=Digest.parse(str(rest["origin_engine"])) if rest else None,
            )
    raise ValueError("not what is told of a refit")
