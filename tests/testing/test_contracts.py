"""Every implementation keeps its contract, and the contracts notice implementations that do not."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from hansa.algorithms import ALGORITHMS
from hansa.algorithms.algorithm import Algorithm, add_mean
from hansa.cohort import AllClients, Cohort, FixedSize, Poisson
from hansa.secure_sum import SECURE_SUMS
from hansa.testing.contracts import check_algorithm, check_cohort, check_running_sum, check_secure_sum
from hansa.types import Total


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_algorithms(kind: str) -> None:
    check_algorithm(ALGORITHMS[kind]())


@pytest.mark.parametrize("kind", ["fedadam", "fedyogi", "fedadagrad"])
def test_adaptive_algorithms_with_other_first_moments(kind: str) -> None:
    adaptive: Any = ALGORITHMS[kind]
    check_algorithm(adaptive(beta_1=0.9, v0=1e-6))
    check_algorithm(adaptive(beta_1=0.9, m0=0.1), rests=False)
    with pytest.raises(AssertionError, match="a mean of zero moves the weights"):
        check_algorithm(adaptive(beta_1=0.9, m0=0.1))


@pytest.mark.parametrize(
    "cohort", [AllClients(), FixedSize(1), FixedSize(7), FixedSize(20), Poisson(0.3), Poisson(1)]
)
def test_cohorts(cohort: Cohort) -> None:
    check_cohort(cohort)


@pytest.mark.parametrize("kind", SECURE_SUMS)
def test_secure_sums(kind) -> None:
    check_secure_sum(SECURE_SUMS[kind]())


def test_the_running_sum() -> None:
    check_running_sum()


# ---------------------------------------------------------------- what must be noticed


@dataclass(frozen=True, kw_only=True)
class Spoiled(Algorithm):
    """FedAvg with one fault."""

    fault: str = ""
    parts: ClassVar[int] = 1

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), **({"extra": np.ones(1)} if self.fault == "not JSON" else {})}

    def client_update(self, start, memory, trained, layout):
        if self.fault == "not deterministic":
            return np.random.default_rng().normal(size=layout.size), {}
        if self.fault == "the update has shape":
            return np.zeros(layout.size + 1), {}
        if self.fault == "changed the start":
            start.weights[:] += 1
        return trained.weights - start.weights, {}

    def server_step(self, state, mean, layout, *, share):
        if self.fault == "changed the old state":
            state.weights[0] = 7
        if self.fault == "a mean of zero moves":
            mean = mean + 1
        new = add_mean(state, mean)
        if self.fault == "added":
            new = dataclasses.replace(new, slots={"more": np.ones(1)})
        if self.fault == "float64":
            new = dataclasses.replace(new, weights=new.weights.astype("float64"))
        return new


@pytest.mark.parametrize(
    "fault",
    [
        "not deterministic",
        "the update has shape",
        "changed the start",
        "changed the old state",
        "a mean of zero moves",
        "added",
        "float64",
    ],
)
def test_a_spoiled_algorithm_is_noticed(fault: str) -> None:
    check_algorithm(Spoiled())
    with pytest.raises(AssertionError, match=fault):
        check_algorithm(Spoiled(fault=fault))


def test_a_description_that_is_not_json_is_noticed() -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        check_algorithm(Spoiled(fault="not JSON"))


class Same(AllClients):
    def draw(self, clients, round, seeds):  # noqa: A002
        return clients[:3]


class Shuffled(AllClients):
    def draw(self, clients, round, seeds):  # noqa: A002
        return clients[::-1]


@pytest.mark.parametrize(
    ("cohort", "message"), [(Same(), "the same clients"), (Shuffled(), "not a subset in order")]
)
def test_a_spoiled_cohort_is_noticed(cohort: Cohort, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_cohort(cohort)


class InOrder:
    """A float32 sum in order of arrival that accepts everything."""

    def __init__(self, size: int, cohort: int) -> None:
        self.vector, self.weight, self.count = np.zeros(size, np.float32), 0.0, 0
        self.refused: dict[int, str] = {}

    def add(self, position: int, delta: Any, *, client: str = "") -> None:
        if delta is not None:
            self.vector = self.vector + np.float32(delta.weight) * delta.vector
            self.weight, self.count = self.weight + delta.weight, self.count + 1

    def result(self) -> Total:
        return Total(vector=self.vector.astype(float), weight=self.weight, count=self.count)


def test_a_spoiled_sum_is_noticed() -> None:
    with pytest.raises(AssertionError, match="the sum is wrong"):
        check_running_sum(InOrder)
