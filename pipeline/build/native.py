"""What a child needs of full TensorRT 8.6, 10.x or 11.x: a logger, a builder, and parsers into networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.build.builder_log import BuilderLog
from pipeline.build.plugins import load_plugins
from pipeline.errors import BuildError, DeviceError
from pipeline.machine.cuda import free_memory_text, require_gpu
from pipeline.machine.shared_gpu import other_processes_told
from pipeline.tensorrt_versions import lacking

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LAST_WEAK = 10
"""The last major version that builds weakly typed networks, and has calibrators."""


def new_logger(trt: Any, log: BuilderLog) -> Any:
    """A logger of TensorRT that writes into ``log``."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity != trt.ILogger.VERBOSE:
                log.take(severity.name, message)

    return Logger()


class NativeTensorRT:
    """The objects that one child needs. The GPU is asked for first: without one, TensorRT 8.6 dies of a signal."""

    def __init__(self) -> None:
        others = other_processes_told()
        require_gpu()
        import tensorrt as trt

        self.trt: Any = trt
        self.major = int(trt.__version__.split(".")[0])
        self.log = BuilderLog()
        if others:
            self.log.take("WARNING", f"the GPU is shared: {others}, so that tactics may be timed wrongly")
        self.logger = new_logger(trt, self.log)
        self.builder = self._new_builder()
        self.network: Any = None

    def _new_builder(self) -> Any:
        try:
            return self.trt.Builder(self.logger)
        except TypeError as error:
            # What pybind11 makes of a builder that could not be created, such as on a GPU without free memory.
            raise DeviceError(
                "TensorRT cannot start on this GPU",
                why=f"{self.log.diagnosis().why}; {free_memory_text()}",
                fix="free the GPU's memory (`nvidia-smi` lists what uses it), and see that the driver fits TensorRT",
            ) from error

    def new_parser(self, typing: str, *, portable: bool = False) -> Any:
        """A parser into a new ``network`` with the flags of this version.

        ``portable`` asks for what an engine for other versions or GPUs needs: InstanceNormalization without its plugin.
        10.x parses it so anyway, and 8.6.0 cannot (8.6 developer guide, "Using Version Compatibility with the ONNX
        Parser").
        """
        flags, known = 0, self.trt.NetworkDefinitionCreationFlag
        if self.major < 10:
            flags |= 1 << int(known.EXPLICIT_BATCH)
        if typing == "strong":
            if not hasattr(known, "STRONGLY_TYPED"):
                name = "NetworkDefinitionCreationFlag.STRONGLY_TYPED"
                raise lacking(self.trt.__version__, "strongly typed networks", name)
            flags |= 1 << int(known.STRONGLY_TYPED)
        elif self.major > LAST_WEAK:
            raise BuildError(
                f"TensorRT {self.trt.__version__} builds strongly typed networks only", fix="remove `build.typing`"
            )
        self.network = self.builder.create_network(flags)
        parser = self.trt.OnnxParser(self.network, self.logger)
        native = getattr(getattr(self.trt, "OnnxParserFlag", None), "NATIVE_INSTANCENORM", None)
        if portable and native is not None:
            parser.set_flag(native)
        return parser

    def load_plugins(self, paths: Iterable[Path]) -> None:
        """TensorRT's own plugins and the libraries ``paths``. Raises ``BuildError``."""
        self.trt.init_libnvinfer_plugins(self.logger, "")
        load_plugins(self.trt, paths, lambda: self.log.diagnosis().why)
