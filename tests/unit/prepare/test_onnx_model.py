from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.errors import ModelError
from pipeline.prepare import onnx_model
from pipeline.prepare.facts import ModelFacts, TensorFacts, facts_from_json
from pipeline.prepare.onnx_model import inspect_model, load_model, load_whole, save_model
from pipeline.prepare.structure import model_digests
from tests.support.models import (
    convolution_model,
    float32,
    graph_model,
    linear_model,
    saved,
    saved_externally,
    with_external_entry,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from onnx import ModelProto


def _inspect(path: Path) -> ModelFacts:
    return facts_from_json(inspect_model({"model": str(path)}, path.parent))


def _refusal(path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        inspect_model({"model": str(path)}, path.parent)
    return caught.value


def test_the_facts_of_a_sound_model(tmp_path: Path) -> None:
    digests = model_digests(linear_model(), tmp_path)
    assert _inspect(saved(linear_model(), tmp_path / "m.onnx")) == ModelFacts(
        opset=17,
        opsets=(),
        ir_version=8,
        inputs=(TensorFacts("features", "float32", ("batch", 4)),),
        outputs=(TensorFacts("scores", "float32", ("batch", 3)),),
        node_names=("project",),
        operators=(("ai.onnx::MatMul", 1),),
        external_files=(),
        weights_bytes=48,
        structure=digests.structure,
        named_structure=digests.named,
        weights=digests.weights,
    )


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    _inspect(saved(linear_model(), tmp_path / "m.onnx"))
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"]


def test_external_files_are_named_relative_to_the_model(tmp_path: Path) -> None:
    assert _inspect(saved_externally(linear_model(), tmp_path / "m.onnx")).external_files == ("weights.bin",)


def test_custom_operators_are_counted_by_domain(tmp_path: Path) -> None:
    node = helper.make_node("Fancy", ["x"], ["y"], domain="acme")
    model = graph_model([node], [("x", TensorProto.FLOAT, [1])], [("y", TensorProto.FLOAT, [1])], domains=[("acme", 2)])
    facts = _inspect(saved(model, tmp_path / "m.onnx"))
    assert (facts.opsets, facts.operators) == ((("acme", 2),), (("acme::Fancy", 1),))


def test_an_axis_that_is_called_a_question_mark_has_no_name(tmp_path: Path) -> None:
    """TensorRT would take height and width to be equal."""
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"], "relu")],
        "main",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", "?", "?"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", "?", "?"])],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    model, whole = load_whole(path)
    axes = model.graph.input[0].type.tensor_type.shape.dim
    assert ([axis.dim_param for axis in axes], whole) == (["N", "", ""], False)
    assert _inspect(path).inputs[0].shape == ("N", None, None)


def test_initializers_listed_as_inputs_are_no_inputs(tmp_path: Path) -> None:
    model = linear_model()
    model.graph.input.append(helper.make_tensor_value_info("weights", TensorProto.FLOAT, [4, 3]))
    assert [tensor.name for tensor in _inspect(saved(model, tmp_path / "m.onnx")).inputs] == ["features"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "the model file is empty"),
        (b"this is a text file, not a model\n", "not an ONNX model, or it is cut short"),
        (b"\x08\x08", "the file is not an ONNX model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "Git LFS pointer"),
    ],
)
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, data: bytes, text: str) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    assert text in str(_refusal(path))


def test_a_git_lfs_pointer_comes_with_the_command_that_mends_it(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "git lfs pull" in _refusal(path).fix


@pytest.mark.parametrize(
    ("data", "kind", "fix"),
    [
        (b"PK\x03\x04" + bytes(60), "a PyTorch checkpoint or another ZIP archive", "torch.onnx.export"),
        (
            pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2) + bytes(60),
            "an old PyTorch checkpoint",
            "torch.onnx.export",
        ),
        (b"\x40\0\0\0\0\0\0\0" + b'{"w":{"dtype":"F32"}}', "weights in safetensors", "torch.onnx.export"),
        (b"\x1c\0\0\0TFL3" + bytes(20), "a TensorFlow Lite model", "tf2onnx"),
        (b"ftrt" + bytes(60), "a TensorRT engine already", "built from"),
        (b"vtrt" + bytes(60), "a TensorRT-RTX engine already", "built from"),
        (b"<!DOCTYPE html><html>", "a web page", "the file itself"),
    ],
)
def test_a_file_of_another_format_is_named_with_the_way_to_onnx(
    tmp_path: Path, data: bytes, kind: str, fix: str
) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    refusal = _refusal(path)
    assert refusal.what.startswith(f"the file is {kind}")
    assert fix in refusal.fix


