"""A stand-in for full TensorRT when it builds: each version has the names that were recorded of it, and no others.

It takes settings and gives them back, and its plan is a header. Nothing here computes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SURFACES = Path(__file__).parents[1] / "fixtures/tensorrt"
VERSIONS = {"8.6": "8.6.0", "10.0": "10.0.1", "10.16": "10.16.1.11", "11.4": "11.4.0.106"}
"""Recorded surface -> the version that it was recorded of."""


@dataclass
class Machine:
    """One version and the device that it runs on.

    ``ignores`` are settings that it does not take, ``cores`` its DLA cores, ``refuses`` what its parser says of a model
    (node and text), ``errors`` what its builder logs in place of a plan. What it was asked for is kept.
    """

    surface: str
    ignores: frozenset[str] = frozenset()
    cores: int = 0
    refuses: tuple[tuple[int, str], ...] = ()
    errors: tuple[str, ...] = ()
    layers: tuple[Any, ...] = ()
    networks: list[frozenset[str]] = field(default_factory=list)
    """The flags of every network that was made."""
    parser_flags: set[str] = field(default_factory=set)
    configs: list[Any] = field(default_factory=list)
    builds: int = 0

    @property
    def recorded(self) -> Any:
        """The names that this version has."""
        return json.loads((SURFACES / f"{self.surface}.json").read_text())

    @property
    def config(self) -> Any:
        """The configuration that was made last."""
        return self.configs[-1]

    def module(self) -> Any:  # noqa: C901  its classes are short, and see the machine
        """The module ``tensorrt``."""
        recorded = self.recorded
        trt = SimpleNamespace(__version__=VERSIONS[self.surface])
        for name, members in recorded["enums"].items():
            setattr(trt, name, IntEnum(name, {member: value for value, member in enumerate(members)}))
        trt.float32, trt.float16 = trt.DataType.FLOAT, trt.DataType.HALF

        def limited(kind: type) -> Callable[..., Any]:
            """``kind`` with the attributes that were recorded of the class of its name."""
            known = set(recorded["classes"].get(kind.__name__, ()))
            parts = {name: part for name, part in vars(kind).items() if name.startswith("_") or name in known}

            def refuse_unknown(this: Any, name: str, value: Any) -> None:
                if not name.startswith("_") and name not in known:
                    raise AttributeError(f"{kind.__name__} of {trt.__version__} has no {name}")
                object.__setattr__(this, name, value)

            return type(kind.__name__, (), {**parts, "__setattr__": refuse_unknown})

        machine = self

        class ILogger:
            VERBOSE, ERROR = SimpleNamespace(name="VERBOSE"), SimpleNamespace(name="ERROR")

            def __init__(self) -> None:
                """A base class."""

        class ITimingCache:
            def __init__(self, data: bytes) -> None:
                self._data = data

            def serialize(self) -> bytes:
                return self._data + b"+"

            def combine(self, other: Any, *, ignore_mismatch: bool) -> bool:
                assert not ignore_mismatch
                self._data += other._data
                return True

        class IBuilderConfig:
            def __init__(self) -> None:
                self._flags = {trt.BuilderFlag.TF32}
                self._taken: dict[str, Any] = {}
                self._profiles: list[Any] = []

            def set_flag(self, flag: Any) -> None:
                if flag.name not in machine.ignores:
                    self._flags.add(flag)

            def clear_flag(self, flag: Any) -> None:
                self._flags.discard(flag)

            def get_flag(self, flag: Any) -> bool:
                return flag in self._flags

            def set_memory_pool_limit(self, pool: Any, limit: int) -> None:
                self._taken[pool.name] = limit

            def get_memory_pool_limit(self, pool: Any) -> int:
                return int(self._taken[pool.name]) if pool.name not in machine.ignores else 0

            def set_tactic_sources(self, mask: int) -> bool:
                self._taken["tactic_sources"] = mask
                return True

            def get_tactic_sources(self) -> int:
                return int(self._taken["tactic_sources"])

            def add_optimization_profile(self, profile: Any) -> int:
                self._profiles.append(profile)
                return len(self._profiles) - 1

            @property
            def num_optimization_profiles(self) -> int:
                return len(self._profiles)

            def create_timing_cache(self, data: bytes) -> Any:
                return limited(ITimingCache)(data)

            def set_timing_cache(self, cache: Any, *, ignore_mismatch: bool) -> bool:
                assert not ignore_mismatch
                self._taken["timing_cache"] = cache
                return True

        class IOptimizationProfile:
            def __init__(self) -> None:
                self._shapes: dict[str, Any] = {}

            def set_shape(self, name: str, *shapes: Any) -> None:
                self._shapes[name] = list(shapes)

            def get_shape(self, name: str) -> Any:
                return self._shapes[name]

        class INetworkDefinition:
            num_inputs = num_outputs = 1
            num_layers = len(machine.layers)

            def get_input(self, _index: int) -> Any:
                return _tensor(trt, "image", (-1, 1, 8, 8))

            def get_output(self, _index: int) -> Any:
                return _tensor(trt, "logits", (-1, 10))

            def get_layer(self, index: int) -> Any:
                return machine.layers[index]

        class Builder:
            num_DLA_cores = machine.cores  # noqa: N815  TensorRT's own name

            def __init__(self, logger: Any) -> None:
                self._logger = logger

            def create_network(self, flags: int) -> Any:
                kinds = trt.NetworkDefinitionCreationFlag
                machine.networks.append(frozenset(kind.name for kind in kinds if flags >> int(kind) & 1))
                assert flags < 1 << len(kinds)
                return limited(INetworkDefinition)()

            def create_builder_config(self) -> Any:
                machine.configs.append(limited(IBuilderConfig)())
                return machine.config

            def create_optimization_profile(self) -> Any:
                return limited(IOptimizationProfile)()

            def build_serialized_network(self, _network: Any, config: Any) -> Any:
                machine.builds += 1
                for error in machine.errors:
                    self._logger.log(ILogger.ERROR, error)
                monitor = getattr(config, "progress_monitor", None)
                if monitor is not None:
                    monitor.phase_start("Building Engine", None, 1)
                    assert monitor.step_complete("Building Engine", 0)
                    monitor.phase_finish("Building Engine")
                numbers = bytes(map(int, VERSIONS[machine.surface].split("."))).ljust(4, b"\0")
                return None if machine.errors else memoryview(b"ftrt" + bytes(20) + numbers + bytes(100))

        class ParserError:
            def __init__(self, node: int, text: str) -> None:
                self._node, self._text = node, text

            def node(self) -> int:
                return self._node

            def desc(self) -> str:
                return self._text

            def node_operator(self) -> str:
                return "Det"

            def node_name(self) -> str:
                return f"/node{self._node}"

        class OnnxParser:
            num_errors = len(machine.refuses)

            def __init__(self, _network: Any, _logger: Any) -> None:
                """Parses into it."""

            def parse_from_file(self, _path: str) -> bool:
                return not machine.refuses

            def set_flag(self, flag: Any) -> None:
                machine.parser_flags.add(flag.name)

            def get_error(self, index: int) -> Any:
                return limited(ParserError)(*machine.refuses[index])

        trt.ILogger, trt.Builder, trt.OnnxParser = ILogger, limited(Builder), limited(OnnxParser)
        trt.init_libnvinfer_plugins = lambda _logger, _space: True
        if "IProgressMonitor" in recorded["classes"]:
            trt.IProgressMonitor = type("IProgressMonitor", (), {})
        return trt


def _tensor(trt: Any, name: str, shape: Iterable[int]) -> Any:
    return SimpleNamespace(
        name=name,
        shape=tuple(shape),
        dtype=trt.DataType.FLOAT,
        is_shape_tensor=False,
        get_dimension_name=lambda axis: "batch" if axis == 0 else "",
    )
