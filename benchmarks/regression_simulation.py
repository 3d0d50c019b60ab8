"""How often the gate on latency errs, on simulated runners.

    python -m benchmarks.regression_simulation [--pairs 2000] [--seed 1]

For each noise model, simulates so many comparisons of an engine with itself, and as many with one that is 5 % slower,
at a budget of 3 %: the same schedule, looks and verdicts as a run. Prints how often the gate fired, how often the
interval held the truth, how many processes it took, and fails where a false alarm is as frequent as 1 % or a
slow-down is found in 95 % or less. `throttling` must only raise no false alarms: where half of all runs are slowed down
by a fifth, nothing can be told in the time, and saying so is right.

The figures of each model are what repeated timings of one engine on shared GPUs look like, rather worse than better:
medians of fresh processes differ by 0.4 %, single inferences by 0.4 %.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.compare.change import change_from_blocks
from pipeline.compare.samples import samples_from_latencies
from pipeline.compare.schedule import LOOKS, PROCESSES_PER_ROUND, Block, Side, schedule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.compare.change import Change

BUDGET_PERCENT = 3.0
SLOWER_PERCENT = 5.0
FALSE_ALARMS_BELOW = 0.01
FOUND_ABOVE = 0.95
INFERENCES = 200
BASE_MS = 2.0


Slowness = npt.NDArray[np.float64]
"""Natural logarithm of how much slower each inference is than without noise; processes x inferences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Shares of all comparisons, 0 to 1. ``held``: the interval held the true change."""

    false_alarms: float
    found: float
    inconclusive: float
    held: float
    processes: float


def quiet(rng: np.random.Generator, processes: int) -> Slowness:
    """Nothing but what every GPU shows."""
    noise: Slowness = rng.normal(0, 0.004, (processes, 1)) + rng.normal(0, 0.004, (processes, INFERENCES))
    return noise


def drift(rng: np.random.Generator, processes: int) -> Slowness:
    """A GPU that warms up or cools down by 4 %, and wanders."""
    ramp = (0.04 if rng.random() < 0.5 else -0.04) * (1 - np.exp(-np.arange(processes) / rng.uniform(3, 30)))
    walk = np.cumsum(rng.normal(0, 0.002, processes))
    return quiet(rng, processes) + (ramp + walk)[:, None]


def outliers(rng: np.random.Generator, processes: int) -> Slowness:
    """3 % of inferences stall, and 5 % of processes share the GPU with another one."""
    stalls = (rng.random((processes, INFERENCES)) < 0.03) * rng.exponential(0.5, (processes, INFERENCES))
    shared = (rng.random(processes) < 0.05) * rng.uniform(0.03, 0.4, processes)
    return quiet(rng, processes) + stalls + shared[:, None]


def two_modes(rng: np.random.Generator, processes: int) -> Slowness:
    """A fifth of all processes runs 5 % slower from its start to its end."""
    return quiet(rng, processes) + ((rng.random(processes) < 0.2) * 0.05)[:, None]


def two_clocks(rng: np.random.Generator, processes: int) -> Slowness:
    """Within each process the clock falls back by 5 % for a part of the time that differs from process to process."""
    shares = rng.beta(2, 2, processes)
    return quiet(rng, processes) + (np.arange(INFERENCES) < shares[:, None] * INFERENCES).astype(float) * 0.05


def slow_spell(rng: np.random.Generator, processes: int) -> Slowness:
    """For up to a third of the time everything is 15 % slower: heat, or a neighbour that comes and goes."""
    begin, length = int(rng.integers(0, processes)), int(rng.integers(1, max(2, processes // 3)))
    index = np.arange(processes)
    return quiet(rng, processes) + (((index >= begin) & (index < begin + length)) * 0.15)[:, None]


def everything(rng: np.random.Generator, processes: int) -> Slowness:
    """Drift, outliers, a slow spell, and a tenth of all processes 5 % slower."""
    noise = drift(rng, processes) + outliers(rng, processes) + slow_spell(rng, processes) - 2 * quiet(rng, processes)
    slow: Slowness = noise + ((rng.random(processes) < 0.1) * 0.05)[:, None]
    return slow


def throttling(rng: np.random.Generator, processes: int) -> Slowness:
    """Half of all processes, at random, are slowed down by a fifth, and nothing says so."""
    return quiet(rng, processes) + ((rng.random(processes) < 0.5) * 0.2)[:, None]


MODELS: Mapping[str, Callable[[np.random.Generator, int], Slowness]] = {
    model.__name__: model
    for model in (quiet, drift, outliers, two_modes, two_clocks, slow_spell, everything, throttling)
}
NOTHING_TO_FIND = {"throttling"}


def main() -> None:
    """Simulate, print, and leave with 1 where a rate is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.perf_counter()
    print(f"{options.pairs} comparisons per cell, budget {BUDGET_PERCENT:g} %, true slow-down {SLOWER_PERCENT:g} %")
    print(f"{'noise':12} {'false alarms':>12} {'found':>7} {'inconclusive':>12} {'truth held':>10} {'processes':>9}")
    missed = []
    for name in MODELS:
        rates = rates_of(name, options.pairs, options.seed)
        print(
            f"{name:12} {rates.false_alarms:12.2%} {rates.found:7.2%} {rates.inconclusive:12.2%} {rates.held:10.2%} "
            f"{rates.processes:9.1f}",
            flush=True,
        )
        if misses(name, rates):
            missed.append(name)
    print(f"missed: {', '.join(missed) or 'none'}; took {time.perf_counter() - began:.0f} s")
    sys.exit(bool(missed))


