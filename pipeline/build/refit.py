"""Gives an engine that was built refittable the weights of a retrained model. Runs in a child process, on device 0.

TensorRT 8.6 takes weights by name; from 10.0 on its ONNX parser's refitter reads them from the model and works out
those that the parser had worked out. Either way the engine is used only where every weight that changed reached it:
TensorRT folds some weights into others, or into the choice of a kernel, and such an engine would keep the old ones.
"""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.build.builder_log import BuilderLog
from pipeline.build.native import new_logger
from pipeline.build.network import ENGINE_FILE, checked_header
from pipeline.build.plugins import load_plugins
from pipeline.build.request import request_from_json
from pipeline.build.timing_cache import TACTICS_FILE
from pipeline.errors import BuildError
from pipeline.machine.cuda import start_gpu
from pipeline.record import json_from_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.build.refit_weights import RefitWeights
    from pipeline.build.request import BuildRequest

_PRODUCT = "TensorRT"
_PARSER_REFITTER_SINCE = 10
_SHOWN = 3
_THREADS = min(8, len(os.sched_getaffinity(0)))
"""Of loading and refitting. More cores find no more to do, and other children want some too."""


class RefitRefused(BuildError):  # noqa: N818 - named after the finding
    """The engine cannot be given these weights; it has to be built."""


