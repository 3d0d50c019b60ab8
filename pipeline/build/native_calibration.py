"""The task ``calibrate-native``: TensorRT's own calibrators, 8.6 to 10.x, fed with the calibration data.

TensorRT calibrates only as part of a build. The build around it is made as cheap as it gets: optimization level 0 where
the network can be run so, no flag but INT8, one profile of the batch's shape; its engine is thrown away. What comes of
it, the table, depends on model, data, method and TensorRT version, and is used for every precision, profile and GPU.
TensorRT documents tables as portable between GPUs where calibration comes before layer fusion, so the legacy calibrator
is asked for that too.
"""

from __future__ import annotations

import math
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.build.calibrator import BASES, BatchFeed, InputForm, native_calibrator
from pipeline.build.expected_tensors import expected_tensors, require_tensors
from pipeline.build.native import LAST_WEAK, NativeTensorRT
from pipeline.build.network import add_profiles, confirm, parse_error, set_flag
from pipeline.build.progress_monitor import BuildProgress
from pipeline.build.tensorrt_settings import set_tactic_sources
from pipeline.digest import canonical_json
from pipeline.errors import BuildError, ModelError, PipelineError
from pipeline.machine.cuda import call
from pipeline.manifest.types import CalibrationMethod, ShapeRange
from pipeline.paths import write_bytes_atomically
from pipeline.prepare.calibration_table import headed, table_from_tensorrt
from pipeline.prepare.dataset import open_dataset
from pipeline.prepare.dataset_files import dataset_digest
from pipeline.prepare.facts import tensor_from_json
from pipeline.tensorrt_versions import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from pipeline.build.calibrator import Batch
    from pipeline.prepare.dataset import Dataset

TABLE_FILE = "calibration.table"
RANGES_FILE = "calibration.json"
_PRODUCT = "TensorRT"
_PHASE = "Calibration batches"
_LEVELS = (0, 3)
"""Optimization levels to try: 0 is quickest, and leaves out kernels without which some networks cannot run at all."""
_DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT32": "int32", "INT64": "int64", "BOOL": "bool", "INT8": "int8",
           "UINT8": "uint8"}  # fmt: skip
_EXPLICIT = "use `int8: explicit`, which calibrates with ONNX Runtime"


