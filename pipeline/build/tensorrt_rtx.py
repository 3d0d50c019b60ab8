"""Builds TensorRT-RTX engines ahead of time: no GPU is needed, and none is touched.

Every setting is read back after it is set, because TensorRT-RTX only logs what it does not take. The compute
capability is always named: without it the plan covers several, and the check of data types is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.build.builder_log import BuilderLog
from pipeline.build.network import (
    ENGINE_FILE,
    add_profiles,
    checked_header,
    confirm,
    parse_error,
    set_common_settings,
    set_flag,
    tensor_from_network,
)
from pipeline.build.progress_monitor import told_progress
from pipeline.build.request import BuildOutcome
from pipeline.build.rtx_operators import refused_operators
from pipeline.errors import BuildError
from pipeline.precision import Precision

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.build.backend import RefusedOperator
    from pipeline.build.request import BuildRequest

_PRODUCT = "TensorRT-RTX"
_INCONSISTENT = "values are not self-consistent"
"""Only a warning to TensorRT-RTX, which then builds an engine that fails at that shape."""


def check_operators(model: Path) -> tuple[RefusedOperator, ...]:
    """Everything in the ONNX file ``model`` that the parser of TensorRT-RTX refuses."""
    session = _Session()
    return refused_operators(model, session.new_parser)


def build_engine(request: BuildRequest, folder: Path) -> BuildOutcome:
    """Build one engine into ``folder`` for exactly one compute capability. Raises ``BuildError``."""
    session = _Session()
    parser = session.new_parser()
    if not parser.parse_from_file(str(request.model.absolute())):
        raise parse_error(_PRODUCT, parser, session.log)
    network = session.network
    config = session.builder.create_builder_config()
    _configure(session.trt, config, request)
    add_profiles(_PRODUCT, session.builder, network, config, request.profiles, log=session.log)
    session.log.refuse_errors("TensorRT-RTX does not take the build's settings")
    with told_progress(session.trt, config, folder):
        plan = session.builder.build_serialized_network(network, config)
    if plan is None or plan.nbytes == 0:
        diagnosis = session.log.diagnosis()
        raise BuildError("TensorRT-RTX could not build the engine", why=diagnosis.why, fix=diagnosis.fix)
    if inconsistent := [warning for warning in session.log.warnings if _INCONSISTENT in warning]:
        raise BuildError(
            "a profile holds shapes that no run can have",
            why=inconsistent[0],
            fix="correct min, opt and max of the profiles",
        )
    header = checked_header(_PRODUCT, memoryview(plan), request, session.trt.__version__)
    with (folder / ENGINE_FILE).open("xb") as file:
        file.write(plan)
    return BuildOutcome(
        engine=ENGINE_FILE,
        size_bytes=plan.nbytes,
        runtime_version=session.trt.__version__,
        build_s=round(session.log.elapsed_s, 3),
        inputs=tuple(tensor_from_network(network.get_input(index)) for index in range(network.num_inputs)),
        outputs=tuple(tensor_from_network(network.get_output(index)) for index in range(network.num_outputs)),
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
    confirm(_PRODUCT, "the compute capability", capability, config.get_compute_capability(0))
    confirm(_PRODUCT, "one compute capability only", 1, config.num_compute_capabilities)
    set_flag(_PRODUCT, config, trt.BuilderFlag.TF32, wanted=request.precision is Precision.TF32)
    set_common_settings(_PRODUCT, trt, config, request)
