"""How fast and in how much memory the server adds up the updates of a round.

    python benchmarks/aggregate.py                # 50 updates of 10 million weights: 2 GB, about two minutes
    python benchmarks/aggregate.py --quick        # 20 updates of 1 million weights: seconds

In turn, repeated:

- floor: a blocked weighted sum in float64 on one thread, written by hand below; no checks
- at_hand: `hansa.secure_sum.tree.weighted_sum`, all cores
- streaming: `TreeSum.add`, update by update, which adds a few at a time and leaves out those with NaN
- stacked: the usual way, ``weights @ numpy.stack(updates)``, in float32; a second copy of every update

Ratios are medians of the ratios to the floor within one repetition; ``cpu`` ratios are of processor time
over all threads, which other load on the machine disturbs less. Peaks are what a child process needed above
the updates, for the benchmark's number of clients and for 200 (which share few arrays).
The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from results import report

from hansa.secure_sum.blocks import cores
from hansa.secure_sum.tree import TreeSum, weighted_sum
from hansa.types import Delta

FLOOR_BLOCK = 65_536  # the fastest of 4,096 to 65,536 here
MANY = 200
SMALL = 51_000


def updates(count: int, size: int) -> list[Delta]:
    """Return updates with values around zero and weights such as numbers of examples."""
    stream = np.random.default_rng(0)
    values = (stream.random(size, dtype=np.float32) - np.float32(0.5) for _ in range(count))
    return [Delta(vector=v, weight=float(stream.integers(50, 500))) for v in values]


def floor(deltas: Sequence[Delta], size: int) -> Any:
    """Block by block: acc = Σ w_i · u_i[block] in float64."""
    out, product = np.empty(size), np.empty(FLOOR_BLOCK)
    for start in range(0, size, FLOOR_BLOCK):
        acc = out[start : start + FLOOR_BLOCK]
        term = product[: acc.size]
        acc[:] = 0
        for delta in deltas:
            part = delta.vector[start : start + FLOOR_BLOCK]
            np.multiply(part, delta.weight, out=term, dtype=np.float64)
            acc += term
    return out


def at_hand(deltas: Sequence[Delta], size: int) -> Any:
    """Sum with `weighted_sum`."""
    return weighted_sum(deltas, size).vector


def streaming(deltas: Sequence[Delta], size: int) -> Any:
    """Sum update by update."""
    total = TreeSum(size, len(deltas))
    for position, delta in enumerate(deltas):
        total.add(position, delta)
    return total.result().vector


def stacked(deltas: Sequence[Delta], size: int) -> Any:
    """Sum as one product of a vector and a matrix, in float32."""
    weights = np.array([delta.weight for delta in deltas], np.float32)
    assert size == deltas[0].vector.size  # noqa: S101
    return weights @ np.stack([delta.vector for delta in deltas])


WAYS: dict[str, Callable[[Sequence[Delta], int], Any]] = {
    "floor": floor,
    "at_hand": at_hand,
    "streaming": streaming,
    "stacked": stacked,
}


def compare(deltas: Sequence[Delta], size: int, repeats: int) -> dict[str, Any]:
    """Return medians and ratios to the floor over repetitions in which every way has its turn."""
    expected = floor(deltas, size)
    wall: dict[str, list[float]] = {name: [] for name in WAYS}
    cpu: dict[str, list[float]] = {name: [] for name in WAYS}
    for repeat in range(repeats):
        for name, way in WAYS.items():
            began, used = time.perf_counter(), time.process_time()
            found = way(deltas, size)
            wall[name].append(time.perf_counter() - began)
            cpu[name].append(time.process_time() - used)
            if name == "stacked":
                assert np.allclose(found, expected, rtol=1e-3, atol=1e-1)  # noqa: S101
            else:
                assert np.array_equal(found, expected), f"{name} gives other bits"  # noqa: S101
            del found
        print(f"{repeat + 1}/{repeats}", *(f"{n} {wall[n][-1]:.2f} s" for n in WAYS), flush=True)
    figures: dict[str, Any] = {f"{name}_s": round(statistics.median(wall[name]), 4) for name in WAYS}
    for name in list(WAYS)[1:]:
        for kind, times in (("ratio", wall), ("cpu_ratio", cpu)):
            ratios = [a / b for a, b in zip(times[name], times["floor"], strict=True)]
            figures[f"{name}_{kind}"] = round(statistics.median(ratios), 3)
    return figures


def small_adds() -> dict[str, float]:
    """Return the time of an add of a small model's update: median and quickest tenth of leaves, in µs."""
    (delta,), total, times = updates(1, SMALL), TreeSum(SMALL, 2000), []
    for leaf in range(0, total.cohort, total.leaf):
        began = time.perf_counter()
        for position in range(leaf, leaf + total.leaf):
            total.add(position, delta)
        times.append((time.perf_counter() - began) / total.leaf)
    quick = statistics.quantiles(times, n=10)[0]
    return {"median": round(1e6 * statistics.median(times), 1), "quickest_tenth": round(1e6 * quick, 1)}


def peak_mb(name: str, clients: int, size: int) -> float:
    """Return what a child process needs for one sum above the updates, at its peak, in 1e6 bytes."""
    command = [sys.executable, __file__, "--peak", name, "--clients", str(clients), "--size", str(size)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def measure_peak(name: str, clients: int, size: int) -> float:
    """Measure in this process. Linux tells the peak since a moment (proc(5): clear_refs, VmHWM)."""
    few = updates(min(5, clients), size)
    deltas = [few[k % len(few)] for k in range(clients)]
    WAYS[name](updates(2, 100), 100)

    def status(key: str) -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(key + ":"))

    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    result = WAYS[name](deltas, size)
    del result
    return round((status("VmHWM") - before) / 1e6, 1)


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="20 updates of 1 million weights")
    parser.add_argument("--clients", type=int, help="number of updates (50)")
    parser.add_argument("--size", type=int, help="number of weights (10 million)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--save", action="store_true", help="keep the figures in benchmarks/results/")
    parser.add_argument("--peak", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    clients = options.clients or (20 if options.quick else 50)
    size = options.size or (1_000_000 if options.quick else 10_000_000)
    if options.peak:
        print(measure_peak(options.peak, clients, size))
        return
    figures: dict[str, Any] = {"clients": clients, "size": size, "repeats": options.repeats, "cores": cores()}
    figures["load_before"] = round(os.getloadavg()[0], 1)
    figures["model_mb"] = 4 * size / 1e6
    if Path("/proc/self/clear_refs").exists():
        for name in ("at_hand", "streaming"):
            for count in (clients, MANY):
                figures[f"{name}_peak_mb_{count}_clients"] = peak_mb(name, count, size)
                print(
                    f"{name}: {figures[f'{name}_peak_mb_{count}_clients']} MB for {count} clients", flush=True
                )
    figures[f"add_{SMALL}_us"] = small_adds()
    figures |= compare(updates(clients, size), size, options.repeats)
    report("aggregate", figures, save=options.save)


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
