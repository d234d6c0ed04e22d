import dataclasses
from dataclasses import replace

import numpy as np
import pytest

import hansa
from hansa import client
from hansa.errors import DataError, UpdateError
from hansa.round import first_state
from hansa.secure_sum.phases import payload_hash
from hansa.secure_sum.roster import Place
from hansa.types import Ask, Start
from least_squares import LeastSquares, federation, population


def parts(**settings):
    fed = federation(settings.pop("clients", None), **settings)
    plan = fed.plan(local_metrics=True)
    return fed, plan, fed.prepare().sites["c1"], Start(round=2, weights=first_state(plan).weights)


def test_the_reply_has_the_update_its_weight_and_its_metrics():
    fed, plan, site, start = parts()
    reply, memory = client.train(plan, site, fed.learner, start=start, memory={}, seeds=fed.seeds)
    assert reply.delta is not None
    assert reply.delta.vector.dtype == np.float32
    assert (reply.delta.weight, reply.examples) == (8.0, 8)
    assert set(reply.metrics) == {"training", "before", "after"}
    assert reply.metrics["after"]["loss"] < reply.metrics["before"]["loss"]
    assert memory == {}


def test_uniform_weighs_every_client_1():
    fed, plan, site, start = parts(aggregate="uniform")
    reply, _ = client.train(plan, site, fed.learner, start=start, memory={}, seeds=fed.seeds)
    assert reply.delta is not None
    assert (reply.delta.weight, reply.examples) == (1.0, 8)


def test_the_task_tells_rate_seed_and_weights():
    tasks = []
    fed, plan, site, start = parts(learner=LeastSquares(hook=lambda e, t: tasks.append(t)))
    start = Start(round=2, weights=start.weights, learning_rate=0.25)
    for round_number in (2, 3):
        again = Start(round=round_number, weights=start.weights, learning_rate=0.25)
        client.train(plan, site, fed.learner, start=again, memory={}, seeds=fed.seeds)
    assert fed.learner.rates == [0.25, 0.25]
    assert tasks[0].seed != tasks[1].seed
    assert np.array_equal(tasks[0].start, start.weights)


def test_what_is_not_finite_leaves_the_memory_as_it_was():
    def diverge(examples, task):
        task.start[:] = np.inf

    fed, plan, site, start = parts(
        learner=LeastSquares(hook=diverge), algorithm=hansa.Scaffold(batch_size=1, epochs=3)
    )
    memory = {"control": np.full(4, 0.5, np.float32)}
    extra = {"control": np.full(4, 3e38, np.float32)}
    start = Start(round=0, weights=start.weights, extra=extra)
    with np.errstate(all="ignore"):
        reply, after = client.train(plan, site, fed.learner, start=start, memory=memory, seeds=fed.seeds)
    assert reply.delta is not None
    assert not np.isfinite(reply.delta.vector).all()
    assert after is memory


def test_an_error_in_local_training_says_whose_and_when():
    def fail(examples, task):
        raise ZeroDivisionError("boom")

    fed, plan, site, start = parts(learner=LeastSquares(hook=fail))
    with pytest.raises(ZeroDivisionError) as error:
        client.train(plan, site, fed.learner, start=start, memory={}, seeds=fed.seeds)
    assert error.value.__notes__ == ["while client 'c1' trained in round 2"]


def test_class_weights_reach_the_learner_as_row_weights():
    seen = []
    x = np.ones((4, 3), np.float32)
    clients = {"c0": (x, np.array([0, 1, 1, 0])), "c1": (x, np.array([0, 1, 1, 2]), np.array([1, 2, 3, 4.0]))}
    fed, plan, site, start = parts(
        clients=clients,
        class_weight={1: 5.0, 0: 0.5},
        learner=LeastSquares(hook=lambda e, t: seen.append(e.sample_weight.tolist())),
    )
    client.train(plan, site, fed.learner, start=start, memory={}, seeds=fed.seeds)
    assert seen == [[0.5, 10.0, 15.0, 4.0]]


