"""The fewest TensorRT calls that build or time an engine, as a script of its own: what the step is held against.

    python benchmarks/bare_tensorrt.py build MODEL ENGINE LEVEL INPUT MIN OPT MAX     shapes like 1x3x224x224
    python benchmarks/bare_tensorrt.py time ENGINE SHAPE SECONDS                      prints the median in ms

Timing follows what trtexec documents of itself: 200 ms of warm-up, one inference enqueued ahead, an event before and
after each on the stream, CUDA graph on. It shares no code with the step.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

WARMUP_S = 0.2


def main() -> None:
    """Build or time."""
    command, *arguments = sys.argv[1:]
    if command == "build":
        build(*arguments)
    else:
        time_engine(*arguments)


def build(model: str, engine: str, level: str, name: str, *shapes: str) -> None:
    """An FP16 engine without cuBLAS and cuDNN tactics, with one profile."""
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(model):
        sys.exit("the parser refuses the model")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    config.set_flag(trt.BuilderFlag.FP16)
    config.builder_optimization_level = int(level)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    sources = (trt.TacticSource.EDGE_MASK_CONVOLUTIONS, trt.TacticSource.JIT_CONVOLUTIONS)
    config.set_tactic_sources(sum(1 << int(source) for source in sources))
    profile = builder.create_optimization_profile()
    profile.set_shape(name, *(tuple(map(int, shape.split("x"))) for shape in shapes))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    Path(engine).write_bytes(memoryview(plan))


def time_engine(path: str, shape: str, seconds: str) -> None:
    """Print the median GPU time of one inference in ms. All inputs take ``shape``."""
    import tensorrt as trt
    from cuda.bindings import runtime as cuda

    logger = trt.Logger(trt.Logger.WARNING)
    engine = trt.Runtime(logger).deserialize_cuda_engine(Path(path).read_bytes())
    context = engine.create_execution_context()
    stream = cuda.cudaStreamCreate()[1]
    size = tuple(map(int, shape.split("x")))
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
            context.set_input_shape(name, size)
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        count = 1
        for length in context.get_tensor_shape(name):
            count *= length
        context.set_tensor_address(name, int(cuda.cudaMalloc(count * 8)[1]))
    context.execute_async_v3(int(stream))
    cuda.cudaStreamSynchronize(stream)
    cuda.cudaStreamBeginCapture(stream, cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal)
    context.execute_async_v3(int(stream))
    graph = cuda.cudaGraphInstantiate(cuda.cudaStreamEndCapture(stream)[1], 0)[1]
    print(statistics.median(_samples(cuda, graph, stream, float(seconds))))


def _samples(cuda: Any, graph: Any, stream: Any, seconds: float) -> list[float]:
    begun = time.perf_counter()
    while time.perf_counter() - begun < WARMUP_S:
        cuda.cudaGraphLaunch(graph, stream)
        cuda.cudaStreamSynchronize(stream)
    pairs = [[cuda.cudaEventCreate()[1] for _ in range(2)] for _ in range(2)]
    samples: list[float] = []
    begun = time.perf_counter()
    number = 0
    while time.perf_counter() - begun < seconds:
        start, end = pairs[number % 2]
        if number >= 2:
            cuda.cudaEventSynchronize(end)
            samples.append(cuda.cudaEventElapsedTime(start, end)[1])
        cuda.cudaEventRecord(start, stream)
        cuda.cudaGraphLaunch(graph, stream)
        cuda.cudaEventRecord(end, stream)
        number += 1
    return samples


if __name__ == "__main__":
    main()
