"""What the settings of a run open: the cache's store, its leases and timing caches. Nothing is asked of them yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cache.expiry import DAY_S, Expiry
from pipeline.cache.s3_kms import KmsSeal
from pipeline.cache.s3_opening import opened_for_upkeep, opened_leases, opened_scopes, opened_store
from pipeline.cache.scope import Scope
from pipeline.cache.seal import HmacSeal
from pipeline.recipes.timing_caches import TimingCaches

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from pipeline.cache.lease import Leases
    from pipeline.cache.seal import Seal
    from pipeline.cache.store import Store
    from pipeline.settings import Settings


def store_from_settings(settings: Settings, cancel: threading.Event, *, upkeep: bool = False) -> Store | None:
    """The cache's store in the run's scope, ``None`` where it is switched off. Nothing is asked of it yet.

    For ``upkeep`` it is the scope's own place alone, without what a run may read besides.
    """
    if settings.cache is None:
        return None
    place, scope, seal = settings.cache, Scope(settings.cache_scope), _seal(settings, cancel)
    if upkeep:
        return opened_for_upkeep(place, scope, seal=seal, cancel=cancel)
    return opened_store(place, scope, seal=seal, cancel=cancel, expiry=expiry_from_settings(settings))


def trusted_store_from_settings(settings: Settings, cancel: threading.Event) -> Store | None:
    """The one place of the trusted scope, read past every folder in front of it; ``None`` without a cache."""
    if settings.cache is None:
        return None
    return opened_for_upkeep(settings.cache, Scope("trusted"), seal=_seal(settings, cancel), cancel=cancel)


def leases_from_settings(settings: Settings, cancel: threading.Event) -> Leases | None:
    """Where runners that share the cache tell each other what they are at work on; ``None`` where none are shared."""
    if settings.cache is None:
        return None
    return opened_leases(settings.cache, Scope(settings.cache_scope), cancel=cancel)


def timing_caches_from_settings(settings: Settings, scratch: Path, cancel: threading.Event) -> TimingCaches | None:
    """TensorRT's timing caches, with copies below ``scratch`` while the run lasts; ``None`` without a cache."""
    if settings.cache is None:
        return None
    stores = opened_scopes(settings.cache, Scope(settings.cache_scope), seal=_seal(settings, cancel), cancel=cancel)
    return TimingCaches(stores, scratch, expiry=expiry_from_settings(settings))


def expiry_from_settings(settings: Settings) -> Expiry | None:
    """From which age on an entry counts as missing; ``None`` where it never does."""
    return Expiry(settings.cache_max_age_days * DAY_S) if settings.cache_max_age_days is not None else None


def _seal(settings: Settings, cancel: threading.Event) -> Seal | None:
    """What proves who made an entry; ``None`` trusts whoever may write the place."""
    if settings.cache_secret is not None:
        return HmacSeal([settings.cache_secret.encode()])
    return KmsSeal(settings.cache_kms_key, cancel=cancel) if settings.cache_kms_key is not None else None
