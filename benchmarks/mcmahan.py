"""FedAvg on MNIST as McMahan et al. 2017: how many rounds to 97 % test accuracy?

    python benchmarks/mcmahan.py                  # minutes on two cores; fetches MNIST once
    python benchmarks/mcmahan.py --seeds 3

Model 2NN (784-200-200-10, ReLU), 100 clients of 600 rows, C = 0.1, E = 1, B = 10, plain SGD with one
learning rate for both partitions: IID, and pathological (sorted by label, two shards of 300 each).
Published (table 1 there, the learning rate optimised for each): 87 rounds IID, 664 non-IID.
As there, a round counts as reaching the target when the curve of the best accuracy so far does.
The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import numpy as np
from results import report

import hansa

LEARNING_RATE = 0.1
TARGET = 0.97
LIMIT = {"iid": 200, "noniid": 1000}


def build() -> Any:
    """The 2NN of the paper: 199,210 weights."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(200, activation="relu"),
            keras.layers.Dense(200, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        keras.optimizers.SGD(LEARNING_RATE),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


class Line:
    """Prints a line every ten rounds."""

    def __init__(self, name: str) -> None:
        self.name, self.best = name, 0.0

    def begin(self, **facts: Any) -> None:
        """Nothing to say yet."""

    def round(self, record: hansa.RoundRecord) -> None:
        """Say how far it is."""
        self.best = max(self.best, record.logs["val_accuracy"])
        if record.round % 10 == 9:
            print(f"{self.name} round {record.round + 1}: best test accuracy {self.best:.4f}", flush=True)

    def end(self, status: str) -> None:
        """Nothing to add."""


def rounds_to_target(name: str, seed: int) -> int | None:
    """Return the number of rounds until the test accuracy reaches the target, or None."""
    (x, y), (x_test, y_test) = hansa.datasets.mnist()
    x, x_test = (a.reshape(len(a), 784).astype("float32") / 255 for a in (x, x_test))
    if name == "iid":
        clients = hansa.data.iid(x, y.astype("int64"), clients=100, seed=seed)
    else:
        clients = hansa.data.shards(x, y.astype("int64"), clients=100, shards_per_client=2, seed=seed)
    federation = hansa.Federation(
        build, clients, algorithm=hansa.FedAvg(epochs=1, batch_size=10), cohort=10, seed=seed
    )
    federation.fit(
        LIMIT[name],
        validation=(x_test, y_test.astype("int64")),
        target={"val_accuracy": TARGET},
        progress=Line(f"{name} (seed {seed})"),
    )
    return len(federation.records) if federation.status == "target reached" else None


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds; the median is reported")
    parser.add_argument("--save", action="store_true", help="keep the figures in benchmarks/results/")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    for name in ("iid", "noniid"):
        started = time.perf_counter()
        found = [rounds_to_target(name, seed) for seed in range(options.seeds)]
        reached = [n for n in found if n is not None]
        results[f"{name}_rounds"] = int(statistics.median(reached)) if len(reached) == len(found) else None
        results[f"{name}_by_seed"] = found
        results[f"{name}_s_per_round"] = round((time.perf_counter() - started) / max(1, sum(reached)), 3)
        print(f"{name}: {found} rounds to {TARGET:.0%}", flush=True)
    results["learning_rate"] = LEARNING_RATE
    report("mcmahan", results, save=options.save)


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
