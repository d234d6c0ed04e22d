"""Runs with a plan of differential privacy: what the sum becomes, what is refused, kept and told."""

import dataclasses
import json
import stat

import numpy as np
import pytest

import hansa
from hansa.cohort import AtMost, FixedSize, Poisson
from hansa.errors import ConfigurationError, RunError
from hansa.privacy import (
    AdaptiveClip,
    Budget,
    Capped,
    CentralDP,
    DistributedDP,
    LocalDP,
    MatrixDP,
    RecordDP,
)
from hansa.privacy.events import read_event
from hansa.recipes import RECIPES
from hansa.report.data import Comparison
from hansa.testing.faults import Unreliable
from least_squares import LeastSquares, federation, population

SILENT = {(number, "train"): ("c0", "c1") for number in range(2)}
LOCAL = {"steps": 3, "batch_size": 2}
SIZES = (5, 8, 13, 21, 9, 6, 7, 12)


def trained(privacy, rounds=3, *, clients=8, run=None, resume=False, fitted=None, **settings):
    declared = {"algorithm": hansa.FedAvg(**LOCAL), "seed": 3, **settings}
    made = federation(population(SIZES[:clients]), privacy=privacy, **declared)
    made.fit(rounds, run=run, resume=resume)
    return made


def central(rounds=3, **settings):
    noisy = {} if "budget" in settings else {"noise_multiplier": 1.0}
    return CentralDP(rounds=rounds, **{**noisy, **settings})


def changes(**settings):
    """The updates of the first round, without privacy."""
    seen = []

    def look(vectors, weights):
        seen.append(vectors)
        return vectors.mean(axis=0)

    made = federation(population(SIZES), algorithm=hansa.FedAvg(**LOCAL), seed=3, aggregate=look, **settings)
    made.fit(1)
    start = made.learner.initial_weights()
    return seen[0].astype(np.float64), start


def clipped(vectors, norm):
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors * np.minimum(1, norm / lengths)


def test_with_hardly_any_noise_the_mean_is_that_of_clipped_updates():
    vectors, start = changes()
    norm = float(np.median(np.linalg.norm(vectors, axis=1)))
    made = trained(central(1, clip=norm, noise_multiplier=1e-6), 1)
    assert np.allclose(made.weights - start, clipped(vectors, norm).sum(axis=0) / 8, atol=1e-6)


def test_a_cap_weighs_before_the_clip_and_the_denominator_stays():
    vectors, start = changes()
    weights = np.minimum(np.array(SIZES), 8)[:, None] / 8
    made = trained(central(1, clip=0.1, noise_multiplier=1e-6, weights=Capped(8)), 1)
    assert np.allclose(made.weights - start, clipped(vectors * weights, 0.1).sum(axis=0) / 8, atol=1e-6)


@pytest.mark.parametrize("quantise", [None, hansa.Quantise()])
def test_the_noise_has_the_size_that_the_plan_says(quantise):
    plan = central(200, clip=0.01, noise_multiplier=100.0)
    made = federation(
        population(SIZES), privacy=plan, quantise=quantise, algorithm=hansa.FedAvg(**LOCAL), seed=3
    )
    seen = []
    made.fit(200, callbacks=[keeping(seen, made)])
    noise = np.diff(np.array(seen), axis=0) * 8
    # 796 draws: the deviation is known to 2.5 %; six of those
    assert noise.std() == pytest.approx(1.0, rel=0.15)
    assert abs(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]) < 0.2


def keeping(seen, made):
    import keras

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(np.array(made._outcome.state.weights if made._outcome.records else made.weights))

    return Keep()


def test_two_runs_have_different_noise_and_a_seed_repeats_it():
    first, second = (trained(central()).model_hash for _ in range(2))
    assert first != second
    seeded = [trained(central(seed=7)).model_hash for _ in range(2)]
    assert seeded[0] == seeded[1]
    assert seeded[0] != trained(central(seed=8)).model_hash


