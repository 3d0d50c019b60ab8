"""A loaded engine with its buffers: copies in, runs, copies out. Runs in a child process, on device 0.

An engine is code: it is loaded by ``Runtime`` directly, with host code left off, and only after its digest was checked
by the parent. The calls are those that TensorRT 8.5 and all later versions have.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.build.plan_header import read_plan_header
from pipeline.build.plugins import load_plugins
from pipeline.errors import BuildError, ModelError
from pipeline.machine.cuda import call, require_gpu

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import numpy.typing as npt

_DTYPES = {"FLOAT": "float32", "HALF": "float16", "INT8": "int8", "INT32": "int32", "INT64": "int64", "BOOL": "bool",
           "UINT8": "uint8"}  # fmt: skip


class Engine:
    """One engine, one execution context, one stream. ``Session`` of ``pipeline.verify`` has the same two members."""

    def __init__(self, path: Path, *, plugins: Iterable[str] = (), beside: Engine | None = None) -> None:
        """Load the plan at ``path``, or share what ``beside`` loaded from there, with a context of its own.

        ``plugins`` are the libraries that it was built with; once loaded, they serve the whole process. Raises
        ``BuildError`` where TensorRT refuses any of them, ``DeviceError`` without a GPU.
        """
        require_gpu()
        import tensorrt as trt

        self.trt: Any = trt
        messages: list[str] = []

        class Logger(trt.ILogger):  # type: ignore[misc]
            def __init__(self) -> None:
                trt.ILogger.__init__(self)

            def log(self, severity: Any, message: str) -> None:
                if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                    messages.append(message)
                if severity != trt.ILogger.VERBOSE:
                    print(f"[{severity.name}] {message}", file=sys.stderr)

        self._messages = messages
        self._logger = Logger()
        trt.init_libnvinfer_plugins(self._logger, "")
        load_plugins(trt, plugins, lambda: "; ".join(messages))
        self._runtime = trt.Runtime(self._logger)
        self.engine: Any = beside.engine if beside else self._loaded(path)
        if self.engine is None:
            raise BuildError(
                "the engine cannot be loaded here",
                why="; ".join(messages) or "TensorRT gave no reason",
                fix="build it with this TensorRT version on this kind of GPU",
            )
        self.context = self.engine.create_execution_context()
        if self.context is None:
            raise BuildError(
                "the engine loads and cannot be run: there is no execution context",
                why="; ".join(messages),
                fix="free GPU memory, or use a smaller largest profile",
            )
        self.stream = call("cudaStreamCreate")
        names = [self.engine.get_tensor_name(index) for index in range(self.engine.num_io_tensors)]
        is_input = {name: self.engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names}
        self.input_names = [name for name in names if is_input[name]]
        self.output_names = [name for name in names if not is_input[name]]
        location = self.engine.get_tensor_location
        self._on_host = frozenset(name for name in names if location(name) == trt.TensorLocation.HOST)
        """Those that decide or tell shapes: TensorRT reads and writes them in host memory."""
        self._buffers: dict[str, tuple[int, int]] = {}

    def _loaded(self, path: Path) -> Any:
        plan = path.read_bytes()
        _refuse_other_version(plan, self.trt.__version__)
        return self._runtime.deserialize_cuda_engine(plan)

    @property
    def batch_ranges(self) -> tuple[tuple[int, int], ...]:
        """The smallest and largest size of axis 0 that all inputs take, for each profile that has any."""
        found = []
        for profile in range(self.engine.num_optimization_profiles):
            shapes = [self.engine.get_tensor_profile_shape(name, profile) for name in self.input_names]
            bounds = [(low[0], high[0]) for low, _, high in shapes if len(low)]
            low, high = max((low for low, _ in bounds), default=1), min((high for _, high in bounds), default=1)
            if low <= high:
                found.append((low, high))
        return tuple(found)

    def dtype(self, name: str) -> np.dtype[Any]:
        """The numpy type of an input or output. Raises ``ModelError`` for types that numpy lacks."""
        kind = self.engine.get_tensor_dtype(name).name
        if kind not in _DTYPES:
            raise ModelError(f"tensor {name!r} is {kind}, which numpy does not have", fix="cast it in the model")
        return np.dtype(_DTYPES[kind])

    def bind(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Choose a profile that takes the input ``shapes``, and give every tensor a buffer. Raises ``ModelError``."""
        self._choose_profile(shapes)
        for name in (*self.input_names, *self.output_names):
            shape = tuple(self.context.get_tensor_shape(name))
            if any(size < 0 for size in shape):
                raise ModelError(f"the shape of output {name!r} is known only after the run", fix="leave it out")
            self.context.set_tensor_address(name, self._buffer(name, _nbytes(shape, self.dtype(name))))

    def run(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Output name -> array for one batch. Raises ``ModelError``, ``BuildError`` for what CUDA reports."""
        self.bind({name: inputs[name].shape for name in self.input_names})
        for name in self.input_names:
            self.copy_in(name, inputs[name])
        self.enqueue()
        outputs = {name: self.copy_out(name) for name in self.output_names}
        call("cudaStreamSynchronize", self.stream)
        return outputs

    def copy_in(self, name: str, values: npt.NDArray[Any]) -> None:
        """Copy one input to the GPU; integers take the engine's width, since TensorRT 8.6 has no INT64."""
        wanted = self.dtype(name)
        if values.dtype != wanted and (values.dtype.kind not in "iu" or wanted.kind not in "iu"):
            raise ModelError(f"input {name!r} is {values.dtype}, the engine takes {wanted}")
        array = np.ascontiguousarray(values, wanted)
        kind = self.copy_kind(name, "cudaMemcpyHostToDevice")
        call("cudaMemcpyAsync", self._buffers[name][0], array.ctypes.data, array.nbytes, kind, self.stream)
        call("cudaStreamSynchronize", self.stream)

    def copy_out(self, name: str) -> npt.NDArray[Any]:
        """Copy one output from the GPU."""
        array = np.empty(tuple(self.context.get_tensor_shape(name)), self.dtype(name))
        kind = self.copy_kind(name, "cudaMemcpyDeviceToHost")
        call("cudaMemcpyAsync", array.ctypes.data, self._buffers[name][0], array.nbytes, kind, self.stream)
        return array

    def enqueue(self) -> None:
        """Put one inference on the stream. Raises ``BuildError``."""
        if not self.context.execute_async_v3(int(self.stream)):
            raise BuildError("the engine failed to run", why="; ".join(self._messages))

    def copy_kind(self, name: str, across: str) -> Any:
        """CUDA's kind of a copy between a tensor's buffer and the host: ``across``, where that lies on the GPU."""
        from cuda.bindings import runtime as cudart

        return getattr(cudart.cudaMemcpyKind, "cudaMemcpyHostToHost" if name in self._on_host else across)

    def address(self, name: str) -> tuple[int, int]:
        """Address and size in bytes of a tensor's buffer; it must be bound."""
        shape = tuple(self.context.get_tensor_shape(name))
        return self._buffers[name][0], _nbytes(shape, self.dtype(name))

    def _choose_profile(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        for profile in range(self.engine.num_optimization_profiles):
            if all(self._fits(profile, name, shape) for name, shape in shapes.items()):
                if profile != self.context.active_optimization_profile and not (
                    self.context.set_optimization_profile_async(profile, int(self.stream))
                ):
                    raise BuildError("the engine's profile cannot be chosen", why="; ".join(self._messages))
                for name, shape in shapes.items():
                    self.context.set_input_shape(name, shape)
                return
        told = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())
        raise ModelError(f"no profile of the engine takes {told}", fix="widen a profile, or use data that fits one")

    def _fits(self, profile: int, name: str, shape: tuple[int, ...]) -> bool:
        low, _, high = self.engine.get_tensor_profile_shape(name, profile)
        bounds = zip(low, shape, high, strict=True)
        return len(low) == len(shape) and all(least <= size <= most for least, size, most in bounds)

    def _buffer(self, name: str, size_bytes: int) -> int:
        if name not in self._buffers or self._buffers[name][1] < size_bytes:
            on_host = name in self._on_host
            if name in self._buffers:
                call("cudaFreeHost" if on_host else "cudaFree", self._buffers[name][0])
            room = max(size_bytes, 1)
            pointer = call("cudaHostAlloc", room, 0) if on_host else call("cudaMalloc", room)
            self._buffers[name] = (int(pointer), size_bytes)
        return self._buffers[name][0]


def _refuse_other_version(plan: bytes, version: str) -> None:
    """Raise ``BuildError`` for a plan of another TensorRT: 8.6.0 was seen to load one whose header names version 9."""
    try:
        built = read_plan_header(plan).version.split(".")[:2]
    except ValueError as error:
        raise BuildError("the engine cannot be loaded here", why=str(error), fix="name a TensorRT engine") from error
    if built != version.split(".")[:2]:
        raise BuildError(
            "the engine cannot be loaded here",
            why=f"it was built with TensorRT {'.'.join(built)}, and this is {version}",
            fix="build it with this TensorRT version on this kind of GPU",
        )


def _nbytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