def test_weights_that_were_left_behind_are_told_once_for_all_tensors(tmp_path: Path) -> None:
    model = linear_model()
    model.graph.initializer.add().CopyFrom(model.graph.initializer[0])
    model.graph.initializer[1].name = "more"
    path = saved_externally(model, tmp_path / "m.onnx")
    (tmp_path / "weights.bin").unlink()
    refusal = _refusal(path)
    assert refusal.what.endswith("lies in 'weights.bin', which is missing (as for 1 more)")
    assert refusal.fix.startswith("put the file of the weights beside the model")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "is missing" in str(_refusal(tmp_path / "m.onnx"))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "cannot be read" in str(_refusal(tmp_path))


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    data = convolution_model().SerializeToString()
    path = tmp_path / "m.onnx"
    path.write_bytes(data[: int(len(data) * share)])
    assert str(_refusal(path)).startswith(str(path))


def _outside(folder: Path) -> Path:
    outside = folder / "outside.bin"
    outside.write_bytes(bytes(48))
    return outside


def _hard_link(model: Path) -> None:
    os.link(_outside(model.parent.parent), model.parent / "link.bin")
    with_external_entry(model, location="link.bin")


def _soft_link(model: Path) -> None:
    (model.parent / "link.bin").symlink_to(_outside(model.parent.parent))
    with_external_entry(model, location="link.bin")


def _linked_parent(model: Path) -> None:
    _outside(model.parent.parent)
    (model.parent / "linked").symlink_to(model.parent.parent, target_is_directory=True)
    with_external_entry(model, location="linked/outside.bin")


def _parent(model: Path) -> None:
    _outside(model.parent.parent)
    with_external_entry(model, location="../outside.bin")


def _folder(model: Path) -> None:
    (model.parent / "folder").mkdir()
    with_external_entry(model, location="folder")


def _absolute(model: Path) -> None:
    with_external_entry(model, location=str(_outside(model.parent.parent)))


_HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "parent folder": (_parent, "outside the model's folder"),
    "nested parent folder": (lambda m: with_external_entry(m, location="a/../../outside.bin"), "outside the model's"),
    "absolute path": (_absolute, "outside the model's folder"),
    "symbolic link": (_soft_link, "is a symbolic link"),
    "hard link": (_hard_link, "more than one hard link"),
    "linked parent": (_linked_parent, "is a symbolic link"),
    "offset past the end": (lambda m: with_external_entry(m, offset="4096"), "which is 48 bytes long"),
    "negative offset": (lambda m: with_external_entry(m, offset="-1"), "external offset of '-1'"),
    "length of 1 TiB": (lambda m: with_external_entry(m, length=str(1 << 40)), "which is 48 bytes long"),
    "length that does not fit the shape": (lambda m: with_external_entry(m, length="40"), "needs 48 bytes"),
    "length that is no number": (lambda m: with_external_entry(m, length="many"), "external length of 'many'"),
    "missing file": (lambda m: with_external_entry(m, location="other.bin"), "which is missing"),
    "a folder": (_folder, "is not a file"),
    "no location": (lambda m: with_external_entry(m, location=""), "names no file"),
}


