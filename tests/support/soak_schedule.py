"""What happens to each run of a soak: drawn from a seed alone, so that a schedule can be repeated."""

from __future__ import annotations

import random
import signal
from dataclasses import dataclass, replace
from typing import Any

from tests.support.fake_host import HANG_UP
from tests.support.soak_cache import FORGERIES

PLACES = ("folder", "bucket", "folder and bucket")
BUILDS = tuple(f"build-{precision}-{sm}" for precision in ("fp32", "fp16", "int8") for sm in ("8.6", "8.9", "12.0"))
TASKS = (
    *BUILDS, "inspect-model", "check-operators*", "check-data", "calibrate-*", "prepare-int8",
    "verify-fp16", "verify-int8",
)  # fmt: skip
CHILD_FAULTS = (
    {"fault": "crash"},
    {"fault": "killed"},
    {"fault": "nothing"},
    {"fault": "empty"},
    {"fault": "no_memory"},
    {"fault": "full_disk"},
    {"fault": "lie"},
    {"fault": "outside", "path": "/etc/hostname"},
    {"fault": "link", "path": "/etc/hostname"},
    {"fault": "wait", "wait_s": 0.5},
    {"fault": "flood", "print_bytes": 80 << 20},
)
STORE_FAULTS: tuple[dict[str, Any], ...] = (
    {"status": 503, "code": "SlowDown"},
    {"status": 500, "code": "InternalError"},
    {"status": 403, "code": "AccessDenied"},
    {"status": 412, "code": "PreconditionFailed"},
    {"status": 409, "code": "ConditionalRequestConflict"},
    {"delay_s": 0.3},
    {"lose": True},
    {"cut_after": 100},
    {"flip_at": 40},
    {"shorten": 1},
)
HOST_FAULTS: tuple[dict[str, Any], ...] = (
    {"method": "GET", "status": 502},
    {"method": "GET", "status": HANG_UP},
    {"method": "POST", "status": 502, "path": "/comments"},
    {"method": "POST", "status": 500, "path": "/comments", "after": True},
    {"method": "POST", "status": HANG_UP, "path": "/comments", "after": True},
    {"method": "PATCH", "status": 503},
    {"method": "PATCH", "status": HANG_UP, "after": True},
    {"method": "POST", "status": 403, "path": "/comments", "message": "Resource not accessible by integration"},
)
DAMAGES = ("flip a blob", "cut a blob", "flip a receipt", "cut a receipt", "remove a blob", *FORGERIES)
_PUBLISHING_SHARE = 0.3
FILTERS = ("*", "*", "digits/sm_89/*", "*/int8", "digits/sm_120/fp16,digits/sm_86/fp32")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run. ``seed`` draws what is decided while it runs; ``signals`` are sent ``after_s``, 0.2 s apart.

    ``store_fault_share`` is the share of the requests to the bucket that something happens to; ``host_faults`` befall
    the requests about the comment, where it ``publishes`` one.
    """

    number: int
    seed: str
    place: str
    fresh_cache: bool
    only: str
    faults: tuple[dict[str, Any], ...]
    damages: tuple[str, ...]
    store_fault_share: float
    signals: tuple[signal.Signals, ...]
    after_s: float
    time_limit_s: float | None
    publishes: bool = False
    host_faults: tuple[dict[str, Any], ...] = ()

    @property
    def kinds(self) -> tuple[str, ...]:
        """A word for each kind of fault that is in it."""
        words = [f"child: {fault['fault']}" for fault in self.faults]
        words += [f"cache: {damage}" for damage in self.damages]
        words += ["bucket: faulty answers"] if self.store_fault_share and "bucket" in self.place else []
        words += [f"comment: {fault['method']} {fault['status'] or 'cut'}" for fault in self.host_faults]
        words += ["+".join(each.name for each in self.signals)] if self.signals else []
        words += ["time limit of the run"] if self.time_limit_s is not None else []
        return tuple(words) or ("no fault",)


def plan_of(seed: int, number: int, *, with_bucket: bool) -> Plan:
    """The plan of run ``number``."""
    draw = random.Random(f"{seed}/{number}")
    faults = [
        {"name": draw.choice(TASKS), **draw.choice(CHILD_FAULTS)} for _ in range(draw.choices((0, 1, 2), (4, 4, 2))[0])
    ]
    ends = draw.choices(("by itself", "cancelled", "killed", "out of time"), (13, 3, 2, 2))[0]
    if ends in ("cancelled", "out of time") and draw.random() < 0.5:
        faults.insert(0, {"name": draw.choice(BUILDS), "fault": "hang"})
    cancels = ((signal.SIGINT,), (signal.SIGTERM,), (signal.SIGINT, signal.SIGTERM))
    signals = draw.choice(cancels) if ends == "cancelled" else (signal.SIGKILL,) if ends == "killed" else ()
    plan = Plan(
        number=number,
        seed=f"{seed}/{number}/while it runs",
        place=draw.choice(PLACES if with_bucket else PLACES[:1]),
        fresh_cache=draw.random() < 0.5,
        only=draw.choice(FILTERS),
        faults=tuple(faults),
        damages=tuple(draw.sample(DAMAGES, draw.choices((0, 1, 3), (5, 4, 1))[0])),
        store_fault_share=draw.choice((0.0, 0.05, 0.3)),
        signals=signals,
        after_s=draw.uniform(0.1, 1.2),
        time_limit_s=draw.uniform(0.5, 2.0) if ends == "out of time" else None,
    )
    if draw.random() < _PUBLISHING_SHARE:
        plan = replace(plan, publishes=True, host_faults=tuple(draw.choices(HOST_FAULTS, k=draw.choice((0, 1, 2)))))
    return plan
