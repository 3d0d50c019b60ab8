"""What refitting an engine saves against building it, and what it costs in speed. Needs an NVIDIA GPU and TensorRT.

    python -m benchmarks.refit resnet50.onnx --input image:1x3x224x224,8x3x224x224,32x3x224x224 --level 1
    python -m benchmarks.refit bert.onnx --input ids:1x16,8x128,16x384 --input mask:1x16,8x128,16x384

Up to TensorRT 10 the builder is asked for `--precision`; from 11 on the models themselves must carry it. Each input is
a name with its least, typical and largest shape. The model stands for what was trained before. The retrained one is
`--retrained`, else the same with every fractional weight changed by about a twentieth.

Builds a refittable engine of the first, an engine without REFIT of the retrained one, and refits the first with the
weights of the retrained one, each in a child process of its own as in a run. Then runs all of them on the same inputs
beside ONNX Runtime. Two builds choose other kernels where TensorRT times them differently, so the retrained model is
built once more from the timing cache of the first build, as a run does; the refitted engine is timed against that one,
in fresh processes in the order ABBA and BAAB, and with `--cold-latency` against the other one too.

Fails where refitting is not `--least-ratio` times faster than the build it replaces, where the outputs differ from
the original model's more than a rebuilt engine's do and than `--cosine` allows, or where the interval of the latency
ratio to the build from the same timing cache (99 %) leaves 1 % behind.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.build.native import LAST_WEAK
from pipeline.build.request import BuildRequest, request_to_json
from pipeline.child.supervisor import run_task
from pipeline.compare.bootstrap import interval_from_contrasts
from pipeline.compare.contrasts import paired_contrasts
from pipeline.compare.samples import samples_from_latencies
from pipeline.compare.schedule import Block, Side, rounds_of, schedule
from pipeline.machine.devices import installed_gpus
from pipeline.machine.installed import installed_runtimes
from pipeline.manifest.types import ShapeRange
from pipeline.precision import Precision
from pipeline.prepare.onnx_model import load_model, save_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[1]
LATENCY_LIMIT = 0.01
CONFIDENCE = 0.99
_NOISE = 0.05


def main() -> None:
    """Build, refit, compare, time, print, and fail where a bound is missed."""
    options = _parser().parse_args()
    shapes = dict(map(_shape_range, options.input))
    if options.task == "outputs":
        print(json.dumps(_outputs_of(options, shapes)))
    elif options.task == "time":
        print(json.dumps(_latencies_ms(options, shapes)))
    else:
        sys.exit(not _passes(options, shapes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Compare refitting with building.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--input", action="append", required=True, metavar="NAME:MIN,OPT,MAX")
    parser.add_argument("--retrained", type=Path, help="the model after training again (default: noise)")
    parser.add_argument("--precision", type=Precision, default=Precision.FP16)
    parser.add_argument("--level", type=int, default=3, help="of optimization (default: 3)")
    parser.add_argument("--rounds", type=int, default=8, help="of four processes each, an even number (default: 8)")
    parser.add_argument("--seconds", type=float, default=1.0, help="that each process is timed (default: 1)")
    parser.add_argument("--least-ratio", type=float, default=30.0, help="of build over refit (default: 30)")
    parser.add_argument("--cosine", type=float, default=0.999, help="of the outputs with a rebuild's (default: 0.999)")
    parser.add_argument("--cold-latency", action="store_true", help="time the engine that was rebuilt cold too")
    # What the script starts itself with.
    parser.add_argument("--task", choices=["outputs", "time"], help=argparse.SUPPRESS)
    parser.add_argument("--engine", type=Path, action="append", default=[], help=argparse.SUPPRESS)
    return parser


def _passes(options: argparse.Namespace, shapes: Mapping[str, ShapeRange]) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        before, after = home / "before", home / "after"
        _write_model(options.model, before, noise=False)
        _write_model(options.retrained or options.model, after, noise=options.retrained is None)
        first, first_s = _build(home / "first", before, options, shapes, refit=True)
        print(f"refittable engine: {first_s:.1f} s, {first['size_bytes'] / 2**20:.1f} MiB", flush=True)
        rebuilt, rebuilt_s = _build(home / "rebuilt", after, options, shapes, refit=False)
        print(f"rebuilt without REFIT: {rebuilt_s:.1f} s, of that {rebuilt['build_s']:.1f} s in TensorRT", flush=True)
        warm, warm_s = _build(home / "warm", after, options, shapes, tactics=home / "first" / first["tactics"])
        print(
            f"rebuilt from the first build's timing cache: {warm_s:.1f} s, of that {warm['build_s']:.1f} s in TensorRT"
        )
        refitted, refitted_s = _refit(home / "refitted", home / "first", first, after, (options, shapes))
        steps = ", ".join(f"{step} {took:.2f}" for step, took in refitted["refit"]["seconds"].items())
        engine_s = sum(refitted["refit"]["seconds"][step] for step in ("load", "refit", "write"))
        print(f"refitted: {refitted_s:.2f} s for the whole child ({steps} s), {refitted['refit']['weights']} weights")
        print(f"build over refit: {rebuilt_s / refitted_s:.1f} by whole children, "
              f"{rebuilt['build_s'] / engine_s:.1f} by TensorRT's own work", flush=True)  # fmt: skip
        engines = [home / name / built["engine"] for name, built in
                   (("first", first), ("rebuilt", rebuilt), ("refitted", refitted), ("warm", warm))]  # fmt: skip
        close = _print_outputs(options, after, engines[:3])
        within = _print_latency(options, "rebuilt from the same timing cache", engines[3], engines[2])
        if options.cold_latency:
            _print_latency(options, "rebuilt", engines[1], engines[2])
    return rebuilt["build_s"] / engine_s >= options.least_ratio and close and within


def _write_model(source: Path, folder: Path, *, noise: bool) -> None:
    from onnx import TensorProto, numpy_helper

    model = load_model(source)
    draw = np.random.default_rng(0)
    for tensor in model.graph.initializer if noise else ():
        if tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16) and tensor.dims:
            values = numpy_helper.to_array(tensor)
            changed = values * (1 + _NOISE * draw.standard_normal(values.shape, np.float32))
            tensor.CopyFrom(numpy_helper.from_array(changed.astype(values.dtype), tensor.name))
    folder.mkdir()
    save_model(model, folder)


def _request(
    model: Path,
    options: argparse.Namespace,
    shapes: Mapping[str, ShapeRange],
    *,
    refit: bool,
    tactics: Path | None = None,
) -> Any:
    version = installed_runtimes()["tensorrt"]
    weak = int(version.split(".")[0]) <= LAST_WEAK
    return request_to_json(
        BuildRequest(
            runtime="tensorrt",
            model=model / "model.onnx",
            compute_capability=installed_gpus()[0].compute_capability,
            precision=options.precision,
            profiles=(shapes,),
            optimization_level=options.level,
            typing="weak" if weak else "strong",
            tactic_sources=("edge-mask-convolutions", "jit-convolutions"),
            refit=refit,
            timing_cache=tactics,
            keep_tactics=refit,
        )
    )


def _run(task: str, folder: Path, request: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
    folder.mkdir()
    begun = time.perf_counter()
    log = folder.with_suffix(".log")
    outcome = run_task(task, request, folder, timeout_s=3600, cancel=threading.Event(), log=log)
    return outcome, time.perf_counter() - begun


def _build(
    folder: Path,
    model: Path,
    options: argparse.Namespace,
    shapes: Mapping[str, ShapeRange],
    *,
    refit: bool = False,
    tactics: Path | None = None,
) -> tuple[dict[str, Any], float]:
    return _run("build", folder, _request(model, options, shapes, refit=refit, tactics=tactics))


def _refit(
    folder: Path,
    start: Path,
    built: dict[str, Any],
    model: Path,
    asked: tuple[argparse.Namespace, Mapping[str, ShapeRange]],
) -> tuple[dict[str, Any], float]:
    request = {
        "build": _request(model, *asked, refit=True),
        "engine": str(start / built["engine"]),
        "weights": str(start / built["weights_record"]),
        "tactics": None,
        "outcome": built,
    }
    return _run("refit", folder, request)


def _print_outputs(options: argparse.Namespace, model: Path, engines: list[Path]) -> bool:
    """Cosine similarities on the same inputs, and whether the refitted engine is as good as the rebuilt one."""
    found = _self(options, model / "model.onnx", "outputs", engines)
    for name, cosines in found.items():
        told = ", ".join(f"{pair} {cosine:.6f}" for pair, cosine in cosines.items())
        print(f"output {name}, cosine: {told}", flush=True)
    return all(
        cosines["refitted to rebuilt"] >= options.cosine
        and 1 - cosines["refitted to original"] <= max(2 * (1 - cosines["rebuilt to original"]), 1 - options.cosine)
        for cosines in found.values()
    )


def _print_latency(options: argparse.Namespace, name: str, rebuilt: Path, refitted: Path) -> bool:
    blocks = []
    for side in schedule(options.rounds, seed=0):
        latencies = _self(options, options.model, "time", [rebuilt if side is Side.BASE else refitted])
        blocks.append(Block(side=side, samples=samples_from_latencies(latencies)))
    low, estimate, high = interval_from_contrasts(paired_contrasts(rounds_of(blocks)), CONFIDENCE)
    typical = [np.median([each.samples.typical_ms for each in blocks if each.side is side]) for side in Side]
    interval = f"{CONFIDENCE:.0%} interval {np.exp(low):.4f} to {np.exp(high):.4f}, {len(blocks)} processes"
    print(f"latency: {name} {typical[0]:.4f} ms, refitted {typical[1]:.4f} ms", end=", ")
    print(f"ratio {np.exp(estimate):.4f} ({interval})", flush=True)
    return bool(np.exp(high) <= 1 + LATENCY_LIMIT)


def _self(options: argparse.Namespace, model: Path, task: str, engines: list[Path]) -> Any:
    command = [sys.executable, "-m", "benchmarks.refit", str(model), "--task", task, "--seconds", str(options.seconds)]
    command += [part for text in options.input for part in ("--input", text)]
    command += [part for path in engines for part in ("--engine", str(path))]
    result = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout.splitlines()[-1])


def _inputs(model: Path, shapes: Mapping[str, ShapeRange]) -> dict[str, npt.NDArray[Any]]:
    from pipeline.bench.inputs import inputs_from_request
    from pipeline.prepare.facts import tensor_to_json
    from pipeline.prepare.onnx_model import input_facts

    facts = [tensor_to_json(tensor) for tensor in input_facts(model)]
    typical = {name: list(shape.opt) for name, shape in shapes.items()}
    return inputs_from_request({"inputs": facts, "shapes": typical, "data": None, "seed": 0})


def _outputs_of(options: argparse.Namespace, shapes: Mapping[str, ShapeRange]) -> dict[str, dict[str, float]]:
    import onnxruntime

    from pipeline.engine.runner import Engine

    inputs = _inputs(options.model, shapes)
    session = onnxruntime.InferenceSession(str(options.model), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    original = dict(zip(names, session.run(names, inputs), strict=True))
    first, rebuilt, refitted = (Engine(path).run(inputs) for path in options.engine)
    return {
        name: {
            "refitted to rebuilt": _cosine(refitted[name], rebuilt[name]),
            "refitted to original": _cosine(refitted[name], original[name]),
            "rebuilt to original": _cosine(rebuilt[name], original[name]),
            "before to rebuilt": _cosine(first[name], rebuilt[name]),
        }
        for name in names
    }


def _cosine(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    left, right = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    return float(left @ right / (np.linalg.norm(left) * np.linalg.norm(right)))


def _latencies_ms(options: argparse.Namespace, shapes: Mapping[str, ShapeRange]) -> list[float]:
    from pipeline.bench.lane import Lane
    from pipeline.bench.timing import kept_busy
    from pipeline.engine.runner import Engine

    lane = Lane(Engine(options.engine[0]), _inputs(options.model, shapes))
    launch = lane.launcher(cuda_graph=True)
    kept_busy(launch, lane.stream, options.seconds / 2)
    return list(kept_busy(launch, lane.stream, options.seconds).compute_ms)


def _shape_range(text: str) -> tuple[str, ShapeRange]:
    name, _, three = text.rpartition(":")
    low, best, high = (tuple(map(int, shape.split("x"))) for shape in three.split(","))
    return name, ShapeRange(low, best, high)


if __name__ == "__main__":
    main()
