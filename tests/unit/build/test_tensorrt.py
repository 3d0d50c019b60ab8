"""What each version of full TensorRT is asked for, by the names that were recorded of it, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.build import native
from pipeline.build.request import BuildOutcome, BuildRequest
from pipeline.build.tensorrt import build_engine
from pipeline.errors import BuildError
from pipeline.manifest.types import ShapeRange
from pipeline.precision import Precision
from tests.support.building_tensorrt import VERSIONS, Machine

MODEL = Path(__file__).parents[2] / "fixtures/digits-seed-1.onnx"
ALL = tuple(VERSIONS)
WEAK = ("8.6", "10.0", "10.16")
STRONG = ("10.0", "10.16", "11.4")
PROFILE = {"image": ShapeRange((1, 1, 8, 8), (8, 1, 8, 8), (32, 1, 8, 8))}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to build into, on a machine with a GPU of its own."""
    monkeypatch.setattr(native, "require_gpu", lambda: None)
    monkeypatch.setattr(native, "other_processes_told", lambda: "")
    return tmp_path


def typing_of(surface: str) -> str:
    return "weak" if surface in WEAK else "strong"


def built(machine: Machine, folder: Path, **parts: Any) -> BuildOutcome:
    """The outcome of one build by ``machine``."""
    settings: dict[str, Any] = {"precision": Precision.FP16, "typing": typing_of(machine.surface)} | parts
    request = BuildRequest(runtime="tensorrt", model=MODEL, compute_capability=(9, 0), profiles=(PROFILE,), **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "tensorrt", machine.module())
        return build_engine(request, folder)


def flags(machine: Machine) -> set[str]:
    return {flag.name for flag in machine.config._flags}


@pytest.mark.parametrize(
    ("surface", "typing", "expected"),
    [
        ("8.6", "weak", {"EXPLICIT_BATCH"}),
        ("10.0", "weak", set()),
        ("10.16", "weak", set()),
        ("10.0", "strong", {"STRONGLY_TYPED"}),
        ("10.16", "strong", {"STRONGLY_TYPED"}),
        ("11.4", "strong", {"STRONGLY_TYPED"}),
    ],
)
def test_a_network_is_made_in_the_terms_of_the_version(
    folder: Path, surface: str, typing: str, expected: set[str]
) -> None:
    machine = Machine(surface)
    outcome = built(machine, folder, typing=typing)
    assert machine.networks == [expected]
    assert outcome.runtime_version == VERSIONS[surface]
    assert (folder / outcome.engine).stat().st_size == outcome.size_bytes


@pytest.mark.parametrize(
    ("surface", "typing", "told"),
    [("8.6", "strong", "10.0 and later has it"), ("11.4", "weak", "strongly typed networks only")],
)
def test_a_typing_that_the_version_lacks_is_refused(folder: Path, surface: str, typing: str, told: str) -> None:
    machine = Machine(surface)
    with pytest.raises(BuildError, match=told):
        built(machine, folder, typing=typing)
    assert machine.builds == 0


@pytest.mark.parametrize("surface", WEAK)
@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        (Precision.FP32, set()),
        (Precision.TF32, {"TF32"}),
        (Precision.FP16, {"FP16"}),
        (Precision.INT8, {"INT8"}),
        (Precision.INT8_FP16, {"INT8", "FP16"}),
    ],
)
def test_a_weakly_typed_builder_is_asked_for_the_precision_by_flags(
    folder: Path, surface: str, precision: Precision, expected: set[str]
) -> None:
    machine = Machine(surface)
    built(machine, folder, precision=precision)
    assert flags(machine) == expected


@pytest.mark.parametrize("surface", STRONG)
@pytest.mark.parametrize("precision", [Precision.FP16, Precision.BF16, Precision.INT8_FP16])
def test_a_strongly_typed_builder_is_asked_for_no_precision(folder: Path, surface: str, precision: Precision) -> None:
    machine = Machine(surface)
    built(machine, folder, precision=precision, typing="strong")
    assert flags(machine) == set()


