from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.child.inputs import inputs_from_request

if TYPE_CHECKING:
    from pathlib import Path


def named(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_file_that_the_request_names_is_an_input(tmp_path: Path) -> None:
    named(tmp_path, "data.npz")
    assert list(inputs_from_request({"data": str(tmp_path / "data.npz")})) == [tmp_path / "data.npz"]


def test_each_of_a_list_is_an_input(tmp_path: Path) -> None:
    named(tmp_path, "a.so", "b.so")
    paths = [str(tmp_path / "a.so"), str(tmp_path / "b.so")]
    assert list(map(str, inputs_from_request({"plugins": paths}))) == paths


def test_with_a_model_goes_what_lies_beside_it(tmp_path: Path) -> None:
    named(tmp_path, "model.onnx", "weights.bin", "more/weights.bin")
    found = set(inputs_from_request({"model": str(tmp_path / "model.onnx")}))
    assert found == {tmp_path / "model.onnx", tmp_path / "weights.bin", tmp_path / "more"}


def test_hidden_files_beside_a_model_stay_hidden(tmp_path: Path) -> None:
    named(tmp_path, "model.onnx", ".git/config", ".env")
    assert list(inputs_from_request({"model": str(tmp_path / "model.onnx")})) == [tmp_path / "model.onnx"]


def test_objects_are_looked_through(tmp_path: Path) -> None:
    named(tmp_path, "a.timing")
    request = {"build": {"timing_cache": str(tmp_path / "a.timing")}}
    assert list(inputs_from_request(request)) == [tmp_path / "a.timing"]


def test_with_an_interpreter_goes_its_installation(tmp_path: Path) -> None:
    named(tmp_path, "base/bin/python3", "venv/lib/x")
    (tmp_path / "venv/bin").mkdir()
    (tmp_path / "venv/bin/python").symlink_to(tmp_path / "base/bin/python3")
    request = {"pytorch": {"interpreter": str(tmp_path / "venv/bin/python")}}
    assert list(inputs_from_request(request)) == [tmp_path / "venv", tmp_path / "base"]


@pytest.mark.parametrize(
    "request_",
    [
        {"layer_precisions": [["/etc", "fp16"]]},
        {"precision": "/etc"},
        {"model": None},
        {"model": 5},
        {"model": "/nowhere/model.onnx"},
        {"model": "etc/passwd"},
        {"samples": 3},
    ],
)
def test_text_that_only_looks_like_a_path_is_none(request_: dict[str, object]) -> None:
    assert list(inputs_from_request(request_)) == []
