import inspect

import numpy as np
import pytest

import hansa
from hansa import round as round_module
from hansa.api.loop import drive
from hansa.engine.local import LocalEngine
from hansa.errors import RoundError
from hansa.round import first_state, round_steps
from hansa.types import Answer, Ask, Delta, Examples, Reply, Start, Total
from least_squares import LeastSquares, federation, population

SPLIT = hansa.data.Split(train=0.6, validation=0.4)


def planned(clients=None, **settings):
    evaluation = {
        k: settings.pop(k)
        for k in ("server_validates", "clients_validate", "validation_freq", "local_metrics")
        if k in settings
    }
    fed = federation(population(split=SPLIT) if clients is None else clients, **settings)
    return fed, fed.plan(**evaluation)


def engine_of(fed, plan, server=None):
    return LocalEngine(plan, fed.prepare().sites, fed.learner, fed.seeds, server=server)


def test_a_round_asks_train_then_evaluate_then_validate_and_returns_the_record():
    fed, plan = planned(server_validates=True)
    state = first_state(plan)
    steps = round_steps(plan, state, fed.seeds)
    names = ("c0", "c1", "c2", "c3")
    ask = next(steps)
    assert (ask.phase, ask.clients, ask.reduce) == ("train", names, "sum")
    assert isinstance(ask.payload, Start)
    assert ask.payload.weights is state.weights
    replies = {n: Reply(examples=i + 1, metrics={"training": {"loss": i}}) for i, n in enumerate(names)}
    total = Total(vector=np.full(4, 20.0), weight=10.0, count=4)
    ask = steps.send(Answer(replies=replies, total=total, bytes_down=3, bytes_up=5))
    assert (ask.phase, ask.clients) == ("evaluate", names)
    np.testing.assert_array_equal(ask.payload, state.weights + np.float32(2.0))
    told = {n: Reply(examples=1, metrics={"validation": {"loss": i}}) for i, n in enumerate(names)}
    ask = steps.send(Answer(replies=told, bytes_down=7))
    assert (ask.phase, ask.clients) == ("validate", ("@server",))
    central = Reply(examples=9, metrics={"validation": {"loss": 0.5}})
    with pytest.raises(StopIteration) as end:
        steps.send(Answer(replies={"@server": central}))
    new, record = end.value.value
    assert (new.round, record.round, record.cohort) == (1, 0, names)
    assert record.logs == {"loss": 2.0, "val_loss": 0.5, "clients_val_loss": 1.5}
    assert record.update_norm == 4.0
    assert (record.bytes_down, record.bytes_up) == (10, 5)
    assert record.clients["c3"].training == {"loss": 3}
    assert record.clients["c3"].validation == {"loss": 3}


def test_a_round_does_no_input_or_output_and_reads_no_clock():
    source = inspect.getsource(round_module)
    for forbidden in (
        "import os",
        "import time",
        "datetime",
        "open(",
        "print(",
        "np.random",
        "import random",
    ):
        assert forbidden not in source


def test_the_same_answers_give_the_same_state_and_record():
    outcomes = []
    for _ in range(2):
        fed, plan = planned(cohort=2, algorithm=hansa.Scaffold(batch_size=3))
        engine, state = engine_of(fed, plan), first_state(plan)
        records = []
        for _ in range(3):
            state, record = drive(round_steps(plan, state, fed.seeds), engine)
            engine.commit()
            record = record.to_json()
            del record["timings_s"]
            records.append(record)
        outcomes.append((state.weights.tobytes(), state.slots["control"].tobytes(), records))
    assert outcomes[0] == outcomes[1]