def refit_engine(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Task ``refit``: the engine ``request["engine"]`` with the weights of the prepared model of ``request["build"]``.

    Request: ``build`` (a ``BuildRequest`` as JSON), ``engine`` and ``weights`` (files of the engine to start from; no
    ``weights`` for an engine of this very model, which was stripped of them), ``tactics`` (the file that was kept with
    it, or null), ``outcome`` (what its build answered). Returns that outcome with what the refit changed of it, and
    ``refit``: ``seconds`` by step, of which ``model`` passes beside ``start`` (CUDA, TensorRT, the engine's file) and
    ``load``, and ``weights``, how many were given.

    Raises ``RefitRefused`` with the reason where the engine has to be built, ``DeviceError`` without a GPU.
    """
    asked = request_from_json(request["build"])
    log = BuilderLog()
    # Each takes its time: the weights in hashing, the engine's file in copying, the start and the engine in CUDA.
    with ThreadPoolExecutor(3) as pool:
        starting = pool.submit(start_gpu)
        fetching = pool.submit(Path(request["engine"]).read_bytes)
        reading = pool.submit(_read_weights, request, log)
        import tensorrt as trt

        # Before anything is made of it: without a GPU, TensorRT 8.6 dies of a signal.
        starting.result()
        logger = new_logger(trt, log)
        trt.init_libnvinfer_plugins(logger, "")
        load_plugins(trt, asked.plugins, lambda: log.diagnosis().why)
        runtime = trt.Runtime(logger)
        runtime.max_threads = _THREADS
        plan_before = fetching.result()
        started_s = log.elapsed_s
        engine = runtime.deserialize_cuda_engine(plan_before)
        loaded_s = log.elapsed_s
        del fetching, plan_before
        if engine is None or not engine.refittable:
            raise RefitRefused("the engine to start from cannot be refitted", why=log.diagnosis().why)
        changed, weights, read_s = reading.result()
    both_s = log.elapsed_s
    refitter = trt.Refitter(engine, logger)
    # One by default; more lets it turn several weights into the engine's types and layouts at once.
    refitter.max_threads = _THREADS
    names = _refittable_names(trt, refitter, weights, changed)
    given = names if _reads_models(trt.__version__) else tuple(name for name in names if name in weights.values)
    arrays = _give_weights(trt, refitter, logger, asked, (given, weights))
    if not refitter.refit_cuda_engine():
        raise RefitRefused("TensorRT did not take the weights", why=log.diagnosis().why)
    del arrays
    refitted_s = log.elapsed_s
    plan = _serialized(trt, engine, stripped=asked.strip_weights)
    if plan is None or plan.nbytes == 0:
        raise RefitRefused("TensorRT could not write the refitted engine", why=log.diagnosis().why)
    header = checked_header(_PRODUCT, memoryview(plan), asked, trt.__version__)
    (folder / ENGINE_FILE).write_bytes(memoryview(plan))
    seconds = {
        "model": read_s,
        "start": started_s,
        "load": loaded_s - started_s,
        "refit": refitted_s - both_s,
        "write": log.elapsed_s - refitted_s,
    }
    return {
        **request["outcome"],
        "engine": ENGINE_FILE,
        "size_bytes": plan.nbytes,
        "build_s": round(log.elapsed_s, 3),
        "header": json_from_record(header),
        "warnings": list(log.warnings),
        "tactics": _kept(request["tactics"], folder),
        "weights_record": None,
        "refit": {
            "seconds": {step: round(took, 3) for step, took in seconds.items()},
            "weights": len(given),
            "changed": len(changed),
        },
    }


def _read_weights(request: Mapping[str, Any], log: BuilderLog) -> tuple[tuple[str, ...], RefitWeights, float]:
    """Which weights changed, all of them, and how long that took in seconds. Raises ``RefitRefused``, ``ModelError``.

    They are in memory afterwards where they are given one by one, so that no refit waits for them.
    """
    # Both bring numpy along, which nothing needs before the GPU starts.
    from pipeline.build.refit_weights import weights_from_model, weights_record
    from pipeline.prepare.onnx_model import load_model

    model = load_model(Path(request["build"]["model"]))
    record = request["weights"]
    by_parser = _reads_models(request["outcome"]["runtime_version"])
    changed = () if record is None else _changed_weights(weights_record(model), Path(record), by_parser=by_parser)
    weights = weights_from_model(model)
    if not by_parser:
        weights = weights.in_memory()
    return changed, weights, log.elapsed_s


def _changed_weights(now: Mapping[str, Any], before: Path, *, by_parser: bool) -> tuple[str, ...]:
    """The stored tensors with other values than the engine was built with. Raises ``RefitRefused``.

    ``by_parser`` says whether TensorRT's parser will give the weights, some of them by numbers of its own.
    """
    known = json.loads(before.read_text(encoding="utf-8"))
    if now["structure"] != known["structure"]:
        raise RefitRefused(
            "the prepared model has another structure", why="its weights lead to other casts, scales or layers"
        )
    if by_parser and now["numbered"] != known["numbered"]:
        raise RefitRefused(
            "the prepared model has its batch normalizations in another order",
            why="TensorRT's parser numbers the weights that it makes of them, so they would get those of each other",
        )
    return tuple(name for name, digest in now["tensors"].items() if known["tensors"].get(name) != digest)


def _refittable_names(trt: Any, refitter: Any, weights: RefitWeights, changed: Iterable[str]) -> tuple[str, ...]:
    """The engine's weights by name. Raises ``RefitRefused`` where one that ``changed`` would stay old somewhere."""
    names = tuple(refitter.get_all_weights())
    ambiguous = weights.ambiguous.intersection(names)
    if ambiguous:
        raise RefitRefused(
            f"the model has several tensors named {_listed(sorted(ambiguous))}",
            why="TensorRT knows weights by their names, and these have other values",
        )
    # The parser's refitter works out again what the parser combined of batch normalizations, and nothing else.
    by_parser = _reads_models(trt.__version__)
    worked_out, combined = (weights.folded, {"BatchNormalization"}) if by_parser else (frozenset(), set())
    stuck = [
        name
        for name in changed
        if weights.shared.get(name, frozenset()) - combined
        or (name not in worked_out and weights.carriers.get(name, frozenset()).isdisjoint(names))
    ]
    if stuck:
        raise RefitRefused(
            "TensorRT cannot replace every weight that changed",
            why=f"it folded {_listed(stuck)} into other weights, or fixed it in the engine",
        )
    return names


def _give_weights(
    trt: Any, refitter: Any, logger: Any, asked: BuildRequest, wanted: tuple[tuple[str, ...], RefitWeights]
) -> list[Any]:
    """Hand every weight over; what is returned must live until the refit. Raises ``RefitRefused``."""
    kept_alive: list[Any] = []
    if _reads_models(trt.__version__):
        parser = trt.OnnxParserRefitter(refitter, logger)
        kept_alive.append(parser)
        if not parser.refit_from_file(str(asked.model.absolute())):
            told = [parser.get_error(index).desc() for index in range(parser.num_errors)]
            raise RefitRefused("the ONNX parser's refitter refuses the model", why="; ".join(told))
    else:
        kept_alive += _named_weights_given(trt, refitter, *wanted)
    missing = tuple(refitter.get_missing_weights())
    if missing:
        raise RefitRefused("TensorRT asks for weights that the model does not hold", why=_listed(missing))
    return kept_alive


def _named_weights_given(trt: Any, refitter: Any, names: tuple[str, ...], weights: RefitWeights) -> list[Any]:
    """Give the weights that the model holds.

    Others are constants that the parser made of shapes and attributes, which are the structure's, so they stay. Where
    one of them is bound to a weight that changed, TensorRT reports it as missing.
    """
    from pipeline.build.refit_weights import weight_in_type

    kept_alive: list[Any] = []
    for name in names:
        try:
            values = weight_in_type(weights.values[name]())
        except ValueError as error:
            raise RefitRefused(f"the weight {name!r} cannot be given to TensorRT", why=str(error)) from error
        if not refitter.set_named_weights(name, trt.Weights(values)):
            raise RefitRefused(f"TensorRT does not take the weight {name!r}", why=f"{values.dtype} {values.shape}")
        kept_alive.append(values)
    return kept_alive


def _reads_models(version: str) -> bool:
    return int(version.split(".", maxsplit=1)[0]) >= _PARSER_REFITTER_SINCE


def _serialized(trt: Any, engine: Any, *, stripped: bool) -> Any:
    """The engine, refittable again, with its weights unless it is to be ``stripped`` of them."""
    flags = getattr(trt, "SerializationFlag", None)
    if flags is None:
        return engine.serialize()
    config = engine.create_serialization_config()
    (config.set_flag if stripped else config.clear_flag)(flags.EXCLUDE_WEIGHTS)
    if hasattr(flags, "INCLUDE_REFIT"):
        config.set_flag(flags.INCLUDE_REFIT)
    return engine.serialize_with_config(config)


def _kept(tactics: str | None, folder: Path) -> str | None:
    if tactics is None:
        return None
    shutil.copyfile(tactics, folder / TACTICS_FILE)
    return TACTICS_FILE


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(map(repr, every[:_SHOWN])) + more
