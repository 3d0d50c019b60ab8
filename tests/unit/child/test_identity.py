"""Who a child runs as, from the mode bits of what it must read."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pipeline.child import identity
from pipeline.child.identity import NOBODY, Identity, StaysRootError, child_identity, may_read

if TYPE_CHECKING:
    from pathlib import Path

STRANGER = Identity(NOBODY, NOBODY, ())


@pytest.mark.parametrize(("mode", "allowed"), [(0o644, True), (0o604, True), (0o640, False), (0o600, False)])
def test_a_stranger_reads_what_everybody_may(tmp_path: Path, mode: int, allowed: bool) -> None:
    (tmp_path / "file").touch(mode=mode)
    assert identity._has(tmp_path / "file", STRANGER, 4) is allowed


def test_its_owner_reads_by_the_owners_bits(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o400)
    assert identity._has(tmp_path / "file", Identity(os.geteuid(), NOBODY, ()), 4)


def test_a_member_of_its_group_reads_by_the_groups_bits(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(0o640)
    assert identity._has(tmp_path / "file", Identity(NOBODY, NOBODY, ((tmp_path / "file").stat().st_gid,)), 4)


def test_a_folder_above_that_is_closed_closes_what_is_below(tmp_path: Path) -> None:
    (tmp_path / "closed/open").mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    assert not may_read(tmp_path / "closed/open", STRANGER)


def test_what_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    assert not may_read(tmp_path / "nothing", STRANGER)


@pytest.mark.parametrize(("mode", "allowed"), [(0o711, True), (0o755, True), (0o744, False), (0o700, False)])
def test_a_folder_is_passed_by_who_may_search_it(tmp_path: Path, mode: int, allowed: bool) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner").chmod(mode)
    tmp_path.chmod(0o755)
    above = all(identity.may_pass(folder, STRANGER) for folder in tmp_path.parents)
    assert identity.may_pass(tmp_path / "inner", STRANGER) is (allowed and above)


def test_what_keeps_a_child_root_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "_may_become_nobody", lambda _: True)
    monkeypatch.setattr(identity, "_installation", lambda: ())
    monkeypatch.setattr(identity, "_owners", lambda _: [])
    (tmp_path / "model.onnx").touch(mode=0o600)
    with pytest.raises(StaysRootError, match=r"may not read .*model\.onnx"):
        child_identity([tmp_path / "model.onnx"], passed=tmp_path)


def test_a_workspace_that_is_closed_to_all_but_its_owner_is_read_by_a_child_that_is_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "_may_become_nobody", lambda _: True)
    monkeypatch.setattr(identity, "_installation", lambda: ())
    monkeypatch.setattr(identity, "needed_nodes", lambda: ())
    monkeypatch.setattr(identity, "_has", lambda path, who, _: who.uid == 1001 or path.name != "model.onnx")
    monkeypatch.setattr(identity, "_owners", lambda _: [(1001, 1002)])
    (tmp_path / "model.onnx").touch()
    found = child_identity([tmp_path / "model.onnx"], passed=tmp_path)
    assert (found.uid, found.gid) == (1001, 1002)
    assert NOBODY in found.groups


def test_a_file_in_a_folder_that_is_closed_closes_the_folder_unless_it_is_hidden(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    open_above = all(identity.may_pass(folder, STRANGER) for folder in tmp_path.parents)
    (tmp_path / ".token").touch(mode=0o600)
    assert may_read(tmp_path, STRANGER) is open_above
    (tmp_path / "batch.npy").touch(mode=0o600)
    assert not may_read(tmp_path, STRANGER)


def test_a_container_without_the_capability_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(identity, "_may_become_nobody", lambda _: False)
    with pytest.raises(StaysRootError, match="capabilities"):
        child_identity([], passed=tmp_path)


@pytest.mark.parametrize(
    ("capabilities", "ids", "may"),
    [
        ("000001ffffffffff", "0 0 4294967295", True),
        ("00000000a80425fb", "0 0 4294967295", True),
        ("0000000000000000", "0 0 4294967295", False),
        ("000001ffffffffff", "0 1000 1", False),
        ("000001ffffffffff", "0 1000 1\n1 100000 65536", True),
    ],
    ids=["root", "a container's root", "a container without capabilities", "one user alone", "a user's range"],
)
def test_only_who_may_hand_files_over_and_change_its_user_becomes_nobody(
    tmp_path: Path, capabilities: str, ids: str, may: bool
) -> None:
    (tmp_path / "status").write_text(f"Name:\tpython\nCapEff:\t{capabilities}\n")
    (tmp_path / "uid_map").write_text(ids + "\n")
    assert identity._may_become_nobody(tmp_path) is may


@pytest.mark.parametrize(("mode", "allowed"), [(0o666, True), (0o644, False), (0o600, False)])
def test_a_node_is_used_by_who_may_read_and_write_it(tmp_path: Path, mode: int, allowed: bool) -> None:
    (tmp_path / "nvidia0").touch()
    (tmp_path / "nvidia0").chmod(mode)
    assert identity.may_use(tmp_path / "nvidia0", STRANGER) is allowed
