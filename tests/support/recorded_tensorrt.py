"""A stand-in for TensorRT 8.6 when it calibrates: its recorded names, and what its build was seen to do.

The real one asks for batches until it gets none, prints and swallows what a calibrator's method raises, and writes a
table from whatever it got.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pipeline.build.builder_log import BuilderLog

if TYPE_CHECKING:
    from collections.abc import Sequence

FIXTURES = Path(__file__).parents[1] / "fixtures"
SURFACE: dict[str, Any] = json.loads((FIXTURES / "tensorrt-8.6.0-calibrators.json").read_text())
REAL_TABLE = FIXTURES / "digits-tensorrt-8.6.0.table"


def recorded_module() -> Any:
    """The recorded enums and calibrator classes, as a module with a version."""
    enums = {name: Enum(name, {member: member for member in members}) for name, members in SURFACE["enums"].items()}
    classes = {name: type(name, (), dict.fromkeys(methods)) for name, methods in SURFACE["calibrators"].items()}
    return SimpleNamespace(__version__=SURFACE["version"], **enums, **classes)


TRT = recorded_module()


def tensor(name: str, dtype: str = "FLOAT", shape: tuple[int, ...] = (-1, 1, 8, 8)) -> Any:
    """A tensor of a network."""
    return SimpleNamespace(name=name, dtype=TRT.DataType[dtype], shape=shape, is_shape_tensor=False)


def layer(kind: str, inputs: Sequence[Any], outputs: Sequence[Any], *, kept_wider: bool = False) -> Any:
    """A layer of a network; ``None`` among its inputs is one that is not connected."""
    return SimpleNamespace(
        type=TRT.LayerType[kind],
        num_inputs=len(inputs),
        num_outputs=len(outputs),
        precision_is_set=kept_wider,
        get_input=list(inputs).__getitem__,
        get_output=list(outputs).__getitem__,
    )


def network(inputs: Sequence[Any], layers: Sequence[Any]) -> Any:
    """A network of ``layers`` in their order."""
    return SimpleNamespace(
        num_inputs=len(inputs),
        num_layers=len(layers),
        get_input=list(inputs).__getitem__,
        get_layer=list(layers).__getitem__,
    )


class Config:
    """A builder's settings, which read back as they were set."""

    def __init__(self) -> None:
        self.flags: set[Any] = set()
        self.builder_optimization_level = 3
        self.int8_calibrator: Any = None
        self.num_optimization_profiles = 0
        self.calibration_profile: Any = None

    def set_flag(self, flag: Any) -> None:
        self.flags.add(flag)

    def clear_flag(self, flag: Any) -> None:
        self.flags.discard(flag)

    def get_flag(self, flag: Any) -> bool:
        return flag in self.flags

    set_quantization_flag = set_flag
    get_quantization_flag = get_flag

    def add_optimization_profile(self, profile: Any) -> int:
        self.num_optimization_profiles += 1
        return self.num_optimization_profiles - 1

    def set_calibration_profile(self, profile: Any) -> bool:
        self.calibration_profile = profile
        return True


class Profile:
    """An optimization profile."""

    def __init__(self) -> None:
        self.shapes: dict[str, list[tuple[int, ...]]] = {}

    def set_shape(self, name: str, *shapes: tuple[int, ...]) -> None:
        self.shapes[name] = list(shapes)

    def get_shape(self, name: str) -> list[tuple[int, ...]]:
        return self.shapes[name]


@dataclass
class Builder:
    """Builds as TensorRT 8.6 does around a calibration, and writes ``table`` after it."""

    table: str
    plan: bytes | None = b"plan"
    asks_at_most: int = 1000
    least_level: int = 0
    levels: list[int] = field(default_factory=list)
    configs: list[Config] = field(default_factory=list)
    batches: list[list[int]] = field(default_factory=list)

    def create_builder_config(self) -> Config:
        self.configs.append(Config())
        return self.configs[-1]

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Any, config: Config) -> bytes | None:
        calibrator = config.int8_calibrator
        names = [network.get_input(number).name for number in range(network.num_inputs)]
        assert calibrator.read_calibration_cache() is None
        self.levels.append(config.builder_optimization_level)
        for _ in range(self.asks_at_most if config.builder_optimization_level >= self.least_level else 0):
            addresses = calibrator.get_batch(names)
            if addresses is None:
                break
            self.batches.append(addresses)
        if not self.batches:
            return None
        calibrator.write_calibration_cache(memoryview(self.table.encode()))
        return self.plan


@dataclass
class Native:
    """What ``NativeTensorRT`` offers, without a GPU."""

    builder: Builder
    parsed: Any
    trt: Any = field(default_factory=lambda: TRT)
    major: int = 8
    log: BuilderLog = field(default_factory=BuilderLog)
    network: Any = None
    plugins: list[Path] = field(default_factory=list)

    def load_plugins(self, paths: Sequence[Path]) -> None:
        self.plugins.extend(paths)

    def new_parser(self, typing: str, *, portable: bool = False) -> Any:
        assert typing == "weak"
        assert not portable
        self.network = self.parsed
        return SimpleNamespace(parse_from_file=lambda path: True)
