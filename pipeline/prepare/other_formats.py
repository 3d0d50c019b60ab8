"""What a file is that was given for an ONNX model, by its first bytes, and how to come from there to ONNX."""

from __future__ import annotations

_EXPORT_PYTORCH = "load it in PyTorch and write it with `torch.onnx.export`"
_FETCH = "fetch the file itself, not the page about it"
_FORMATS = (
    (0, b"PK\x03\x04", "a PyTorch checkpoint or another ZIP archive, not an ONNX model", _EXPORT_PYTORCH),
    (0, b"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9", "an old PyTorch checkpoint, not an ONNX model", _EXPORT_PYTORCH),
    (8, b'{"', "weights in safetensors, not an ONNX model", _EXPORT_PYTORCH),
    (0, b"\x89HDF\r\n\x1a\n", "a Keras or other HDF5 file, not an ONNX model", "convert it with tf2onnx"),
    (4, b"TFL3", "a TensorFlow Lite model, not an ONNX model", "convert it with tf2onnx"),
    (0, b"ftrt", "a TensorRT engine already, not an ONNX model", "name the model that it was built from"),
    (0, b"vtrt", "a TensorRT-RTX engine already, not an ONNX model", "name the model that it was built from"),
    (0, b"\x1f\x8b", "compressed with gzip, not an ONNX model", "unpack it"),
    (0, b"<!DOCTYPE", "a web page, not an ONNX model", _FETCH),
    (0, b"<html", "a web page, not an ONNX model", _FETCH),
)
"""Offset, the bytes there, what such a file is, and what to do.

The second one is the magic number of PyTorch before 1.6 as pickle writes it.
"""


def other_format(data: bytes) -> tuple[str, str] | None:
    """What a file of ``data`` is, with its article, and what to do; ``None`` where that is not known."""
    return next(((kind, fix) for start, magic, kind, fix in _FORMATS if data.startswith(magic, start)), None)