def test_a_client_without_validation_rows_has_nothing_to_tell():
    fed, plan, site, start = parts()
    reply = client.evaluate(plan, site, fed.learner, weights=start.weights, memory={})
    assert (reply.examples, reply.metrics) == (0, {"validation": {}})


def test_local_metrics_use_validation_rows_where_there_are_some():
    split = hansa.data.Split(train=0.5, validation=0.5)
    fed, plan, site, start = parts(clients=population(split=split))
    reply, _ = client.train(plan, site, fed.learner, start=start, memory={}, seeds=fed.seeds)
    expected = fed.learner.evaluate(start.weights, site.data.validation, 9)
    assert reply.metrics["before"] == expected


def test_a_client_without_rows_is_refused_before_any_round():
    fed = federation({"a": (np.ones((3, 2)), np.ones(3)), "empty": (np.ones((0, 2)), np.ones(0))})
    with pytest.raises(DataError, match="'empty'"):
        fed.fit(1)


def test_a_learner_that_returns_weights_of_another_model_is_told_so():
    class Longer(LeastSquares):
        def train(self, examples, task):
            trained = super().train(examples, task)
            return dataclasses.replace(trained, weights=np.append(trained.weights, np.float32(0)))

    fed, plan, site, start = parts(learner=Longer())
    with pytest.raises(UpdateError, match="flat vector of 4 scalars") as error:
        client.train(plan, site, fed.learner, start=start, memory={}, seeds=fed.seeds)
    assert error.value.__notes__ == ["while client 'c1' trained in round 2"]


def test_a_learner_cannot_write_into_the_servers_weights():
    def scribble(examples, task):
        task.start[:] = 7

    fed, plan, site, start = parts(learner=LeastSquares(hook=scribble))
    before = start.weights.copy()
    client.train(plan, site, fed.learner, start=start, memory={}, seeds=fed.seeds)
    assert np.array_equal(start.weights, before)


# ---------------------------------------------------------------------- behind a secure sum


def secure(**settings):
    made = federation(algorithm=hansa.Scaffold(steps=2, batch_size=2), secure_sum="sealed", **settings)
    plan, seeds = made.plan(), made.seeds
    state = first_state(plan)
    start = Start(round=3, weights=state.weights, extra=plan.algorithm.broadcast(state), seed=b"s" * 32)
    cohort = plan.cohort.draw(plan.clients, 3, seeds)
    place = Place(
        configuration=b"c" * 32,
        roster=b"r" * 32,
        payload=payload_hash(start),
        round=3,
        attempt=0,
        cohort=cohort,
    )
    return plan, seeds, Ask(phase="train", clients=cohort, payload=start, place=place)


def test_a_client_takes_part_in_what_the_configuration_says():
    plan, seeds, ask = secure(cohort=3)
    assert client.why_not(plan, ask, seeds) == ""
    place = replace(ask.place, purpose="tell", cohort=plan.clients)
    for payload in (None, ask.payload.weights):
        told = replace(
            ask, phase="tell", payload=payload, place=replace(place, payload=payload_hash(payload))
        )
        assert client.why_not(plan, told, seeds) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.ones(4, np.float32)},
        {"weights": np.zeros(4, np.float64)},
        {"extra": {"control": np.ones(4, np.float32)}},
        {"extra": {}},
        {"learning_rate": 1e-30},
        {"seed": b"t" * 32},
        {"round": 4},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_client_that_was_given_something_else_than_the_others_says_nothing(change):
    plan, seeds, ask = secure()
    assert client.why_not(plan, replace(ask, payload=replace(ask.payload, **change)), seeds)


@pytest.mark.parametrize(
    "change",
    [
        {"cohort": ("c0", "c1", "c2", "c3")},
        {"cohort": ("c1", "c0", "c2")},
        {"purpose": "tell"},
        {"attempt": 1},
        {"round": 4},
        {"payload": bytes(32)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_cohort_or_round_that_the_configuration_does_not_say_is_refused(change):
    plan, seeds, ask = secure(cohort=3)
    assert client.why_not(plan, replace(ask, place=replace(ask.place, **change)), seeds)
