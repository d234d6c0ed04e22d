"""What differential privacy costs in accuracy, with epsilon from the run's own ledger.

    python benchmarks/dp.py                        # about an hour on two cores; fetches MNIST once
    python benchmarks/dp.py --only digits heart    # a few minutes

digits    Logistic regression on scikit-learn's digits, 1,437 records of one silo, q = 0.1, 200 steps, and
          z = 0, 1, 2. (Anchors: .946, .939, .925.)
mnist15   DP-SGD on MNIST with the CNN of TensorFlow Privacy's tutorial, batch 256, z = 1.3, learning rate
          .25, clip 1.5, 15 epochs (published: 95.0 %); mnist60: z = 1.1, .15, clip 1, 60 epochs (96.6 %).
clients   MNIST divided among 3,400 clients (Dirichlet, alpha 1), CentralDP: 100 of them a round on average,
          z = 1, a clip that adapts, against the same without privacy.
heart     The recipe heart-disease at record level, epsilon 1, 3, 10 at delta 1e-3, and without: AUC, mean of
          5 seeds.
cost      Seconds of a round of work A of `engine.py` with CentralDP and without, in alternation.

The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from results import report

import hansa
from hansa.privacy import AdaptiveClip, Budget, CentralDP, Privacy, RecordDP


def mnist(shape: tuple[int, ...]) -> Any:
    """Return MNIST from 0 to 1 as rows of this shape: training and test."""
    (x, y), (x_test, y_test) = hansa.datasets.mnist()
    x, x_test = (a.reshape(len(a), *shape).astype("float32") / 255 for a in (x, x_test))
    return (x, y.astype("int64")), (x_test, y_test.astype("int64"))


def compiled(layers: list[Any], rate: float) -> Any:
    """A classifier of ten classes under plain SGD."""
    import keras

    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate), loss, metrics=["accuracy"])
    return model


def one_silo(x: Any, y: Any) -> Any:
    """All records at one client: DP-SGD as the papers have it."""
    return [hansa.data.Client(name="all", source=hansa.data.Arrays(x, y), split=hansa.data.Split())]


class Line:
    """Prints a line for some rounds."""

    def __init__(self, name: str, every: int) -> None:
        self.name, self.every = name, every

    def begin(self, **facts: Any) -> None:
        """Nothing to say yet."""

    def note(self, text: str) -> None:
        """Say what is being prepared."""
        print(f"{self.name}: {text}", flush=True)

    def round(self, record: hansa.RoundRecord) -> None:
        """Say how far it is."""
        if (record.round + 1) % self.every == 0:
            spent = record.privacy.get("epsilon")
            told = "" if spent is None else f", epsilon {spent:.3f}"
            accuracy = record.logs.get("val_accuracy", float("nan"))
            print(f"{self.name} round {record.round + 1}: test accuracy {accuracy:.4f}{told}", flush=True)

    def end(self, status: str) -> None:
        """Nothing to add."""


def fitted(name: str, federation: hansa.Federation, rounds: int, test: Any, every: int) -> dict[str, Any]:
    """Train, and return the last test accuracy and what was spent."""
    begun = time.perf_counter()
    federation.fit(
        rounds, validation=test, clients_validate="none", progress=Line(name, every), validation_freq=every
    )
    result: dict[str, Any] = {
        "accuracy": round(federation.records[-1].logs["val_accuracy"], 4),
        "minutes": round((time.perf_counter() - begun) / 60, 1),
    }
    if federation.privacy is not None:
        told = federation.guarantee()
        result |= {"epsilon": round(told.epsilon, 4), "delta": told.delta, "accountant": told.accountant}
    return result


def digits() -> dict[str, Any]:
    """Record level on scikit-learn's digits."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    x, x_test, y, y_test = train_test_split(x, y.astype("int64"), test_size=0.2, random_state=0, stratify=y)

    def build() -> Any:
        import keras

        return compiled([keras.Input((64,)), keras.layers.Dense(10)], 2.0)

    result = {}
    for noise in (0.0, 1.0, 2.0):
        plan = RecordDP(rounds=200, noise_multiplier=noise or 1e-9, delta=1e-4, clip=1.0)
        federation = hansa.Federation(
            build,
            one_silo(x, y),
            algorithm=hansa.FedAvg(steps=1, batch_size=144),
            privacy=plan if noise else None,
            seed=0,
        )
        result[f"z={noise:g}"] = fitted(f"digits z={noise:g}", federation, 200, (x_test, y_test), 50)
    return result


def classic_cnn(rate: float) -> Callable[[], Any]:
    """Return the model function of the CNN of TensorFlow Privacy's MNIST tutorial: 26,010 weights."""

    def build() -> Any:
        import keras
        from keras import layers

        return compiled(
            [
                keras.Input((28, 28, 1)),
                layers.Conv2D(16, 8, strides=2, padding="same", activation="relu"),
                layers.MaxPooling2D(2, 1),
                layers.Conv2D(32, 4, strides=2, padding="valid", activation="relu"),
                layers.MaxPooling2D(2, 1),
                layers.Flatten(),
                layers.Dense(32, activation="relu"),
                layers.Dense(10),
            ],
            rate,
        )

    return build


