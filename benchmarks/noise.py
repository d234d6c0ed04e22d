"""What a value of noise costs, beside NumPy's generators, which are neither exact nor secret.

    python benchmarks/noise.py             # half a minute
    python benchmarks/noise.py --save

Processor seconds of one thread for 10^6 values, the least of several rounds in which all take turns, over
the number of values: random bytes, drawing and rounding. `first_ms` is what a new parameter's table takes.

NumPy: `standard_normal` times sigma, rounded to `int64`; the difference of two `poisson`, of two `geometric`.
They draw floats of 53 bits from a generator that is not made for secrets. The last line printed is one JSON
object.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from results import report

from hansa.privacy.noise import (
    discrete_laplace,
    randomised_response,
    rounded_gaussian,
    skellam,
    system_source,
)
from hansa.privacy.noise.strips import strips

SIZE = 10**6
ROUNDS = 7
SIGMAS = {"1": 1.0, "1000": 1000.0, "2^40": 2.0**40}
SCALES = {"3": 3.0, "1000": 1000.0}


def samplers() -> dict[str, Callable[[], Any]]:
    """Return what is measured, by name: ours and, behind ``numpy``, theirs."""
    source, generator = system_source(), np.random.default_rng()
    labels = np.zeros(SIZE, np.int64)
    out: dict[str, Callable[[], Any]] = {}
    for name, sigma in SIGMAS.items():
        half, variance = sigma**2 / 2, sigma**2
        out[f"gaussian {name}"] = lambda s=sigma: rounded_gaussian(s, SIZE, source)
        out[f"gaussian {name} numpy"] = lambda s=sigma: np.rint(generator.standard_normal(SIZE) * s).astype(
            np.int64
        )
        out[f"skellam {name}"] = lambda v=variance: skellam(v, SIZE, source)
        if sigma < 2**30:  # NumPy's Poisson variables must fit 63 bits
            out[f"skellam {name} numpy"] = lambda m=half: (
                generator.poisson(m, SIZE) - generator.poisson(m, SIZE)
            )
    for name, scale in SCALES.items():
        chance = -np.expm1(-1 / scale)
        out[f"laplace {name}"] = lambda s=scale: discrete_laplace(s, SIZE, source)
        out[f"laplace {name} numpy"] = lambda p=chance: (
            generator.geometric(p, SIZE) - generator.geometric(p, SIZE)
        )
    out["response 10"] = lambda: randomised_response(labels, 10, 1.0, source)
    return out


def first_ms() -> dict[str, float]:
    """Return what the first value of a parameter costs: its table."""
    out = {}
    for name, sigma in SIGMAS.items():
        for law, work in (
            ("gaussian", lambda s: rounded_gaussian(s, 1, system_source())),
            ("skellam", lambda s: skellam(s**2, 1, system_source())),
        ):
            strips.cache_clear()
            begun = time.process_time()
            work(sigma * 1.01)
            out[f"{law} {name}"] = round((time.process_time() - begun) * 1e3, 2)
    return out


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--save", action="store_true", help="keep the figures in benchmarks/results")
    save = parser.parse_args().save
    first, work, least = first_ms(), samplers(), {}
    for _ in range(ROUNDS):
        for name, draw in work.items():
            begun = time.process_time()
            draw()
            least[name] = min(least.get(name, np.inf), time.process_time() - begun)
    figures = {name: round(seconds / SIZE * 1e6, 4) for name, seconds in least.items()}
    for name, cost in figures.items():
        print(f"{name:24} {cost:8.4f} us a value")
    report("noise", {"values": SIZE, "us": figures, "first_ms": first}, save=save)


if __name__ == "__main__":
    main()
