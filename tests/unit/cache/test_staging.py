from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipeline.cache.staging import Staging


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "v1"


@pytest.fixture
def staging(root: Path) -> Staging:
    return Staging(root)


def _install(staging: Staging, path: Path, data: bytes, *, replace: bool = False) -> bool:
    with staging.opened() as staged:
        staged.file.write(data)
        return staging.install(staged, path, replace=replace)


def test_a_file_has_no_name_until_it_is_installed(staging: Staging, root: Path) -> None:
    with staging.opened() as staged:
        staged.file.write(b"data")
        assert not (root / "a").exists()
        staging.install(staged, root / "a" / "b", replace=False)

        assert (root / "a" / "b").read_bytes() == b"data"


def test_a_file_that_is_not_installed_is_gone(staging: Staging, root: Path) -> None:
    with staging.opened() as staged:
        staged.file.write(b"data")

    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_a_taken_name_is_not_given_twice(staging: Staging, root: Path) -> None:
    assert _install(staging, root / "a", b"first")
    assert not _install(staging, root / "a", b"second")
    assert (root / "a").read_bytes() == b"first"


def test_a_replaced_file_stays_whole_for_whoever_has_it_open(staging: Staging, root: Path) -> None:
    _install(staging, root / "a", b"first")

    with (root / "a").open("rb") as reader:
        assert _install(staging, root / "a", b"second", replace=True)
        assert reader.read() == b"first"
    assert (root / "a").read_bytes() == b"second"


def test_what_was_in_the_way_is_kept_among_the_temporaries(staging: Staging, root: Path) -> None:
    (root / "a").mkdir(parents=True)
    (root / "a" / "precious").write_text("x")

    _install(staging, root / "a", b"data", replace=True)

    assert [path.name for path in (root / "tmp").rglob("precious")] == ["precious"]


def test_a_link_in_the_way_is_replaced_and_its_target_is_not(staging: Staging, root: Path, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("precious")
    root.mkdir(parents=True)
    (root / "a").symlink_to(tmp_path / "target")

    _install(staging, root / "a", b"data", replace=True)

    assert (root / "a").read_bytes() == b"data"
    assert (tmp_path / "target").read_text() == "precious"


def test_a_folder_that_comes_back_for_ever_is_an_error(
    staging: Staging, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a").mkdir(parents=True)
    monkeypatch.setattr(Path, "rename", lambda *_: None)

    with pytest.raises(FileExistsError, match="in the way"):
        _install(staging, root / "a", b"data", replace=True)


def test_F13_sweeping_spares_what_is_young(staging: Staging, root: Path) -> None:
    (root / "tmp").mkdir(parents=True)
    for name, age_s in (("old", 100), ("young", 0)):
        (root / "tmp" / name).write_bytes(b"123")
        os.utime(root / "tmp" / name, (time.time() - age_s, time.time() - age_s))

    assert staging.sweep(50) == 3
    assert [path.name for path in (root / "tmp").iterdir()] == ["young"]