def dp_sgd(name: str, *, noise: float, rate: float, clip: float, epochs: int) -> dict[str, Any]:
    """DP-SGD on MNIST: a round is an epoch of one silo with all records."""
    (x, y), test = mnist((28, 28, 1))
    plan = RecordDP(rounds=epochs, noise_multiplier=noise, delta=1e-5, clip=clip)
    federation = hansa.Federation(
        classic_cnn(rate),
        one_silo(x, y),
        algorithm=hansa.FedAvg(epochs=1, batch_size=256),
        privacy=plan,
        seed=0,
    )
    return fitted(name, federation, epochs, test, 1)


def clients() -> dict[str, Any]:
    """User level: each of 3,400 clients is protected as a whole."""
    (x, y), test = mnist((784,))
    people = hansa.data.dirichlet(x, y, clients=3400, alpha=1.0, min_examples=1, seed=0)

    def build() -> Any:
        import keras

        hidden = keras.layers.Dense(64, activation="relu")
        return compiled([keras.Input((784,)), hidden, keras.layers.Dense(10)], 0.1)

    rounds = 300
    private = CentralDP(
        rounds=rounds,
        noise_multiplier=1.0,
        delta=1 / 3400,
        clip=AdaptiveClip(initial=0.5),
        participation=hansa.Poisson(100 / 3400, cap=150),
    )
    result = {}
    for name, plan in (("private", private), ("not", None)):
        federation = hansa.Federation(
            build,
            people,
            algorithm=hansa.FedAvg(epochs=1, batch_size=10),
            cohort=None if plan else hansa.Poisson(100 / 3400),
            privacy=plan,
            engine="vector",
            seed=0,
        )
        result[name] = fitted(f"3,400 clients, {name}", federation, rounds, test, 50)
    return result


def heart() -> dict[str, Any]:
    """Record level in four hospitals."""
    from hansa.recipes import RECIPES

    recipe = RECIPES["heart-disease"]
    result = {}
    for epsilon in (1.0, 3.0, 10.0, None):
        values, spent = [], 0.0
        for seed in range(5):
            federation = recipe.build(model="logistic", seed=seed, algorithm=None)
            if epsilon is not None:
                budget = Budget(epsilon=epsilon, delta=1e-3)
                federation.protect(RecordDP(rounds=recipe.rounds, budget=budget, clip=1.0))
            federation.fit(recipe.rounds)
            values.append(federation.records[-1].logs["clients_val_auc"])
            spent = 0.0 if epsilon is None else federation.guarantee().epsilon
        name = "none" if epsilon is None else f"epsilon={epsilon:g}"
        result[name] = {
            "auc": round(statistics.mean(values), 4),
            "deviation": round(statistics.stdev(values), 4),
            "spent": round(spent, 4),
        }
        print(f"heart {name}: {result[name]}", flush=True)
    return result


def cost() -> dict[str, Any]:
    """Seconds of a round of work A with noise on the server, against without."""
    from engine_work import WORKS, data_of, keras_model

    from hansa.api.loop import drive
    from hansa.rng import Seeds
    from hansa.round import first_state, round_steps

    work, running = WORKS["A"], {}
    x, y = data_of(work)
    plans: dict[str, Privacy | None] = {
        "none": None,
        "central": CentralDP(rounds=1000, noise_multiplier=1.0, participation=hansa.FixedSize(work.cohort)),
    }
    seeds = Seeds(0, bytes(32))
    for name, privacy in plans.items():
        federation = hansa.Federation(
            lambda: keras_model(work),
            hansa.data.iid(x, y, clients=work.clients),
            algorithm=hansa.FedAvg(epochs=1, batch_size=work.batch),
            cohort=None if privacy else work.cohort,
            privacy=privacy,
            engine="vector",
        )
        plan = federation.plan(clients_validate="none")
        sites, learner = federation.prepare().sites, federation.learner
        engine = federation.engine.start(plan, sites, learner, seeds, server=None, known={})
        running[name] = [plan, engine, first_state(plan)]
    took: dict[str, list[float]] = {name: [] for name in plans}
    for _ in range(25):
        for name, (plan, engine, state) in running.items():
            begun = time.perf_counter()
            running[name][2], _ = drive(round_steps(plan, state, seeds), engine)
            engine.commit()
            took[name].append(time.perf_counter() - begun)
    none, central = (statistics.median(took[name][5:]) for name in ("none", "central"))
    size = running["none"][0].layout.size
    return {
        "round_s": round(none, 4),
        "central_round_s": round(central, 4),
        "ratio": round(central / none, 3),
        "added_us_per_parameter": round((central - none) / size * 1e6, 4),
    }


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "digits": digits,
    "mnist15": lambda: dp_sgd("mnist15", noise=1.3, rate=0.25, clip=1.5, epochs=15),
    "mnist60": lambda: dp_sgd("mnist60", noise=1.1, rate=0.15, clip=1.0, epochs=60),
    "clients": clients,
    "heart": heart,
    "cost": cost,
}


def main() -> None:
    """Run the parts and print their figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to run")
    parser.add_argument("--save", action="store_true", help="keep the figures in benchmarks/results/")
    options = parser.parse_args()
    results = {}
    for name in options.only:
        results[name] = PARTS[name]()
        print(f"{name}: {results[name]}", flush=True)
    report(
        "dp" if set(options.only) == set(PARTS) else f"dp_{'_'.join(options.only)}",
        results,
        save=options.save,
    )


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