@pytest.mark.parametrize("kind", ["sealed", "masking"])
@pytest.mark.parametrize("plan", [CentralDP, LocalDP, DistributedDP])
def test_every_sum_gives_the_same_model(kind, plan):
    settings = {"threshold": 4} if plan is DistributedDP else {}
    declared = plan(rounds=2, noise_multiplier=0.5, seed=5, **settings)
    plain = trained(declared, 2, clients=5, quantise=hansa.Quantise())
    secure = trained(declared, 2, clients=5, secure_sum=kind)
    if plan is DistributedDP:  # its shares follow the fewest that the sum is opened with
        assert plain._plan.private.sharers == 4
        assert secure._plan.private.sharers == secure._plan.sums.fewest
        if secure._plan.sums.fewest != 4:
            return
    assert secure.model_hash == plain.model_hash


@pytest.mark.backends
def test_noise_does_not_depend_on_the_number_of_workers():
    hashes = set()
    for workers in (1, 2):
        made = RECIPES["heart-disease"].build(model="logistic", seed=0, algorithm=None)
        made.protect(central(2, seed=1, clip=0.5))
        made.engine = hansa.Vector(workers=workers, strategy=None)
        made.fit(2)
        hashes.add(made.model_hash)
    assert len(hashes) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"participation": Poisson(0.5)},
        {"participation": FixedSize(4)},
        {"clip": AdaptiveClip(initial=0.5)},
        {"participation": Poisson(0.5, cap=6), "weights": Capped(10)},
    ],
    ids=["poisson", "fixed", "adaptive", "capped"],
)
def test_a_run_that_goes_on_has_the_same_end(tmp_path, settings):
    plan = central(5, **settings)
    run = tmp_path / "run"
    trained(plan, 2, run=run)
    went_on = trained(plan, 5, run=run, resume=True)
    told = json.loads((run / "keys.json").read_text())
    assert stat.S_IMODE((run / "keys.json").stat().st_mode) == 0o600
    whole = federation(population(SIZES), privacy=plan, algorithm=hansa.FedAvg(**LOCAL), seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hansa.api.federation.secret_for", lambda *_: bytes.fromhex(told["secret"]))
        whole.fit(5)
    assert went_on.model_hash == whole.model_hash
    assert [r.privacy for r in went_on.records] == [r.privacy for r in whole.records]


def test_correlated_noise_goes_on(tmp_path):
    plan = MatrixDP(rounds=6, noise_multiplier=1.0, seed=2, participation=AtMost(times=3, min_gap=2))
    run = tmp_path / "run"
    trained(plan, 3, run=run)
    assert trained(plan, 6, run=run, resume=True).model_hash == trained(plan, 6).model_hash
    banded = dataclasses.replace(plan, strategy="banded")
    assert trained(banded, 6).model_hash != trained(plan, 6).model_hash


def test_another_plan_does_not_go_on(tmp_path):
    run = tmp_path / "run"
    trained(central(5), 2, run=run)
    for other in (central(6), central(5, clip=2.0), central(5, noise_multiplier=2.0), None):
        with pytest.raises(RunError, match=r"privacy|rounds|aggregate"):
            trained(other, 5, run=run, resume=True)
    assert len(trained(central(5), 3, run=run, resume=True).records) == 3


def test_another_seed_does_not_go_on(tmp_path):
    run = tmp_path / "run"
    trained(central(5, seed=1), 2, run=run)
    with pytest.raises(RunError, match="another seed of its plan of privacy than 2"):
        trained(central(5, seed=2), 5, run=run, resume=True)
    assert len(trained(central(5, seed=1), 3, run=run, resume=True).records) == 3


def test_a_run_without_its_secret_does_not_go_on(tmp_path):
    run = tmp_path / "run"
    trained(central(5), 2, run=run)
    (run / "keys.json").unlink()
    with pytest.raises(RunError, match="keys of the run cannot be read"):
        trained(central(5), 5, run=run, resume=True)


def test_more_rounds_than_planned_are_refused():
    with pytest.raises(ConfigurationError, match="is for 3 rounds, and fit was asked for 4"):
        trained(central(3), 4)


def test_the_ledger_is_in_the_records():
    made = trained(central(4, participation=Poisson(0.5), budget=Budget(epsilon=8.0, delta=1e-4)), 4)
    spent = [record.privacy["epsilon"] for record in made.records]
    assert spent == sorted(spent)
    assert 7.99 < spent[-1] <= 8.0
    assert [read_event(record.privacy["event"]).count for record in made.records] == [1, 2, 3, 4]
    assert made.guarantee().epsilon == spent[-1]
    assert made.guarantee().rounds_left == 0
    assert made.guarantee().status == "enforced"


def test_the_report_says_what_is_promised(tmp_path):
    made = trained(central(3, participation=Poisson(0.5), budget=Budget(epsilon=8.0, delta=1e-4)), 3)
    page = made.report(tmp_path / "report.html").read_text()
    for said in (
        "What differential privacy promises",
        "the privacy loss of each client",
        "Budget (ε)",
        "Not covered",
        "zero-out",
        "drawn in secret",
    ):
        assert said in page
    assert "This report does not check it" not in page


def test_the_report_says_that_the_comparison_is_not_protected(tmp_path):
    made = trained(central(1), 1)
    rows = {f"c{i}": {"local": 1.0, "federated": 1.0} for i in range(8)}
    beside = Comparison(metric="loss", higher_is_better=False, rows=rows)
    said = "models that were trained without noise"
    assert said in made.report(tmp_path / "report.html", comparison=beside).read_text()
    assert said not in made.report(tmp_path / "alone.html").read_text()


def test_without_a_plan_nothing_is_promised():
    made = federation()
    with pytest.raises(ConfigurationError, match="promises none"):
        made.guarantee()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cohort": 4}, "CentralDP draws the cohorts itself"),
        ({"aggregate": "examples"}, "aggregate='examples' would weigh by numbers of rows"),
        ({"aggregate": lambda v, w: v.mean(axis=0)}, "would weigh by numbers of rows, which are secret too"),
        ({"compress": hansa.EightBits()}, "which compress would undo"),
        ({"quantise": hansa.Quantise(clip=3.0)}, "clips updates to 3 and CentralDP to 1"),
        ({"privacy": 1.0}, "privacy must be a plan"),
        ({"privacy": central(participation=Poisson(0.5)), "secure_sum": "masking"}, "size"),
        ({"privacy": central(population=50)}, "for a population of 50, but there are 8"),
        ({"privacy": central(clip=AdaptiveClip()), "secure_sum": "masking"}, "AdaptiveClip changes the norm"),
        ({"privacy": central(delta=0.5)}, "larger than 1/8"),
        (
            {"privacy": DistributedDP(rounds=3, noise_multiplier=1.0, participation=Poisson(0.5))},
            "fixed number",
        ),
        ({"privacy": RecordDP(rounds=3, noise_multiplier=1.0)}, "which this learner does not do"),
    ],
)
def test_what_does_not_go_together_is_told_when_it_is_declared(settings, said):
    with pytest.raises(ConfigurationError, match=said):
        trained(**{"privacy": central(), **settings})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"population": 50}, "for a population of 50, but there are 8"),
        ({"delta": 0.5}, "larger than 1/8"),
        ({"participation": Poisson(0.5, cap=3)}, "fewer than the 4"),
    ],
)
def test_what_does_not_fit_the_clients_is_told_before_data_are_read(settings, said):
    with pytest.raises(ConfigurationError, match=said):
        federation(population(SIZES), privacy=central(**settings))
    with pytest.raises(ConfigurationError, match=said):
        federation(population(SIZES)).protect(central(**settings))


