"""Every name of TensorRT that the step uses is one that the versions have for which it is used.

The surfaces were recorded from the real modules by ``scripts/record-tensorrt``.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.tensorrt_versions import HARDWARE_LEVELS, SPANS, TACTIC_SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).parents[3]
SURFACES: dict[str, Any] = {
    path.stem: json.loads(path.read_text()) for path in (ROOT / "tests/fixtures/tensorrt").glob("*.json")
}
ALL = tuple(sorted(SURFACES, key=float))
FOLDERS = ("build", "engine", "inspection", "bench")
WRITTEN = re.compile(r"\btrt\.(?P<kind>[A-Z]\w+)\.(?P<member>\w+)")
"""``trt.BuilderFlag.TF32``, as the source has it."""

PARTLY = {
    ("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH"): ("8.6", "10.0", "10.16"),
    ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"): ("10.0", "10.16", "11.4"),
    ("BuilderFlag", "OBEY_PRECISION_CONSTRAINTS"): ("8.6", "10.0", "10.16"),
    ("IProgressMonitor", "__init__"): ("10.0", "10.16", "11.4"),
    ("BuilderFlag", "FP16"): ("8.6", "10.0", "10.16"),
    ("BuilderFlag", "BF16"): ("10.0", "10.16"),
    ("BuilderFlag", "INT8"): ("8.6", "10.0", "10.16"),
    ("BuilderFlag", "STRIP_PLAN"): ("10.0", "10.16", "11.4"),
    ("TacticSource", "CUBLAS"): ("8.6", "10.0", "10.16"),
    ("TacticSource", "CUBLAS_LT"): ("8.6", "10.0", "10.16"),
    ("TacticSource", "CUDNN"): ("8.6", "10.0", "10.16"),
    ("QuantizationFlag", "CALIBRATE_BEFORE_FUSION"): ("8.6", "10.0", "10.16"),
    ("HardwareCompatibilityLevel", "SAME_COMPUTE_CAPABILITY"): ("10.16", "11.4"),
}
"""Names that some versions lack -> those that have them. The source asks before it uses them, or knows the version."""

USED = {
    "Builder": ("create_network", "create_builder_config", "create_optimization_profile", "build_serialized_network",
                "num_DLA_cores"),
    "IBuilderConfig": ("set_flag", "clear_flag", "get_flag", "add_optimization_profile", "create_timing_cache",
                       "set_timing_cache", "profiling_verbosity", "builder_optimization_level", "set_memory_pool_limit",
                       "get_memory_pool_limit", "set_tactic_sources", "get_tactic_sources", "default_device_type",
                       "DLA_core", "hardware_compatibility_level"),
    "ITimingCache": ("serialize", "combine"),
    "IOptimizationProfile": ("set_shape",),
    "OnnxParser": ("parse_from_file", "num_errors", "get_error"),
    "INetworkDefinition": ("num_inputs", "get_input", "num_outputs", "get_output", "num_layers", "get_layer"),
    "Runtime": ("deserialize_cuda_engine", "engine_host_code_allowed"),
    "ICudaEngine": ("num_io_tensors", "get_tensor_name", "get_tensor_mode", "get_tensor_dtype", "get_tensor_location",
                    "get_tensor_profile_shape", "num_optimization_profiles", "create_execution_context",
                    "create_engine_inspector", "refittable", "serialize"),
    "IExecutionContext": ("set_input_shape", "get_tensor_shape", "set_tensor_address", "execute_async_v3",
                          "set_optimization_profile_async", "active_optimization_profile", "profiler"),
    "Refitter": ("get_all_weights", "get_missing_weights", "set_named_weights", "refit_cuda_engine"),
    "EngineInspector": ("get_engine_information", "execution_context"),
}  # fmt: skip
"""Attributes of objects that the source uses whatever the version."""

ASKED_FIRST = {
    "create_serialization_config": ("10.0", "10.16", "11.4"),
    "serialize_with_config": ("10.0", "10.16", "11.4"),
    "refit_from_file": ("10.0", "10.16", "11.4"),
    "int8_calibrator": ("8.6", "10.0", "10.16"),
    "set_calibration_profile": ("8.6", "10.0", "10.16"),
    "set_quantization_flag": ("8.6", "10.0", "10.16"),
    "get_quantization_flag": ("8.6", "10.0", "10.16"),
    "set_output_type": ("8.6", "10.0", "10.16"),
    "precision_is_set": ("8.6", "10.0", "10.16"),
    "supports_model": ("8.6", "10.0", "10.16"),
    "supports_model_v2": ("10.16", "11.4"),
    "node_name": ("10.0", "10.16", "11.4"),
    "node_operator": ("10.0", "10.16", "11.4"),
    "local_function_stack": ("10.0", "10.16", "11.4"),
    "progress_monitor": ("10.0", "10.16", "11.4"),
    "device_memory_size": ("8.6", "10.0", "10.16"),
}
"""Attributes in the source that some versions have on no class -> those that have them. The source asks whether they
are there before it uses them, or knows the version."""
OURS = frozenset({"build_engine", "precision", "update"})
"""Names of our own, or of Python's, that some class of TensorRT happens to have too."""


