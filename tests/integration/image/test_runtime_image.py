"""``templates/runtime.Dockerfile``: a service's image, with TensorRT's runtime and a bundle of engines alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.export.bundle import export_bundle
from pipeline.export.engines import delivered_engines
from tests.support.container_image import ROOT
from tests.support.exports import L4, deliver, sidecar_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.container_image import ContainerImage

BASE = "localhost/stand-in-base:bookworm"
BUILDER, SERVICE = "localhost/stand-in-tensorrt:test", "localhost/service:test"
LIBRARIES = ("libnvinfer", "libnvinfer_plugin", "libnvinfer_builder_resource", "libnvonnxparser")


@pytest.fixture(scope="module")
def service(image: ContainerImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The root of a container of the service's image, built on a base with empty libraries in TensorRT's places."""
    folder = tmp_path_factory.mktemp("service")
    for name in LIBRARIES:
        (folder / "lib").mkdir(exist_ok=True)
        (folder / f"lib/{name}.so.10.13.3").write_text(name)
        (folder / f"lib/{name}.so.10").symlink_to(f"{name}.so.10.13.3")
    (folder / "Containerfile").write_text(f"FROM {BASE}\nCOPY lib /usr/lib/x86_64-linux-gnu/\n")
    deliver(folder / "engines", sidecar_of(L4))
    export_bundle(delivered_engines(folder / "engines"), folder / "engines.tar", licences_from=ROOT)
    build = ("build", "--isolation", "chroot", "--layers=false", "--pull-never")
    image.buildah(*build, "--file", str(folder / "Containerfile"), "--tag", BUILDER, str(folder))
    bases = ("--build-arg", f"BUILD_IMAGE={BUILDER}", "--build-arg", f"RUNTIME_IMAGE={BASE}")
    file = str(ROOT / "templates/runtime.Dockerfile")
    image.buildah(*build, *bases, "--file", file, "--tag", SERVICE, str(folder))
    container = image.buildah("from", "--pull-never", SERVICE).stdout.strip()
    yield Path(image.buildah("mount", container).stdout.strip())
    image.buildah("rm", container, check=False)
    image.buildah("rmi", SERVICE, BUILDER, check=False)


def test_it_holds_the_runtimes_libraries_and_neither_builder_nor_parser(service: Path) -> None:
    found = sorted(path.name for path in (service / "usr/local/lib/tensorrt").iterdir())
    assert found == [f"{name}.so.10{rest}" for name in LIBRARIES[:2] for rest in ("", ".13.3")]
    assert (service / "usr/local/lib/tensorrt/libnvinfer.so.10").readlink() == Path("libnvinfer.so.10.13.3")
    assert list((service / "usr/lib/x86_64-linux-gnu").glob("libnv*")) == []


def test_its_engines_are_those_of_the_bundle(service: Path) -> None:
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    checked = subprocess.run(command, cwd=service / "models", capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "digits/l4/fp16.engine: OK" in checked.stdout
    assert "licenses/LICENSE: OK" in checked.stdout


def test_it_runs_as_nobody_and_finds_its_libraries(service: Path, image: ContainerImage) -> None:
    told = json.loads(image.buildah("inspect", "--type", "image", SERVICE).stdout)["OCIv1"]["config"]
    assert service.is_dir()
    assert told["User"] == "65534:65534"
    assert "LD_LIBRARY_PATH=/usr/local/lib/tensorrt" in told["Env"]
