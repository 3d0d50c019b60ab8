from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.child.inputs import inputs_from_request


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
    named(tmp_path, "base/bin/python3", "base/lib/python3.12/os.py", "venv/lib/x", "venv/pyvenv.cfg")
    (tmp_path / "venv/bin").mkdir()
    python = tmp_path / "venv/bin/python"
    python.symlink_to(tmp_path / "base/bin/python3")
    request = {"pytorch": {"interpreter": str(python)}}
    parts = ("venv/bin", "venv/lib", "venv/pyvenv.cfg", "base/bin", "base/lib")
    assert list(inputs_from_request(request)) == [python, *(tmp_path / part for part in parts)]


@pytest.mark.parametrize("interpreter", ["workspace/run", "workspace/bin/run", "workspace/link"])
def test_T05_above_an_interpreter_in_the_checkout_nothing_else_is_read(tmp_path: Path, interpreter: str) -> None:
    """A manifest can name a program of its checkout, whose grandparent on a runner holds the runner's own files."""
    named(tmp_path, "workspace/run", "workspace/bin/run", "workspace/.git/config", "home/.docker/config.json")
    (tmp_path / "workspace/link").symlink_to(tmp_path / "home/.docker/config.json")
    request = {"pytorch": {"interpreter": str(tmp_path / interpreter)}}
    found = list(inputs_from_request(request))
    private = (tmp_path / "workspace/.git/config", tmp_path / "home/.docker/config.json")
    assert not [path for path in private if any(path.is_relative_to(given) for given in found)]


def test_T05_an_interpreter_at_the_root_opens_no_more_than_itself() -> None:
    program = next(path for path in sorted(Path("/").iterdir()) if path.exists())
    found = list(inputs_from_request({"pytorch": {"interpreter": str(program)}}))
    assert Path("/") not in found
    assert Path("/etc") not in found


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
