"""Surveying models whose ONNX files are only bytes: the child's answer is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pipeline.digest import digest_from_bytes
from pipeline.errors import ManifestError, ModelError
from pipeline.manifest.types import BuildSettings, Calibration, Location
from pipeline.planning.survey import survey_models
from pipeline.precision import Precision
from tests.support.specs import model_spec
from tests.support.workshops import FACTS, IMAGE, workshop_with

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TOOLS = {"onnx": "1.23.2", "onnxruntime": "1.31.1", "numpy": "2.4.6"}


class Inspector:
    """Answers ``inspect-model``; counts how often."""

    def __init__(self, **changed: Any) -> None:
        self.asked = 0
        self.facts = FACTS | changed

    def __call__(self, _task: str, request: Mapping[str, Any], _folder: Path) -> dict[str, Any]:
        self.asked += 1
        if "broken" in request["model"]:
            raise ModelError(f"{request['model']} is broken")
        return dict(self.facts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"model")
    return tmp_path


def test_a_model_is_known_by_its_bytes_and_facts(folder: Path) -> None:
    (model,) = survey_models([model_spec(folder)], workshop_with(Inspector(), folder), TOOLS)
    assert model.onnx_digest == digest_from_bytes(b"model")
    assert model.facts.opset == 17
    assert model.profiles[0]["image"].opt == (8, 1, 8, 8)
    assert model.unchanged()


def test_a_model_that_was_checked_before_is_not_checked_again(folder: Path) -> None:
    survey_models([model_spec(folder)], workshop_with(Inspector(), folder), TOOLS)
    again = Inspector()
    survey_models([model_spec(folder)], workshop_with(again, folder, "b"), TOOLS)
    assert again.asked == 0


def test_external_data_is_part_of_the_model(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(b"1")
    inspector = Inspector(external_files=["weights.bin"])
    (before,) = survey_models([model_spec(folder)], workshop_with(inspector, folder), TOOLS)
    (folder / "weights.bin").write_bytes(b"2")
    (after,) = survey_models([model_spec(folder)], workshop_with(inspector, folder, "b"), TOOLS)
    assert before.digest != after.digest
    assert not before.unchanged()


def test_external_data_behind_a_link_is_refused_even_when_the_facts_are_cached(folder: Path) -> None:
    (folder / "weights.bin").write_bytes(b"1")
    inspector = Inspector(external_files=["weights.bin"])
    survey_models([model_spec(folder)], workshop_with(inspector, folder), TOOLS)
    (folder / "weights.bin").unlink()
    (folder / "weights.bin").symlink_to("/etc/hostname")
    with pytest.raises(ModelError, match="symbolic link"):
        survey_models([model_spec(folder)], workshop_with(inspector, folder, "b"), TOOLS)


def test_a_file_of_another_digest_than_the_manifest_names_is_refused(folder: Path) -> None:
    spec = model_spec(folder, sha256=digest_from_bytes(b"another"))
    with pytest.raises(ModelError, match="is not the file that the manifest names"):
        survey_models([spec], workshop_with(Inspector(), folder), TOOLS)


def test_a_profile_that_names_no_input_is_a_fault_of_the_manifest(folder: Path) -> None:
    inspector = Inspector(inputs=[IMAGE | {"name": "picture"}])
    with pytest.raises(ManifestError, match="image"):
        survey_models([model_spec(folder)], workshop_with(inspector, folder), TOOLS)


def test_a_glob_that_matches_no_node_is_a_fault_with_a_near_spelling(folder: Path) -> None:
    build = BuildSettings(layer_precisions=(("/head/Gem", Precision.FP32),))
    with pytest.raises(ManifestError, match="did you mean '/head/Gemm'"):
        survey_models([model_spec(folder, build=build)], workshop_with(Inspector(), folder), TOOLS)


def test_what_is_wrong_with_several_models_is_told_at_once(folder: Path) -> None:
    names = ["broken-1", "broken-2"]
    for name in names:
        (folder / f"{name}.onnx").write_bytes(name.encode())
    specs = [model_spec(folder, name=name, onnx=folder / f"{name}.onnx") for name in names]
    with pytest.raises(ModelError) as caught:
        survey_models(specs, workshop_with(Inspector(), folder), TOOLS)
    assert all(name in str(caught.value) for name in names)
    assert [fault.path for fault in caught.value.faults] == ["models.broken-1", "models.broken-2"]


def calibrated_by(folder: Path, text: str) -> Any:
    (folder / "team.table").write_text(text)
    calibration = Calibration(table=folder / "team.table", location=Location("m.yaml", 1, 1))
    return model_spec(folder, calibration=calibration)


def test_the_teams_table_is_part_of_the_keys_by_its_bytes(folder: Path) -> None:
    text = "TRT-8401-EntropyCalibration2\nimage: 3c010a14\n"
    (model,) = survey_models([calibrated_by(folder, text)], workshop_with(Inspector(), folder), TOOLS)
    assert model.calibration == {"calibration.table": str(digest_from_bytes(text.encode()))}
    assert model.unchanged()
    (folder / "team.table").write_text(text.replace("image", "other"))
    assert not model.unchanged()


def test_a_damaged_table_is_told_with_its_lines(folder: Path) -> None:
    text = "TRT-8401-EntropyCalibration2\nimage: 3c010a1\nimage: 3c010a14\nx: ffc00000\n"
    with pytest.raises(ModelError) as error:
        survey_models([calibrated_by(folder, text)], workshop_with(Inspector(), folder), TOOLS)
    assert error.value.where.endswith("team.table")
    assert error.value.why == (
        "line 2: has 7 of a scale's 8 hexadecimal digits; line 3: names 'image' again, after line 2;"
        " line 4: the scale of 'x' is nan"
    )