def test_a_seed_gives_the_same_hash_twice_and_another_seed_another():
    hashes = []
    for seed in (3, 3, 4):
        fed = federation(seed=seed, algorithm=hansa.FedAvg(batch_size=2))
        fed.fit(3)
        hashes.append(fed.model_hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_what_a_client_does_depends_on_its_name_and_not_on_the_order_of_clients():
    updates = []
    for clients in (population(), population()[::-1]):
        fed, plan = planned(clients, aggregate=lambda v, w: v.mean(0), algorithm=hansa.FedAvg(batch_size=2))
        start = Start(round=0, weights=first_state(plan).weights)
        ask = Ask(phase="train", clients=plan.clients, payload=start, reduce="keep")
        replies = engine_of(fed, plan).answer(ask).replies
        updates.append({name: reply.delta.vector.tobytes() for name, reply in replies.items()})
    assert updates[0] == updates[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_update_that_is_not_finite_is_dropped_and_named_and_the_others_count(bad):
    def hook(examples, task):
        if len(examples.y) == 8:
            task.start[0] = bad

    fed, without = (
        federation(learner=LeastSquares(hook=hook)),
        federation([*population()[:1], *population()[2:]]),
    )
    with np.errstate(all="ignore"):
        fed.fit(1)
    without.fit(1)
    record = fed.records[0]
    assert list(record.dropped) == ["c1"]
    assert "NaN or infinite" in record.dropped["c1"]
    assert "c1" not in record.clients
    np.testing.assert_allclose(fed.weights, without.weights, rtol=1e-6)
    assert record.logs["loss"] == pytest.approx(without.records[0].logs["loss"])


def test_a_client_whose_update_is_dropped_keeps_its_memory():
    rounds = {"now": 0}

    def hook(examples, task):
        if rounds["now"] == 1 and len(examples.y) == 8:
            task.start[:] = np.nan

    algorithm = hansa.FedAvg(steps=2, batch_size=2, carry_over=True)
    fed, plan = planned(population(), learner=LeastSquares(hook=hook), algorithm=algorithm)
    engine, state = engine_of(fed, plan), first_state(plan)
    for number in range(2):
        rounds["now"] = number
        state, record = drive(round_steps(plan, state, fed.seeds), engine)
        engine.commit()
    assert list(record.dropped) == ["c1"]
    assert {name: int(m["position"]) for name, m in engine.memories.items()} == {
        "c0": 4,
        "c1": 2,
        "c2": 4,
        "c3": 4,
    }


def test_a_round_without_a_usable_update_is_an_error_and_nothing_changes():
    fed, plan = planned()
    state = first_state(plan)
    before = state.weights.copy()
    steps = round_steps(plan, state, fed.seeds)
    next(steps)
    dropped = dict.fromkeys(plan.clients, "4 of 4 values of the update are NaN or infinite")
    with pytest.raises(
        RoundError, match=r"(?s)round 0 has no usable update \(c0: 4 of 4.*lower .* learning rate"
    ):
        steps.send(Answer(replies={}, total=Total(vector=np.zeros(4), weight=0, count=0), dropped=dropped))
    assert np.array_equal(state.weights, before)


@pytest.mark.parametrize("optimizer", [None, "sgd"])
def test_a_model_that_would_become_infinite_is_an_error(optimizer):
    fed, plan = planned(server_optimizer=optimizer)
    steps = round_steps(plan, first_state(plan), fed.seeds)
    next(steps)
    replies = {n: Reply(examples=1) for n in plan.clients}
    total = Total(vector=np.full(4, 1e300), weight=4, count=4)
    with pytest.raises(
        RoundError, match=r"round 0 would make the global model NaN or infinite.*left as it was"
    ):
        steps.send(Answer(replies=replies, total=total))


def test_an_empty_cohort_leaves_the_model_as_it_is_and_the_run_goes_on():
    fed = federation(population(split=SPLIT), cohort=hansa.Poisson(0.2), seed=1)
    fed.fit(12)
    empty = [r for r in fed.records if not r.cohort]
    assert 0 < len(empty) < 12
    for record in empty:
        previous = fed.records[record.round - 1].model_hash if record.round else None
        assert previous in (None, record.model_hash)
        assert record.update_norm == 0
        assert "loss" not in record.logs
        assert set(record.logs) == {"val_loss", "clients_val_loss"}
    assert fed.records[-1].round == 11


def test_validation_freq_evaluates_every_so_many_rounds():
    fed = federation(population(split=SPLIT))
    fed.fit(7, validation_freq=3)
    assert ["val_loss" in r.logs for r in fed.records] == [False, False, True, False, False, True, False]
    assert all(("validation" in r.timings_s) is False and "loss" in r.logs for r in fed.records)


@pytest.mark.parametrize(
    ("which", "expected"), [("all", {"c0", "c1", "c2", "c3"}), ("none", set()), ("cohort", None)]
)
def test_which_clients_validate(which, expected):
    fed = federation(population(split=SPLIT), cohort=2)
    fed.fit(3, clients_validate=which)
    for record in fed.records:
        told = {name for name, client in record.clients.items() if client.validation}
        assert told == (set(record.cohort) if expected is None else expected)
        assert ("clients_val_loss" in record.logs) == (which != "none")


def test_clients_without_validation_rows_are_not_asked():
    mixed = [population(split=SPLIT)[0], *population()[1:]]
    fed = federation(mixed)
    fed.fit(1)
    assert [n for n, c in fed.records[0].clients.items() if c.validation] == ["c0"]
    assert fed.records[0].logs["val_loss"] == fed.records[0].clients["c0"].validation["loss"]


def test_logs_are_named_and_weighted_as_documented():
    x, y = np.ones((6, 3), np.float32), np.zeros(6, np.float32)
    fed = federation(population(split=SPLIT))
    fed.fit(1, validation=(x, y))
    logs, clients, cards = fed.records[0].logs, fed.records[0].clients, fed.prepare().cards
    assert set(logs) == {"loss", "val_loss", "clients_val_loss"}
    held = [cards[n].examples["validation"] for n in clients]
    trained = [cards[n].examples["train"] for n in clients]
    assert logs["clients_val_loss"] == pytest.approx(
        np.average([c.validation["loss"] for c in clients.values()], weights=held)
    )
    assert logs["loss"] == pytest.approx(
        np.average([c.training["loss"] for c in clients.values()], weights=trained)
    )
    assert logs["val_loss"] == pytest.approx(fed.learner.evaluate(fed.weights, Examples(x=x, y=y), 9)["loss"])
    without = federation(population(split=SPLIT))
    without.fit(1)
    assert without.records[0].logs["val_loss"] == without.records[0].logs["clients_val_loss"]


def test_local_metrics_are_measured_before_and_after_on_the_clients_own_rows():
    fed = federation(population(split=SPLIT))
    fed.fit(2, local_metrics=True)
    sites, plan = fed.prepare().sites, fed.plan()
    for name, client in fed.records[0].clients.items():
        before = fed.learner.evaluate(plan.initial, sites[name].data.validation, 9)
        assert client.before["loss"] == pytest.approx(before["loss"])
        assert client.after["loss"] != client.before["loss"]
        # The model after round 0 is the one before round 1.
        assert fed.records[1].clients[name].before["loss"] == pytest.approx(client.validation["loss"])
    fed.fit(1)
    assert fed.records[0].clients["c0"].before == {}


def test_the_server_optimizer_keeps_its_state_and_moves_only_trainable_weights():
    import keras

    plain = federation(algorithm=hansa.FedAvg(batch_size=4))
    plain.fit(3)
    sgd = federation(algorithm=hansa.FedAvg(batch_size=4), server_optimizer=keras.optimizers.SGD(1.0))
    sgd.fit(3)
    np.testing.assert_allclose(sgd.weights, plain.weights, rtol=1e-5, atol=1e-6)
    fed = federation(
        server_optimizer=keras.optimizers.Adam(0.1), learner=LeastSquares(statistic=True), seed=2
    )
    fed.fit(3)
    slots = fed._outcome.state.slots
    assert max(int(a) for a in slots.values() if a.dtype.kind in "iu") == 3  # Adam's own count of steps
    sites = fed.prepare().sites.values()
    expected = np.average([s.data.train.x.mean() for s in sites], weights=[len(s.data.train) for s in sites])
    assert fed.weights[4] == pytest.approx(expected, rel=1e-5)


def test_updates_reach_a_user_function_in_cohort_order_with_their_rows_as_weights():
    seen = []

    def mine(vectors, weights):
        seen.append((vectors.shape, vectors.dtype, weights.tolist()))
        return vectors.mean(0)

    fed = federation(aggregate=mine)
    fed.fit(1)
    assert seen == [((4, 4), np.float32, [5.0, 8.0, 13.0, 21.0])]
    assert isinstance(Delta(vector=fed.weights, weight=1), Delta)
