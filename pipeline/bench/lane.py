"""One engine on one stream, ready to be launched again and again. Runs in a child process, on device 0."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import BuildError
from pipeline.machine.cuda import call

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from pipeline.engine.runner import Engine


class Lane:
    """Inputs lie on the GPU and in pinned host memory, so that copies run at the speed of the bus."""

    def __init__(self, engine: Engine, inputs: Mapping[str, npt.NDArray[Any]]) -> None:
        """Bind ``engine`` to ``inputs`` and run it once. Raises what ``Engine.run`` raises."""
        self.engine = engine
        self.stream = engine.stream
        self._graph: Any = None
        engine.run(inputs)
        self._copies_in = [
            (*self._pinned(name, inputs[name]), engine.copy_kind(name, "cudaMemcpyHostToDevice"))
            for name in engine.input_names
        ]
        self._copies_out = [
            (*self._pinned(name, None), engine.copy_kind(name, "cudaMemcpyDeviceToHost"))
            for name in engine.output_names
        ]

    def launcher(self, *, cuda_graph: bool) -> Callable[[], None]:
        """What puts one inference on the stream. Raises ``BuildError`` where a CUDA graph cannot be captured."""
        if not cuda_graph:
            return self.engine.enqueue
        if self._graph is None:
            self._graph = self._captured()
        graph = self._graph

        def replay() -> None:
            call("cudaGraphLaunch", graph, self.stream)

        return replay

    def copy_in(self) -> None:
        """Put the copies of all inputs to the GPU on the stream."""
        for buffer, host, size_bytes, kind in self._copies_in:
            call("cudaMemcpyAsync", buffer, host, size_bytes, kind, self.stream)

    def copy_out(self) -> None:
        """Put the copies of all outputs from the GPU on the stream."""
        for buffer, host, size_bytes, kind in self._copies_out:
            call("cudaMemcpyAsync", host, buffer, size_bytes, kind, self.stream)

    def _pinned(self, name: str, values: npt.NDArray[Any] | None) -> tuple[int, int, int]:
        """Address of its buffer, pinned host address and size in bytes of a tensor."""
        buffer, size_bytes = self.engine.address(name)
        host = int(call("cudaHostAlloc", max(size_bytes, 1), 0))
        if values is not None:
            raw = np.ascontiguousarray(values, self.engine.dtype(name)).tobytes()
            ctypes.memmove(host, raw, size_bytes)
        return buffer, host, size_bytes

    def _captured(self) -> Any:
        """The inference as a graph. It ran before, so that nothing is left to be set up during the capture."""
        from cuda.bindings import runtime as cudart

        call("cudaStreamBeginCapture", self.stream, cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
        launched = False
        try:
            launched = self.engine.context.execute_async_v3(int(self.stream))
        finally:
            status, graph = cudart.cudaStreamEndCapture(self.stream)
            cudart.cudaGetLastError()
        if not launched or status != cudart.cudaError_t.cudaSuccess:
            raise BuildError("a CUDA graph of the engine cannot be captured", why=str(status.name))
        return call("cudaGraphInstantiate", graph, 0)
