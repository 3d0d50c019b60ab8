from __future__ import annotations

import pytest

from pipeline.build.diagnosis import decisive_errors, diagnosis_from_errors, reason_from_parser

NO_GPU = (
    "[checkMacros.cpp::catchCudaError::250] Error Code 1: Cuda Runtime (In catchCudaError at /_src/checkMacros.cpp:250 "
    "(cudaError 35: CUDA driver version is insufficient for CUDA runtime version))"
)


def test_repetitions_and_the_missing_gpu_do_not_decide() -> None:
    assert decisive_errors(["first", NO_GPU, "second", "first"]) == ("first", "second")


def test_the_missing_gpu_decides_when_nothing_else_was_said() -> None:
    assert decisive_errors([NO_GPU]) == (NO_GPU,)


@pytest.mark.parametrize(
    ("message", "why", "fix"),
    [
        (
            "Cannot compile operation 'Gemm_3' for Turing (SM75): FP32 GEMM is not supported.",
            "Turing (SM75) has no FP32 matrix product for node Gemm_3",
            "use fp16 or int8-fp16 for this target",
        ),
        (
            "Cannot compile for target(s) sm75, because the model contains HW-specific datatypes: b16.",
            "sm75 has no b16",
            "use another precision for this target",
        ),
        (
            "Error Code 10: Internal Error (Could not find any implementation for node {ForeignNode[a...b]}.)",
            "no implementation of {ForeignNode[a...b]} fits",
            "raise or remove `build.workspace_mib`",
        ),
        (
            "Compiling this graph requires workspace memory greater than 0. Please increase the workspace memory",
            "it needs more workspace memory",
            "raise or remove `build.workspace_mib`",
        ),
        (
            (
                "IBuilder::buildSerializedNetwork: Error Code 1: Myelin ([tactic.cpp:1676: enumerate_tactics] Tactic "
                "Selection: no tactics to implement the operation within workspace limit. Consider increase the "
                "allowed workspace size if applicable. In compileGraph at /_src/myelin/codeGenerator.cpp:2012)"
            ),
            "it needs more workspace memory",
            "raise or remove `build.workspace_mib`",
        ),
        (
            "Error Code 6: API Usage Error (Unable to load library: libnvinfer_lean.so.1 not found)",
            "it needs libnvinfer_lean.so.1, which is not installed",
            "remove the setting that asks for it",
        ),
        ("virtualMemoryBuffer.cpp::resizePhysical: OutOfMemory", "out of memory", "`--workers`"),
        (
            (
                "IBuilder::build: Error Code 4: API Usage Error (Dimension mismatch for tensor x and profile 0. "
                "At axis 2, profile has min=9 but tensor has 8. In validate at /_src/optimizer/api/network.cpp:4054)"
            ),
            "Dimension mismatch for tensor x and profile 0. At axis 2, profile has min=9 but tensor has 8",
            "correct min, opt and max",
        ),
    ],
)
def test_a_known_failure_is_told_with_its_remedy(message: str, why: str, fix: str) -> None:
    diagnosis = diagnosis_from_errors(["something before", message, NO_GPU])
    assert diagnosis.why.startswith(why)
    assert fix in diagnosis.fix


def test_F28_a_gpu_whose_memory_ends_is_told_with_advice() -> None:
    messages = ["Error Code 2: OutOfMemory (Requested size was 8589934592 bytes.)", "Error Code 10: Internal Error"]
    assert diagnosis_from_errors(messages).why.startswith("out of memory")
    assert "build.workspace_mib" in diagnosis_from_errors(messages).fix


def test_an_unknown_failure_shows_the_last_messages() -> None:
    assert diagnosis_from_errors(["a", "b", "c", "d", NO_GPU]).why == "b | c | d"


def test_silence_is_said_to_be_silence() -> None:
    assert diagnosis_from_errors([]).why == "it gave no reason"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("false", "the parser does not support it"),
        (
            'creator && "Plugin not found, are the plugin name, version, and namespace correct?"',
            "the parser does not know it, and no plugin of that name is there",
        ),
        (
            (
                "Assertion failed: creator && f(creator) == kV3ONE: NonZero plugin creator version 1 was not found in "
                "plugin registry."
            ),
            "it needs the NonZero plugin, which is not there",
        ),
        (
            '(mode == "a" || mode == "b") && "TensorRT only supports a and " "b modes!"',
            "TensorRT only supports a and b modes",
        ),
        (
            "Assertion failed: shiftIsAllZeros(zeroPoint): Non-zero zero point is not supported.",
            "Non-zero zero point is not supported",
        ),
        ("some new text\n", "some new text"),
    ],
)
def test_a_parsers_condition_is_told_in_words(text: str, reason: str) -> None:
    assert reason_from_parser(text) == reason