def test_local_metrics_would_tell_of_single_clients():
    made = federation(population(SIZES), privacy=central(), algorithm=hansa.FedAvg(**LOCAL))
    with pytest.raises(ConfigurationError, match="local_metrics tells of each client"):
        made.fit(1, local_metrics=True)


def spoiling(value, clients=(0,)):
    def hook(examples, task):
        if len(examples) in {SIZES[i] for i in clients}:
            examples.x[:] = value

    return LeastSquares(hook=hook)


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
@pytest.mark.parametrize("plan", [CentralDP, LocalDP, MatrixDP])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30])
def test_what_is_not_finite_is_dropped_and_named_to_who_is_trusted(plan, value):
    made = trained(plan(rounds=1, noise_multiplier=1.0), 1, learner=spoiling(value))
    record = made.records[0]
    assert list(record.dropped) == ([] if plan is LocalDP else ["c0"])
    assert np.isfinite(made.weights).all()


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")
def test_if_all_are_dropped_noise_is_released_all_the_same():
    made = trained(central(1), 1, learner=spoiling(np.nan, range(8)))
    assert len(made.records[0].dropped) == 8
    assert not np.array_equal(made.weights, made.learner.initial_weights())


def test_a_zero_update_is_fine():
    def rest(examples, task):
        object.__setattr__(task, "batches", [])

    made = trained(central(1, noise_multiplier=1e-6), 1, learner=LeastSquares(hook=rest))
    assert not made.records[0].dropped
    assert np.allclose(made.weights, made.learner.initial_weights(), atol=1e-5)