def written() -> set[tuple[str, str]]:
    """Every ``trt.KIND.MEMBER`` in the source."""
    texts = [path.read_text() for folder in FOLDERS for path in (ROOT / "pipeline" / folder).glob("*.py")]
    return {(found["kind"], found["member"]) for text in texts for found in WRITTEN.finditer(text)}


def has(version: str, kind: str, member: str) -> bool:
    surface = SURFACES[version]
    if member == "__init__":
        return kind in surface["classes"]
    return member in surface["enums"].get(kind, ()) or member in surface["classes"].get(kind, ())


def test_the_surfaces_of_every_supported_version_are_here() -> None:
    assert ALL == ("8.6", "10.0", "10.16", "11.4")


@pytest.mark.parametrize("version", ALL)
def test_what_the_source_writes_out_is_there(version: str) -> None:
    native = {name for name in written() if name[0] != "IInt8Calibrator"}
    expected = {name for name in native if version in PARTLY.get(name, ALL)}
    assert len(expected) > 10
    assert [name for name in sorted(expected) if not has(version, *name)] == []


@pytest.mark.parametrize("version", ALL)
def test_what_is_used_of_every_object_is_there(version: str) -> None:
    missing = [f"{kind}.{name}" for kind, names in USED.items() for name in names if not has(version, kind, name)]
    assert missing == []


def attributes() -> set[str]:
    """Every attribute that the source reads, sets or calls, whatever the object."""
    texts = [path.read_text() for folder in FOLDERS for path in (ROOT / "pipeline" / folder).glob("*.py")]
    return {node.attr for text in texts for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}


def test_no_attribute_is_used_that_some_version_lacks_unless_it_is_asked_for_first() -> None:
    members = {version: set().union(*SURFACES[version]["classes"].values()) for version in ALL}
    used = attributes() & set().union(*members.values()) - OURS
    having = {name: tuple(version for version in ALL if name in members[version]) for name in used}
    assert {name: versions for name, versions in having.items() if versions != ALL} == ASKED_FIRST


@pytest.mark.parametrize(("name", "versions"), PARTLY.items(), ids=".".join)
def test_names_that_some_versions_lack_are_where_they_are_said_to_be(
    name: tuple[str, str], versions: tuple[str, ...]
) -> None:
    assert tuple(version for version in ALL if has(version, *name)) == versions


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("TacticSource", TACTIC_SOURCES),
        ("HardwareCompatibilityLevel", HARDWARE_LEVELS),
    ],
)
def test_the_manifests_words_name_members_of_some_version(kind: str, words: Mapping[str, str]) -> None:
    known = {member for surface in SURFACES.values() for member in surface["enums"][kind]}
    assert set(words.values()) <= known


def test_calibrators_and_weak_typing_end_with_version_10() -> None:
    assert [version for version in ALL if "IInt8EntropyCalibrator2" in SURFACES[version]["classes"]] == list(ALL[:3])


def test_the_parsers_refitter_and_serialization_flags_came_with_version_10() -> None:
    later = list(ALL[1:])
    refitters = [version for version in ALL if has(version, "OnnxParserRefitter", "refit_from_file")]
    configs = [version for version in ALL if has(version, "ICudaEngine", "serialize_with_config")]
    assert refitters == configs == later
    assert [version for version in ALL if has(version, "SerializationFlag", "EXCLUDE_WEIGHTS")] == later


@pytest.mark.parametrize("name", SPANS)
def test_what_users_are_told_of_versions_is_what_the_modules_have(name: str) -> None:
    kind, _, member = name.partition(".")
    assert [version in SPANS[name] for version in ALL] == [has(version, kind, member) for version in ALL]


@pytest.mark.parametrize(
    ("kind", "names"),
    [("TacticSource", TACTIC_SOURCES.values()), ("HardwareCompatibilityLevel", HARDWARE_LEVELS.values())],
)
def test_every_word_of_a_manifest_that_some_version_lacks_is_told_with_those_that_have_it(
    kind: str, names: Iterable[str]
) -> None:
    partly = {f"{kind}.{name}" for name in names if not all(has(version, kind, name) for version in ALL)}
    assert partly <= SPANS.keys()
