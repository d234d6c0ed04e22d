"""What privacy was charged for, added up again."""

import pytest

from hansa.errors import LogError, MissingExtraError
from hansa.privacy import accountant
from hansa.privacy.events import Gaussian, Pure, Repeated, Several
from hansa.verification import ledger
from hansa.verification.ledger import check_ledger

DELTA = 1e-3
PLAN = {
    "kind": "CentralDP",
    "protects": "client",
    "neighbours": "zero-out",
    "rounds": 3,
    "noise_multiplier": 2.0,
    "delta": DELTA,
    "budget": None,
}
SILOS = {**PLAN, "kind": "RecordDP", "noise_multiplier": {"a": 2.0, "b": 1.0}}


def spent(event):
    return accountant.spent(event, delta=DELTA, neighbours="zero-out").epsilon


def whole(rounds=2, noise=2.0, **changes):
    """Entries of a plan of whole clients."""
    events = [Repeated(event=Gaussian(noise_multiplier=noise), count=n + 1) for n in range(rounds)]
    return [
        {"event": e.describe(), "rounds": n + 1, "epsilon": spent(e), "delta": DELTA, **changes}
        for n, e in enumerate(events)
    ]


def by_silo(rounds=2, **noises):
    """Entries of a plan of records, in which silos take four steps a round."""
    one = {
        silo: Repeated(event=Gaussian(noise_multiplier=noise), count=4)
        for silo, noise in {"a": 2.0, "b": 1.0, **noises}.items()
    }
    entries = []
    for n in range(rounds):
        worst = max(spent(Repeated(event=e.event, count=4 * (n + 1))) for e in one.values())
        silos = {silo: event.describe() for silo, event in one.items()}
        entries.append({"silos": silos, "rounds": n + 1, "epsilon": worst, "delta": DELTA})
    return entries


def test_what_was_charged_adds_up():
    assert check_ledger({"privacy": PLAN}, whole()) == ""
    assert check_ledger({"privacy": SILOS}, by_silo()) == ""
    assert check_ledger({"privacy": {**PLAN, "budget": {"epsilon": 99.0, "delta": DELTA}}}, whole(3)) == ""


@pytest.mark.parametrize(("plan", "entries"), [(PLAN, whole), (SILOS, by_silo)])
def test_less_than_was_spent_is_found(plan, entries):
    told = entries()
    for entry in told:
        entry["epsilon"] *= 0.999
    with pytest.raises(LogError, match="was spent, and the log tells"):
        check_ledger({"privacy": plan}, told)
    told[-1]["epsilon"] = float("nan")
    with pytest.raises(LogError):
        check_ledger({"privacy": plan}, told)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rounds": 5}, "not the plan's"),
        ({"delta": 1e-9}, "not the plan's"),
        ({"epsilon": -1.0}, "less than the round before"),
        ({"epsilon": float("nan")}, "less than the round before"),
        ({"epsilon": "x"}, "has no entry"),
        ({"epsilon": None}, "has no entry"),
        ({"event": {"kind": "x"}}, "is none|charged for"),
        ({"event": 3}, "is none|charged for"),
    ],
)
def test_an_entry_that_is_none_is_found(change, words):
    told = whole()
    told[1] |= change
    with pytest.raises(LogError, match=words):
        check_ledger({"privacy": PLAN}, told)


def test_more_rounds_or_more_epsilon_than_planned_are_found():
    with pytest.raises(LogError, match="round 3: the ledger of privacy tells 4 rounds"):
        check_ledger({"privacy": PLAN}, whole(4))
    budget = {"epsilon": whole()[0]["epsilon"], "delta": DELTA}
    with pytest.raises(LogError, match=r"round 1: .* the budget is"):
        check_ledger({"privacy": {**PLAN, "budget": budget}}, whole())


def test_a_loss_that_shrinks_is_found():
    told = whole()
    told[0]["epsilon"] = 2 * told[1]["epsilon"]
    with pytest.raises(LogError, match="less than the round before"):
        check_ledger({"privacy": PLAN}, told)


def test_noise_that_was_not_planned_is_found():
    with pytest.raises(LogError, match="'a round' was charged for"):
        check_ledger({"privacy": PLAN}, whole(noise=4.0))
    with pytest.raises(LogError, match="'b' was charged for"):
        check_ledger({"privacy": SILOS}, by_silo(b=4.0))


def test_a_person_at_several_clients_is_charged_for_less_noise():
    plan = {**PLAN, "protects": {"person": 2}}
    assert check_ledger({"privacy": plan}, whole(noise=1.0)) == ""
    with pytest.raises(LogError, match="was charged for"):
        check_ledger({"privacy": plan}, whole(noise=2.0))


@pytest.mark.parametrize(
    "event", [Pure(epsilon=1e-9).describe(), Gaussian(noise_multiplier=9).describe(), None, {}]
)
def test_a_silo_is_charged_for_its_own_mechanism(event):
    told = by_silo()
    told[1]["silos"]["a"] = event
    with pytest.raises(LogError):
        check_ledger({"privacy": SILOS}, told)


def test_a_silo_of_which_the_plan_says_nothing_is_found():
    told = by_silo()
    told[1]["silos"]["c"] = told[1]["silos"]["a"]
    with pytest.raises(LogError, match="an entry that is none"):
        check_ledger({"privacy": SILOS}, told)


def test_a_silo_that_took_no_step_is_charged_nothing():
    told = by_silo()
    for entry in told:
        entry["silos"]["a"] = Several().describe()
    assert check_ledger({"privacy": SILOS}, told) == ""


def test_without_the_private_log_silos_are_not_added_up():
    told = [{name: value for name, value in entry.items() if name != "silos"} for entry in by_silo()]
    assert "private log" in check_ledger({"privacy": SILOS}, told)


def test_a_bound_that_is_quick_saves_the_tightest(monkeypatch):
    told = by_silo()
    for entry in told:
        entry["epsilon"] *= 2
    asked, real = [], accountant.spent

    def spy(event, *, accountant="best", **known):
        asked.append(accountant)
        return real(event, accountant=accountant, **known)

    monkeypatch.setattr(ledger.accountant, "spent", spy)
    assert check_ledger({"privacy": SILOS}, told) == ""
    assert asked == ["rdp", "rdp"]
    monkeypatch.setattr(ledger, "_MOST_SEARCHED", 0)
    assert "0 silos only" in check_ledger({"privacy": SILOS}, by_silo())


def test_without_an_accountant_it_says_so(monkeypatch):
    def missing(*_, **__):
        raise MissingExtraError("accounting", "dp_accounting", "privacy")

    monkeypatch.setattr(ledger.accountant, "spent", missing)
    assert "dp-accounting is not installed" in check_ledger({"privacy": PLAN}, whole_told())


def whole_told():
    return [{"event": Gaussian(noise_multiplier=2.0).describe(), "rounds": 1, "epsilon": 1.0, "delta": DELTA}]
