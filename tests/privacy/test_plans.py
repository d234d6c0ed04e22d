"""What plans take, refuse and promise, without a federation."""

import dataclasses

import pytest

from hansa.cohort import AtMost, FixedSize, Poisson
from hansa.errors import ConfigurationError, UnknownNameError
from hansa.privacy import (
    AdaptiveClip,
    Budget,
    Capped,
    CentralDP,
    Clip,
    DistributedDP,
    Facts,
    LocalDP,
    MatrixDP,
    Person,
    RecordDP,
    accountant,
)
from hansa.privacy.events import FixedSampled, Gaussian, PoissonSampled, Repeated, read_event

CLIENTS = [CentralDP, LocalDP, DistributedDP, MatrixDP]


@pytest.mark.parametrize("plan", [*CLIENTS, RecordDP])
def test_exactly_one_of_budget_and_noise_multiplier(plan):
    with pytest.raises(ConfigurationError, match=r"exactly one of .* got neither"):
        plan(rounds=3)
    with pytest.raises(ConfigurationError, match=r"exactly one of .* got both"):
        plan(rounds=3, noise_multiplier=1.0, budget=Budget(epsilon=1.0, delta=1e-5))


@pytest.mark.parametrize("plan", [*CLIENTS, RecordDP])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"rounds": 0}, "rounds must be a whole number of 1 or more"),
        ({"rounds": 2.0}, "rounds must be a whole number"),
        ({"noise_multiplier": 0.0}, "noise_multiplier must be a finite number above 0"),
        ({"noise_multiplier": float("nan")}, "noise_multiplier must be"),
        ({"noise_multiplier": float("inf")}, "noise_multiplier must be"),
        ({"noise_multiplier": True}, "noise_multiplier must be"),
        ({"delta": 0.0}, "delta must be above 0 and below 1"),
        ({"delta": 1.0}, "delta must be above 0 and below 1"),
        ({"seed": -1}, "seed must be a whole number"),
    ],
)
def test_wrong_settings_are_told(plan, wrong, said):
    with pytest.raises(ConfigurationError, match=said):
        plan(**{"rounds": 3, "noise_multiplier": 1.0, **wrong})


@pytest.mark.parametrize("epsilon", [0, -1.0, float("nan"), float("inf"), "1", True])
def test_epsilon_is_above_zero(epsilon):
    with pytest.raises(ConfigurationError, match="epsilon must be a finite number above 0"):
        Budget(epsilon=epsilon, delta=1e-5)


def test_a_budget_has_its_own_delta():
    with pytest.raises(ConfigurationError, match="the budget has its own"):
        CentralDP(rounds=1, budget=Budget(epsilon=1.0, delta=1e-5), delta=1e-5)
    with pytest.raises(ConfigurationError, match="budget must be Budget"):
        CentralDP(rounds=1, budget=1.0)


@pytest.mark.parametrize("plan", CLIENTS)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"clip": 0.0}, "Clip.norm must be a finite number above 0"),
        ({"clip": "1"}, "clip must be Clip"),
        ({"weights": "examples"}, "weights must be 'uniform' or Capped"),
        ({"participation": 10}, "participation must be None"),
        ({"population": 0}, "population must be a whole number"),
        ({"protects": "record"}, "unknown unit"),
        ({"neighbours": "swap"}, "unknown neighbouring relation|relation is 'replace'"),
    ],
)
def test_wrong_settings_of_plans_for_clients(plan, wrong, said):
    with pytest.raises(ConfigurationError, match=said):
        plan(**{"rounds": 3, "noise_multiplier": 1.0, "population": 100, **wrong})


def test_a_delta_above_one_over_the_population_is_refused():
    with pytest.raises(ConfigurationError, match=r"delta=0.02 is larger than 1/100, one over the population"):
        CentralDP(rounds=1, population=100, budget=Budget(epsilon=1.0, delta=0.02))
    with pytest.raises(ConfigurationError, match=r"delta=0.02 is larger than 1/100"):
        CentralDP(rounds=1, population=100, noise_multiplier=1.0, delta=0.02)


def test_a_delta_is_found_where_none_is_said():
    assert CentralDP(rounds=1, population=100, noise_multiplier=1.0).spends_delta == 1e-5
    assert CentralDP(rounds=1, population=10**6, noise_multiplier=1.0).spends_delta == 1e-7


def test_a_cap_below_expectation_is_refused():
    with pytest.raises(
        ConfigurationError, match=r"at most 30 clients is fewer than the 35 .* cap of 66 or more"
    ):
        CentralDP(rounds=1, population=3500, noise_multiplier=1.0, participation=Poisson(0.01, cap=30))


