"""Asks the builder of full TensorRT for a manifest's settings, in the terms of the installed version.

Every setting is read back after it is set, and one that the version lacks is refused with those that have it.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from pipeline.build.network import confirm, set_common_settings, set_flag
from pipeline.errors import BuildError
from pipeline.precision import Precision
from pipeline.tensorrt_versions import HARDWARE_LEVELS, TACTIC_SOURCES, lacking

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.build.request import BuildRequest

_PRODUCT = "TensorRT"
_WEAK_FLAGS = {
    Precision.FP32: (),
    Precision.TF32: (),
    Precision.FP16: ("FP16",),
    Precision.BF16: ("BF16",),
    Precision.INT8: ("INT8",),
    Precision.INT8_FP16: ("INT8", "FP16"),
}


def configure(trt: Any, builder: Any, config: Any, request: BuildRequest) -> None:
    """Everything but precision, profiles and calibration. Raises ``BuildError`` for what this version lacks."""
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
        level = _member(trt, trt.HardwareCompatibilityLevel, HARDWARE_LEVELS[request.hardware_compatibility])
        config.hardware_compatibility_level = level
        confirm(_PRODUCT, "`build.hardware_compatibility`", level, config.hardware_compatibility_level)
    if request.tactic_sources is not None:
        set_tactic_sources(trt, config, request.tactic_sources)
    if request.dla_core is not None:
        _use_dla(trt, builder, config, request)


def set_tactic_sources(trt: Any, config: Any, words: Iterable[str]) -> None:
    """Allow the tactic sources ``words`` alone, as manifests name them. Raises ``BuildError``."""
    sources = [_member(trt, trt.TacticSource, TACTIC_SOURCES[word]) for word in words]
    mask = sum(1 << int(source) for source in sources)
    config.set_tactic_sources(mask)
    confirm(_PRODUCT, "`build.tactic_sources`", mask, config.get_tactic_sources())


def ask_for_precision(trt: Any, network: Any, config: Any, request: BuildRequest) -> None:
    """Set the flags of a weakly typed network, and the layers that are to keep a higher precision.

    A layer that may run in FP16 at least runs in FP32 where the network has no FP16: TensorRT refuses a layer in a type
    that no flag allows. One that computes no floating-point numbers keeps its type, as does one whose kind decides it.
    """
    flags = _WEAK_FLAGS[request.precision]
    for name in flags:
        set_flag(_PRODUCT, config, _member(trt, trt.BuilderFlag, name), wanted=True)
    if not request.layer_precisions or not flags:
        return
    set_flag(_PRODUCT, config, trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS, wanted=True)
    types = {Precision.FP32: trt.float32, Precision.FP16: trt.float16 if "FP16" in flags else trt.float32}
    kinds = trt.LayerType
    typed = (kinds.CONSTANT, kinds.SHAPE, kinds.QUANTIZE, kinds.DEQUANTIZE)
    for layer in map(network.get_layer, range(network.num_layers)):
        lowest = [word for glob, word in request.layer_precisions if fnmatchcase(layer.name, glob)]
        floats = [
            index for index in range(layer.num_outputs) if layer.get_output(index).dtype in (trt.float32, trt.float16)
        ]
        if not lowest or not floats or layer.type in typed:
            continue
        if request.precision is Precision.BF16 and lowest[-1] is Precision.FP16:
            continue
        layer.precision = types[lowest[-1]]
        for index in floats:
            layer.set_output_type(index, types[lowest[-1]])


def _use_dla(trt: Any, builder: Any, config: Any, request: BuildRequest) -> None:
    core, cores = request.dla_core, int(builder.num_DLA_cores)
    if core is None or core >= cores:
        raise BuildError(
            f"DLA core {core} is not here",
            why=f"this device has {cores} DLA cores"
            if cores
            else f"TensorRT {trt.__version__} finds no DLA cores here",
            fix="correct `build.dla_core`, or build on the Jetson that has it: TensorRT serves DLA cores up to 10.7, "
            "and again from 11.4.1 on",
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    confirm(_PRODUCT, "`build.dla_core`", core, config.DLA_core)
    set_flag(_PRODUCT, config, trt.BuilderFlag.GPU_FALLBACK, wanted=request.gpu_fallback)


def _member(trt: Any, kind: Any, name: str) -> Any:
    member = getattr(kind, name, None)
    if member is None:
        told = f"{kind.__name__}.{name}"
        raise lacking(trt.__version__, told, told)
    return member