@pytest.mark.parametrize("surface", ALL)
def test_every_setting_that_all_versions_have_is_taken(folder: Path, surface: str) -> None:
    machine = Machine(surface)
    built(
        machine,
        folder,
        optimization_level=4,
        workspace_mib=64,
        sparsity=True,
        profiling_verbosity="detailed",
        refit=True,
        version_compatible=True,
        hardware_compatibility="ampere+",
        tactic_sources=("jit-convolutions",),
    )
    config, kinds = machine.config, machine.module()
    assert flags(machine) - {"FP16"} == {"SPARSE_WEIGHTS", "REFIT", "VERSION_COMPATIBLE"}
    assert (config.builder_optimization_level, config.profiling_verbosity.name) == (4, "DETAILED")
    assert config.hardware_compatibility_level.name == "AMPERE_PLUS"
    assert config._taken["WORKSPACE"] == 64 << 20
    assert config._taken["tactic_sources"] == 1 << int(kinds.TacticSource.JIT_CONVOLUTIONS)


@pytest.mark.parametrize("surface", ALL)
@pytest.mark.parametrize(
    ("ignored", "setting"),
    [("SPARSE_WEIGHTS", {"sparsity": True}), ("WORKSPACE", {"workspace_mib": 64}), ("REFIT", {"refit": True})],
)
def test_a_setting_that_is_not_taken_fails_the_build_before_it_begins(
    folder: Path, surface: str, ignored: str, setting: dict[str, Any]
) -> None:
    machine = Machine(surface, ignores=frozenset({ignored}))
    with pytest.raises(BuildError, match="did not take"):
        built(machine, folder, **setting)
    assert machine.builds == 0


@pytest.mark.parametrize(
    ("surface", "setting", "told"),
    [
        ("8.6", {"precision": Precision.BF16}, "BF16: TensorRT 10.0 to 10.x has it"),
        ("8.6", {"strip_weights": True}, "STRIP_PLAN: TensorRT 10.0 and later has it"),
        ("10.0", {"hardware_compatibility": "same-compute-capability"}, "TensorRT 10.9 and later has it"),
        ("11.4", {"tactic_sources": ("cudnn",)}, "CUDNN: TensorRT 8.6 to 10.x has it"),
    ],
)
def test_a_setting_that_the_version_lacks_fails_the_build_before_it_begins(
    folder: Path, surface: str, setting: dict[str, Any], told: str
) -> None:
    machine = Machine(surface)
    with pytest.raises(BuildError, match=told):
        built(machine, folder, **setting)
    assert machine.builds == 0


@pytest.mark.parametrize("setting", [{"version_compatible": True}, {"hardware_compatibility": "ampere+"}])
def test_an_engine_for_other_versions_or_gpus_is_parsed_without_plugins_where_the_parser_can(
    folder: Path, setting: dict[str, Any]
) -> None:
    asked = {}
    for surface in ALL:
        machine = Machine(surface)
        built(machine, folder, **setting)
        asked[surface] = machine.parser_flags
    assert asked == {"8.6": set(), **{surface: {"NATIVE_INSTANCENORM"} for surface in STRONG}}
    built(plain := Machine("10.0"), folder)
    assert plain.parser_flags == set()


@pytest.mark.parametrize("surface", ALL)
def test_several_profiles_are_added_in_their_order(folder: Path, surface: str) -> None:
    machine, other = Machine(surface), {"image": ShapeRange((64, 1, 8, 8), (64, 1, 8, 8), (128, 1, 8, 8))}
    request = BuildRequest(
        runtime="tensorrt",
        model=MODEL,
        compute_capability=(9, 0),
        precision=Precision.FP32,
        typing=typing_of(surface),
        profiles=(PROFILE, other),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "tensorrt", machine.module())
        build_engine(request, folder)
    assert [profile._shapes["image"][2][0] for profile in machine.config._profiles] == [32, 128]


@pytest.mark.parametrize("surface", ALL)
def test_a_dla_core_is_used_with_the_gpu_for_what_it_cannot_run(folder: Path, surface: str) -> None:
    machine = Machine(surface, cores=2)
    built(machine, folder, dla_core=1, gpu_fallback=True)
    assert (machine.config.default_device_type.name, machine.config.DLA_core) == ("DLA", 1)
    assert "GPU_FALLBACK" in flags(machine)


@pytest.mark.parametrize("surface", ALL)
def test_a_dla_core_that_is_not_there_is_refused_with_the_versions_that_serve_any(folder: Path, surface: str) -> None:
    with pytest.raises(BuildError, match=r"no DLA cores here; .*up to 10\.7, and again from 11\.4\.1"):
        built(Machine(surface), folder, dla_core=0)


