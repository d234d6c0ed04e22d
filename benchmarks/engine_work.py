"""One contestant of `engine.py`, in a process of its own: does a round when it is told to, and times it.

    python benchmarks/engine_work.py hansa A --engine vector    # then a line of input for each round

Contestants: ``hansa``; ``floor`` (the bare compiled JAX loop over as many minibatches of the same model,
on both cores), ``floor_one`` (on one), ``floor_step`` (one compiled step a call, one stream, XLA's
own threads), ``torch_loop`` (a bare PyTorch loop). A floor has no federation at all: no clients, no rows
gathered, no updates, no sum, no metrics; minibatches lie ready in memory.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

CORES = 2


@dataclass(frozen=True)
class Work:
    """A simulated federation.

    Attributes:
        clients: Population.
        rows: Rows of each client.
        cohort: Clients a round.
        batch: Rows a minibatch.
        shape: Shape of one row.
        hidden: Widths of hidden layers; of the CNN, its channels and its dense layer.
    """

    clients: int
    rows: int
    cohort: int
    batch: int
    shape: tuple[int, ...] = (784,)
    hidden: tuple[int, ...] = ()

    @property
    def steps(self) -> int:
        """Minibatches a round."""
        return self.cohort * -(-self.rows // self.batch)

    @property
    def convolves(self) -> bool:
        """Whether the model is the CNN."""
        return len(self.shape) == 3


WORKS = {
    "A": Work(clients=100, rows=600, cohort=10, batch=10, hidden=(200, 200)),
    "B": Work(clients=1000, rows=60, cohort=100, batch=20, hidden=(64,)),
    "C": Work(clients=20, rows=120, cohort=5, batch=10, shape=(28, 28, 1), hidden=(32, 64, 512)),
    "B10": Work(clients=1000, rows=60, cohort=10, batch=20, hidden=(64,)),
    "B1000": Work(clients=1000, rows=60, cohort=1000, batch=20, hidden=(64,)),
    "scale": Work(clients=100_000, rows=20, cohort=1000, batch=20, shape=(32,), hidden=(64,)),
    "tenth": Work(clients=10_000, rows=20, cohort=1000, batch=20, shape=(32,), hidden=(64,)),
    "large": Work(clients=50, rows=20, cohort=50, batch=20, shape=(3000,), hidden=(2500, 1000)),
}


def data_of(work: Work) -> tuple[Any, Any]:
    """Return the rows of the whole population: noise, which trains as fast as anything."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((work.clients * work.rows, *work.shape), dtype=np.float32)
    return x, rng.integers(10, size=len(x))


# ---------------------------------------------------------------------- Hansa


def keras_model(work: Work) -> Any:
    """The model in Keras, as a user writes it."""
    import keras
    from keras import layers

    body: list[Any] = [keras.Input(work.shape)]
    if work.convolves:
        for width in work.hidden[:-1]:
            body += [layers.Conv2D(width, 5, padding="same", activation="relu"), layers.MaxPooling2D(2)]
        body.append(layers.Flatten())
    for width in work.hidden[-1:] if work.convolves else work.hidden:
        body.append(layers.Dense(width, activation="relu"))
    model = keras.Sequential([*body, layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=[])
    return model


class Hansa:
    """Rounds of FedAvg, by an engine."""

    def __init__(self, work: Work, engine: str) -> None:
        begun = time.perf_counter()
        import hansa
        from hansa.api.loop import drive
        from hansa.round import first_state, round_steps

        self.facts: dict[str, Any] = {"import_s": time.perf_counter() - begun}
        import keras

        np.asarray(keras.ops.zeros(1) + 1)  # idle is: libraries loaded, backend begun, nothing to do
        idle = status_mib("VmRSS")
        x, y = data_of(work)
        begun = time.perf_counter()
        clients = hansa.data.iid(x, y, clients=work.clients)
        algorithm = hansa.FedAvg(epochs=1, batch_size=work.batch)
        cohort = work.cohort if work.cohort < work.clients else None
        self._federation = hansa.Federation(
            lambda: keras_model(work), clients, algorithm=algorithm, cohort=cohort, engine=engine
        )
        federation, plan = self._federation, self._federation.plan()
        sites = federation.prepare().sites
        started = time.perf_counter()
        self._engine = federation.engine.start(
            plan, sites, federation.learner, federation.seeds, server=None, known={}
        )
        self.facts["engine_s"] = time.perf_counter() - started
        self.facts["start_s"] = time.perf_counter() - begun
        self.facts["idle_mib"] = idle
        self.facts["data_mib"] = (x.nbytes + y.nbytes) / 2**20
        self.facts["model_mib"] = plan.layout.size * 4 / 2**20
        self._state = first_state(plan)
        self._next = lambda: drive(round_steps(plan, self._state, federation.seeds), self._engine)

    def round(self) -> None:
        """Run a round, as `Federation.fit` does."""
        self._state, record = self._next()
        self._engine.commit()
        self.facts.update(timings_s=dict(record.timings_s), **self._engine.facts())
        self.facts["loss"] = record.logs["loss"]


# ---------------------------------------------------------------------- floors


def parameters(work: Work) -> list[Any]:
    """Return arrays of the model's shapes."""
    rng = np.random.default_rng(1)
    shapes: list[tuple[int, ...]] = []
    if work.convolves:
        first, second, dense = work.hidden
        shapes = [(5, 5, 1, first), (first,), (5, 5, first, second), (second,)]
        widths = [49 * second, dense, 10]
    else:
        widths = [*work.shape, *work.hidden, 10]
    for before, after in pairwise(widths):
        shapes += [(before, after), (after,)]
    return [(rng.standard_normal(s) * 0.05).astype(np.float32) for s in shapes]


def jax_step(work: Work) -> Callable[..., Any]:
    """Return one minibatch of SGD in plain JAX."""
    import jax
    from jax import lax
    from jax import numpy as jnp

    def forward(weights: list[Any], x: Any) -> Any:
        pairs = list(zip(weights[::2], weights[1::2], strict=True))
        if work.convolves:
            for kernel, bias in pairs[:2]:
                numbers = ("NHWC", "HWIO", "NHWC")
                x = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
                x = jax.nn.relu(x + bias)
                x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
            x, pairs = x.reshape(len(x), -1), pairs[2:]
        for kernel, bias in pairs[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        kernel, bias = pairs[-1]
        return x @ kernel + bias

    def loss(weights: list[Any], x: Any, y: Any) -> Any:
        return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(forward(weights, x)), y[:, None], 1))

    def step(weights: list[Any], batch: tuple[Any, Any]) -> tuple[list[Any], Any]:
        value, gradients = jax.value_and_grad(loss)(weights, *batch)
        return [w - 0.1 * g for w, g in zip(weights, gradients, strict=True)], value

    return step


