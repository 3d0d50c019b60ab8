from __future__ import annotations

import pytest

from pipeline.build.builder_log import BuilderLog
from pipeline.errors import BuildError


def test_every_message_goes_to_stderr_with_its_severity(capsys: pytest.CaptureFixture[str]) -> None:
    BuilderLog().take("WARNING", "careful")
    captured = capsys.readouterr()
    assert captured.err.endswith(" s] [WARNING] careful\n")
    assert captured.out == ""


@pytest.mark.parametrize("severity", ["ERROR", "INTERNAL_ERROR"])
def test_an_error_while_configuring_is_a_failure(severity: str) -> None:
    log = BuilderLog()
    log.take(severity, "platform is not supported")
    with pytest.raises(BuildError, match="settings: platform is not supported"):
        log.refuse_errors("settings")


def test_a_warning_or_a_missing_gpu_is_not_a_failure() -> None:
    log = BuilderLog()
    log.take("WARNING", "careful")
    log.take("ERROR", "Error Code 1: Cuda Runtime (cudaError 35: CUDA driver version is insufficient)")
    log.refuse_errors("settings")


def test_warnings_are_kept_once_each_and_not_without_end() -> None:
    log = BuilderLog()
    for number in range(100):
        log.take("WARNING", f"warning {number // 2}")
    assert log.warnings == tuple(f"warning {number}" for number in range(20))
