from __future__ import annotations

import hashlib
import tarfile
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import PublishError, SettingsError
from pipeline.export.bundle import export_bundle
from pipeline.export.engines import delivered_engines
from pipeline.precision import Precision
from tests.support.exports import H200, L4, deliver, sidecar_of

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    deliver(tmp_path / "engines", sidecar_of(L4))
    deliver(tmp_path / "engines", sidecar_of(L4, precision=Precision.FP32))
    (tmp_path / "LICENSE-DATA").write_text("free")
    return tmp_path / "engines"


def test_it_holds_engines_metadata_licences_and_checksums_that_hold(out: Path, tmp_path: Path) -> None:
    export_bundle(delivered_engines(out), tmp_path / "b.tar", licences_from=tmp_path)
    with tarfile.open(tmp_path / "b.tar") as archive:
        content = {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]
    lines = [line.split("  ") for line in content.pop("SHA256SUMS").decode().splitlines()]
    sums = {name: digest for digest, name in lines}
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
    assert sorted(content) == [
        "digits/l4/fp16.engine",
        "digits/l4/fp16.json",
        "digits/l4/fp32.engine",
        "digits/l4/fp32.json",
        "licenses/LICENSE-DATA",
    ]


def test_the_statement_of_an_engine_goes_with_it(out: Path, tmp_path: Path) -> None:
    (out / "digits/l4/fp16.provenance.json").write_bytes(b"said")
    export_bundle(delivered_engines(out), tmp_path / "b.tar", licences_from=tmp_path)
    with tarfile.open(tmp_path / "b.tar") as archive:
        said = archive.extractfile("digits/l4/fp16.provenance.json")
        assert said is not None
        assert said.read() == b"said"
        assert "digits/l4/fp32.provenance.json" not in archive.getnames()


def test_the_same_engines_make_the_same_bytes(out: Path, tmp_path: Path) -> None:
    for name in ("a.tar", "b.tar"):
        export_bundle(delivered_engines(out), tmp_path / name, licences_from=tmp_path)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()


def test_engines_of_several_targets_are_refused(out: Path, tmp_path: Path) -> None:
    deliver(out, sidecar_of(H200))
    with pytest.raises(SettingsError, match="several targets: h200, l4"):
        export_bundle(delivered_engines(out), tmp_path / "b.tar", licences_from=tmp_path)
    assert not (tmp_path / "b.tar").exists()


def test_a_file_that_cannot_be_written_is_told(out: Path, tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="could not be written"):
        export_bundle(delivered_engines(out), tmp_path / "LICENSE-DATA/b.tar", licences_from=tmp_path)
