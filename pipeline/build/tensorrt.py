"""Builds engines with full TensorRT 8.6, 10.x and 11.x, on the GPU that they are for.

Up to 10.x a network may be weakly typed: the builder is asked for a precision by flags, and INT8 ranges come from a
calibration table or from Q/DQ nodes. From 11.x on, and on 10.x where strong typing is asked for, the model itself
carries the precision. Every setting is read back after it is set.
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
    tensor_from_network,
)
from pipeline.build.parser_operators import operators_from_parser
from pipeline.build.progress_monitor import told_progress
from pipeline.build.request import BuildOutcome
from pipeline.build.table_calibrator import table_calibrator
from pipeline.build.tensorrt_settings import ask_for_precision, configure, lacking
from pipeline.build.timing_cache import kept_tactics, load_timing_cache, save_timing_cache
from pipeline.cuda import require_gpu
from pipeline.errors import BuildError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.build.backend import RefusedOperator
    from pipeline.build.request import BuildRequest

_PRODUCT = "TensorRT"
_LAST_WEAK = 10
"""The last major version that builds weakly typed networks."""


def check_operators(model: Path) -> tuple[RefusedOperator, ...]:
    """Everything in the ONNX file ``model`` that the parser of TensorRT refuses."""
    native = _Native()
    native.trt.init_libnvinfer_plugins(native.logger, "")
    typing = "weak" if native.major <= _LAST_WEAK else "strong"
    return operators_from_parser(model, lambda: native.new_parser(typing))


def build_engine(request: BuildRequest, folder: Path) -> BuildOutcome:
    """Build one engine into ``folder`` on device 0. Raises ``BuildError``, ``DeviceError`` where there is no GPU."""
    native = _Native()
    trt = native.trt
    _load_plugins(native, request)
    parser = native.new_parser(request.typing)
    network = native.network
    if not parser.parse_from_file(str(request.model.absolute())):
        raise parse_error(_PRODUCT, parser, native.log)
    config = native.builder.create_builder_config()
    configure(trt, native.builder, config, request)
    if request.typing == "weak":
        ask_for_precision(trt, native.network, config, request)
    add_profiles(_PRODUCT, native.builder, network, config, request.profiles, log=native.log)
    calibrator = _attach_table(native, config, request)
    native.log.refuse_errors("TensorRT does not take the build's settings")
    # Only now, because 8.6 logs an error about the Myelin part of a timing cache that it wrote itself, and goes on.
    cache = load_timing_cache(config, request.timing_cache, native.log)
    with told_progress(trt, config, folder):
        plan = native.builder.build_serialized_network(network, config)
    if calibrator is not None and calibrator.refused:
        raise BuildError(
            "TensorRT did not take the calibration table",
            why=f"{trt.__version__} asked for calibration data in its place",
            fix="use `int8: explicit`, or report it with the log",
        )
    if plan is None or plan.nbytes == 0:
        diagnosis = native.log.diagnosis()
        raise BuildError("TensorRT could not build the engine", why=diagnosis.why, fix=diagnosis.fix)
    header = checked_header(_PRODUCT, memoryview(plan), request, trt.__version__)
    (folder / ENGINE_FILE).write_bytes(memoryview(plan))
    save_timing_cache(config, cache, request.timing_cache)
    return BuildOutcome(
        engine=ENGINE_FILE,
        size_bytes=plan.nbytes,
        runtime_version=trt.__version__,
        build_s=round(native.log.elapsed_s, 3),
        inputs=tuple(tensor_from_network(network.get_input(index)) for index in range(network.num_inputs)),
        outputs=tuple(tensor_from_network(network.get_output(index)) for index in range(network.num_outputs)),
        header=header,
        warnings=native.log.warnings,
        tactics=kept_tactics(cache, folder) if request.keep_tactics else None,
    )


class _Native:
    """The objects that one child needs. The GPU is asked for first: without one, TensorRT 8.6 dies of a signal."""

    def __init__(self) -> None:
        require_gpu()
        import tensorrt as trt

        self.trt: Any = trt
        self.major = int(trt.__version__.split(".")[0])
        self.log = log = BuilderLog()

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity != trt.ILogger.VERBOSE:
                    log.take(severity.name, message)

        self.logger = Logger()
        self.builder = trt.Builder(self.logger)
        self.network: Any = None

    def new_parser(self, typing: str) -> Any:
        """A parser into a new ``network`` with the flags of this version."""
        flags, known = 0, self.trt.NetworkDefinitionCreationFlag
        if self.major < 10:
            flags |= 1 << int(known.EXPLICIT_BATCH)
        if typing == "strong":
            if not hasattr(known, "STRONGLY_TYPED"):
                raise lacking(self.trt, "strongly typed networks", "10.0")
            flags |= 1 << int(known.STRONGLY_TYPED)
        elif self.major > _LAST_WEAK:
            raise BuildError(
                f"TensorRT {self.trt.__version__} builds strongly typed networks only", fix="remove `build.typing`"
            )
        self.network = self.builder.create_network(flags)
        return self.trt.OnnxParser(self.network, self.logger)


def _attach_table(native: _Native, config: Any, request: BuildRequest) -> Any:
    if request.calibration_table is None:
        return None
    calibrator = table_calibrator(native.trt, request.calibration_table)
    config.int8_calibrator = calibrator
    if request.profiles:
        profile = native.builder.create_optimization_profile()
        for name, shape in request.profiles[-1].items():
            profile.set_shape(name, shape.opt, shape.opt, shape.opt)
        confirm(_PRODUCT, "the calibration profile", True, config.set_calibration_profile(profile))
    return calibrator


def _load_plugins(native: _Native, request: BuildRequest) -> None:
    native.trt.init_libnvinfer_plugins(native.logger, "")
    for path in request.plugins:
        if native.trt.get_plugin_registry().load_library(str(path)) is None:
            raise BuildError(
                f"the plugin library {path.name} could not be loaded",
                why=native.log.diagnosis().why,
                fix="build it for this TensorRT and CUDA version",
            )
