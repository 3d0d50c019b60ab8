from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.cache.answers import Hit, Miss, Rejected
from pipeline.cache.content import ContentCache
from pipeline.cache.local import LocalStore
from tests.support.aged_entries import damaged_entries
from tests.support.cache_processes import entry_key, outcome, start, write_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ENTRIES = 3


def _empty(path: Path) -> None:
    _rewrite(path, b"")


def _halve(path: Path) -> None:
    _rewrite(path, path.read_bytes()[: path.stat().st_size // 2])


def _lengthen(path: Path) -> None:
    _rewrite(path, path.read_bytes() + b"x")


def _flip_at(fraction: float) -> Callable[[Path], None]:
    def flip(path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[int(fraction * (len(data) - 1))] ^= 0x10
        _rewrite(path, bytes(data))

    return flip


def _fill_with_zeros(path: Path) -> None:
    _rewrite(path, bytes(path.stat().st_size))


def _make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inner").write_text("foreign")


def _make_link_to_own_bytes(path: Path) -> None:
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def _make_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to("nothing")


def _make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _swap_with_neighbour(path: Path) -> None:
    folder = path.parents[1]
    other = next(each for each in sorted(folder.glob("*/*")) if each != path)
    data = other.read_bytes()
    _rewrite(other, path.read_bytes())
    _rewrite(path, data)


_DAMAGES: dict[str, Callable[[Path], None]] = {
    "deleted": lambda path: path.unlink(),
    "emptied": _empty,
    "halved": _halve,
    "lengthened": _lengthen,
    **{f"flipped at {fraction}": _flip_at(fraction) for fraction in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)},
    "zeros": _fill_with_zeros,
    "folder": _make_folder,
    "link to its own bytes": _make_link_to_own_bytes,
    "dangling link": _make_link_to_nothing,
    "pipe": _make_pipe,
    "swapped": _swap_with_neighbour,
}


@pytest.mark.parametrize("damage", _DAMAGES.values(), ids=_DAMAGES.keys())
def test_F6_F10_damage_to_any_file_leads_to_a_rebuild_and_is_mended_by_it(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    sound = tmp_path / "sound"
    for number in range(_ENTRIES):
        ContentCache(LocalStore(sound)).commit(entry_key(number), "subject", _files(tmp_path, number, "first"), {})
    names = [path.relative_to(sound) for path in sorted(sound.rglob("*")) if path.is_file()]
    assert len(names) == 3 * _ENTRIES

    for name in names:
        cache = tmp_path / "cache"
        shutil.copytree(sound, cache)
        damage(cache / name)
        lost = [number for number in range(_ENTRIES) if not _usable_and_right(tmp_path, cache, number)]
        assert 1 <= len(lost) <= 2

        content = ContentCache(LocalStore(cache))
        for number in lost:
            content.commit(entry_key(number), "subject", _files(tmp_path, number, "second"), {})
        assert damaged_entries(LocalStore(cache)) == []
        assert all(isinstance(content.lookup(entry_key(number), "subject"), Hit) for number in range(_ENTRIES))
        shutil.rmtree(cache)


def test_F10_a_cache_without_any_of_its_folders_is_empty(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    files = _files(tmp_path, 0, "first")
    ContentCache(LocalStore(cache)).commit(entry_key(), "subject", files, {})
    folders = sorted(path.relative_to(cache) for path in cache.rglob("*") if path.is_dir())

    for name in folders:
        shutil.rmtree(cache / name, ignore_errors=True)
        content = ContentCache(LocalStore(cache))
        assert isinstance(content.lookup(entry_key(), "subject"), Hit | Miss)
        content.commit(entry_key(), "subject", files, {})
        assert isinstance(ContentCache(LocalStore(cache)).lookup(entry_key(), "subject"), Hit)


@pytest.mark.parametrize("limit_bytes", [0, 100, 35_000])
def test_F14_a_full_disk_costs_the_entry_and_leaves_nothing(tmp_path: Path, limit_bytes: int) -> None:
    result = outcome(start("commit_with_little_space", tmp_path / "cache", tmp_path / "scratch", limit_bytes))

    assert result["outcome"] == "unstored"
    assert "File too large" in result["warnings"][0]
    assert list((tmp_path / "cache" / "v1" / "tmp").iterdir()) == []
    assert list(LocalStore(tmp_path / "cache").receipts()) == []


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user can reach, unlike ``tmp_path``."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_F8_a_cache_that_may_only_be_read_gives_hits_and_takes_nothing(open_folder: Path, tmp_path: Path) -> None:
    cache = open_folder / "cache"
    ContentCache(LocalStore(cache)).commit(entry_key(), "subject", _files(tmp_path, 0, "first"), {})
    folders = [path for path in (cache, *cache.rglob("*")) if path.is_dir()]
    for folder in folders:
        folder.chmod(0o555)

    result = outcome(start("commit_as_a_stranger", cache, open_folder / "scratch"))

    for folder in folders:
        folder.chmod(0o755)
    assert result["found"] == "Hit"
    assert result["outcome"] == "unstored"
    assert "Permission denied" in result["warnings"][0]


def _files(folder: Path, number: int, text: str) -> dict[str, Path]:
    return write_files(folder / "in" / f"{number}-{text}", f"{number} {text}")


def _usable_and_right(tmp_path: Path, cache: Path, number: int) -> bool:
    """Whether the entry can be fetched; then its bytes are the right ones."""
    content, out = ContentCache(LocalStore(cache)), tmp_path / "out"
    found = content.lookup(entry_key(number), "subject")
    fetched = content.fetch(found, out) if isinstance(found, Hit) else found
    if isinstance(fetched, Miss | Rejected):
        assert not out.exists() or list(out.iterdir()) == []
        return False
    expected = _files(tmp_path, number, "first")
    assert isinstance(fetched, tuple)
    assert all(path.read_bytes() == expected[path.name].read_bytes() for path in fetched)
    shutil.rmtree(out)
    return True


def _rewrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)
