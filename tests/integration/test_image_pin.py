"""A release writes its image into ``action.yml`` by digest."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    shutil.copy2(ROOT / "scripts/image-pin", tmp_path / "scripts")
    shutil.copy2(ROOT / "action.yml", tmp_path)
    return tmp_path


def pin(folder: Path, image: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([folder / "scripts/image-pin", image], capture_output=True, text=True, check=False)


def test_T14_the_image_is_written_and_nothing_else_changes(checkout: Path) -> None:
    before = yaml.safe_load((checkout / "action.yml").read_text())
    assert pin(checkout, f"ghcr.io/team/action@{DIGEST}").returncode == 0
    after = yaml.safe_load((checkout / "action.yml").read_text())
    assert after["runs"].pop("image") == f"docker://ghcr.io/team/action@{DIGEST}"
    assert before["runs"].pop("image") == "Dockerfile"
    assert after["runs"].pop("env") == {"TRT_ENGINE_IMAGE": f"ghcr.io/team/action@{DIGEST}"}
    assert before["runs"].pop("env") == {"TRT_ENGINE_IMAGE": ""}
    assert after == before


@pytest.mark.parametrize("image", ["ghcr.io/team/action:1.0", f"ghcr.io/team/action@{DIGEST[:-1]}", f"a|b@{DIGEST}"])
def test_T14_an_image_without_a_digest_is_refused(image: str, checkout: Path) -> None:
    before = (checkout / "action.yml").read_bytes()
    assert pin(checkout, image).returncode == 2
    assert (checkout / "action.yml").read_bytes() == before
