"""How fast rounds are simulated: Hansa's engines beside bare loops of the same minibatches, in alternation.

    python benchmarks/engine.py              # all of it, about half an hour on two cores
    python benchmarks/engine.py --quick      # the main figures, within two minutes
    python benchmarks/engine.py --save       # keep the figures in benchmarks/results/

Every contestant is a process of its own (`engine_work.py`, which says what works A, B, C and the floors are).
They do their rounds in turn, so that a slow minute of the machine is a slow minute for all; what is reported
are medians and ratios. The last line printed is one JSON object: ratios by backend (JAX: A and B over
the loop on both cores, C over one compiled step a call; TensorFlow: over Hansa on JAX; PyTorch: over a bare
PyTorch loop), median seconds a round, floors, and peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from results import report

SCRIPT = Path(__file__).with_name("engine_work.py")
WARM = 2  # rounds that do not count: compiling, and the first of everything


class Contestant:
    """A process that does a round when it is told to."""

    def __init__(
        self, name: str, work: str, *, backend: str = "jax", engine: str = "vector", cache: str | None = None
    ) -> None:
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if cache is not None:
            environment["HANSA_CACHE"] = cache
        command = [sys.executable, str(SCRIPT), name, work, "--engine", engine]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.seconds: list[float] = []
        self.facts = self._told()

    def round(self) -> float:
        """Let it do a round and return the seconds that it took."""
        stdin = self._process.stdin
        if stdin is None:
            raise RuntimeError("the process has no input")
        stdin.write("\n")
        stdin.flush()
        self.facts = self._told()
        self.seconds.append(self.facts["s"])
        return self.facts["s"]

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=60)

    @property
    def median(self) -> float:
        """Median seconds of a round that counts."""
        return statistics.median(self.seconds[WARM:] or self.seconds)

    def _told(self) -> dict[str, Any]:
        stdout = self._process.stdout
        for line in stdout if stdout is not None else ():
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"a contestant ended: {self._process.args}")


def compete(contestants: Mapping[str, Contestant], rounds: int) -> dict[str, float]:
    """Let all do rounds in turn; return each one's median seconds."""
    for _ in range(WARM + rounds):
        for contestant in contestants.values():
            contestant.round()
    return {name: contestant.median for name, contestant in contestants.items()}


def ratio(one: Contestant, other: Contestant) -> float:
    """Return the median over rounds of one's seconds over the other's in the same turn."""
    pairs = zip(one.seconds[WARM:], other.seconds[WARM:], strict=True)
    return round(statistics.median(a / b for a, b in pairs), 3)


