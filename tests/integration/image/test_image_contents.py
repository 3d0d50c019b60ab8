"""What the image holds, what it leaves out, and that it runs without writing to itself."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.container_image import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.container_image import ContainerImage


def test_T14_no_compiler_and_no_package_cache_is_left_behind(image: ContainerImage) -> None:
    names = {"cc", "gcc", "g++", "c++", "clang", "make", "ld", "nvcc"}
    folders = [image.root / name for name in ("usr/bin", "usr/local/bin", "opt/trt-engines/venv/bin")]
    assert not {path.name for folder in folders for path in folder.iterdir()} & names
    assert not (image.root / "root/.cache").exists()


def test_nothing_of_the_machine_that_built_it_is_in_it(image: ContainerImage) -> None:
    assert not (image.root / "etc/pip.conf").exists() or not (image.root / "etc/pip.conf").read_text()


def test_only_the_program_is_in_it(image: ContainerImage) -> None:
    found = sorted(path.name for path in (image.root / "opt/trt-engines/program").iterdir())
    assert found == ["LICENSE", "__pycache__", "entrypoint.py", "pipeline", "schemas"]


def test_what_it_adds_to_its_base_is_the_packages_and_little_else(image: ContainerImage) -> None:
    """TensorRT-RTX alone is 230 MiB; a second copy of anything large would show."""
    added = image.root / "opt/trt-engines"
    sizes = {part.name: sum(path.lstat().st_size for path in part.rglob("*")) >> 20 for part in added.iterdir()}
    assert sizes["program"] < 10
    assert sum(sizes.values()) < 600, sizes


def test_labels_say_where_it_comes_from(image: ContainerImage) -> None:
    labels = image.config["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.base.name"] == "localhost/stand-in-base:bookworm"
    assert len(labels["org.opencontainers.image.revision"]) == 40


def test_the_program_is_compiled_so_that_nothing_is_written_at_its_start(image: ContainerImage) -> None:
    folder = image.root / "opt/trt-engines/program/pipeline"
    sources = {path.relative_to(folder) for path in folder.rglob("*.py")}
    compiled = {
        path.relative_to(folder).parent.parent / f"{path.name.split('.')[0]}.py" for path in folder.rglob("*.pyc")
    }
    assert sources == compiled


@pytest.mark.parametrize("uid", [0, 1001, 65534])
def test_T15_it_builds_engines_on_a_read_only_root_as_any_user(image: ContainerImage, tmp_path: Path, uid: int) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(ROOT / "examples/digits", workspace)
    for path in (workspace, *workspace.rglob("*")):
        os.chown(path, 1001, 1001)
    workspace.chmod(0o777)
    done = image.start_read_only(["run", "--only", "digits/sm_89/*"], workspace=workspace, user=f"{uid}:{uid}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed: 3 jobs, 3 built" in done.stdout
    owner = (workspace / "engines/report.json").stat().st_uid
    assert owner == (1001 if uid == 0 else uid)


def test_the_command_is_on_the_path_for_scripts_of_other_hosts(image: ContainerImage, tmp_path: Path) -> None:
    names = dict(entry.split("=", 1) for entry in image.config["Env"])
    found = shutil.which("trt-engines", path=":".join(f"{image.root}{part}" for part in names["PATH"].split(":")))
    assert found == str(image.root / "opt/trt-engines/bin/trt-engines")
