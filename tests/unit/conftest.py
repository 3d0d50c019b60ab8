"""Unit tests cannot do real work by accident: no process, no network."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import Any, NoReturn

import pytest


@pytest.fixture(autouse=True)
def _no_outside_world(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **_options: Any) -> NoReturn:
        raise AssertionError(f"a unit test reached for the outside world: {arguments!r}")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(os, "fork", refuse)
    monkeypatch.setattr(os, "posix_spawn", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
