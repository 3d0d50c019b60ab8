"""Bad input ends in the right exit code and one clear message, and leaves nothing half-written."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/digits"
MANIFEST = "trt-engines.yaml"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy of the digits example, asking for one INT8 engine, to be spoilt."""
    folder = tmp_path / "digits"
    shutil.copytree(EXAMPLE, folder)
    lines = (folder / MANIFEST).read_text().splitlines()
    kept = [line for line in lines if '"8.6"' not in line and '"12.0"' not in line]
    text = "\n".join(kept).replace("[fp32, fp16, int8]", "[int8]").replace("fp32: 0.99999, fp16: 0.9999, ", "")
    (folder / MANIFEST).write_text(text + "\n")
    return folder


def run(folder: Path, **options: object) -> subprocess.CompletedProcess[str]:
    result: subprocess.CompletedProcess[str] = subprocess.run(
        [sys.executable, str(ROOT / "entrypoint.py"), "run", "--manifest", MANIFEST],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,  # type: ignore[call-overload]
    )
    return result


def expect(folder: Path, exit_code: int, *parts: str, **options: object) -> str:
    result = run(folder, **options)
    said = result.stderr + result.stdout
    assert result.returncode == exit_code, said
    assert "Traceback" not in said
    for part in parts:
        assert part in " ".join(said.split()), said
    assert not list(folder.rglob("*.engine")), "an engine of a failed run"
    assert not list(folder.rglob("*.tmp")), "a half-written file"
    return said


def edit_model(folder: Path, change: object) -> None:
    model = onnx.load(folder / "model.onnx")
    change(model)  # type: ignore[operator]
    onnx.save(model, folder / "model.onnx")


def test_no_manifest(example: Path) -> None:
    (example / MANIFEST).unlink()
    expect(example, 3, MANIFEST)


def test_an_empty_manifest(example: Path) -> None:
    (example / MANIFEST).write_text("")
    expect(example, 3, f"{MANIFEST}:1:1", "empty")


def test_a_binary_manifest(example: Path) -> None:
    (example / MANIFEST).write_bytes(bytes(range(256)))
    expect(example, 3, MANIFEST)


def test_a_manifest_of_one_gibibyte(example: Path) -> None:
    with (example / MANIFEST).open("wb") as file:
        file.truncate(1 << 30)
    expect(example, 3, "256 KiB")


def test_an_alias_bomb(example: Path) -> None:
    levels = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    (example / MANIFEST).write_text("\n".join(levels))
    expect(example, 3, "alias")


def test_a_missing_model(example: Path) -> None:
    (example / "model.onnx").unlink()
    expect(example, 3, f"{MANIFEST}:", "model.onnx")


def test_a_truncated_model(example: Path) -> None:
    data = (example / "model.onnx").read_bytes()
    (example / "model.onnx").write_bytes(data[: len(data) // 2])
    expect(example, 4, "model.onnx")


def test_external_data_outside_the_folder(example: Path) -> None:
    (example.parent / "weights.bin").write_bytes(bytes(4096))

    def point_outside(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "../weights.bin"

    edit_model(example, point_outside)
    expect(example, 4, "../weights.bin")


def test_unsupported_operators_are_all_named_with_their_nodes(example: Path) -> None:
    def add_unsupported(model: onnx.ModelProto) -> None:
        for number in (1, 2):
            model.graph.node.append(helper.make_node("Det", ["square"], [f"det_{number}"], name=f"my_det_{number}"))
            model.graph.output.append(helper.make_tensor_value_info(f"det_{number}", TensorProto.FLOAT, ["batch", 1]))
        model.graph.node.insert(0, helper.make_node("Identity", ["image"], ["square"], name="my_identity"))

    edit_model(example, add_unsupported)
    expect(example, 4, "Det", "my_det_1", "my_det_2")


def test_weights_that_are_not_numbers(example: Path) -> None:
    def spoil(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        values = numpy_helper.to_array(tensor).copy()
        values.flat[0] = np.nan
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    edit_model(example, spoil)
    expect(example, 4, "NaN", onnx.load(example / "model.onnx").graph.initializer[0].name)


def test_missing_calibration_data(example: Path) -> None:
    (example / "calibration.npz").unlink()
    expect(example, 3, "calibration.npz")


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.zeros((0, 1, 8, 8), np.float32), "calibration.npz"),
        (np.zeros((16, 1, 9, 8), np.float32), "calibration.npz"),
        (np.zeros((16, 1, 8, 8), np.float64), "float64"),
        (np.full((16, 1, 8, 8), np.nan, np.float32), "NaN"),
    ],
    ids=["empty", "another shape", "another dtype", "NaN"],
)
def test_unusable_calibration_data(example: Path, images: np.ndarray, says: str) -> None:
    np.savez(example / "calibration.npz", image=images)
    expect(example, 4, says)


def test_a_full_disk(example: Path) -> None:
    """A limit on the size of files stands for the disk: 64 KiB hold the manifest and the report, and no engine."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

    expect(example, 6, "space", preexec_fn=limit)


def test_a_cache_that_cannot_be_written_costs_a_note_and_nothing_else(example: Path) -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "entrypoint.py"), "run", "--manifest", MANIFEST, "--cache", "/proc/nowhere"],
        cwd=example,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("note: the cache failed") == 1
