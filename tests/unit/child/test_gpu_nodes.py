"""Which device nodes a GPU has, and who may open them. Nodes are made up: making them takes a root with that right."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pipeline.child.gpu_nodes import gpu_groups, gpu_nodes, needed_nodes

VIDEO = 44


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files count as character devices, of root and, where their name says so, of a group."""
    real = Path.stat

    def as_node(path: Path, **options: bool) -> os.stat_result:
        state = real(path, **options)
        if not stat.S_ISREG(state.st_mode) or not path.is_relative_to(tmp_path):
            return state
        mode, group = map(int, path.read_text().split())
        return os.stat_result((stat.S_IFCHR | mode, *state[1:4], 0, group, *state[6:]))

    monkeypatch.setattr(Path, "stat", as_node)
    return tmp_path


def node(devices: Path, name: str, mode: int, group: int = 0) -> Path:
    path = devices / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{mode} {group}")
    return path


def test_nodes_that_everybody_may_open_ask_for_no_group(devices: Path) -> None:
    node(devices, "nvidia0", 0o666, VIDEO)
    assert gpu_groups(devices) == ()


def test_nodes_of_a_group_ask_for_it(devices: Path) -> None:
    node(devices, "nvidia0", 0o660, VIDEO)
    node(devices, "nvidiactl", 0o660, VIDEO)
    assert gpu_groups(devices) == (VIDEO,)


def test_the_group_of_root_is_never_handed_out(devices: Path) -> None:
    node(devices, "nvidia0", 0o660)
    assert gpu_groups(devices) == ()


def test_a_mig_slices_capability_asks_for_its_group(devices: Path) -> None:
    node(devices, "nvidia-caps/nvidia-cap21", 0o440, VIDEO)
    assert gpu_groups(devices) == (VIDEO,)


def test_plain_files_and_other_devices_are_no_gpus(tmp_path: Path) -> None:
    (tmp_path / "nvidia0").touch()
    (tmp_path / "kmsg").touch()
    assert gpu_nodes(tmp_path) == (tmp_path / "nvidia0",)
    assert (needed_nodes(tmp_path), gpu_groups(tmp_path)) == ((), ())


def test_cuda_needs_the_driver_and_the_cards_but_not_the_screen(devices: Path) -> None:
    cards = [node(devices, name, 0o600) for name in ("nvidia0", "nvidia-uvm", "nvidiactl")]
    node(devices, "nvidia-modeset", 0o600)
    assert needed_nodes(devices) == tuple(sorted(cards))
    assert len(gpu_nodes(devices)) == 4