def test_an_empty_cohort_releases_noise():
    plan = central(30, participation=Poisson(0.125))
    made = trained(plan, 30)
    hashes = [record.model_hash for record in made.records]
    assert any(not record.cohort for record in made.records)
    assert len(set(hashes)) == 30


def test_dropouts_do_not_change_denominator_or_noise():
    whole = trained(central(1, seed=4, noise_multiplier=1e-6), 1)
    vectors, start = changes()
    made = trained(central(1, noise_multiplier=1e-6), 1, engine=Unreliable(hansa.Local(), SILENT))
    assert np.allclose(made.weights - start, clipped(vectors, 1.0)[2:].sum(axis=0) / 8, atol=1e-5)
    assert whole.records[0].privacy["event"] == made.records[0].privacy["event"]


def test_too_few_shares_of_noise_are_a_void_round():
    plan = DistributedDP(rounds=2, noise_multiplier=1.0, threshold=7)
    made = trained(plan, 2, engine=Unreliable(hansa.Local(), SILENT))
    assert all("7 are needed" in record.void for record in made.records)
    spent = [record.privacy["epsilon"] for record in made.records]
    assert 0 < spent[0] < spent[1]  # what was opened of a void round is a release
    assert np.array_equal(made.weights, made.learner.initial_weights())


def test_the_number_of_clipped_updates_is_not_told():
    assert trained(central(1, clip=1e-3), 1).records[0].clipped == 0


def test_a_clip_that_adapts_moves_towards_the_median():
    plan = CentralDP(
        rounds=40, noise_multiplier=0.01, clip=AdaptiveClip(initial=30.0, lr=0.5, bit_noise=0.1), seed=1
    )
    made = trained(plan, 40)
    norms = [record.privacy["clip_l2"] for record in made.records]
    assert norms[0] == 30.0
    assert norms[-1] < 5.0


def test_nothing_secret_is_printed(tmp_path):
    made = trained(central(2), 2, run=tmp_path / "run")
    secret = json.loads((tmp_path / "run" / "keys.json").read_text())["secret"]
    for file in (tmp_path / "run").rglob("*"):
        if file.is_file() and file.name != "keys.json":
            data = file.read_bytes()
            assert secret.encode() not in data
            assert bytes.fromhex(secret) not in data
    assert secret not in repr(made.describe(made._plan))


def test_a_cohort_that_is_secret_does_not_follow_the_seed():
    plan = central(4, participation=FixedSize(4))
    cohorts = {tuple(r.cohort for r in trained(plan, 4).records) for _ in range(3)}
    assert len(cohorts) > 1


@pytest.mark.parametrize("kind", [CentralDP, DistributedDP])
def test_records_do_not_keep_how_many_rows_a_protected_client_has(kind):
    made = trained(kind(rounds=1, noise_multiplier=1.0), 1)
    assert made.records[0].clients
    assert all(told.examples is None for told in made.records[0].clients.values())


def test_noise_that_only_a_sum_protects_is_assumed_to_where_sums_are_plain():
    made = trained(DistributedDP(rounds=1, noise_multiplier=1.0), 1)
    assert made.guarantee().status == "assumed"
    assert "does not look at single updates" in made.guarantee().statement
