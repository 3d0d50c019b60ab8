"""The store that a run was given by name.

It is ``FOLDER``, ``s3://bucket/prefix``, or ``FOLDER,s3://bucket/prefix`` for a folder in front of a bucket. A folder
alone has no scopes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.cache.lease import S3Leases
from pipeline.cache.local import LocalStore
from pipeline.cache.s3_address import SCHEME, S3Address, address_from_url
from pipeline.cache.s3_bucket import S3Bucket, make_hasty_s3_client
from pipeline.cache.s3_store import S3Store
from pipeline.cache.scope import Scope, ScopedStore
from pipeline.cache.seal import SealedStore, Sealing
from pipeline.cache.tiered import TieredStore
from pipeline.errors import SettingsError
from pipeline.given_paths import path_from_text

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from pipeline.cache.expiry import Expiry
    from pipeline.cache.lease import Leases
    from pipeline.cache.seal import Seal
    from pipeline.cache.store import Store


@dataclass(frozen=True, slots=True)
class CachePlace:
    """Where a cache is: ``folder``, ``bucket``, or both for the one in front of the other."""

    folder: Path | None
    bucket: S3Address | None


def place_from_text(text: str) -> CachePlace:
    """Read the forms above; a relative folder is made absolute. Raises ``SettingsError``."""
    folder, separator, url = text.partition(f",{SCHEME}")
    if text.startswith(SCHEME):
        return CachePlace(None, address_from_url(text))
    if "://" in folder or not folder or re.search(r"(?i)(^|,)s3:", folder):
        raise SettingsError(f"the cache {text!r} cannot be used", fix="name a folder, s3://bucket/prefix, or both")
    return CachePlace(
        path_from_text(folder, "--cache").absolute(), address_from_url(SCHEME + url) if separator else None
    )


def opened_store(
    place: CachePlace, scope: Scope, *, seal: Seal | None, cancel: threading.Event, expiry: Expiry | None = None
) -> Store:
    """The store for a run of ``scope``. Nothing is asked or written yet.

    By ``expiry`` another place is asked where one has an entry that is too old.
    """
    if place.bucket is None:
        if place.folder is None:
            raise SettingsError("there is no cache", fix="name one with --cache")
        return SealedStore(LocalStore(place.folder), "folder", seal)
    bucket = S3Bucket(place.bucket, cancel=cancel)
    layers = {path: _layer(place.folder, bucket, path, seal, expiry) for path in scope.readable}
    own = layers[scope.path]
    return own if len(layers) == 1 else ScopedStore(tuple(layers.values()), own, expiry=expiry)


def opened_for_upkeep(place: CachePlace, scope: Scope, *, seal: Seal | None, cancel: threading.Event) -> Store:
    """The one place of ``scope`` to list, verify and prune: the bucket where there is one, else the folder."""
    if place.bucket is None:
        return opened_store(place, scope, seal=seal, cancel=cancel)
    return _layer(None, S3Bucket(place.bucket, cancel=cancel), scope.path, seal, None)


def opened_scopes(place: CachePlace, scope: Scope, *, seal: Seal | None, cancel: threading.Event) -> tuple[Store, ...]:
    """The one place of each scope that a run of ``scope`` reads, in order and its own the last: for entries that move.

    A folder in front of a bucket is read past, since it may have what an entry was before.
    """
    if place.bucket is None:
        return (opened_store(place, scope, seal=seal, cancel=cancel),)
    bucket = S3Bucket(place.bucket, cancel=cancel)
    return tuple(_layer(None, bucket, path, seal, None) for path in scope.readable)


def opened_leases(place: CachePlace, scope: Scope, *, cancel: threading.Event) -> Leases | None:
    """The leases beside the receipts that a run of ``scope`` writes; ``None`` without a bucket, or where it has none.

    A cancelled run gives its leases back, so these calls are not cancelled with it, but short.
    """
    if place.bucket is None or not place.bucket.lease_s:
        return None
    bucket, hasty = S3Bucket(place.bucket, cancel=cancel), S3Bucket(place.bucket, make_client=make_hasty_s3_client)
    return S3Leases(bucket, place.bucket.root(scope.path), term_s=place.bucket.lease_s, hasty=hasty)


def _layer(folder: Path | None, bucket: S3Bucket, path: str, seal: Seal | None, expiry: Expiry | None) -> Store:
    """One scope. Each has a folder of its own in front, so that no scope meets another's files."""
    far = S3Store(bucket, path)
    if folder is None:
        return SealedStore(far, path, seal)
    return TieredStore(LocalStore(folder / "scopes" / path), far, sealing=Sealing(path, seal), expiry=expiry)