def calibrate_native(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Write TensorRT's table and a JSON beside it into ``folder``, in the forms of the task ``calibrate``.

    Request: ``model``, ``inputs`` (the JSON of their facts), ``data``, ``samples`` (or null), ``batch_size``,
    ``method`` (``entropy``, ``minmax`` or ``legacy``), ``percentile``, ``tactic_sources`` (words or null), ``plugins``
    (paths). Result: ``table`` and ``json`` (file names), ``tensors``, ``samples``, ``batches`` and ``batch_size``
    (counts), ``seconds``, ``warnings``.

    Every batch has the same size, the largest up to ``batch_size`` that divides the samples: TensorRT would take a
    short batch for a full one.

    Raises ``ModelError`` for data that does not fit and for a table that lacks tensors which INT8 layers read,
    ``BuildError`` where TensorRT does not calibrate, ``DeviceError`` without a GPU.
    """
    method = CalibrationMethod(request["method"])
    inputs = tuple(tensor_from_json(item) for item in request["inputs"])
    dataset = open_dataset(Path(request["data"]), inputs, samples=request["samples"])
    batch_size = equal_batch_size(len(dataset), dataset.fixed_batch_size or int(request["batch_size"]))
    native = NativeTensorRT()
    _parse(native, Path(request["model"]), [Path(path) for path in request["plugins"]], method)
    expected = expected_tensors(native.network)
    text = _calibrated(native, dataset, batch_size, request, BuildProgress(folder))
    table, not_finite = table_from_tensorrt(headed(text.decode(), _version(native.trt)))
    require_tensors(table, expected, where=str(request["model"]), fix=_EXPLICIT)
    description = {
        "method": method.value,
        "percentile": float(request["percentile"]) if method is CalibrationMethod.LEGACY else None,
        "samples": len(dataset),
        "batch_size": batch_size,
        "data": str(dataset_digest(dataset.path)),
        "tools": {"tensorrt": native.trt.__version__},
        "tensors": {name: {"amax": scale * 127, "scale": scale} for name, scale in table.scales.items()},
        "always_zero": sorted(table.zeros),
        "not_finite": list(not_finite),
    }
    write_bytes_atomically(folder / TABLE_FILE, str(table).encode())
    write_bytes_atomically(folder / RANGES_FILE, canonical_json(description))
    return {
        "table": TABLE_FILE,
        "json": RANGES_FILE,
        "tensors": len(table.scales),
        "samples": len(dataset),
        "batches": len(dataset) // batch_size,
        "batch_size": batch_size,
        "seconds": round(native.log.elapsed_s, 3),
        "warnings": list(_warnings(batch_size, request, dataset, not_finite)),
    }


def _version(trt: Any) -> tuple[int, int, int]:
    major, minor, patch = (int(part) for part in trt.__version__.split(".")[:3])
    return major, minor, patch


def equal_batch_size(samples: int, wanted: int) -> int:
    """The largest size up to ``wanted`` by which ``samples`` divide into batches, none of them short."""
    return max(size for size in range(1, max(1, min(samples, wanted)) + 1) if samples % size == 0)


def _parse(native: NativeTensorRT, model: Path, plugins: list[Path], method: CalibrationMethod) -> None:
    trt = native.trt
    if native.major > LAST_WEAK or not hasattr(trt, BASES[method]):
        raise BuildError(
            f"TensorRT {trt.__version__} has no calibrator for the method {method}",
            why=f"its calibrators went with version {LAST_WEAK + 1}",
            fix=_EXPLICIT,
        )
    native.load_plugins(plugins)
    parser = native.new_parser("weak")
    if not parser.parse_from_file(str(model.absolute())):
        raise parse_error(_PRODUCT, parser, native.log)
    kinds = {native.network.get_layer(number).type.name for number in range(native.network.num_layers)}
    if kinds & {"QUANTIZE", "DEQUANTIZE"}:
        raise ModelError(
            "the model has Q/DQ nodes of its own, and TensorRT does not calibrate such a model",
            fix="use `int8: explicit`, which leaves them as they are",
            where=str(model),
        )


def _calibrated(
    native: NativeTensorRT, dataset: Dataset, batch_size: int, request: Mapping[str, Any], progress: BuildProgress
) -> bytes:
    """The table's text. Raises whatever the calibrator met while TensorRT was asking it for data."""
    trt, network, method = native.trt, native.network, CalibrationMethod(request["method"])
    batches, total = dataset.batches(batch_size), math.ceil(len(dataset) / batch_size)
    first = next(batches)
    forms = _forms(network, first, request["model"])
    feed = BatchFeed(forms, _told(chain([first], batches), total, progress), _DeviceInputs().upload)
    calibrator = native_calibrator(trt, method, feed, batch_size=batch_size, percentile=float(request["percentile"]))
    config = native.builder.create_builder_config()
    set_flag(_PRODUCT, config, trt.BuilderFlag.TF32, wanted=False)
    set_flag(_PRODUCT, config, trt.BuilderFlag.INT8, wanted=True)
    if request["tactic_sources"] is not None:
        set_tactic_sources(trt, config, request["tactic_sources"])
    if method is CalibrationMethod.LEGACY:
        _calibrate_before_fusion(trt, config)
    _set_profiles(native, config, forms)
    config.int8_calibrator = calibrator
    native.log.refuse_errors("TensorRT does not take the settings of a calibration")
    plan = None
    for level in _LEVELS:
        config.builder_optimization_level = level
        confirm(_PRODUCT, f"optimization level {level}", level, config.builder_optimization_level)
        plan = native.builder.build_serialized_network(network, config)
        if feed.given or feed.failure is not None:
            break
    if feed.failure is not None:
        raise _failure(feed.failure)
    if not feed.finished or feed.given != total or calibrator.table is None:
        diagnosis = native.log.diagnosis()
        raise BuildError(
            f"TensorRT did not calibrate: it took {feed.given} of {total} batches"
            + ("" if calibrator.table else " and wrote no table"),
            why=diagnosis.why,
            fix=diagnosis.fix or _EXPLICIT,
        )
    if plan is None:
        native.log.take("WARNING", "the table is complete, but the trial build after the calibration failed")
    return bytes(calibrator.table)


def _told(batches: Iterator[Batch], total: int, progress: BuildProgress) -> Iterator[Batch]:
    """``batches``, each counted as done when the next is asked for."""
    progress.phase_started(_PHASE, total)
    for number, batch in enumerate(batches):
        yield batch
        progress.step_done(_PHASE, number)
    progress.phase_ended(_PHASE)


def _forms(network: Any, batch: Mapping[str, npt.NDArray[Any]], model: str) -> dict[str, InputForm]:
    forms = {}
    for tensor in map(network.get_input, range(network.num_inputs)):
        if tensor.dtype.name not in _DTYPES or tensor.name not in batch:
            raise ModelError(
                f"input {tensor.name!r} of type {tensor.dtype.name} cannot be given calibration data",
                why=f"the data has {sorted(batch)}",
                fix=_EXPLICIT,
                where=model,
            )
        forms[tensor.name] = InputForm(np.dtype(_DTYPES[tensor.dtype.name]), batch[tensor.name].shape)
    return forms


def _set_profiles(native: NativeTensorRT, config: Any, forms: Mapping[str, InputForm]) -> None:
    """One profile of the batch's shape for the build, and the same for the calibration in it."""
    dynamic = [tensor for tensor in map(native.network.get_input, range(len(forms))) if -1 in tuple(tensor.shape)]
    if not dynamic:
        return
    shapes = {tensor.name: forms[tensor.name].shape for tensor in dynamic}
    ranges = {name: ShapeRange(shape, shape, shape) for name, shape in shapes.items()}
    add_profiles(_PRODUCT, native.builder, native.network, config, (ranges,), log=native.log)
    profile = native.builder.create_optimization_profile()
    for name, shape in shapes.items():
        profile.set_shape(name, shape, shape, shape)
    confirm(_PRODUCT, "the calibration profile", True, config.set_calibration_profile(profile))


def _calibrate_before_fusion(trt: Any, config: Any) -> None:
    if not hasattr(trt, "QuantizationFlag"):
        name = "QuantizationFlag.CALIBRATE_BEFORE_FUSION"
        raise lacking(trt.__version__, name, name)
    flag = trt.QuantizationFlag.CALIBRATE_BEFORE_FUSION
    config.set_quantization_flag(flag)
    confirm(_PRODUCT, f"the flag {flag.name}", True, config.get_quantization_flag(flag))


def _failure(error: BaseException) -> BaseException:
    """The error that a calibrator kept; what is none of ours gets words that a user can act on."""
    if isinstance(error, PipelineError) or not isinstance(error, Exception):
        return error
    wrapped = BuildError(
        "the calibration data could not be handed to TensorRT",
        why=f"{type(error).__name__}: {error}",
        fix="report it with the log",
    )
    wrapped.__cause__ = error
    return wrapped


def _warnings(batch_size: int, request: Mapping[str, Any], dataset: Dataset, not_finite: tuple[str, ...]) -> Any:
    if dataset.fixed_batch_size is None and batch_size != request["batch_size"]:
        yield (
            f"calibrated in batches of {batch_size} samples, not {request['batch_size']}:"
            f" TensorRT takes no short batch, and {len(dataset)} samples are given"
        )
    if not_finite:
        yield f"TensorRT found no finite range for {len(not_finite)} tensors, {not_finite[0]!r} among them"


class _DeviceInputs:
    """One buffer on the GPU for each input, used again for every batch. It lasts as long as the child."""

    def __init__(self) -> None:
        self._pointers: dict[str, Any] = {}

    def upload(self, name: str, values: npt.NDArray[Any]) -> int:
        """Copy ``values``, in C order, to the input's buffer; returns its address. All batches have one size."""
        from cuda.bindings import runtime as cudart

        if name not in self._pointers:
            self._pointers[name] = call("cudaMalloc", max(values.nbytes, 1))
        kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        call("cudaMemcpy", self._pointers[name], values.ctypes.data, values.nbytes, kind)
        return int(self._pointers[name])
