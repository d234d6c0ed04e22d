import json
import time

import pytest

from hansa.errors import ConfigurationError
from hansa.privacy.accountant import spent
from hansa.privacy.events import (
    FixedSampled,
    Gaussian,
    Laplace,
    NotPrivate,
    PoissonSampled,
    Pure,
    Repeated,
    Several,
    Skellam,
)
from hansa.privacy.ledger import Ledger
from hansa.privacy.losses import COARSE

BUDGET = {"delta": 1e-5, "neighbours": "zero-out"}
SAMPLED = PoissonSampled(rate=0.05, event=Gaussian(noise_multiplier=1.0))
PURE = Pure(epsilon=0.1)
OTHERS = [
    SAMPLED,
    PoissonSampled(rate=0.05, event=Gaussian(noise_multiplier=1.0), population=1000, cap=90),
    FixedSampled(population=100, size=5, event=Gaussian(noise_multiplier=4.0)),
    PoissonSampled(rate=0.05, event=Skellam(variance=1e8, l2=1e4, l1=1e7)),
    Gaussian(noise_multiplier=5.0),
    Laplace(noise_multiplier=9.0),
    PURE,
]


def test_equal_releases_in_a_row_are_one_entry():
    ledger = Ledger([SAMPLED] * 3 + [PURE] + [SAMPLED])
    ledger.charge(Repeated(event=SAMPLED, count=5))
    assert len(ledger) == 10
    assert ledger.event == Several(
        events=(Repeated(event=SAMPLED, count=3), PURE, Repeated(event=SAMPLED, count=6))
    )
    assert len(ledger.describe()) == 3
    assert Ledger().event == Several()
    assert len(Ledger()) == 0


def test_it_survives_a_restart():
    ledger = Ledger([*OTHERS, SAMPLED, SAMPLED, NotPrivate()])
    again = Ledger.read(json.loads(json.dumps(ledger.describe())))
    assert again == ledger
    assert again != Ledger(OTHERS)
    assert Ledger() != []
    for junk in (None, {}, [1], "x", [{"kind": "gaussian"}]):
        with pytest.raises(ConfigurationError):
            Ledger.read(junk)


@pytest.mark.parametrize("event", OTHERS, ids=lambda event: type(event).__name__)
def test_the_running_figure_is_the_exact_one_or_a_little_more(event):
    ledger = Ledger()
    for done in range(1, 13):
        ledger.charge(event)
        running = ledger.running(**BUDGET)
        if done == 12:
            whole = spent(Repeated(event=event, count=done), interval=COARSE, **BUDGET)
            assert running.epsilon == pytest.approx(whole.epsilon, abs=1e-5)
            assert running.accountant == whole.accountant
    if event == SAMPLED:
        exact = ledger.spent(**BUDGET)
        assert exact == spent(Repeated(event=event, count=12), **BUDGET)
        assert exact.epsilon <= running.epsilon <= exact.epsilon + 1e-3


def test_mixtures_and_resumed_runs_give_the_same_running_figure():
    ledger = Ledger()
    for event in [SAMPLED, PURE, SAMPLED, SAMPLED, Gaussian(noise_multiplier=6.0)]:
        ledger.charge(event)
        last = ledger.running(**BUDGET)
    again = Ledger.read(ledger.describe())
    assert again.running(**BUDGET).epsilon == pytest.approx(last.epsilon, abs=1e-3)
    assert ledger.running(delta=1e-7, neighbours="replace").epsilon > last.epsilon
    assert ledger.running(**BUDGET) == last


def test_a_run_stops_before_its_budget_is_exceeded():
    within = spent(Repeated(event=SAMPLED, count=20), **BUDGET).epsilon
    ledger = Ledger()
    while not ledger.would_exceed(SAMPLED, epsilon=within + 1e-6, **BUDGET):
        ledger.charge(SAMPLED)
        ledger.running(**BUDGET)
    assert len(ledger) == 20
    assert ledger.spent(**BUDGET).epsilon <= within + 1e-6
    assert ledger.would_exceed(NotPrivate(), epsilon=1e6, **BUDGET)
    assert not ledger.would_exceed(Several(), epsilon=within + 1e-6, **BUDGET)
    with pytest.raises(ConfigurationError, match="epsilon must be"):
        ledger.would_exceed(SAMPLED, epsilon=0, **BUDGET)
    with pytest.raises(ConfigurationError, match="delta must be"):
        ledger.running(delta=0, neighbours="zero-out")


def test_a_question_changes_nothing():
    ledger = Ledger([SAMPLED] * 4)
    before = ledger.running(**BUDGET)
    ledger.would_exceed(Repeated(event=SAMPLED, count=1000), epsilon=1.0, **BUDGET)
    assert ledger.running(**BUDGET).epsilon == pytest.approx(before.epsilon, abs=1e-3)
    assert len(ledger) == 4


def test_tiny_noise_is_told_at_once():
    ledger = Ledger([PoissonSampled(rate=0.5, event=Gaussian(noise_multiplier=0.03))] * 9)
    assert ledger.running(**BUDGET).epsilon > 1000


def test_each_round_costs_little():
    ledger = Ledger()
    for _ in range(3):  # the first discretises the release
        ledger.charge(SAMPLED)
        ledger.running(**BUDGET)
    began = time.process_time()
    for _ in range(20):
        assert not ledger.would_exceed(SAMPLED, epsilon=8.0, **BUDGET)
        ledger.charge(SAMPLED)
        ledger.running(**BUDGET)
    assert (time.process_time() - began) / 20 < 0.1
