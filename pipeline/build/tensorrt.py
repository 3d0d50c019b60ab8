"""Builds engines with full TensorRT 8.6, 10.x and 11.x, on the GPU that they are for.

Up to 10.x a network may be weakly typed: the builder is asked for a precision by flags, and INT8 ranges come from a
calibration table or from Q/DQ nodes. From 11.x on, and on 10.x where strong typing is asked for, the model itself
carries the precision. Every setting is read back after it is set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.build.native import LAST_WEAK, NativeTensorRT
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
from pipeline.build.refit_refusal import failed_build
from pipeline.build.refit_weights import write_weights
from pipeline.build.request import BuildOutcome
from pipeline.build.table_calibrator import table_calibrator
from pipeline.build.tensorrt_settings import ask_for_precision, configure
from pipeline.build.timing_cache import kept_tactics, load_timing_cache
from pipeline.errors import BuildError
from pipeline.runtimes import wrong_with_refit

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.build.backend import RefusedOperator
    from pipeline.build.request import BuildRequest

_PRODUCT = "TensorRT"
_WRONG_WITH_REFIT = (
    "built with REFIT, as `refit: always` or `strip_weights` asks; TensorRT 11.3 is documented to drop the bias of "
    "matrix products then, so look at the accuracy"
)


def check_operators(model: Path) -> tuple[RefusedOperator, ...]:
    """Everything in the ONNX file ``model`` that the parser of TensorRT refuses."""
    native = NativeTensorRT()
    native.trt.init_libnvinfer_plugins(native.logger, "")
    typing = "weak" if native.major <= LAST_WEAK else "strong"
    return operators_from_parser(model, lambda: native.new_parser(typing))


def build_engine(request: BuildRequest, folder: Path) -> BuildOutcome:
    """Build one engine into ``folder`` on device 0. Raises ``BuildError``, ``DeviceError`` where there is no GPU."""
    native = NativeTensorRT()
    trt = native.trt
    native.load_plugins(request.plugins)
    portable = request.version_compatible or request.hardware_compatibility != "none"
    parser = native.new_parser(request.typing, portable=portable)
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
    logged = len(native.log.errors)
    with told_progress(trt, config, folder):
        plan = native.builder.build_serialized_network(network, config)
    if calibrator is not None and calibrator.refused:
        raise BuildError(
            "TensorRT did not take the calibration table",
            why=f"{trt.__version__} asked for calibration data in its place",
            fix="use `int8: explicit`, or report it with the log",
        )
    if plan is None or plan.nbytes == 0:
        raise failed_build(native.log.errors[logged:], native.log.diagnosis(), refit=request.refit)
    header = checked_header(_PRODUCT, memoryview(plan), request, trt.__version__)
    (folder / ENGINE_FILE).write_bytes(memoryview(plan))
    tactics = kept_tactics(cache, folder)
    doubts = [_WRONG_WITH_REFIT] if request.refit and wrong_with_refit(trt.__version__) else []
    return BuildOutcome(
        engine=ENGINE_FILE,
        size_bytes=plan.nbytes,
        runtime_version=trt.__version__,
        build_s=round(native.log.elapsed_s, 3),
        inputs=tuple(tensor_from_network(network.get_input(index)) for index in range(network.num_inputs)),
        outputs=tuple(tensor_from_network(network.get_output(index)) for index in range(network.num_outputs)),
        header=header,
        warnings=(*native.log.warnings, *doubts),
        tactics=tactics if request.keep_tactics else None,
        weights_record=write_weights(request.model, folder) if request.refit else None,
    )


def _attach_table(native: NativeTensorRT, config: Any, request: BuildRequest) -> Any:
    if request.calibration_table is None:
        return None
    calibrator = table_calibrator(native.trt, request.calibration_table, native.network)
    config.int8_calibrator = calibrator
    if request.profiles:
        profile = native.builder.create_optimization_profile()
        for name, shape in request.profiles[-1].items():
            profile.set_shape(name, shape.opt, shape.opt, shape.opt)
        confirm(_PRODUCT, "the calibration profile", True, config.set_calibration_profile(profile))
    return calibrator
