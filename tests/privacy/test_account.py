import json
import threading

import pytest

from hansa.errors import BudgetError, ConfigurationError
from hansa.privacy import Account, Budget, Ledger, Noise
from hansa.privacy.account import charge
from hansa.privacy.events import Gaussian

BUDGET = Budget(epsilon=1.0, delta=1e-9)


def test_ten_tenths_are_one_and_an_eleventh_is_refused():
    account, event = Account(budget=BUDGET), Noise(epsilon=0.1).event
    for _ in range(10):
        account.charge(event, neighbours="add/remove")
    assert account.spent().epsilon <= 1 + 1e-9
    with pytest.raises(BudgetError, match=r"budget is epsilon 1 .* Nothing was released"):
        account.charge(event, neighbours="add/remove")
    assert len(account.ledger) == 10


def test_gaussian_and_laplace_noise_share_a_budget():
    account = Account(budget=Budget(epsilon=1.0, delta=1e-6))
    account.charge(Noise(epsilon=0.9, delta=1e-6).event, neighbours="add/remove")
    assert not account.affords(Noise(epsilon=0.5).event)
    assert account.affords(Noise(epsilon=0.01).event)


def test_one_release_of_the_whole_budget_fits():
    budget = Budget(epsilon=1.0, delta=1e-6)
    for neighbours in ("add/remove", "zero-out", "replace"):
        for delta in (0.0, 1e-6):
            account = Account(budget=budget, neighbours=neighbours)
            noise = Noise(epsilon=1.0, delta=delta, neighbours=neighbours)
            account.charge(noise.event, neighbours=neighbours)


@pytest.mark.parametrize(
    ("own", "noise", "fits"),
    [
        ("add/remove", "add/remove", True),
        ("add/remove", "zero-out", False),
        ("add/remove", "replace", False),
        ("zero-out", "add/remove", True),
        ("zero-out", "replace", False),
        ("replace", "add/remove", True),
        ("replace", "zero-out", True),
    ],
)
def test_noise_must_hold_for_the_relation_of_the_account(own, noise, fits):
    account = Account(budget=BUDGET, neighbours=own)
    event = Noise(epsilon=0.25, neighbours=noise).event
    if not fits:
        with pytest.raises(ConfigurationError, match="take neighbours="):
            account.charge(event, neighbours=noise)
        assert len(account.ledger) == 0
        return
    account.charge(event, neighbours=noise)
    expected = 0.5 if own == "replace" else 0.25
    assert account.spent().epsilon == pytest.approx(expected, abs=1e-4)


def test_an_account_goes_on_with_what_was_charged_before_and_is_told_as_json():
    account = Account(budget=BUDGET)
    charge(account, Noise(epsilon=0.75).event, neighbours="add/remove")
    told = json.loads(json.dumps(account.describe()))
    again = Account(budget=BUDGET, ledger=Ledger.read(told["events"]))
    with pytest.raises(BudgetError):
        charge(again, Noise(epsilon=0.5).event, neighbours="add/remove")


def test_a_ledger_has_no_budget_and_anything_else_is_refused():
    ledger = Ledger()
    charge(ledger, Gaussian(noise_multiplier=0.1), neighbours="replace")
    charge(None, Gaussian(noise_multiplier=0.1), neighbours="replace")
    assert len(ledger) == 1
    with pytest.raises(ConfigurationError, match="Account"):
        charge(BUDGET, Gaussian(noise_multiplier=0.1), neighbours="replace")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="Budget"):
        Account(budget=1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("epsilon", [1e-6, 100.0, 1e3, 1e6])
@pytest.mark.parametrize("delta", [0.0, 1e-6])
def test_extreme_epsilons_are_accounted_for(epsilon, delta):
    if delta and not 1e-3 < epsilon < 1e3:
        return
    account = Account(budget=Budget(epsilon=1e7, delta=1e-6))
    for _ in range(2):
        account.charge(Noise(epsilon=epsilon, delta=delta).event, neighbours="add/remove")
    assert 0 <= account.spent().epsilon <= 2 * epsilon * (1 + 1e-9)


def test_several_at_once_do_not_overspend():
    account, refused = Account(budget=BUDGET), []

    def spend():
        try:
            account.charge(Noise(epsilon=0.3).event, neighbours="add/remove")
        except BudgetError:
            refused.append(1)

    threads = [threading.Thread(target=spend) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(account.ledger), len(refused)) == (3, 3)
