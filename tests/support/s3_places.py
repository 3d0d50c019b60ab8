"""A store in S3 together with a way past it to the objects."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from pipeline.cache.s3_address import SCHEME, S3Address, address_from_url
from pipeline.cache.s3_bucket import S3Bucket, make_s3_client
from pipeline.cache.s3_store import S3Store
from tests.support.store_contract import KEY

if TYPE_CHECKING:
    import threading

    from pipeline.digest import Digest

BUCKET = "engine-cache"


class S3Place:
    """The store below ``prefix``, reached at ``endpoint_url`` with the environment's credentials.

    ``options`` are more of those in the address of a cache, like ``owner=123456789012&sse=kms``.

    ``clients`` holds every client that the store has made, the first of them made by the first call.
    """

    def __init__(
        self,
        endpoint_url: str,
        *,
        prefix: str,
        scope: str = "trusted",
        cancel: threading.Event | None = None,
        options: str = "",
        read_timeout_s: float = 60.0,
        **settings: Any,
    ) -> None:
        self.prefix = prefix
        self.clients: list[Any] = []
        self._read_timeout_s = read_timeout_s
        self.address = address_from_url(f"{SCHEME}{BUCKET}/{prefix}?endpoint={endpoint_url}&{options}".rstrip("&"))
        self.bucket = S3Bucket(self.address, cancel=cancel, make_client=self._make_client)
        self.store = S3Store(self.bucket, scope, **settings)
        self.client = make_s3_client(self.address)

    def __enter__(self) -> S3Place:
        return self

    def __exit__(self, *_details: object) -> None:
        self.store.close()
        for client in (*self.clients, self.client):
            client.close()
        gc.collect()

    def overwrite_blob(self, digest: Digest, data: bytes) -> None:
        """See ``Place``."""
        self.client.put_object(Bucket=BUCKET, Key=self.store._blob_name(digest), Body=data)

    def remove_blob(self, digest: Digest) -> None:
        """See ``Place``."""
        self.client.delete_object(Bucket=BUCKET, Key=self.store._blob_name(digest))

    def add_foreign_names(self) -> None:
        """See ``Place``."""
        shard = f"{self.store.root}receipt/engine/ab"
        names = [f"{shard}/{name}" for name in ("README", "x.json", f"{KEY.hex}.json.bak", f"{'cd' * 32}.json")]
        for name in (*names, f"{self.store.root}receipt/stray", f"{self.store.root}blob/sha256/zz/x"):
            self.client.put_object(Bucket=BUCKET, Key=name, Body=b"foreign")

    def keys(self) -> list[str]:
        """The names of all objects below the prefix, without it."""
        listed = self.client.list_objects_v2(Bucket=BUCKET, Prefix=f"{self.prefix}/")
        return [found["Key"].removeprefix(f"{self.prefix}/") for found in listed.get("Contents", ())]

    def uploads(self) -> list[dict[str, Any]]:
        """The multipart uploads in progress below the prefix."""
        listed = self.client.list_multipart_uploads(Bucket=BUCKET, Prefix=f"{self.prefix}/")
        return list(listed.get("Uploads", ()))

    def _make_client(self, address: S3Address) -> Any:
        self.clients.append(make_s3_client(address, read_timeout_s=self._read_timeout_s))
        return self.clients[-1]