def misses(name: str, rates: Rates) -> bool:
    """Whether the rates are not what is asked for under this model."""
    return rates.false_alarms >= FALSE_ALARMS_BELOW or (name not in NOTHING_TO_FIND and rates.found <= FOUND_ABOVE)


def rates_of(name: str, pairs: int, seed: int) -> Rates:
    """Simulate ``pairs`` comparisons without a change and as many with one."""
    rng = np.random.default_rng([seed, *name.encode()])
    same = [simulated_change(name, 0.0, rng) for _ in range(pairs)]
    slower = [simulated_change(name, SLOWER_PERCENT, rng) for _ in range(pairs)]
    held = [_holds(change, 0.0) for change in same] + [_holds(change, SLOWER_PERCENT) for change in slower]
    return Rates(
        false_alarms=sum(change.regressed for change in same) / pairs,
        found=sum(change.regressed for change in slower) / pairs,
        inconclusive=sum(change.verdict == "inconclusive" for change in same) / pairs,
        held=sum(held) / len(held),
        processes=sum(change.processes for change in (*same, *slower)) / (2 * pairs),
    )


def simulated_change(name: str, slower_percent: float, rng: np.random.Generator) -> Change:
    """One comparison from its first look to the one that was enough."""
    rounds = max(LOOKS)
    sides = schedule(rounds, int(rng.integers(1 << 32)))
    latencies_ms = BASE_MS * np.exp(MODELS[name](rng, rounds * PROCESSES_PER_ROUND))
    heads = np.array([side is Side.HEAD for side in sides])
    latencies_ms[heads] *= 1 + slower_percent / 100
    blocks: list[Block] = []
    for look in LOOKS:
        while len(blocks) < look * PROCESSES_PER_ROUND:
            place = len(blocks)
            blocks.append(Block(side=sides[place], samples=samples_from_latencies(latencies_ms[place].tolist())))
        change = change_from_blocks(blocks, BUDGET_PERCENT)
        if change.enough:
            break
    return change


def _holds(change: Change, true_percent: float) -> bool:
    interval = change.latency
    if interval is None or interval.low_percent is None or interval.high_percent is None:
        return True
    return interval.low_percent <= true_percent <= interval.high_percent


if __name__ == "__main__":
    main()
