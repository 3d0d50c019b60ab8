"""Times launches on the GPU by CUDA events and by the host's clock. Runs in a child process, on device 0.

Events on the stream measure what the GPU does between them, whatever the host does meanwhile, as long as the host is
ahead: so several launches are kept in flight, as trtexec does (TensorRT samples, ``sampleInference.cpp``).
"""

from __future__ import annotations

import contextlib
import gc
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.machine.cuda import call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.bench.lane import Lane

_IN_FLIGHT = 4
_LEAST = 20
"""Inferences that are timed however long each takes."""
_MOST = 200_000
_MS_PER_S = 1e3


@dataclass(frozen=True, slots=True)
class Series:
    """What each inference took on the GPU, in ms and in order, and what all of them took by the host's clock."""

    compute_ms: tuple[float, ...]
    wall_s: float

    @property
    def per_s(self) -> float:
        """Inferences per second."""
        return len(self.compute_ms) / self.wall_s


@dataclass(frozen=True, slots=True)
class Apart:
    """Inferences one by one, the GPU idle before each: durations in ms, in order."""

    latency_ms: tuple[float, ...]
    copy_in_ms: tuple[float, ...]
    copy_out_ms: tuple[float, ...]
    enqueue_ms: tuple[float, ...]


def kept_busy(launch: Callable[[], None], stream: Any, seconds: float, *, least: int = _LEAST) -> Series:
    """Launch again and again for ``seconds``, with an event before and after each."""
    from cuda.bindings import runtime as cudart

    record, pairs = (
        cudart.cudaEventRecord,
        [(call("cudaEventCreate"), call("cudaEventCreate")) for _ in range(_IN_FLIGHT)],
    )
    samples: list[float] = []
    waiting: deque[tuple[Any, Any]] = deque()
    with _quiet_host():
        started = time.perf_counter()
        for number in range(_MOST):
            if number >= least and time.perf_counter() - started >= seconds:
                break
            if len(waiting) == _IN_FLIGHT:
                samples.append(_elapsed_ms(waiting.popleft()))
            pair = pairs[number % _IN_FLIGHT]
            record(pair[0], stream)
            launch()
            record(pair[1], stream)
            waiting.append(pair)
        samples.extend(_elapsed_ms(pair) for pair in waiting)
        wall_s = time.perf_counter() - started
    for event in (event for pair in pairs for event in pair):
        call("cudaEventDestroy", event)
    return Series(tuple(samples), wall_s)


def one_by_one(lane: Lane, launch: Callable[[], None], seconds: float) -> Apart:
    """Copy in, launch, copy out, wait; again and again for ``seconds``."""
    events = [call("cudaEventCreate") for _ in range(4)]
    latency: list[float] = []
    copy_in: list[float] = []
    copy_out: list[float] = []
    enqueue: list[float] = []
    with _quiet_host():
        started = time.perf_counter()
        for number in range(_MOST):
            begun = time.perf_counter()
            if number >= _LEAST and begun - started >= seconds:
                break
            call("cudaEventRecord", events[0], lane.stream)
            lane.copy_in()
            call("cudaEventRecord", events[1], lane.stream)
            before = time.perf_counter()
            launch()
            after = time.perf_counter()
            call("cudaEventRecord", events[2], lane.stream)
            lane.copy_out()
            call("cudaEventRecord", events[3], lane.stream)
            call("cudaStreamSynchronize", lane.stream)
            latency.append((time.perf_counter() - begun) * _MS_PER_S)
            enqueue.append((after - before) * _MS_PER_S)
            copy_in.append(_elapsed_ms((events[0], events[1])))
            copy_out.append(_elapsed_ms((events[2], events[3])))
    return Apart(tuple(latency), tuple(copy_in), tuple(copy_out), tuple(enqueue))


def side_by_side(lanes: Sequence[tuple[Lane, Callable[[], None]]], seconds: float) -> float:
    """Inferences per second of all lanes together, each kept ``_IN_FLIGHT`` ahead."""
    waiting: list[deque[Any]] = [deque() for _ in lanes]
    done = 0
    with _quiet_host():
        started = time.perf_counter()
        while time.perf_counter() - started < seconds or done < _LEAST:
            for (lane, launch), events in zip(lanes, waiting, strict=True):
                event = events.popleft() if len(events) == _IN_FLIGHT else None
                if event is None:
                    event = call("cudaEventCreate")
                else:
                    call("cudaEventSynchronize", event)
                    done += 1
                launch()
                call("cudaEventRecord", event, lane.stream)
                events.append(event)
        for event in (event for events in waiting for event in events):
            call("cudaEventSynchronize", event)
            done += 1
        return done / (time.perf_counter() - started)


def _elapsed_ms(pair: tuple[Any, Any]) -> float:
    call("cudaEventSynchronize", pair[1])
    return float(call("cudaEventElapsedTime", *pair))


@contextlib.contextmanager
def _quiet_host() -> Iterator[None]:
    """Without Python's garbage collector, which stops launches for milliseconds."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
