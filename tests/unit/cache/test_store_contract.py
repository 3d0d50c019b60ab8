from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.cache.local import LocalStore
from tests.support.store_contract import KEY, StoreContract

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.digest import Digest


class FolderPlace:
    def __init__(self, folder: Path) -> None:
        self.store = LocalStore(folder)
        self._root = folder / "v1"

    def overwrite_blob(self, digest: Digest, data: bytes) -> None:
        path = self.store._blob_path(digest)
        path.chmod(0o644)
        path.write_bytes(data)

    def remove_blob(self, digest: Digest) -> None:
        self.store._blob_path(digest).unlink()

    def add_foreign_names(self) -> None:
        shard = self._root / "receipt" / "engine" / "ab"
        for name in ("README", "x.json", f"{KEY.hex}.json.bak", f"{'cd' * 32}.json"):
            (shard / name).write_text("foreign")
        (self._root / "receipt" / "stray").write_text("foreign")
        (self._root / "blob" / "sha256" / "zz").mkdir()


class TestLocalStore(StoreContract):
    @pytest.fixture
    def place(self, tmp_path: Path) -> FolderPlace:
        return FolderPlace(tmp_path / "cache")