@pytest.mark.parametrize("name", sorted(_HOSTILE))
@pytest.mark.parametrize("read", [lambda path: inspect_model({"model": str(path)}, path.parent), load_model])
def test_hostile_external_data_is_refused_unread(
    tmp_path: Path, name: str, read: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    change, text = _HOSTILE[name]
    folder = tmp_path / "model"
    folder.mkdir()
    path = saved_externally(linear_model(), folder / "m.onnx")
    change(path)

    def never(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the data was read")

    monkeypatch.setattr("pipeline.prepare.onnx_tensors._file_pieces", never)
    monkeypatch.setattr(onnx.checker, "check_model", never)
    with pytest.raises(ModelError, match=text):
        read(path)


def test_a_tensor_that_claims_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    model = linear_model()
    model.graph.initializer[0].dims[0] = 1 << 40
    assert "tensor 'weights' needs" in str(_refusal(saved(model, tmp_path / "m.onnx")))


def test_negative_dimensions_are_refused(tmp_path: Path) -> None:
    model = linear_model()
    model.graph.initializer[0].dims[0] = -4
    assert "negative dimensions" in str(_refusal(saved(model, tmp_path / "m.onnx")))


def test_an_unknown_element_type_is_refused(tmp_path: Path) -> None:
    model = linear_model()
    model.graph.initializer[0].data_type = 250
    assert "element type 250" in str(_refusal(saved(model, tmp_path / "m.onnx")))


def _changed(change: Callable[[ModelProto], object]) -> ModelProto:
    model = linear_model()
    change(model)
    return model


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (graph_model([], [], [("y", 1, [1])], opset=999), "opset 999 is not one of 9 to"),
        (graph_model([], [], [("y", 1, [1])], opset=8), "opset 8 is not one of 9 to"),
        (graph_model([], [], [("y", 1, [1])], ir_version=999), "IR version 999 is not one of 3 to"),
        (graph_model([], [], [("y", 1, [1])], ir_version=2), "IR version 2 is not one of 3 to"),
        (_changed(lambda m: m.ClearField("opset_import")), "no opset is named"),
        (_changed(lambda m: m.opset_import.add(domain="ai.onnx", version=17)), "named twice"),
        (_changed(lambda m: m.graph.ClearField("output")), "the graph has no outputs"),
        (_changed(lambda m: m.graph.input[0].type.tensor_type.ClearField("shape")), "input 'features' has no shape"),
        (
            _changed(lambda m: m.graph.input[0].type.sequence_type.elem_type.CopyFrom(m.graph.output[0].type)),
            "no tensor|not a tensor",
        ),
        (
            _changed(lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 55)),
            "input 'features' has element type 55, which is unknown",
        ),
        (_changed(lambda m: m.graph.input.append(m.graph.input[0])), "input 'features' is declared twice"),
        (
            _changed(lambda m: setattr(m.graph.node[0], "op_type", "MatMal")),
            "checker refuses it: No Op registered for MatMal",
        ),
        (linear_model(np.zeros((4, 3), np.float32)), None),
    ],
)
def test_what_is_wrong_with_the_graph_is_said(tmp_path: Path, model: ModelProto, text: str | None) -> None:
    path = saved(model, tmp_path / "m.onnx")
    if text is None:
        _inspect(path)
    else:
        with pytest.raises(ModelError, match=text):
            _inspect(path)


def test_shapes_that_cannot_be_multiplied_are_refused(tmp_path: Path) -> None:
    model = linear_model()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 5
    assert "Incompatible dimensions" in str(_refusal(saved(model, tmp_path / "m.onnx")))


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    model = graph_model([], [("x", 1, [1])], [], {"w": np.ones(3, np.float32)}, opset=999, ir_version=2)
    model.graph.initializer[0].dims[0] = 7
    text = str(_refusal(saved(model, tmp_path / "m.onnx")))
    assert [words in text for words in ("4 problems", "opset 999", "IR version 2", "no outputs", "tensor 'w'")] == [
        True
    ] * 5


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16])
@pytest.mark.parametrize("raw", [True, False])
def test_nan_weights_of_every_float_type_are_refused(tmp_path: Path, kind: int, raw: bool) -> None:
    model = linear_model()
    bad = helper.make_tensor("bad", kind, [3], [1.0, float("nan"), 2.0])
    if raw:
        bad = numpy_helper.from_array(numpy_helper.to_array(bad), "bad")
    model.graph.initializer.append(bad)
    assert "1 initializer holds NaN: bad" in str(_refusal(saved(model, tmp_path / "m.onnx")))


def test_nan_in_external_data_is_found_at_the_end_of_a_long_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.prepare.onnx_tensors._PIECE_BYTES", 64)
    weights = np.ones((100, 3), np.float32)
    weights[-1, -1] = np.nan
    assert "holds NaN: weights" in str(_refusal(saved_externally(linear_model(weights), tmp_path / "m.onnx")))


