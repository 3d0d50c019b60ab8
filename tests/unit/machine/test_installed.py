"""What is installed, by package metadata alone."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import DeviceError, SettingsError
from pipeline.machine.installed import TOOLS, installed_runtimes, installed_tools

if TYPE_CHECKING:
    from collections.abc import Mapping

RTX = {"tensorrt_rtx_cu13_libs": "1.7.1.116", "tensorrt_rtx_cu13_bindings": "1.7.1.116"}


def install(monkeypatch: pytest.MonkeyPatch, versions: Mapping[str, str]) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(metadata, "version", version)


def test_every_tool_has_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"numpy": "2.4.6", "onnx": "1.23.2", "onnxruntime": "1.31.1"}
    install(monkeypatch, versions)
    assert installed_tools() == versions


def test_all_missing_tools_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {"numpy": "2.4.6"})
    with pytest.raises(SettingsError, match="not installed: onnx, onnxruntime; run scripts/setup"):
        installed_tools()


def test_a_runtime_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, RTX)
    assert installed_runtimes() == {"tensorrt-rtx": "1.7.1.116"}


def test_a_runtime_without_its_bindings_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {"tensorrt_rtx_cu13_libs": "1.7.1.116"})
    assert installed_runtimes() == {}


def test_a_runtime_of_two_versions_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, RTX | {"tensorrt_rtx_cu13_bindings": "1.6.1.0"})
    with pytest.raises(DeviceError, match="different versions"):
        installed_runtimes()


def test_the_tools_are_those_that_keys_name() -> None:
    assert set(TOOLS) == {"numpy", "onnx", "onnxruntime"}
