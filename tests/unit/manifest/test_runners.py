from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.errors import ManifestError
from pipeline.manifest.load import load_manifest

if TYPE_CHECKING:
    from pathlib import Path

TEXT = """version: 1
models:
  - {name: digits, onnx: model.onnx, targets: [l4], precisions: [fp16], profiles: []}
runners:
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"x")
    return tmp_path / "m.yaml"


def test_targets_have_the_labels_of_their_runners(path: Path) -> None:
    path.write_text(TEXT.replace(", profiles: []", "") + "  l4: [self-hosted, gpu-l4]\n  default: [ubuntu-24.04]\n")
    assert load_manifest(path).runners == (("l4", ("self-hosted", "gpu-l4")), ("default", ("ubuntu-24.04",)))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("  l40: [gpu]\n", "no model has this target; did you mean 'l4'"),
        ("  l4: gpu\n", "a list"),
        ("  l4: []\n", "5:7"),
        ('  l4: ["$x"]\n', "write the label as the runner has it"),
    ],
)
def test_a_wrong_runner_is_told_at_its_place(line: str, told: str, path: Path) -> None:
    path.write_text(TEXT.replace(", profiles: []", "") + line)
    with pytest.raises(ManifestError) as raised:
        load_manifest(path)
    assert told in str(raised.value)
