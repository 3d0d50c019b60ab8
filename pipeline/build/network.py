"""What every TensorRT has in common: profiles, flags that are read back, and what comes out of parser and builder.

``product`` is the runtime's name in messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.build.diagnosis import reason_from_parser
from pipeline.build.plan_header import PLAN_HEADER_BYTES, PlanHeader, header_faults, read_plan_header
from pipeline.build.request import EngineTensor
from pipeline.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.build.builder_log import BuilderLog
    from pipeline.build.request import BuildRequest
    from pipeline.manifest.types import ShapeRange

ENGINE_FILE = "engine.plan"

_DTYPES = {
    "FLOAT": "float32", "HALF": "float16", "BF16": "bfloat16", "INT8": "int8", "INT32": "int32", "INT64": "int64",
    "BOOL": "bool", "UINT8": "uint8", "FP8": "float8_e4m3fn", "INT4": "int4", "FP4": "float4_e2m1fn",
    "E8M0": "float8_e8m0fnu",
}  # fmt: skip
_VERBOSITIES = {"none": "NONE", "layer-names": "LAYER_NAMES_ONLY", "detailed": "DETAILED"}
_PROFILE_FIX = "correct min, opt and max of the profiles in the manifest"


def confirm(product: str, setting: str, wanted: object, found: object) -> None:
    """Raise ``BuildError`` where a setting that was read back is not the one that was asked for."""
    if wanted != found:
        raise BuildError(
            f"{product} did not take {setting}",
            why=f"asked for {wanted}, it holds {found}",
            fix="change or remove that setting in the manifest",
        )


def set_flag(product: str, config: Any, flag: Any, *, wanted: bool) -> None:
    """Set or clear a builder flag, and read it back. Raises ``BuildError``."""
    (config.set_flag if wanted else config.clear_flag)(flag)
    confirm(product, f"the flag {flag.name}", wanted, config.get_flag(flag))


def set_common_settings(product: str, trt: Any, config: Any, request: BuildRequest) -> None:
    """The settings that every version has: sparsity, verbosity, optimization level, workspace."""
    set_flag(product, config, trt.BuilderFlag.SPARSE_WEIGHTS, wanted=request.sparsity)
    verbosity = getattr(trt.ProfilingVerbosity, _VERBOSITIES[request.profiling_verbosity])
    config.profiling_verbosity = verbosity
    confirm(product, "`build.profiling_verbosity`", verbosity, config.profiling_verbosity)
    if request.optimization_level is not None:
        config.builder_optimization_level = request.optimization_level
        confirm(product, "`build.optimization_level`", request.optimization_level, config.builder_optimization_level)
    if request.workspace_mib is not None:
        workspace, limit_bytes = trt.MemoryPoolType.WORKSPACE, request.workspace_mib << 20
        config.set_memory_pool_limit(workspace, limit_bytes)
        confirm(product, "`build.workspace_mib`", limit_bytes, config.get_memory_pool_limit(workspace))


def add_profiles(
    product: str,
    builder: Any,
    network: Any,
    config: Any,
    profiles: tuple[Mapping[str, ShapeRange], ...],
    *,
    log: BuilderLog,
) -> None:
    """Add every optimization profile, and read it back. Raises ``BuildError``."""
    inputs = {tensor.name: tensor for tensor in map(network.get_input, range(network.num_inputs))}
    if not profiles and (dynamic := [name for name, tensor in inputs.items() if -1 in tuple(tensor.shape)]):
        raise BuildError(f"no profile for dynamic input {', '.join(dynamic)}", fix="add `profiles` to the model")
    for number, shapes in enumerate(profiles):
        profile = builder.create_optimization_profile()
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
                    f"{product} does not take profile {number} of input {name!r}",
                    why=str(error),
                    fix=_PROFILE_FIX,
                ) from error
            confirm(
                product,
                f"profile {number} of input {name!r}",
                wanted,
                [tuple(dims) for dims in profile.get_shape(name)],
            )
        index = config.add_optimization_profile(profile)
        log.refuse_errors(f"{product} does not take profile {number}")
        confirm(product, f"profile {number}", number, index)
    confirm(product, "the profiles", len(profiles), config.num_optimization_profiles)


def parse_error(product: str, parser: Any, log: BuilderLog) -> BuildError:
    """Everything that a parser said of the prepared model."""
    errors = map(parser.get_error, range(parser.num_errors))
    lines = [_place(error) + reason_from_parser(error.desc()) for error in errors]
    return BuildError(
        f"{product} refuses the prepared model",
        why="; ".join(dict.fromkeys(lines)) or log.diagnosis().why,
        fix="keep the nodes out of the model, or use another precision",
    )


def _place(error: Any) -> str:
    """The node that a parser's error is about, before a colon: by its number in 8.6, which knows no names."""
    if not hasattr(error, "node_operator"):
        return f"node {error.node()}: " if error.node() >= 0 else ""
    return f"{error.node_operator()} at {error.node_name()}: " if error.node_operator() else ""


def tensor_from_network(tensor: Any) -> EngineTensor:
    """An input or output of a network."""
    shape = tuple(
        size if size >= 0 else tensor.get_dimension_name(axis) or None for axis, size in enumerate(tensor.shape)
    )
    return EngineTensor(tensor.name, _DTYPES[tensor.dtype.name], shape)


def checked_header(product: str, plan: memoryview, request: BuildRequest, version: str) -> PlanHeader:
    """The header of a plan that was just built. Raises ``BuildError`` where it is not what was asked for."""
    try:
        header = read_plan_header(bytes(plan[:PLAN_HEADER_BYTES]))
    except ValueError as error:
        raise BuildError(f"{product} returned something that is not a plan", why=str(error)) from error
    faults = header_faults(
        header,
        size_bytes=plan.nbytes,
        runtime=request.runtime,
        version=version,
        compute_capability=request.compute_capability,
    )
    if faults:
        raise BuildError(f"{product} returned another plan than was asked for", why="; ".join(faults))
    return header
