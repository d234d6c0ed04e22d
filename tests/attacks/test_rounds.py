"""A server that plays with whole rounds: what each client is given, and who is in a cohort."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest

import hansa
from hansa.engine.engine import Declared
from hansa.secure_sum import SECURE_SUMS
from hansa.types import Answer
from least_squares import federation

SECURE = [kind for kind in SECURE_SUMS if kind != "plain"]
VICTIM = "c1"


@dataclass(frozen=True)
class Malicious(Declared):
    """An engine whose server gives all but one client something else."""

    change: dict

    def start(self, *args, **kwargs):
        engine = hansa.Local().start(*args, **kwargs)
        honest, change = engine.answer, self.change

        def answer(ask):
            if ask.phase != "train":
                return honest(ask)
            others = tuple(name for name in ask.clients if name != VICTIM)
            payload = dataclasses.replace(ask.payload, **change)
            one = honest(dataclasses.replace(ask, clients=(VICTIM,)))
            rest = honest(dataclasses.replace(ask, clients=others, payload=payload))
            replies = {**one.replies, **rest.replies}
            return Answer(
                replies={name: replies[name] for name in ask.clients if name in replies},
                dropped={**one.dropped, **rest.dropped},
            )

        engine.answer = answer
        return engine


@pytest.mark.parametrize("kind", SECURE)
@pytest.mark.parametrize(
    "change",
    [{"learning_rate": 1e-30}, {"weights": np.full(4, 1e-30, np.float32)}, {"seed": b"s" * 32}, {"round": 1}],
    ids=lambda change: next(iter(change)),
)
def test_a_start_that_leaves_only_one_update_unlike_zero_opens_nothing(kind, change):
    made = federation(
        secure_sum=kind, engine=Malicious(change), algorithm=hansa.FedAvg(steps=2, batch_size=2)
    )
    made.fit(1)
    record = made.records[0]
    assert record.void
    assert "not what the messages say" in record.void or "another round" in record.void
    assert record.update_norm == 0.0


def test_the_attack_works_where_clients_do_not_look(monkeypatch):
    """So that the tests above cannot pass for another reason."""
    monkeypatch.setattr("hansa.client.why_not", lambda *_, **__: "")
    local = {"algorithm": hansa.FedAvg(steps=2, batch_size=2), "aggregate": "uniform"}
    made = federation(secure_sum="sealed", engine=Malicious({"learning_rate": 1e-30}), **local)
    made.fit(1)
    assert not made.records[0].void
    assert made.records[0].update_norm > 0