class Floor:
    """As many minibatches in compiled loops: one on each core."""

    def __init__(self, work: Work, streams: int) -> None:
        import jax
        from jax import numpy as jnp

        x, y = data_of(work)
        step, weights = jax_step(work), [jnp.asarray(w) for w in parameters(work)]
        # One thread a stream: faster than XLA's own threads beside one another.
        options: Any = {"xla_cpu_multi_thread_eigen": False} if streams > 1 else None
        loop = jax.jit(lambda w, xs, ys: jax.lax.scan(step, w, (xs, ys)), compiler_options=options)
        count = work.steps * work.batch
        xs = x[:count].reshape(work.steps, work.batch, *work.shape)
        ys = y[:count].reshape(work.steps, work.batch).astype(np.int32)
        parts = np.array_split(np.arange(work.steps), streams)
        parts = [(jnp.asarray(xs[p]), jnp.asarray(ys[p])) for p in parts]
        pool = ThreadPoolExecutor(streams)
        self.facts: dict[str, Any] = {}
        self.round = lambda: list(pool.map(lambda p: jax.block_until_ready(loop(weights, *p)), parts))


class FloorStep:
    """One compiled step a call, clients one after another."""

    def __init__(self, work: Work) -> None:
        import jax
        from jax import numpy as jnp

        x, y = data_of(work)
        step, begin = jax.jit(jax_step(work)), [jnp.asarray(w) for w in parameters(work)]
        each = work.steps // work.cohort
        cut = [slice(i * work.batch, (i + 1) * work.batch) for i in range(work.steps)]
        batches = [(jnp.asarray(x[c]), jnp.asarray(y[c].astype(np.int32))) for c in cut]
        self.facts: dict[str, Any] = {}

        def client(number: int) -> None:
            weights = begin
            for batch in batches[number * each : (number + 1) * each]:
                weights, _ = step(weights, batch)
            jax.block_until_ready(weights)

        self.round = lambda: [client(number) for number in range(work.cohort)]


class TorchLoop:
    """The loop that one writes in PyTorch, with its default threads."""

    def __init__(self, work: Work) -> None:
        import torch
        from torch import nn

        body: list[Any] = []
        widths = [*work.shape, *work.hidden]
        if work.convolves:
            first, second, dense = work.hidden
            for before, after in ((1, first), (first, second)):
                body += [nn.Conv2d(before, after, 5, padding="same"), nn.ReLU(), nn.MaxPool2d(2)]
            body.append(nn.Flatten())
            widths = [49 * second, dense]
        for before, after in pairwise(widths):
            body += [nn.Linear(before, after), nn.ReLU()]
        model = nn.Sequential(*body, nn.Linear(widths[-1], 10))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        x, y = data_of(work)
        x = np.moveaxis(x, -1, 1) if work.convolves else x
        x, y = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(y)
        self.facts: dict[str, Any] = {"threads": torch.get_num_threads()}

        def once() -> None:
            for i in range(work.steps):
                rows = slice(i * work.batch, (i + 1) * work.batch)
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()

        self.round = once


# ---------------------------------------------------------------------- the process


def status_mib(name: str) -> float:
    """Return a figure of this process's memory, in MiB: VmRSS is now, VmHWM the most so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def contestant(name: str, work: Work, engine: str) -> Any:
    """Return a contestant, ready for its first round."""
    makers = {
        "hansa": lambda: Hansa(work, engine),
        "floor": lambda: Floor(work, CORES),
        "floor_one": lambda: Floor(work, 1),
        "floor_step": lambda: FloorStep(work),
        "torch_loop": lambda: TorchLoop(work),
    }
    return makers[name]()


def main() -> None:
    """Do a round for each line of input."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("contestant")
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("--engine", default="vector")
    options = parser.parse_args()
    made = contestant(options.contestant, WORKS[options.work], options.engine)
    print(json.dumps({"ready": True, **made.facts}), flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        made.round()
        told = {"s": time.perf_counter() - begun, "peak_mib": status_mib("VmHWM"), **made.facts}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