def test_at_most_ten_initializers_are_named(tmp_path: Path) -> None:
    model = linear_model()
    model.graph.initializer.extend(numpy_helper.from_array(float32([np.nan]), f"n{i:02d}") for i in range(12))
    text = str(_refusal(saved(model, tmp_path / "m.onnx")))
    assert "12 initializers hold NaN: n00, n01, n02, n03, n04, n05, n06, n07, n08, n09 and 2 more" in text


def test_infinite_weights_are_refused(tmp_path: Path) -> None:
    weights = np.ones((4, 3), np.float32)
    weights[0, 0] = -np.inf
    assert "1 initializer holds infinity: weights" in str(_refusal(saved(linear_model(weights), tmp_path / "m.onnx")))


def test_an_infinite_mask_is_accepted(tmp_path: Path) -> None:
    model = graph_model(
        [helper.make_node("Add", ["x", "mask"], ["y"])],
        [("x", TensorProto.FLOAT, [2])],
        [("y", TensorProto.FLOAT, [2])],
        {"mask": float32([0, -np.inf])},
    )
    assert _inspect(saved(model, tmp_path / "m.onnx")).weights_bytes == 8


def test_unnamed_and_repeated_names_become_unique(tmp_path: Path) -> None:
    names = ["", "same", "same", "", "Relu_0"]
    nodes = [helper.make_node("Relu", [f"t{i}"], [f"t{i + 1}"], name=name) for i, name in enumerate(names)]
    model = graph_model(nodes, [("t0", TensorProto.FLOAT, [1])], [("t5", TensorProto.FLOAT, [1])])
    path = saved(model, tmp_path / "m.onnx")
    named = [node.name for node in load_model(path).graph.node]
    assert named == ["Relu_0_", "same", "same_2", "Relu_3", "Relu_0"]
    assert list(_inspect(path).node_names) == named


def test_nodes_of_subgraphs_are_named_too(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["b"])], "branch", [], [helper.make_tensor_value_info("b", 1, [1])]
    )
    node = helper.make_node("If", ["flag"], ["y"], then_branch=branch, else_branch=branch)
    model = graph_model([node], [("flag", TensorProto.BOOL, []), ("x", 1, [1])], [("y", 1, [1])])
    facts = _inspect(saved(model, tmp_path / "m.onnx"))
    assert facts.node_names == ("If_0", "Identity_1", "Identity_2")


@pytest.mark.parametrize("name", [b"features", b"project", b"MatMul", b"weights", b"batch"])
def test_names_that_are_not_utf_8_are_refused(tmp_path: Path, name: bytes) -> None:
    path = saved(linear_model(), tmp_path / "m.onnx")
    path.write_bytes(path.read_bytes().replace(name, b"\xff" * len(name)))
    assert "not an ONNX model" in str(_refusal(path))


def test_external_data_is_loaded(tmp_path: Path) -> None:
    model = load_model(saved_externally(linear_model(), tmp_path / "m.onnx"))
    assert numpy_helper.to_array(model.graph.initializer[0]).ravel()[11] == float32(1.1)


def test_a_saved_model_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        assert save_model(convolution_model(), tmp_path / name) == ["model.onnx"]
    assert (tmp_path / "a/model.onnx").read_bytes() == (tmp_path / "b/model.onnx").read_bytes()


def test_large_weights_are_saved_beside_the_model_and_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_model, "_INLINE_BYTES", 1000)
    weights = np.arange(1200, dtype=np.float32).reshape(400, 3)
    model = linear_model(weights)
    model.graph.initializer.append(helper.make_tensor("typed", TensorProto.FLOAT, [300], [0.5] * 300))
    assert save_model(model, tmp_path) == ["model.onnx", "model.onnx.data"]
    loaded = load_model(tmp_path / "model.onnx")
    values = [numpy_helper.to_array(tensor) for tensor in loaded.graph.initializer]
    assert np.array_equal(values[0], weights)
    assert np.array_equal(values[1], np.full(300, 0.5, np.float32))
    assert _inspect(tmp_path / "model.onnx").external_files == ("model.onnx.data",)