class Layer:
    """A layer of a network; ``types`` are those that were set for its outputs."""

    num_outputs = 1

    def __init__(self, kinds: Any, name: str, dtype: str = "FLOAT") -> None:
        self.name = name
        self.type = kinds.LayerType.CONVOLUTION
        self.precision: Any = None
        self.types: list[Any] = []
        self._output = SimpleNamespace(dtype=kinds.DataType[dtype])

    def get_output(self, _index: int) -> Any:
        return self._output

    def set_output_type(self, _index: int, kind: Any) -> None:
        self.types.append(kind)


@pytest.mark.parametrize("surface", WEAK)
@pytest.mark.parametrize(
    ("precision", "lowest", "expected"),
    [
        (Precision.FP16, Precision.FP32, "FLOAT"),
        (Precision.INT8, Precision.FP32, "FLOAT"),
        (Precision.INT8, Precision.FP16, "FLOAT"),
        (Precision.INT8_FP16, Precision.FP16, "HALF"),
    ],
)
def test_layers_keep_the_precision_that_the_manifest_gives_them(
    folder: Path, surface: str, precision: Precision, lowest: Precision, expected: str
) -> None:
    """In INT8 alone at least FP16 is FP32, since TensorRT refuses a layer in a type that no flag allows."""
    kinds = Machine(surface).module()
    head, stem, shape = Layer(kinds, "/head/Conv"), Layer(kinds, "/stem/Conv"), Layer(kinds, "/head/Add", "INT32")
    machine = Machine(surface, layers=(head, stem, shape))
    built(machine, folder, precision=precision, layer_precisions=(("/head/*", lowest),))
    assert (head.precision, head.types) == (kinds.DataType[expected], [kinds.DataType[expected]])
    assert (stem.precision, stem.types) == (shape.precision, shape.types) == (None, [])
    assert "OBEY_PRECISION_CONSTRAINTS" in flags(machine)


@pytest.mark.parametrize("surface", WEAK)
@pytest.mark.parametrize("kind", ["QUANTIZE", "DEQUANTIZE", "CONSTANT", "SHAPE"])
def test_what_has_a_type_of_its_own_is_asked_for_no_precision(folder: Path, surface: str, kind: str) -> None:
    """TensorRT 8.6 refuses the whole network where a layer that quantizes is asked to."""
    kinds = Machine(surface).module()
    typed = Layer(kinds, "/head/QuantizeLinear")
    typed.type = kinds.LayerType[kind]
    built(
        Machine(surface, layers=(typed,)),
        folder,
        precision=Precision.INT8_FP16,
        layer_precisions=(("/head/*", Precision.FP16),),
    )
    assert (typed.precision, typed.types) == (None, [])


def test_bf16_is_no_less_than_fp16(folder: Path) -> None:
    head = Layer(Machine("10.16").module(), "/head/Conv")
    machine = Machine("10.16", layers=(head,))
    built(machine, folder, precision=Precision.BF16, layer_precisions=(("/head/*", Precision.FP16),))
    assert head.precision is None


@pytest.mark.parametrize("surface", ALL)
def test_the_timing_cache_is_loaded_and_what_it_became_is_kept(folder: Path, surface: str) -> None:
    (folder / "before.timing").write_bytes(b"known")
    machine = Machine(surface)
    outcome = built(machine, folder, timing_cache=folder / "before.timing", keep_tactics=True)
    assert outcome.tactics is not None
    assert (folder / outcome.tactics).read_bytes() == b"known+"


@pytest.mark.parametrize(
    ("surface", "told"), [("8.6", "node 7: no such thing"), ("11.4", "Det at /node7: no such thing")]
)
def test_a_model_that_the_parser_refuses_is_told_node_by_node(folder: Path, surface: str, told: str) -> None:
    with pytest.raises(BuildError, match=told):
        built(Machine(surface, refuses=((7, "no such thing"),)), folder)


@pytest.mark.parametrize("surface", ALL)
def test_F28_a_builder_that_returns_nothing_fails_with_its_reason_and_what_helps(folder: Path, surface: str) -> None:
    error = "Error Code 10: Internal Error (Could not find any implementation for node conv1.)"
    with pytest.raises(BuildError) as caught:
        built(Machine(surface, errors=(error,)), folder)
    assert "no implementation of conv1 fits" in caught.value.why
    assert "workspace_mib" in caught.value.fix


def test_a_build_beside_other_work_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "other_processes_told", lambda: "1 other process computes on it")
    assert built(Machine("8.6"), folder).warnings == (
        "the GPU is shared: 1 other process computes on it, so that tactics may be timed wrongly",
    )
