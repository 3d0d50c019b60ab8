"""Builds TensorRT-RTX engines ahead of time: no GPU is needed, and none is touched.

Every setting is read back after it is set, because TensorRT-RTX only logs what it does not take. The compute
capability is always named: without it the plan covers several, and the check of data types is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.build.builder_log import BuilderLog
from pipeline.build.diagnosis import reason_from_parser
from pipeline.build.plan_header import PLAN_HEADER_BYTES, PlanHeader, header_faults, read_plan_header
from pipeline.build.request import BuildOutcome, EngineTensor
from pipeline.build.rtx_operators import refused_operators
from pipeline.errors import BuildError
from pipeline.precision import Precision

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.build.backend import RefusedOperator
    from pipeline.build.request import BuildRequest
    from pipeline.manifest.types import ShapeRange

ENGINE_FILE = "engine.plan"

_DTYPES = {
    "FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT8": "int8", "INT32": "int32", "INT64": "int64",
    "BOOL": "bool", "UINT8": "uint8", "FP8": "float8_e4m3fn", "INT4": "int4", "FP4": "float4_e2m1fn",
    "E8M0": "float8_e8m0fnu",
}  # fmt: skip
_VERBOSITIES = {"none": "NONE", "layer-names": "LAYER_NAMES_ONLY", "detailed": "DETAILED"}

_INCONSISTENT = "values are not self-consistent"
"""Only a warning to TensorRT-RTX, which then builds an engine that fails at that shape."""
_PROFILE_FIX = "correct min, opt and max of the profiles in the manifest"


def check_operators(model: Path) -> tuple[RefusedOperator, ...]:
    """Everything in the ONNX file ``model`` that the parser of TensorRT-RTX refuses."""
    session = _Session()
    return refused_operators(model, session.new_parser)


def build_engine(request: BuildRequest, folder: Path) -> BuildOutcome:
    """Build one engine into ``folder`` for exactly one compute capability. Raises ``BuildError``."""
    session = _Session()
    parser = session.new_parser()
    if not parser.parse_from_file(str(request.model.absolute())):
        raise _parse_error(parser, session.log)
    network = session.network
    config = session.builder.create_builder_config()
    _configure(session.trt, config, request)
    _add_profiles(session, config, request.profiles)
    session.log.refuse_errors("TensorRT-RTX does not take the build's settings")
    plan = session.builder.build_serialized_network(network, config)
    if plan is None or plan.nbytes == 0:
        diagnosis = session.log.diagnosis()
        raise BuildError("TensorRT-RTX could not build the engine", why=diagnosis.why, fix=diagnosis.fix)
    if inconsistent := [warning for warning in session.log.warnings if _INCONSISTENT in warning]:
        raise BuildError("a profile holds shapes that no run can have", why=inconsistent[0], fix=_PROFILE_FIX)
    header = _checked_header(memoryview(plan), request, session.trt.__version__)
    with (folder / ENGINE_FILE).open("xb") as file:
        file.write(plan)
    return BuildOutcome(
        engine=ENGINE_FILE,
        size_bytes=plan.nbytes,
        runtime_version=session.trt.__version__,
        build_s=round(session.log.elapsed_s, 3),
        inputs=tuple(_tensor(network.get_input(index)) for index in range(network.num_inputs)),
        outputs=tuple(_tensor(network.get_output(index)) for index in range(network.num_outputs)),
        header=header,
        warnings=session.log.warnings,
    )


class _Session:
    """The objects that one child needs. The logger is global to a process: the first one wins."""

    def __init__(self) -> None:
        import tensorrt_rtx_bindings as trt

        self.trt: Any = trt
        self.log = log = BuilderLog()

        class Logger(trt.ILogger):  # type: ignore[misc]
            def log(self, severity: Any, message: str) -> None:
                if severity != trt.ILogger.VERBOSE:
                    log.take(severity.name, message)

        self._logger = Logger()
        self.builder = trt.Builder(self._logger)
        self.network: Any = None

    def new_parser(self) -> Any:
        """A parser into a new, strongly typed ``network``."""
        flags = 1 << int(self.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        self.network = self.builder.create_network(flags)
        return self.trt.OnnxParser(self.network, self._logger)


def _configure(trt: Any, config: Any, request: BuildRequest) -> None:
    name = "SM{}{}".format(*request.compute_capability)
    capability = getattr(trt.ComputeCapability, name, None)
    if capability is None:
        raise BuildError(f"TensorRT-RTX does not build for {name}", fix="use `runtime: tensorrt` for this target")
    config.num_compute_capabilities = 1
    config.set_compute_capability(capability, 0)
    _confirm("the compute capability", capability, config.get_compute_capability(0))
    _confirm("one compute capability only", 1, config.num_compute_capabilities)
    _set_flag(config, trt.BuilderFlag.TF32, wanted=request.precision is Precision.TF32)
    _set_flag(config, trt.BuilderFlag.SPARSE_WEIGHTS, wanted=request.sparsity)
    verbosity = getattr(trt.ProfilingVerbosity, _VERBOSITIES[request.profiling_verbosity])
    config.profiling_verbosity = verbosity
    _confirm("`build.profiling_verbosity`", verbosity, config.profiling_verbosity)
    if request.optimization_level is not None:
        config.builder_optimization_level = request.optimization_level
        _confirm("`build.optimization_level`", request.optimization_level, config.builder_optimization_level)
    if request.workspace_mib is not None:
        workspace = trt.MemoryPoolType.WORKSPACE
        config.set_memory_pool_limit(workspace, request.workspace_mib << 20)
        _confirm("`build.workspace_mib`", request.workspace_mib << 20, config.get_memory_pool_limit(workspace))


def _set_flag(config: Any, flag: Any, *, wanted: bool) -> None:
    (config.set_flag if wanted else config.clear_flag)(flag)
    _confirm(f"the flag {flag.name}", wanted, config.get_flag(flag))


def _add_profiles(session: _Session, config: Any, profiles: tuple[Mapping[str, ShapeRange], ...]) -> None:
    network = session.network
    inputs = {tensor.name: tensor for tensor in map(network.get_input, range(network.num_inputs))}
    if not profiles and (dynamic := [name for name, tensor in inputs.items() if -1 in tuple(tensor.shape)]):
        raise BuildError(f"no profile for dynamic input {', '.join(dynamic)}", fix="add `profiles` to the model")
    for number, shapes in enumerate(profiles):
        profile = session.builder.create_optimization_profile()
        for name, shape in shapes.items():
            if name not in inputs:
                raise BuildError(f"a profile names {name!r}, which is no input", fix=f"use: {', '.join(inputs)}")
            if inputs[name].is_shape_tensor:
                raise BuildError(
                    f"input {name!r} decides the shape of other tensors",
                    why="a profile would have to give its values, and a manifest can only give shapes",
                    fix="make it a constant of the model",
                )
            wanted = [shape.min, shape.opt, shape.max]
            try:
                profile.set_shape(name, *wanted)
            except ValueError as error:
                raise BuildError(
                    f"TensorRT-RTX does not take profile {number} of input {name!r}",
                    why=str(error),
                    fix=_PROFILE_FIX,
                ) from error
            _confirm(f"profile {number} of input {name!r}", wanted, [tuple(dims) for dims in profile.get_shape(name)])
        index = config.add_optimization_profile(profile)
        session.log.refuse_errors(f"TensorRT-RTX does not take profile {number}")
        _confirm(f"profile {number}", number, index)
    _confirm("the profiles", len(profiles), config.num_optimization_profiles)


def _confirm(setting: str, wanted: object, found: object) -> None:
    if wanted != found:
        raise BuildError(
            f"TensorRT-RTX did not take {setting}",
            why=f"asked for {wanted}, it holds {found}",
            fix="change or remove that setting in the manifest",
        )


def _parse_error(parser: Any, log: BuilderLog) -> BuildError:
    lines = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        place = f"{error.node_operator()} at {error.node_name()}: " if error.node_operator() else ""
        lines.append(place + reason_from_parser(error.desc()))
    return BuildError(
        "TensorRT-RTX refuses the prepared model",
        why="; ".join(dict.fromkeys(lines)) or log.diagnosis().why,
        fix="keep the nodes out of the model, or use another precision",
    )


def _tensor(tensor: Any) -> EngineTensor:
    shape = tuple(
        size if size >= 0 else tensor.get_dimension_name(axis) or None for axis, size in enumerate(tensor.shape)
    )
    return EngineTensor(tensor.name, _DTYPES[tensor.dtype.name], shape)


def _checked_header(plan: memoryview, request: BuildRequest, version: str) -> PlanHeader:
    try:
        header = read_plan_header(bytes(plan[:PLAN_HEADER_BYTES]))
    except ValueError as error:
        raise BuildError("TensorRT-RTX returned something that is not a plan", why=str(error)) from error
    faults = header_faults(
        header,
        size_bytes=plan.nbytes,
        runtime=request.runtime,
        version=version,
        compute_capability=request.compute_capability,
    )
    if faults:
        raise BuildError("TensorRT-RTX returned another plan than was asked for", why="; ".join(faults))
    return header
