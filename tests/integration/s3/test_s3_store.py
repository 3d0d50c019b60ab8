from __future__ import annotations

from tests.support.store_contract import StoreContract


class TestS3Store(StoreContract):
    """The contract over a real server; the fixture ``place`` is the folder's."""
