"""The vector engine gives what the local engine gives, whatever the algorithm, model, sizes and workers."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

import hansa
from hansa.algorithms import ALGORITHMS
from hansa.api.loop import drive
from hansa.bridge import load_trainer
from hansa.engine import Local, Vector
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.rng import Seeds
from hansa.round import first_state, round_steps
from hansa.testing.contracts.engine import check_engine
from least_squares import federation as least_squares

pytestmark = pytest.mark.backends
SIZES = (23, 40, 9, 31, 8, 16)
WIDTH = 5
SPLIT = hansa.data.Split(train=0.75, validation=0.25)
STRATEGIES = load_trainer().strategies
# What takes any model, and what compiles quickly.
ANY_MODEL = {"jax": "loop", "tensorflow": "graph", "torch": "eager"}[keras.config.backend()]
QUICK = {"jax": "loop", "tensorflow": "graph", "torch": "traced"}[keras.config.backend()]


def people(sizes=SIZES, *, split=SPLIT, weighted=False, shape=(WIDTH,)) -> list[Any]:
    made = []
    for number, n in enumerate(sizes):
        rng = np.random.default_rng(number)
        x = (rng.normal(size=(n, *shape)) + number / 4).astype("float32")
        y = (x.reshape(n, -1) @ np.linspace(-2, 2, x[0].size) > 0).astype("int64")
        weight = rng.uniform(0.5, 2, n) if weighted else None
        source = hansa.data.Arrays(x, y, sample_weight=weight)
        made.append(hansa.data.Client(name=f"c{number}", source=source, split=split))
    return made


def model(*body: Any, optimizer: Any = None, shape=(WIDTH,), metrics=("accuracy",)) -> Any:
    """Return a model function; ``body`` are functions that make a layer."""

    def build() -> Any:
        made = keras.Sequential([keras.Input(shape), *(part() for part in body)])
        chosen = keras.optimizers.SGD(0.1) if optimizer is None else optimizer()
        made.compile(chosen, "binary_crossentropy", metrics=list(metrics))
        return made

    return build


def dense(units: int, activation: str | None = None) -> Any:
    return functools.partial(layers.Dense, units, activation=activation)


SIMPLE = (dense(4, "tanh"), dense(1, "sigmoid"))
NORMALIZED = (dense(4), layers.BatchNormalization, dense(1, "sigmoid"))
DROPOUT = (dense(8, "relu"), functools.partial(layers.Dropout, 0.5, seed=3), dense(1, "sigmoid"))
# What moves with the batches, and what is drawn, in one.
MIXED = (
    dense(8, "relu"),
    layers.BatchNormalization,
    functools.partial(layers.Dropout, 0.5, seed=3),
    dense(1, "sigmoid"),
)
CONVOLUTION = (
    functools.partial(layers.Conv2D, 3, 3, padding="same", activation="relu"),
    functools.partial(layers.MaxPooling2D, 2),
    layers.Flatten,
    dense(1, "sigmoid"),
)


def engines(fed: hansa.Federation, declared: Any, **evaluation: Any) -> tuple[Any, Any]:
    plan = fed.plan(**evaluation)
    sites = fed.prepare().sites

    def start(engine: Any) -> Any:
        return engine.start(plan, sites, fed.learner, fed.seeds, server=None, known={})

    return plan, lambda one=declared: start(one)


def check(fed: hansa.Federation, declared: Any, *, evaluation: Any = None, **tolerance: Any) -> None:
    plan, start = engines(fed, declared, **(evaluation or {}))
    check_engine(start, lambda: start(Local()), plan, fed.seeds, **tolerance)


def run(fed: hansa.Federation, declared: Any, rounds: int = 2) -> Any:
    fed.engine = declared
    fed.fit(rounds)
    return fed


# The server's half is NumPy's: on the other backends, those with a local half of their own are enough.
OWN = ["fedavg", "fedbn", "fedprox", "fedsgd", "scaffold"]


@pytest.mark.parametrize("name", ALGORITHMS if keras.config.backend() == "jax" else OWN)
def test_every_algorithm(name):
    body = NORMALIZED if name == "fedbn" else SIMPLE
    algorithm = ALGORITHMS[name](batch_size=8)
    fed = hansa.Federation(model(*body), people(weighted=True), algorithm=algorithm, cohort=4, seed=3)
    check(fed, Vector(workers=2, strategy=QUICK))


BODIES = {
    "simple": (SIMPLE, (WIDTH,)),
    "normalized": (NORMALIZED, (WIDTH,)),
    "convolution": (CONVOLUTION, (6, 6, 1)),
}
# Long to compile, and in parts shown by others: chunks are steps four at a time, XLA's programs the graph's.
LONG = {
    *(("normalized", name) for name in ("chunk", "xla")),
    *(("convolution", name) for name in ("loop", "chunk", "step", "xla")),
}


@pytest.mark.parametrize(
    ("body", "strategy"),
    [
        pytest.param(body, name, marks=[pytest.mark.slow] * ((body, name) in LONG))
        for body in BODIES
        for name in STRATEGIES
    ],
)
def test_every_strategy(body, strategy):
    layers_, shape = BODIES[body]
    fed = hansa.Federation(
        model(*layers_, shape=shape), people(shape=shape), algorithm=hansa.FedAvg(epochs=2, batch_size=8)
    )
    try:
        check(fed, Vector(workers=2, strategy=strategy))
    except ConfigurationError as error:
        assert strategy in ("xla", "traced"), error  # what cannot be compiled is refused in words


def test_settings_that_reach_local_work():
    settings: dict[str, Any] = {"class_weight": {0: 2.0}, "aggregate": "uniform"}
    algorithm = hansa.FedAvg(steps=4, batch_size=8, carry_over=True)
    adam = functools.partial(keras.optimizers.Adam, 0.01)
    fed = hansa.Federation(model(*SIMPLE, optimizer=adam), people(), algorithm=algorithm, **settings)
    check(fed, Vector(workers=2, strategy=QUICK), evaluation={"local_metrics": True})
    check(fed, Vector(workers=2, strategy=QUICK), evaluation={"clients_validate": "cohort"})


@pytest.mark.parametrize("body", ["simple", "dropout", "convolution", "recurrent"])
def test_private_steps(body):
    recurrent = (
        functools.partial(layers.Reshape, (6, 6)),
        functools.partial(layers.GRU, 3),
        dense(1, "sigmoid"),
    )
    convolves, image = CONVOLUTION, (6, 6, 1)
    made, shape = {
        "simple": (SIMPLE, (WIDTH,)),
        "dropout": (DROPOUT, (WIDTH,)),
        "convolution": (convolves, image),
        "recurrent": (recurrent, image),
    }[body]
    # The smallest clients often draw no row, the largest more than a microbatch.
    private = hansa.privacy.RecordDP(rounds=3, noise_multiplier=0.5, clip=0.3, microbatch=6)
    fed = hansa.Federation(
        model(*made, shape=shape), people(shape=shape), algorithm=hansa.FedAvg(batch_size=8), privacy=private
    )
    fed.seeds = Seeds(3, bytes(32))
    # After one round weights differ in their last bits, and other weights get other noise.
    check(fed, Vector(workers=2), atol=1e-4, rounds=1)


def test_private_steps_do_not_depend_on_the_number_of_workers():
    weights = []
    for workers in (1, 2):
        private = hansa.privacy.RecordDP(rounds=2, noise_multiplier=0.5)
        fed = hansa.Federation(model(*SIMPLE), people(), privacy=private)
        fed.seeds = Seeds(1, bytes(32))
        plan, start = engines(fed, Vector(workers=workers))
        engine = start()
        weights.append(drive(round_steps(plan, first_state(plan), fed.seeds), engine)[0].weights)
        engine.close()
    np.testing.assert_array_equal(*weights)


def test_private_steps_refuse_batch_normalization_when_the_plan_is_made():
    private = hansa.privacy.RecordDP(rounds=2, noise_multiplier=0.5)
    with pytest.raises(ConfigurationError, match="batch normalization"):
        hansa.Federation(model(*NORMALIZED), people(), privacy=private).plan()


def test_a_function_that_aggregates_gets_every_update():
    fed = hansa.Federation(model(*SIMPLE), people(), aggregate=lambda updates, _: np.median(updates, axis=0))
    check(fed, Vector(workers=2, strategy=QUICK))


def test_several_inputs_and_outputs():
    def build() -> Any:
        a, b = keras.Input((WIDTH,), name="a"), keras.Input((2,), name="b")
        hidden = layers.Dense(4, activation="tanh")(layers.Concatenate()([a, b]))
        made = keras.Model([a, b], [layers.Dense(1, name="p")(hidden), layers.Dense(1, name="q")(hidden)])
        made.compile(keras.optimizers.SGD(0.05), ["mse", "mse"])
        return made

    clients = {}
    for number, n in enumerate((12, 20, 7)):
        rng = np.random.default_rng(number)
        x = {"a": rng.normal(size=(n, WIDTH)), "b": rng.normal(size=(n, 2))}
        clients[f"c{number}"] = (x, (rng.normal(size=(n, 1)), rng.normal(size=(n, 1))))
    fed = hansa.Federation(build, clients, algorithm=hansa.FedAvg(batch_size=4))
    check(fed, Vector(workers=2, strategy=QUICK))


@pytest.mark.parametrize("cohort", [None, 70])
def test_the_result_does_not_depend_on_the_number_of_workers(cohort):
    clients = people() if cohort is None else people((8, 11, 5) * 30, split=hansa.data.Split())
    hashes = set()
    for workers in (1, 3):
        fed = hansa.Federation(
            model(*MIXED), clients, algorithm=hansa.FedAvg(batch_size=4), cohort=cohort, seed=1
        )
        hashes.add(run(fed, Vector(workers=workers, strategy=ANY_MODEL)).model_hash)
    assert len(hashes) == 1


def test_parts_of_one_dataset_are_not_copied_and_give_the_same():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, WIDTH)).astype("float32"), rng.integers(2, size=200)
    shared = hansa.data.iid(x, y, clients=20)
    apart = {client.name: (client.source.load().x, client.source.load().y) for client in shared}
    results = [
        run(hansa.Federation(model(*SIMPLE), clients, seed=1), Vector(workers=2, strategy=ANY_MODEL))
        for clients in (shared, apart)
    ]
    assert results[0].model_hash == results[1].model_hash


def test_clients_of_many_sizes_share_a_few_programs():
    sizes = tuple(range(3, 43))
    fed = hansa.Federation(
        model(*SIMPLE), people(sizes, split=hansa.data.Split()), algorithm=hansa.FedAvg(batch_size=16)
    )
    engine = run(fed, Vector(workers=1, strategy=STRATEGIES[0]))._engine
    assert engine is not None
    assert 1 <= engine.facts()["compilations"] <= 8


@pytest.mark.parametrize("algorithm", [hansa.FedAvg(batch_size=8), hansa.Scaffold(batch_size=8)])
def test_a_client_whose_update_is_not_finite_is_left_out(algorithm):
    clients = people(split=hansa.data.Split())
    rows = clients[2].source.load()
    source = hansa.data.Arrays(rows.x * np.float32(1e30), rows.y)
    clients[2] = hansa.data.Client(name="c2", source=source)

    def build() -> Any:
        made = keras.Sequential([keras.Input((WIDTH,)), layers.Dense(4), layers.Dense(1)])
        made.compile(keras.optimizers.SGD(0.01), "mse")
        return made

    fed = hansa.Federation(build, clients, algorithm=algorithm)
    plan, start = engines(fed, Vector(workers=2, strategy=QUICK))
    check_engine(start, lambda: start(Local()), plan, fed.seeds, rounds=2)
    fed = run(fed, Vector(workers=2, strategy=QUICK))
    assert list(fed.records[0].dropped) == ["c2"]
    assert "NaN or infinite" in fed.records[0].dropped["c2"]


def test_a_run_goes_on_with_the_strategy_that_it_began_with(tmp_path, monkeypatch):
    def federation() -> hansa.Federation:
        return hansa.Federation(model(*SIMPLE), people(), engine="vector", seed=2)

    whole = federation()
    whole.fit(4, run=tmp_path / "whole")
    part = federation()
    part.fit(2, run=tmp_path / "part")

    def known(make: Any, candidates: Any, *_: Any, leaf: int, room: int) -> Any:
        assert len(candidates) == 1
        return make(candidates[0]), candidates[0]

    monkeypatch.setattr("hansa.train.cohort.choose", known)
    again = federation()
    again.fit(4, run=tmp_path / "part", resume=True)
    assert again.model_hash == whole.model_hash
    assert again.describe(again.plan())["engine"]["kind"] == "vector"


def test_a_run_of_another_engine_is_not_gone_on_with(tmp_path):
    hansa.Federation(model(*SIMPLE), people()).fit(1, run=tmp_path / "run")
    other = hansa.Federation(model(*SIMPLE), people(), engine="vector")
    with pytest.raises(hansa.errors.RunError, match=r"engine: \(absent\) -> "):
        other.fit(2, run=tmp_path / "run", resume=True)


def test_phases_are_told_apart():
    fed = run(hansa.Federation(model(*SIMPLE), people()), Vector(workers=2, strategy=QUICK))
    timings = fed.records[-1].timings_s
    assert set(timings) == {"draw", "gather", "train", "encode", "sum", "step", "evaluate", "other"}
    assert all(seconds >= 0 for seconds in timings.values())


def test_bad_declarations():
    with pytest.raises(UnknownNameError, match=r"engine: 'vectro'. Did you mean 'vector'\?"):
        hansa.Federation(model(*SIMPLE), people(), engine="vectro")
    with pytest.raises(ConfigurationError, match="engine is one of 'local', 'vector'"):
        hansa.Federation(model(*SIMPLE), people(), engine=3)  # type: ignore[arg-type]
    for workers in (0, -1, True, 1.5, "2"):
        with pytest.raises(ConfigurationError, match="workers must be a whole number of 1 or more"):
            Vector(workers=workers)  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="strategy: 'lop'"):
        run(hansa.Federation(model(*SIMPLE), people()), Vector(strategy="lop"))
    with pytest.raises(ConfigurationError, match=r"LeastSquares is none\. Use engine='local'"):
        run(least_squares(), Vector())


def test_an_error_in_local_training_names_client_and_round():
    fed = hansa.Federation(model(*SIMPLE), people())
    fed.prepare()
    fed.learner.model.compute_loss = lambda *a, **k: 1 / 0  # type: ignore[attr-defined]
    fed.learner.another = lambda: fed.learner  # type: ignore[attr-defined]
    with pytest.raises(ZeroDivisionError) as caught:
        run(fed, Vector(workers=2, strategy=ANY_MODEL))
    assert any("trained in round 0" in note for note in caught.value.__notes__)