def test_a_rate_that_draws_nobody_is_refused():
    with pytest.raises(ConfigurationError, match="fewer than one"):
        CentralDP(rounds=1, population=50, noise_multiplier=1.0, participation=Poisson(0.01))


def test_at_most_must_last_for_all_rounds():
    with pytest.raises(ConfigurationError, match=r"is for 6 rounds, but MatrixDP is for 10. Take times=4"):
        MatrixDP(rounds=10, noise_multiplier=1.0, participation=AtMost(times=2, min_gap=3))
    with pytest.raises(ConfigurationError, match="MatrixDP rests on how often"):
        MatrixDP(rounds=10, noise_multiplier=1.0, participation=Poisson(0.1))
    with pytest.raises(UnknownNameError, match="strategy"):
        MatrixDP(rounds=10, noise_multiplier=1.0, strategy="magic")


def test_only_central_noise_goes_with_a_clip_that_adapts():
    assert CentralDP(rounds=1, noise_multiplier=1.0, clip=AdaptiveClip()).clip == AdaptiveClip()
    for plan in (LocalDP, DistributedDP, MatrixDP):
        with pytest.raises(ConfigurationError, match="works with a fixed clip"):
            plan(rounds=1, noise_multiplier=1.0, clip=AdaptiveClip())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"target_unclipped": 1.5}, "share from 0 to 1"),
        ({"initial": 0.0}, "initial must be"),
        ({"lr": -1.0}, "lr must be"),
        ({"bit_noise": 0.0}, "bit_noise must be"),
    ],
)
def test_wrong_settings_of_a_clip_that_adapts(wrong, said):
    with pytest.raises(ConfigurationError, match=said):
        AdaptiveClip(**wrong)


def test_bits_that_would_spend_all_are_refused():
    plan = CentralDP(rounds=1, noise_multiplier=1.0, population=100, clip=AdaptiveClip(bit_noise=0.4))
    with pytest.raises(ConfigurationError, match=r"must be above 0.5"):
        _ = plan.noise_of_updates


@pytest.mark.parametrize(("noise", "expected", "found"), [(1.0, 20, 1.154701), (0.5, 50, 0.502519)])
def test_the_split_of_an_adaptive_clip(noise, expected, found):
    assert AdaptiveClip().noise_of_updates(noise, expected) == pytest.approx(found, abs=1e-6)


def test_the_clip_moves_towards_the_quantile():
    clip = AdaptiveClip(target_unclipped=0.5, lr=0.2)
    assert clip.moved(1.0, halves=50.0, expected=100) < 1.0  # all were within the norm: it is too large
    assert clip.moved(1.0, halves=-50.0, expected=100) > 1.0  # none was
    assert clip.moved(1.0, halves=0.0, expected=100) == 1.0


def test_a_cap_weighs():
    assert [Capped(10).of(rows) for rows in (0, 5, 10, 1000)] == [0.0, 0.5, 1.0, 1.0]
    with pytest.raises(ConfigurationError, match=r"Capped.cap"):
        Capped(0)


def test_what_rounds_spend_follows_from_who_takes_part():
    make = lambda **k: CentralDP(rounds=12, noise_multiplier=2.0, population=100, **k)  # noqa: E731
    step = Gaussian(noise_multiplier=2.0)
    assert make().event(7) == Repeated(event=step, count=7)
    poisson = make(participation=Poisson(0.1)).event(7)
    assert poisson == Repeated(event=PoissonSampled(rate=0.1, event=step), count=7)
    capped = make(participation=Poisson(0.1, cap=40)).event(1).event
    assert (capped.cap, capped.population) == (40, 100)
    fixed = make(participation=FixedSize(10))
    assert fixed.event(7) == Repeated(event=FixedSampled(population=100, size=10, event=step), count=7)
    assert (fixed.compared, make().compared) == ("replace", "zero-out")
    assert make(participation=AtMost(times=4, min_gap=3)).event(7) == Repeated(event=step, count=3)
    assert make(protects=Person(max_clients=4)).event(1) == Repeated(
        event=Gaussian(noise_multiplier=0.5), count=1
    )


def test_a_draw_that_is_public_hides_nobody():
    plan = CentralDP(rounds=3, noise_multiplier=2.0, participation=FixedSize(10))
    plan = plan.bound(Facts(population=100, taken=(1, 1, 2)))
    assert not plan.secret_cohort
    assert plan.event(3) == Repeated(event=Gaussian(noise_multiplier=2.0), count=2)
    assert plan.compared == "zero-out"
    assert "public seed" in plan.explain()


