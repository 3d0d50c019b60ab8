"""A stand-in for TensorRT when it refits, held to the recorded names of a version.

An engine is a plan header and its weights as JSON: name -> numbers. What it lists can be refitted, and nothing else,
as TensorRT keeps to itself what it folds. Nothing here computes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

SURFACES = Path(__file__).parents[1] / "fixtures/tensorrt"


def plan(weights: Mapping[str, Any], version: str = "8.6.0", *, refittable: bool = True) -> bytes:
    """The bytes of an engine of ``version`` with ``weights``."""
    numbers = bytes([*map(int, version.split(".")), 0][:4]).ljust(4, b"\0")
    body = {"refittable": refittable, "weights": {name: np.ravel(each).tolist() for name, each in weights.items()}}
    return b"ftrt" + bytes(20) + numbers + bytes(36) + json.dumps(body).encode()


def weights_of(data: bytes) -> dict[str, list[float]]:
    """The weights in the bytes of an engine."""
    found: dict[str, list[float]] = json.loads(data[64:])["weights"]
    return found


@dataclass
class FakeTensorRT:
    """One version. ``refused`` weights are not taken; ``missing`` are asked for in vain; ``fails`` names a step."""

    version: str = "8.6.0"
    refused: frozenset[str] = frozenset()
    missing: tuple[str, ...] = ()
    fails: str = ""
    given: dict[str, np.dtype[Any]] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    """What was set (``+``) and cleared (``-``) for the serialization."""
    threads: dict[str, int] = field(default_factory=dict)

    def module(self) -> Any:
        """The module ``tensorrt``: names that this version lacks are missing from it."""
        major = int(self.version.split(".")[0])
        recorded = "8.6" if major == 8 else "11.4" if major == 11 else "10.16"
        surface = json.loads((SURFACES / f"{recorded}.json").read_text())
        names = {
            "__version__": self.version,
            "ILogger": type("ILogger", (), {"VERBOSE": "verbose", "__init__": lambda _: None}),
            "init_libnvinfer_plugins": lambda logger, namespace: True,
            "Weights": np.asarray,
            "Runtime": lambda logger: _Runtime(self, surface["classes"]["Runtime"]),
            "Refitter": lambda engine, logger: _Refitter(self, engine, surface["classes"]["Refitter"]),
        }
        if "OnnxParserRefitter" in surface["classes"]:
            names["OnnxParserRefitter"] = lambda refitter, logger: _ParserRefitter(self, refitter)
            flags = {name: name for name in surface["enums"]["SerializationFlag"]}
            names["SerializationFlag"] = SimpleNamespace(**flags)
        return SimpleNamespace(**names)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let a task find this in place of TensorRT, and a GPU."""
        monkeypatch.setitem(__import__("sys").modules, "tensorrt", self.module())
        monkeypatch.setattr("pipeline.build.refit.start_gpu", lambda: None)

    def _engine(self, data: bytes) -> _Engine | None:
        body = json.loads(data[64:])
        return None if self.fails == "load" else _Engine(self, body["refittable"], dict(body["weights"]))


class _Threaded:
    """What may work with more threads than one."""

    trt: FakeTensorRT

    @property
    def max_threads(self) -> int:
        return self.trt.threads.get(type(self).__name__.removeprefix("_"), 1)

    @max_threads.setter
    def max_threads(self, threads: int) -> None:
        self.trt.threads[type(self).__name__.removeprefix("_")] = threads


class _Runtime(_Threaded):
    def __init__(self, trt: FakeTensorRT, surface: list[str]) -> None:
        assert {"deserialize_cuda_engine", "max_threads"} <= set(surface)
        self.trt = trt

    def deserialize_cuda_engine(self, data: bytes) -> _Engine | None:
        return self.trt._engine(data)


@dataclass
class _Engine:
    trt: FakeTensorRT
    refittable: bool
    weights: dict[str, Any]

    def serialize(self) -> Any:
        return None if self.trt.fails == "serialize" else memoryview(plan(self.weights, self.trt.version))

    def create_serialization_config(self) -> Any:
        return SimpleNamespace(
            set_flag=lambda flag: self.trt.flags.append(f"+{flag}"),
            clear_flag=lambda flag: self.trt.flags.append(f"-{flag}"),
        )

    def serialize_with_config(self, config: Any) -> Any:
        return self.serialize()


class _Refitter(_Threaded):
    def __init__(self, trt: FakeTensorRT, engine: _Engine, surface: list[str]) -> None:
        self.trt, self.engine = trt, engine
        assert {name for name in dir(type(self)) if not name.startswith("_")} <= set(surface)
        self._waiting: dict[str, Any] = {}

    def get_all_weights(self) -> list[str]:
        return list(self.engine.weights)

    def get_missing_weights(self) -> list[str]:
        return list(self.trt.missing)

    def set_named_weights(self, name: str, weights: Any) -> bool:
        self.trt.given[name] = weights.dtype
        self._waiting[name] = weights.ravel().tolist()
        return name not in self.trt.refused

    def refit_cuda_engine(self) -> bool:
        self.engine.weights.update(self._waiting)
        return self.trt.fails != "refit"


def folded_weights(model: onnx.ModelProto) -> dict[str, Any]:
    """What the parser makes of batch normalizations, named by a count of its own (onnx-tensorrt, ModelRefitter)."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    found: dict[str, Any] = {}
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            scale, shift, mean, variance = (stored[name] for name in node.input[1:5])
            factor = scale / np.sqrt(variance + 1e-5)
            for values in (factor, shift - mean * factor):
                found[f"tmp_batch_norm_weight_{len(found)}"] = values
    return found


class _ParserRefitter:
    """Reads initializers by name, and those of batch normalizations by their number; every weight must be found."""

    def __init__(self, trt: FakeTensorRT, refitter: _Refitter) -> None:
        self._trt, self._refitter = trt, refitter
        self.num_errors = 1

    def refit_from_file(self, path: str) -> bool:
        model = onnx.load(path)
        stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        found = {name: values for name, values in stored.items() if name in self._refitter.engine.weights}
        found |= folded_weights(model)
        for name, values in found.items():
            self._refitter.set_named_weights(name, values)
        return self._trt.fails != "parser" and found.keys() == self._refitter.engine.weights.keys()

    def get_error(self, index: int) -> Any:
        return SimpleNamespace(desc=lambda: "the model is not the one that the engine was built of")
