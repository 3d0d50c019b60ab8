"""Builds engines with full TensorRT 8.6, 10.x and 11.x, on the GPU that they are for.

Up to 10.x a network may be weakly typed: the builder is asked for a precision by flags, and INT8 ranges come from a
calibration table or from Q/DQ nodes. From 11.x on, and on 10.x where strong typing is asked for, the model itself
carries the precision. Every setting is read back after it is set.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
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
from pipeline.build.parser_operators import operators_from_parser
from pipeline.build.request import BuildOutcome
from pipeline.build.table_calibrator import table_calibrator
from pipeline.build.timing_cache import load_timing_cache, save_timing_cache
from pipeline.cuda import require_gpu
from pipeline.errors import BuildError
from pipeline.precision import Precision

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.build.backend import RefusedOperator
    from pipeline.build.request import BuildRequest

_PRODUCT = "TensorRT"
_LAST_WEAK = 10
"""The last major version that builds weakly typed networks."""
_TACTIC_SOURCES = {
    "edge-mask-convolutions": "EDGE_MASK_CONVOLUTIONS",
    "jit-convolutions": "JIT_CONVOLUTIONS",
    "cublas": "CUBLAS",
    "cublas-lt": "CUBLAS_LT",
    "cudnn": "CUDNN",
}
_HARDWARE = {"none": "NONE", "ampere+": "AMPERE_PLUS", "same-compute-capability": "SAME_COMPUTE_CAPABILITY"}
_SINCE = {
    "BF16": "10.0",
    "FP8": "8.6",
    "STRIP_PLAN": "10.0",
    "SAME_COMPUTE_CAPABILITY": "10.9",
    "VERSION_COMPATIBLE": "8.6",
}
"""Names that some versions lack -> the first that has it (headers of the releases)."""
_WEAK_FLAGS = {
    Precision.FP32: (),
    Precision.TF32: (),
    Precision.FP16: ("FP16",),
    Precision.BF16: ("BF16",),
    Precision.INT8: ("INT8",),
    Precision.INT8_FP16: ("INT8", "FP16"),
}


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
    _configure(trt, config, request)
    if request.typing == "weak":
        _ask_for_precision(native, config, request)
    add_profiles(_PRODUCT, native.builder, network, config, request.profiles, log=native.log)
    calibrator = _attach_table(native, config, request)
    native.log.refuse_errors("TensorRT does not take the build's settings")
    # Only now, because 8.6 logs an error about the Myelin part of a timing cache that it wrote itself, and goes on.
    cache = load_timing_cache(config, request.timing_cache, native.log)
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
                raise _lacking(self.trt, "strongly typed networks", "10.0")
            flags |= 1 << int(known.STRONGLY_TYPED)
        elif self.major > _LAST_WEAK:
            raise BuildError(
                f"TensorRT {self.trt.__version__} builds strongly typed networks only", fix="remove `build.typing`"
            )
        self.network = self.builder.create_network(flags)
        return self.trt.OnnxParser(self.network, self.logger)


def _configure(trt: Any, config: Any, request: BuildRequest) -> None:
    set_flag(_PRODUCT, config, trt.BuilderFlag.TF32, wanted=request.precision is Precision.TF32)
    set_common_settings(_PRODUCT, trt, config, request)
    for name, wanted in (
        ("REFIT", request.refit),
        ("STRIP_PLAN", request.strip_weights),
        ("VERSION_COMPATIBLE", request.version_compatible),
    ):
        if wanted:
            set_flag(_PRODUCT, config, _member(trt, trt.BuilderFlag, name), wanted=True)
    if request.hardware_compatibility != "none":
        level = _member(trt, trt.HardwareCompatibilityLevel, _HARDWARE[request.hardware_compatibility])
        config.hardware_compatibility_level = level
        confirm(_PRODUCT, "`build.hardware_compatibility`", level, config.hardware_compatibility_level)
    if request.tactic_sources is not None:
        sources = [_member(trt, trt.TacticSource, _TACTIC_SOURCES[word]) for word in request.tactic_sources]
        mask = sum(1 << int(source) for source in sources)
        config.set_tactic_sources(mask)
        confirm(_PRODUCT, "`build.tactic_sources`", mask, config.get_tactic_sources())


def _ask_for_precision(native: _Native, config: Any, request: BuildRequest) -> None:
    trt, network = native.trt, native.network
    for name in _WEAK_FLAGS[request.precision]:
        set_flag(_PRODUCT, config, _member(trt, trt.BuilderFlag, name), wanted=True)
    if not request.layer_precisions or not _WEAK_FLAGS[request.precision]:
        return
    set_flag(_PRODUCT, config, trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS, wanted=True)
    types = {Precision.FP32: trt.float32, Precision.FP16: trt.float16}
    for layer in map(network.get_layer, range(network.num_layers)):
        lowest = [word for glob, word in request.layer_precisions if fnmatchcase(layer.name, glob)]
        if lowest and layer.type not in (trt.LayerType.CONSTANT, trt.LayerType.SHAPE):
            layer.precision = types[lowest[-1]]
            for index in range(layer.num_outputs):
                if layer.get_output(index).dtype in (trt.float32, trt.float16):
                    layer.set_output_type(index, types[lowest[-1]])


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


def _member(trt: Any, kind: Any, name: str) -> Any:
    member = getattr(kind, name, None)
    if member is None:
        raise _lacking(trt, f"{kind.__name__}.{name}", _SINCE.get(name, ""))
    return member


def _lacking(trt: Any, what: str, since: str) -> BuildError:
    return BuildError(
        f"TensorRT {trt.__version__} has no {what}",
        why=f"it came with {since}" if since else "it was removed, or is not known to this version",
        fix="use an image with a TensorRT that has it, or remove the setting from the manifest",
    )