def test_local_noise_is_told_for_any_other_update():
    plan = LocalDP(rounds=5, noise_multiplier=4.0, population=1000)
    assert plan.compared == "replace"
    half = CentralDP(rounds=5, noise_multiplier=2.0, population=1000)
    assert plan.spent(5).epsilon == pytest.approx(half.spent(5).epsilon)
    with pytest.raises(ConfigurationError, match="its relation is 'replace'"):
        LocalDP(rounds=5, noise_multiplier=4.0, neighbours="zero-out")


def test_correlated_noise_is_one_mechanism():
    plan = MatrixDP(rounds=8, noise_multiplier=1.5, population=80, participation=AtMost(times=2, min_gap=4))
    assert plan.event(8) == Gaussian(noise_multiplier=1.5)
    spent = [plan.spent(t).epsilon for t in range(1, 9)]
    assert spent == sorted(spent)
    assert spent[0] < spent[-1]


def test_a_budget_is_kept_and_hardly_more():
    budget = Budget(epsilon=4.0, delta=1e-4)
    plan = CentralDP(rounds=20, population=500, budget=budget)
    assert 3.99 < plan.spent(20).epsilon <= 4.0
    assert plan.noise == dataclasses.replace(plan).noise


def test_another_population_is_refused():
    plan = CentralDP(rounds=3, noise_multiplier=2.0, population=100)
    with pytest.raises(ConfigurationError, match="for a population of 100, but there are 50 clients"):
        plan.bound(Facts(population=50))
    with pytest.raises(ConfigurationError, match="needs population"):
        _ = CentralDP(rounds=3, noise_multiplier=2.0).expected


def test_a_guarantee_says_whom_and_how():
    plan = CentralDP(rounds=10, noise_multiplier=4.0, population=100, clip=Clip(0.5))
    told = plan.guarantee()
    assert told.status == "hypothetical"
    assert told.epsilon == pytest.approx(plan.spent(10).epsilon)
    assert "each client" in str(told)
    assert "zero-out" in str(told)
    assert "server" in str(told)
    for said in ("ε = ", "δ = ", "each client", "zero-out", "dp-accounting 0.", "Not covered: metrics"):
        assert said in told.statement
    assert plan.guarantee(0).epsilon == 0.0
    assert told.describe()["rounds_left"] == 0


def test_few_silos_are_warned_of():
    plan = CentralDP(rounds=50, noise_multiplier=10.0, population=10, protects="silo")
    assert plan.spent(50).epsilon == pytest.approx(2.9432, abs=1e-3)
    assert "The noise in a mean is 1 times the clip" in plan.explain()
    assert "RecordDP" in plan.explain()


def test_statuses():
    plan = CentralDP(rounds=10, noise_multiplier=4.0)
    facts = Facts(population=100)
    assert plan.bound(facts).guarantee().status == "enforced"
    person = dataclasses.replace(plan, protects=Person(max_clients=2)).bound(facts).guarantee()
    assert (person.status, person.protects) == ("assumed", "each person with data at up to 2 clients")
    seeded = dataclasses.replace(plan, seed=3).bound(facts).guarantee()
    assert seeded.status == "hypothetical"
    assert "who knows it takes them off" in seeded.statement


def test_shares_of_noise():
    facts = Facts(population=10, fewest=7, bound=1000, size=50)
    plan = DistributedDP(rounds=3, noise_multiplier=2.0, corrupt=2).bound(facts)
    assert plan.sharers == 5
    assert plan.share * plan.sharers == pytest.approx(2000.0**2)
    assert plan.event(3).event.variance == pytest.approx(2000.0**2)
    assert plan.event(3).event.l1 == pytest.approx(1000 * 50**0.5, abs=1)
    with pytest.raises(ConfigurationError, match="leaves nobody who adds noise"):
        DistributedDP(rounds=3, noise_multiplier=2.0, corrupt=7).bound(facts)
    for wrong in ({"corrupt": -1}, {"threshold": 0}):
        with pytest.raises(ConfigurationError, match="DistributedDP"):
            DistributedDP(rounds=3, noise_multiplier=2.0, **wrong)