def works(names: Sequence[str], rounds: int, backends: Sequence[str]) -> dict[str, Any]:
    """Measure the works on the backends, beside their floors."""
    found: dict[str, Any] = {part: {} for part in ("jax", "tensorflow", "torch", "seconds", "floors")}
    found |= {"memory_mib": {}, "first_round_s": {}, "strategies": {}}
    for work in names:
        floor = "floor_step" if work == "C" else "floor"
        entered = {floor: Contestant(floor, work), "jax": Contestant("hansa", work)}
        if work != "C":
            entered["floor_one"] = Contestant("floor_one", work)
        if "tensorflow" in backends:
            entered["tensorflow"] = Contestant("hansa", work, backend="tensorflow")
        if "torch" in backends:
            entered["torch_loop"] = Contestant("torch_loop", work, backend="torch")
            entered["torch"] = Contestant("hansa", work, backend="torch")
        medians = compete(entered, max(4, rounds // 3) if work == "C" else rounds)
        peers = {"jax": floor, "tensorflow": "jax", "torch": "torch_loop"}
        for backend, peer in peers.items():
            if backend in entered:
                found[backend][work] = ratio(entered[backend], entered[peer])
        for name, contestant in entered.items():
            part = "seconds" if name in peers else "floors"
            found[part][f"{name} {work}"] = round(medians[name], 4)
            found["memory_mib"][f"{name} {work}"] = round(contestant.facts["peak_mib"])
            if name in peers:
                found["first_round_s"][f"{name} {work}"] = round(contestant.seconds[0], 2)
                found["strategies"][f"{name} {work}"] = contestant.facts.get("strategy")
            contestant.close()
        told = ", ".join(f"{name} {seconds * 1e3:.1f} ms" for name, seconds in medians.items())
        print(f"{work}: {told}", flush=True)
        print(f"   ratios: { {b: found[b][work] for b in peers if work in found[b]} }", flush=True)
        if "timings_s" in entered["jax"].facts:
            spent = entered["jax"].facts["timings_s"].items()
            print("   JAX by phase: " + ", ".join(f"{k} {v * 1e3:.1f} ms" for k, v in spent), flush=True)
    return found


def compiling() -> dict[str, Any]:
    """Measure first rounds with nothing cached, and again with the programs of the first run on the disk."""
    found = {}
    for work in ("A", "B"):
        with tempfile.TemporaryDirectory() as cache:
            for name in ("first", "again"):
                contestant = Contestant("hansa", work, cache=cache)
                begun = time.perf_counter()
                contestant.round()
                found[f"{work} {name}_s"] = round(
                    time.perf_counter() - begun + contestant.facts["engine_s"], 2
                )
                contestant.close()
    print(f"first round with compiling: {found}", flush=True)
    return found


def scaling(rounds: int) -> dict[str, Any]:
    """Measure cost by cohort, by population, and the memory of many clients and of large models."""
    found: dict[str, Any] = {}
    cohorts = {name: Contestant("hansa", name) for name in ("B10", "B", "B1000")}
    medians = compete(cohorts, rounds)
    each = {name: medians[name] / size for name, size in (("B10", 10), ("B", 100), ("B1000", 1000))}
    found["per_client_ms"] = {name: round(seconds * 1e3, 4) for name, seconds in each.items()}
    found["cohort_10_to_100"] = round(each["B"] / each["B10"], 3)
    found["cohort_100_to_1000"] = round(each["B1000"] / each["B"], 3)
    for contestant in cohorts.values():
        contestant.close()
    people = {name: Contestant("hansa", name) for name in ("tenth", "scale")}
    medians = compete(people, rounds)
    facts = people["scale"].facts
    found["population_10000_to_100000"] = round(medians["scale"] / medians["tenth"], 3)
    found["clients_100000"] = {
        "start_s": round(facts["start_s"], 2),
        "round_s": round(medians["scale"], 4),
        "data_mib": round(facts["data_mib"]),
        "above_idle_mib": round(facts["peak_mib"] - facts["idle_mib"]),
    }
    for contestant in people.values():
        contestant.close()
    large = Contestant("hansa", "large")
    large.round()
    large.round()
    above = large.facts["peak_mib"] - large.facts["idle_mib"] - large.facts["data_mib"]
    found["model_10m_cohort_50"] = {
        "round_s": round(large.seconds[-1], 2),
        "models_above_idle": round(above / large.facts["model_mib"], 1),
    }
    large.close()
    print(f"scaling: {json.dumps(found)}", flush=True)
    return found


def ray_beside_vector(rounds: int) -> dict[str, Any]:
    """Measure rounds of A on Ray with two workers beside the vector engine on the same cores."""
    entered = {"vector": Contestant("hansa", "A"), "ray": Contestant("hansa", "A", engine="ray")}
    medians = compete(entered, rounds)
    throughput = round(1 / ratio(entered["ray"], entered["vector"]), 3)
    for contestant in entered.values():
        contestant.close()
    found = {"throughput_of_vector": throughput, "seconds": {k: round(v, 4) for k, v in medians.items()}}
    print(f"ray: {found}", flush=True)
    return found


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="works A and B on JAX and TensorFlow only")
    parser.add_argument("--rounds", type=int, default=21, help="rounds of each contestant that count")
    parser.add_argument("--save", action="store_true", help="keep the figures in benchmarks/results/")
    options = parser.parse_args()
    begun = time.perf_counter()
    if options.quick:
        figures = works(("A", "B"), 9, ("tensorflow", "torch"))
    else:
        figures = works(("A", "B", "C"), options.rounds, ("tensorflow", "torch"))
        figures["compiling"] = compiling()
        figures["scaling"] = scaling(max(5, options.rounds // 3))
        figures["ray"] = ray_beside_vector(max(5, options.rounds // 2))
    figures["load_average"] = [round(x, 2) for x in os.getloadavg()]
    figures["took_s"] = round(time.perf_counter() - begun)
    report("engine", figures, save=options.save)


if __name__ == "__main__":
    main()
