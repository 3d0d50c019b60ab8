from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.errors import ModelError, PublishError, SettingsError
from pipeline.export.engines import delivered_engines
from pipeline.export.triton import export_triton
from pipeline.precision import Precision
from tests.support.exports import H200, L4, L40S, deliver, sidecar_of
from tests.support.reports import sample_sidecar

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    deliver(tmp_path / "engines", sidecar_of(L4))
    deliver(tmp_path / "engines", sidecar_of(H200, content=b"big"), b"big")
    deliver(tmp_path / "engines", sidecar_of(L4, precision=Precision.FP32))
    return tmp_path / "engines"


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_each_precision_is_a_model_with_a_plan_for_each_kind_of_gpu(out: Path, tmp_path: Path) -> None:
    export_triton(delivered_engines(out), tmp_path / "models")
    assert tree(tmp_path / "models") == [
        "digits-fp16/1/h200.plan",
        "digits-fp16/1/l4.plan",
        "digits-fp16/config.pbtxt",
        "digits-fp32/1/l4.plan",
        "digits-fp32/config.pbtxt",
    ]
    assert (tmp_path / "models/digits-fp16/1/h200.plan").read_bytes() == b"big"


def test_the_same_engines_make_no_new_version_and_others_do(out: Path, tmp_path: Path) -> None:
    for _ in range(2):
        export_triton(delivered_engines(out), tmp_path / "models")
    deliver(out, sidecar_of(L4, content=b"new"), b"new")
    written = export_triton(delivered_engines(out), tmp_path / "models")
    assert [str(path.relative_to(tmp_path / "models")) for path in written] == ["digits-fp16/2", "digits-fp32/1"]
    assert (tmp_path / "models/digits-fp16/1/l4.plan").read_bytes() == b"plan"
    assert (tmp_path / "models/digits-fp16/2/l4.plan").read_bytes() == b"new"


def test_the_statement_of_an_engine_lies_beside_its_plan(out: Path, tmp_path: Path) -> None:
    (out / "digits/l4/fp16.provenance.json").write_bytes(b"said")
    for _ in range(2):
        export_triton(delivered_engines(out), tmp_path / "models")
    assert tree(tmp_path / "models/digits-fp16") == ["1/h200.plan", "1/l4.plan", "1/l4.provenance.json", "config.pbtxt"]
    assert (tmp_path / "models/digits-fp16/1/l4.provenance.json").read_bytes() == b"said"


def test_a_collision_leaves_nothing_behind(out: Path, tmp_path: Path) -> None:
    deliver(out, sidecar_of(L40S))
    with pytest.raises(SettingsError, match="both for compute capability"):
        export_triton(delivered_engines(out), tmp_path / "models")
    assert not (tmp_path / "models").exists()
    export_triton(delivered_engines(out, "*/l4/*,*/h200/*"), tmp_path / "models")


def test_engines_of_tensorrt_rtx_are_refused_with_the_reason(tmp_path: Path) -> None:
    deliver(tmp_path, sidecar_of(sample_sidecar().target))
    with pytest.raises(SettingsError, match="not of TensorRT-RTX"):
        export_triton(delivered_engines(tmp_path), tmp_path / "models")


def test_a_repository_that_cannot_be_written_is_told(out: Path, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(PublishError, match="could not be written"):
        export_triton(delivered_engines(out), tmp_path / "models")


def test_an_engine_that_is_not_its_sidecars_is_refused(out: Path) -> None:
    (out / "digits/l4/fp16.engine").write_bytes(b"swapped")
    with pytest.raises(ModelError, match="is not the engine that its sidecar describes"):
        delivered_engines(out)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 9}', "[" * 100_000])
def test_a_sidecar_that_is_none_is_refused(text: str, out: Path) -> None:
    (out / "digits/l4/fp16.json").write_text(text)
    with pytest.raises(ModelError, match="the sidecar of an engine cannot be read"):
        delivered_engines(out)


def test_no_engine_at_all_is_told(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no engine in"):
        delivered_engines(tmp_path)