def silos(**rows):
    return Facts(
        population=len(rows),
        records=rows,
        steps={name: -(-n // 10) for name, n in rows.items()},
        taken_by=dict.fromkeys(rows, (1, 2, 3)),
        taken=(1, 2, 3),
        batch_size=10,
    )


def test_each_silo_has_its_ledger():
    plan = RecordDP(rounds=3, noise_multiplier=1.0, delta=1e-5).bound(silos(large=1000, small=50))
    spent = plan.spent_by(3)
    assert spent["small"].epsilon > spent["large"].epsilon
    assert plan.spent(3) == spent["small"]
    small = Repeated(event=PoissonSampled(rate=0.2, event=Gaussian(noise_multiplier=1.0)), count=15)
    assert accountant.spent(small, delta=1e-5, neighbours="zero-out") == spent["small"]
    charged = plan.charged(1, ("small",))
    assert read_event(charged["silos"]["small"]).count == 5
    assert "large" not in charged["silos"]


def test_each_silo_keeps_the_budget():
    budget = Budget(epsilon=3.0, delta=1e-4)
    plan = RecordDP(rounds=3, budget=budget).bound(silos(large=100, small=50))
    assert plan.noises["small"] > plan.noises["large"]
    assert all(2.99 < spent.epsilon <= 3.0 for spent in plan.spent_by(3).values())


def test_many_silos_share_noise_and_keep_the_budget(monkeypatch):
    monkeypatch.setattr("hansa.privacy.record.MOST_CALIBRATED", 2)
    rows = {f"s{i}": 40 + 7 * i for i in range(4)}
    plan = RecordDP(rounds=3, budget=Budget(epsilon=3.0, delta=1e-4)).bound(silos(**rows))
    assert len(set(plan.noises.values())) == 2
    assert all(spent.epsilon <= 3.0 for spent in plan.spent_by(3).values())


def test_a_silo_with_few_records_is_a_minibatch():
    plan = RecordDP(rounds=3, noise_multiplier=1.0, delta=1e-5).bound(silos(tiny=4))
    assert plan.rate("tiny") == 1.0
    assert plan.spent_by(1)["tiny"].epsilon == pytest.approx(4.377178, abs=1e-4)


def test_record_level_settings():
    with pytest.raises(ConfigurationError, match="larger than 1/1000, one over the records"):
        RecordDP(rounds=3, noise_multiplier=1.0, delta=0.01).bound(silos(large=1000, small=50))
    with pytest.raises(ConfigurationError, match=r"RecordDP.clip"):
        RecordDP(rounds=3, noise_multiplier=1.0, clip=0)
    with pytest.raises(ConfigurationError, match=r"RecordDP.microbatch"):
        RecordDP(rounds=3, noise_multiplier=1.0, microbatch=0)
    with pytest.raises(ConfigurationError, match="depends on the silos"):
        RecordDP(rounds=3, noise_multiplier=1.0).guarantee()
    with pytest.raises(UnknownNameError, match="unit"):
        RecordDP(rounds=3, noise_multiplier=1.0, protects="client")


@pytest.mark.parametrize("plan", [CentralDP, DistributedDP])
def test_nobody_is_added_to_cohorts_of_a_fixed_size(plan):
    with pytest.raises(ConfigurationError, match=r"FixedSize\(size=10\).*'zero-out' or 'replace'"):
        plan(rounds=3, noise_multiplier=1.0, participation=FixedSize(10), neighbours="add/remove")


def test_nobody_is_added_where_turns_are_dealt_to_all():
    with pytest.raises(ConfigurationError, match=r"AtMost.*'zero-out' or 'replace'"):
        MatrixDP(
            rounds=12,
            noise_multiplier=1.0,
            participation=AtMost(times=4, min_gap=3),
            neighbours="add/remove",
        )


def test_no_record_is_added_where_steps_follow_from_their_number():
    with pytest.raises(ConfigurationError, match="zero-out"):
        RecordDP(rounds=3, noise_multiplier=1.0, neighbours="add/remove")


@pytest.mark.parametrize("rounds", [-1, 11, 2.5, True])
def test_nothing_is_promised_of_rounds_that_a_plan_does_not_have(rounds):
    silos = RecordDP(rounds=10, noise_multiplier=1.0).bound(
        Facts(
            population=1,
            records={"a": 100},
            steps={"a": 3},
            taken_by={"a": tuple(range(1, 11))},
            batch_size=10,
        )
    )
    for plan in (CentralDP(rounds=10, noise_multiplier=1.0, population=100), silos):
        with pytest.raises(ConfigurationError, match="rounds that are done are 0 to 10"):
            plan.guarantee(rounds)


@pytest.mark.parametrize(
    ("noise", "said"), [(20.0, "hardly better for it"), (2.0, "may be much better"), (0.5, "next to no")]
)
def test_what_a_loss_is_worth_is_told(noise, said):
    told = CentralDP(rounds=5, noise_multiplier=noise, population=100).guarantee()
    assert said in told.statement
    assert ("a guess" in told.statement) == (told.epsilon <= 10)
