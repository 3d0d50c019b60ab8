"""Models that try to be more than models: each function spoils a folder that holds a sound one."""

from __future__ import annotations

import itertools
import os
import socket
import struct
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.support.models import convolution_model, graph_model, saved, saved_externally, with_external_entry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Spoil = Callable[[Path], None]

SECRET = b"sentinel-3f9c" * 64
"""What lies outside the folder; it must never be seen again."""
HOSTILE_NAME = "\x1b[2J\n::error::planted\r::set-output name=x::y %0A \u202e \x00"[:-1]


def external(**entries: str) -> Spoil:
    """Weights beside the model, with ``entries`` of where they lie changed."""

    def spoil(folder: Path) -> None:
        saved_externally(convolution_model(), folder / "model.onnx")
        with_external_entry(folder / "model.onnx", **entries)

    return spoil


def linked_weights(folder: Path) -> None:
    external(location="link.bin")(folder)
    (folder / "link.bin").symlink_to(folder.parent / "sentinel.bin")


def hard_linked_weights(folder: Path) -> None:
    external(location="link.bin")(folder)
    os.link(folder.parent / "sentinel.bin", folder / "link.bin")


def linked_folder_of_weights(folder: Path) -> None:
    external(location="link/sentinel.bin")(folder)
    (folder / "link").symlink_to(folder.parent, target_is_directory=True)


def folder_for_weights(folder: Path) -> None:
    external(location="below")(folder)
    (folder / "below").mkdir()


def pipe_for_weights(folder: Path) -> None:
    external(location="pipe")(folder)
    os.mkfifo(folder / "pipe")


def socket_for_weights(folder: Path) -> None:
    external(location="s")(folder)
    with socket.socket(socket.AF_UNIX) as daemon:
        here = os.open(folder, os.O_PATH)
        daemon.bind(f"/proc/self/fd/{here}/s")
        os.close(here)


def linked_model(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(folder.parent / "sentinel.bin")


def hard_linked_model(folder: Path) -> None:
    """A second name for a sound model elsewhere, so that nothing but the link speaks against it."""
    (folder / "model.onnx").replace(folder.parent / "other.onnx")
    os.link(folder.parent / "other.onnx", folder / "model.onnx")


def pipe_for_a_model(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")


def folder_for_a_model(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").mkdir()


def declared_weights(*dims: int) -> Spoil:
    """A few bytes that claim to be a tensor of ``dims``."""

    def spoil(folder: Path) -> None:
        model = convolution_model()
        tensor = model.graph.initializer[0]
        del tensor.dims[:]
        tensor.dims.extend(dims)
        saved(model, folder / "model.onnx")

    return spoil


def huge_input(folder: Path) -> None:
    model = graph_model(
        [helper.make_node("Relu", ["image"], ["scores"])],
        [("image", TensorProto.FLOAT, [1 << 20, 1 << 20, 1 << 20, 1 << 20])],
        [("scores", TensorProto.FLOAT, [1 << 20, 1 << 20, 1 << 20, 1 << 20])],
    )
    saved(model, folder / "model.onnx")


def huge_constant_of_shape(folder: Path) -> None:
    """Twelve bytes that ask for 4 EiB while constants are folded."""
    model = graph_model(
        [
            helper.make_node("ConstantOfShape", ["shape"], ["huge"]),
            helper.make_node("ReduceSum", ["huge"], ["one"], keepdims=0),
            helper.make_node("Add", ["image", "one"], ["scores"]),
        ],
        [("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [("scores", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        {"shape": np.array([1 << 30, 1 << 30], np.int64)},
    )
    saved(model, folder / "model.onnx")


def nested_subgraphs(depth: int) -> Spoil:
    """Branches in branches."""

    def spoil(folder: Path) -> None:
        def branch(level: int) -> object:
            inner = (
                helper.make_node("Identity", ["image"], [f"out{level}"])
                if level == depth
                else helper.make_node(
                    "If", ["yes"], [f"out{level}"], then_branch=branch(level + 1), else_branch=branch(depth)
                )
            )
            value = helper.make_tensor_value_info(f"out{level}", TensorProto.FLOAT, None)
            return helper.make_graph([inner], f"g{level}", [], [value])

        node = helper.make_node("If", ["yes"], ["scores"], then_branch=branch(1), else_branch=branch(depth))
        model = graph_model(
            [node],
            [("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
            [("scores", TensorProto.FLOAT, None)],
            {"yes": np.array(True)},
        )
        saved(model, folder / "model.onnx")

    return spoil


def nested_bytes(folder: Path) -> None:
    """Two thousand messages in each other, which no library builds: type in type of a sequence's elements."""
    inner = b""
    for _ in range(2000):
        inner = _field(1, inner)  # TypeProto.Sequence.elem_type
        inner = _field(4, inner)  # TypeProto.sequence_type
    value = _field(1, b"image") + _field(2, inner)
    saved(convolution_model(), folder / "model.onnx")
    with (folder / "model.onnx").open("ab") as file:
        file.write(_field(7, _field(11, value)))


def long_chain(folder: Path) -> None:
    """Twenty thousand nodes, one behind the other."""
    names = ["image", *(f"t{number}" for number in range(19_999)), "scores"]
    nodes = [helper.make_node("Relu", [source], [target]) for source, target in itertools.pairwise(names)]
    shape: list[int | str | None] = ["batch", 1, 8, 8]
    saved(
        graph_model(nodes, [("image", TensorProto.FLOAT, shape)], [("scores", TensorProto.FLOAT, shape)]),
        folder / "model.onnx",
    )


def function_that_calls_itself(folder: Path) -> None:
    model = convolution_model()
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    node = helper.make_node("Again", ["x"], ["y"], domain="own")
    model.functions.append(helper.make_function("own", "Again", ["x"], ["y"], [node], opset))
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node.append(helper.make_node("Again", ["scores"], ["again"], domain="own"))
    model.graph.output.append(helper.make_tensor_value_info("again", TensorProto.FLOAT, None))
    saved(model, folder / "model.onnx")


def cycle(folder: Path) -> None:
    model = convolution_model()
    model.graph.node[0].input[0] = "r1"
    saved(model, folder / "model.onnx")


def names_with_commands(folder: Path) -> None:
    """Every name is one; the operator among them is known to nobody."""
    model = graph_model(
        [helper.make_node("No" + HOSTILE_NAME, ["image"], ["scores"], name=HOSTILE_NAME, domain="x" + HOSTILE_NAME)],
        [("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [("scores", TensorProto.FLOAT, ["batch", HOSTILE_NAME])],
        domains=[("x" + HOSTILE_NAME, 1)],
    )
    saved(model, folder / "model.onnx")


def nan_under_a_hostile_name(folder: Path) -> None:
    model = convolution_model()
    model.graph.initializer.append(numpy_helper.from_array(np.array([np.nan], np.float32), HOSTILE_NAME))
    saved(model, folder / "model.onnx")


def _field(number: int, data: bytes) -> bytes:
    """A length-delimited field of protobuf's wire format."""
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + struct.pack("B", value)
