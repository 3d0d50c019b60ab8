"""A stand-in for a GPU and for TensorRT that runs an engine on it: host memory in place of the GPU's.

The engine doubles its input ``x`` into ``y``, and tells its size along axis 0 as ``size``, in host memory as TensorRT
tells what decides shapes. Every attribute that is used of it was recorded of the version that it stands for.
"""

from __future__ import annotations

import ctypes
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from cuda.bindings import runtime as cudart

from pipeline.engine import runner

if TYPE_CHECKING:
    import pytest

VERSIONS = {"8.6": "8.6.0", "10.0": "10.0.1", "10.16": "10.16.1.11", "11.4": "11.4.0.106"}
SURFACES = Path(__file__).parents[1] / "fixtures/tensorrt"


@dataclass
class FakeCuda:
    """CUDA's calls by name, as ``pipeline.machine.cuda.call`` makes them. ``device`` and ``host`` are memory."""

    device: dict[int, int] = field(default_factory=dict)
    host: dict[int, int] = field(default_factory=dict)
    kept: dict[int, Any] = field(default_factory=dict)

    def __call__(self, name: str, *arguments: Any) -> Any:
        return getattr(self, name)(*arguments)

    def cudaStreamCreate(self) -> int:
        return 7

    def cudaStreamSynchronize(self, _stream: int) -> None:
        """Everything is done at once."""

    def cudaMalloc(self, size_bytes: int) -> int:
        return self._room(size_bytes, self.device)

    def cudaHostAlloc(self, size_bytes: int, _flags: int) -> int:
        return self._room(size_bytes, self.host)

    def cudaFree(self, pointer: int) -> None:
        del self.device[pointer], self.kept[pointer]

    def cudaFreeHost(self, pointer: int) -> None:
        del self.host[pointer], self.kept[pointer]

    def cudaMemcpyAsync(self, target: int, source: int, size_bytes: int, kind: Any, _stream: int) -> None:
        kinds = cudart.cudaMemcpyKind
        assert (target in self.device) == (kind == kinds.cudaMemcpyHostToDevice)
        assert (source in self.device) == (kind == kinds.cudaMemcpyDeviceToHost)
        ctypes.memmove(target, source, size_bytes)

    def _room(self, size_bytes: int, where: dict[int, int]) -> int:
        memory = ctypes.create_string_buffer(size_bytes)
        address = ctypes.addressof(memory)
        self.kept[address], where[address] = memory, size_bytes
        return address


@dataclass
class FakeRuntime:
    """TensorRT of the recorded ``surface``. ``profiles`` are the smallest and largest batch of each profile."""

    surface: str
    version: str
    profiles: tuple[tuple[int, int], ...] = ((1, 8),)
    refuses: str = ""

    def module(self) -> Any:  # noqa: C901  its classes are short, and see the version
        """The module ``tensorrt``."""
        recorded = json.loads((SURFACES / f"{self.surface}.json").read_text())["classes"]
        fake = self

        class ILogger:
            VERBOSE, ERROR, INTERNAL_ERROR = (SimpleNamespace(name=name) for name in ("VERBOSE", "ERROR", "INTERNAL"))

            def __init__(self) -> None:
                """A base class."""

        class Recorded:
            """Has nothing that was not recorded of the class of its name."""

            def __getattribute__(self, name: str) -> Any:
                if not name.startswith("_") and name not in recorded[type(self).__name__]:
                    raise AttributeError(f"{type(self).__name__} of {fake.version} has no {name}")
                return object.__getattribute__(self, name)

        class IExecutionContext(Recorded):
            active_optimization_profile = 0

            def __init__(self) -> None:
                self._batch = 0
                self._addresses: dict[str, int] = {}

            def set_input_shape(self, _name: str, shape: tuple[int, ...]) -> bool:
                self._batch = shape[0]
                return True

            def get_tensor_shape(self, name: str) -> tuple[int, ...]:
                return (1,) if name == "size" else (self._batch, 2)

            def set_tensor_address(self, name: str, address: int) -> bool:
                self._addresses[name] = address
                return True

            def set_optimization_profile_async(self, profile: int, _stream: int) -> bool:
                self.active_optimization_profile = profile
                return True

            def execute_async_v3(self, _stream: int) -> bool:
                x, y = (self._array(name, (self._batch, 2), ctypes.c_float) for name in ("x", "y"))
                y[:] = 2 * x
                self._array("size", (1,), ctypes.c_int32)[0] = self._batch
                return True

            def _array(self, name: str, shape: tuple[int, ...], kind: Any) -> Any:
                pointer = ctypes.cast(self._addresses[name], ctypes.POINTER(kind))
                return np.ctypeslib.as_array(pointer, shape)

        class ICudaEngine(Recorded):
            num_io_tensors = 3
            num_optimization_profiles = len(fake.profiles)

            def get_tensor_name(self, index: int) -> str:
                return ("x", "y", "size")[index]

            def get_tensor_mode(self, name: str) -> str:
                return "in" if name == "x" else "out"

            def get_tensor_location(self, name: str) -> str:
                return "host" if name == "size" else "device"

            def get_tensor_dtype(self, name: str) -> Any:
                return SimpleNamespace(name="INT32" if name == "size" else "FLOAT")

            def get_tensor_profile_shape(self, _name: str, profile: int) -> Any:
                low, high = fake.profiles[profile]
                return (low, 2), (low, 2), (high, 2)

            def create_execution_context(self) -> Any:
                return IExecutionContext()

        class Runtime(Recorded):
            def __init__(self, logger: Any) -> None:
                self._logger = logger

            def deserialize_cuda_engine(self, _plan: bytes) -> Any:
                if fake.refuses:
                    self._logger.log(ILogger.ERROR, fake.refuses)
                    return None
                return ICudaEngine()

        return SimpleNamespace(
            __version__=self.version,
            ILogger=ILogger,
            Runtime=Runtime,
            TensorIOMode=SimpleNamespace(INPUT="in"),
            TensorLocation=SimpleNamespace(HOST="host"),
            init_libnvinfer_plugins=lambda _logger, _space: True,
        )


def plan_to_run(
    monkeypatch: pytest.MonkeyPatch, folder: Path, surface: str = "8.6", *, built: str = "", **parts: Any
) -> tuple[Path, FakeCuda]:
    """A plan of the version of ``surface``, or ``built`` by another, run on a stand-in from now on."""
    version, cuda = VERSIONS[surface], FakeCuda()
    numbers = bytes(map(int, (built or version).split("."))).ljust(4, b"\0")
    plan = folder / "plan"
    plan.write_bytes(b"ftrt" + bytes(20) + numbers + bytes(100))
    monkeypatch.setattr(runner, "require_gpu", lambda: None)
    monkeypatch.setattr(runner, "call", cuda)
    monkeypatch.setitem(sys.modules, "tensorrt", FakeRuntime(surface, version, **parts).module())
    return plan, cuda
