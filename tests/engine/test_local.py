import numpy as np
import pytest

import hansa
from hansa.engine.local import LocalEngine
from hansa.errors import ConfigurationError
from hansa.round import first_state
from hansa.types import Ask, Examples, Start
from least_squares import LeastSquares, federation, population


def engine(server=None, clients=None, **settings):
    fed = federation(clients, **settings)
    plan = fed.plan()
    made = LocalEngine(plan, fed.prepare().sites, fed.learner, fed.seeds, server=server)
    return made, plan, Start(round=0, weights=first_state(plan).weights)


@pytest.mark.parametrize("reduce", ["sum", "keep"])
def test_updates_are_summed_and_kept_only_where_asked(reduce):
    made, plan, start = engine()
    answer = made.answer(Ask(phase="train", clients=plan.clients, payload=start, reduce=reduce))
    assert list(answer.replies) == list(plan.clients)
    kept = [reply.delta for reply in answer.replies.values()]
    assert answer.total is not None
    assert (answer.total.count, answer.total.weight) == (4, 47.0)
    assert (answer.bytes_down, answer.bytes_up) == (64, 64)
    if reduce == "sum":
        assert kept == [None] * 4
    else:
        total = sum(d.vector.astype(float) * d.weight for d in kept if d is not None)
        np.testing.assert_allclose(answer.total.vector, total, rtol=1e-12)


def test_memories_are_staged_until_the_round_is_committed():
    made, _, start = engine(algorithm=hansa.FedAvg(steps=3, carry_over=True))
    made.answer(Ask(phase="train", clients=("c0", "c2"), payload=start, reduce="sum"))
    assert made.memories == {}
    assert {name: int(m["position"]) for name, m in made.learned.items()} == {"c0": 3, "c2": 3}
    # A round that is begun again forgets what the one before it learned.
    made.answer(Ask(phase="train", clients=("c0",), payload=start, reduce="sum"))
    assert list(made.learned) == ["c0"]
    made.commit()
    assert {name: int(m["position"]) for name, m in made.memories.items()} == {"c0": 3}
    assert made.learned == {}


def test_clients_are_evaluated_with_what_they_learned_in_this_round():
    split = hansa.data.Split(train=0.5, validation=0.5)
    made, plan, start = engine(
        clients=population(split=split), algorithm=hansa.FedBN(), learner=LeastSquares(personal=True)
    )
    made.answer(Ask(phase="train", clients=("c0",), payload=start, reduce="sum"))
    replies = made.answer(Ask(phase="evaluate", clients=("c0", "c1"), payload=start.weights)).replies
    own = made.learned["c0"]["personal"][0]
    assert replies["c0"].metrics["validation"]["gamma"] == own != plan.initial[4]
    assert replies["c1"].metrics["validation"]["gamma"] == plan.initial[4]


def test_the_server_validates_on_its_own_rows():
    server = Examples(x=np.ones((3, 3), np.float32), y=np.ones(3, np.float32))
    made, _, start = engine(server=server)
    reply = made.answer(Ask(phase="validate", clients=("@server",), payload=start.weights)).replies["@server"]
    assert reply.examples == 3
    assert reply.metrics["validation"]["loss"] > 0


def test_an_unknown_phase_is_an_error():
    made, _, start = engine()
    for phase in ("open", "validate"):
        with pytest.raises(ConfigurationError, match=f"cannot answer the phase '{phase}'"):
            made.answer(Ask(phase=phase, clients=(), payload=start.weights))
