"""T14: nothing is installed that is not pinned by what it holds, and nothing is run that may move."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = [ROOT / "requirements.lock", ROOT / "requirements-dev.lock"]
INSTALLERS = [ROOT / "Dockerfile", ROOT / "scripts/setup", ROOT / "scripts/test-pythons"]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_T14_every_package_is_pinned_by_version_and_hash(lock: Path) -> None:
    lines = re.sub(r"\\\n", " ", lock.read_text()).splitlines()
    requirements = [line for line in lines if line and not line.lstrip().startswith("#")]
    assert len(requirements) > 10
    for requirement in requirements:
        assert re.match(r"[a-z0-9._-]+==\S+", requirement)
        assert "--hash=sha256:" in requirement


@pytest.mark.parametrize("installer", INSTALLERS, ids=lambda path: path.name)
def test_T14_packages_are_installed_by_hash_alone(installer: Path) -> None:
    commands = re.sub(r"\\\n", " ", installer.read_text()).splitlines()
    installs = [line for line in commands if re.search(r"\bpip\b.* install\b", line) and not line.startswith("#")]
    assert installs
    assert all("--require-hashes" in line for line in installs)


def test_T14_an_image_is_built_on_no_moving_tag() -> None:
    (default,) = re.findall(r"^ARG BASE_IMAGE=(\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert re.search(r":\d\d\.\d\d-py3(@sha256:[0-9a-f]{64})?$", default)
