"""What a motivated person would try against a plan of privacy: to be seen more, to see more, to pay less."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest

import hansa
import privacy_faults as faults
from hansa.audit import Settings, audit
from hansa.client import begin
from hansa.errors import ConfigurationError, HansaError, RunError
from hansa.privacy import AdaptiveClip, Capped, CentralDP, DistributedDP, Facts, LocalDP, MatrixDP, RecordDP
from hansa.protect import protected
from hansa.rng import Seeds
from hansa.round import first_state
from hansa.types import Delta, Reply, Start, Trained
from least_squares import LeastSquares, federation, population, rows

HIDDEN = Seeds(0, b"s" * 32)
HEAVY = Settings(canaries=40, rounds=4, seed=5)
QUIET = 1e-9
"""A noise multiplier that leaves only what clients add."""


class Liar(LeastSquares):
    """The first client sends what it likes; the others send nothing."""

    def __init__(self, lie, **settings):
        super().__init__(**settings)
        self.lie = lie

    def train(self, examples, task):
        sent = task.start + (np.asarray(self.lie) if len(examples) == 5 else 0)
        return Trained(weights=sent, steps=1, learning_rate=1.0, metrics={"loss": 0.0})


def lied(lie, privacy, clients=4):
    made = federation(population((5, 8, 13, 21)[:clients]), privacy=privacy, learner=Liar(lie), seed=1)
    made.fit(privacy.rounds)
    return made


def moved(made, clients=4):
    """How far the model went, as a sum of updates."""
    return float(np.linalg.norm(made.weights - made.learner.initial_weights())) * clients


# ------------------------------------------------------------------ to be seen more


LIES = {
    "long": np.full(4, 1e30, np.float32),
    "as long as float32 can": np.array([3e38, -3e38, 3e38, 3e38], np.float32),
    "in one coordinate": np.array([0, 1e20, 0, 0], np.float32),
    "just above": np.array([0.6001, 0.8001, 0, 0], np.float32),
    "hardly any": np.full(4, 1e-42, np.float32),
    "nothing": np.zeros(4, np.float32),
}


@pytest.mark.parametrize("plan", [CentralDP, MatrixDP])
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_no_update_moves_the_sum_farther_than_the_clip(plan, lie):
    assert moved(lied(lie, plan(rounds=1, noise_multiplier=QUIET))) <= 1 + 1e-4


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_no_update_moves_integers_farther_than_the_clip(lie):
    assert moved(lied(lie, LocalDP(rounds=1, noise_multiplier=QUIET))) <= 1 + 1e-4


@pytest.mark.parametrize("plan", [CentralDP, MatrixDP, LocalDP])
@pytest.mark.parametrize("lie", [np.nan, np.inf, -np.inf])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_not_a_number_is_as_if_it_were_not_sent(plan, lie):
    made = lied(np.array([0, lie, 0, 0], np.float32), plan(rounds=1, noise_multiplier=QUIET))
    assert list(made.records[0].dropped) == ([] if plan is LocalDP else ["c0"])
    assert moved(made) < 1e-4


@pytest.mark.parametrize("plan", [LocalDP, DistributedDP])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_server_that_is_not_trusted_does_not_see_whose_update_is_not_a_number(plan):
    """That is told without noise by who is dropped, or by a round that is void for want of a share."""
    record = lied(np.full(4, np.nan, np.float32), plan(rounds=1, noise_multiplier=1.0)).records[0]
    assert not record.dropped and not record.void


def test_what_is_told_beside_the_model_is_named():
    """Sums of preprocessing are exact for every plan, and metrics may decide when a run stops."""
    for plan in (CentralDP(rounds=1, noise_multiplier=1.0), LocalDP(rounds=1, noise_multiplier=1.0)):
        told = " ".join(federation(privacy=plan).guarantee().not_covered)
        assert "preprocessing" in told and "stops" in told


@pytest.mark.parametrize("plan", [CentralDP, LocalDP])
@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.float16])
def test_weights_of_another_kind_are_clipped_and_noisy_like_any(plan, dtype):
    class Other(Liar):
        def train(self, examples, task):
            told = super().train(examples, task)
            return dataclasses.replace(told, weights=told.weights.astype(dtype))

    for noise, within in ((QUIET, (0, 1.5)), (50.0, (15, 500))):
        privacy = plan(rounds=1, noise_multiplier=noise, seed=4)
        made = federation(population((5, 8)), privacy=privacy, learner=Other(np.full(4, 7.0)))
        made.fit(1)
        assert within[0] <= moved(made, clients=2) <= within[1]


@pytest.mark.parametrize(
    "plan",
    [
        CentralDP(rounds=4, noise_multiplier=0.5),
        CentralDP(rounds=4, noise_multiplier=0.5, weights=Capped(10)),
        CentralDP(rounds=4, noise_multiplier=0.5, clip=AdaptiveClip(initial=0.5)),
        MatrixDP(rounds=4, noise_multiplier=0.5),
        LocalDP(rounds=4, noise_multiplier=0.5),
        DistributedDP(rounds=4, noise_multiplier=0.5),
    ],
    ids=lambda plan: f"{type(plan).__name__}-{type(plan.weights).__name__}-{type(plan.clip).__name__}",
)
def test_a_client_with_nine_tenths_of_the_data_loses_no_more_than_is_claimed(plan):
    found = audit(plan, HEAVY)["largest client"]
    assert found.passed
    assert found.measured < 3  # Flower 1.42 as released: 9.4


def test_weights_by_rows_would_cost_it_more_than_nine_times_as_much(monkeypatch):
    faults.unbounded_weights(monkeypatch)
    assert audit(CentralDP(rounds=4, noise_multiplier=0.5), HEAVY)["largest client"].measured > 9.4


# ------------------------------------------------------------------ to see more


@pytest.mark.parametrize("plan", [CentralDP, MatrixDP, LocalDP])
def test_a_cohort_of_one_has_all_the_noise(plan):
    made = lied(np.zeros(4, np.float32), plan(rounds=1, noise_multiplier=50.0, seed=4), clients=1)
    assert moved(made, clients=1) > 50 * 0.3


def test_if_nobody_sends_anything_usable_the_clip_moves_by_noise_alone():
    plan = CentralDP(rounds=3, noise_multiplier=1.0, seed=2, clip=AdaptiveClip(initial=1.0, bit_noise=6.0))
    with np.errstate(invalid="ignore"):
        made = lied(np.full(4, np.nan, np.float32), plan, clients=1)
    clips = [record.privacy["clip_l2"] for record in made.records]
    assert clips[1] != clips[0]
    assert all(record.dropped for record in made.records)


def noise_of(plan, vector, number=0):
    """The noise that a client adds to an update."""
    seeds, start = HIDDEN, Start(round=number, weights=plan.initial, seed=b"r" * 32)
    reply = Reply(delta=Delta(vector=vector, weight=1.0), examples=5)
    told = protected(plan, "c0", reply, start=start, seeds=seeds).delta.vector
    rounding = seeds.hidden.stream("quantise", "c0", number)
    plain, _ = plan.encoder.encode(vector, 1.0, seed=start.seed, randomness=rounding)
    return told - plain


@pytest.mark.parametrize("plan", [LocalDP, DistributedDP])
def test_a_round_that_is_played_again_with_another_update_has_other_noise(plan):
    """Else the difference of the two messages would be that of the updates, bare."""
    made = federation(population((5, 8)), privacy=plan(rounds=2, noise_multiplier=1.0)).plan()
    one, other = np.full(4, 0.1, np.float32), np.full(4, 0.2, np.float32)
    assert np.array_equal(noise_of(made, one), noise_of(made, one))
    assert not np.array_equal(noise_of(made, one), noise_of(made, other))
    assert not np.array_equal(noise_of(made, one), noise_of(made, one, number=1))


def changed(first):
    """Four clients of which the first has other labels."""
    clients = list(population((5, 8, 13, 21)))
    x, y = rows(5, seed=0)
    clients[0] = hansa.data.Client(
        name="c0", source=hansa.data.Arrays(x, y + first), split=hansa.data.Split()
    )
    return tuple(clients)


@pytest.mark.parametrize("plan", [CentralDP, MatrixDP, LocalDP, DistributedDP])
def test_two_copies_of_a_run_do_not_share_noise_once_their_updates_differ(plan, tmp_path):
    """Who copies a run's folder, its secret included, and goes on with clients that send something else."""
    privacy, ends = plan(rounds=2, noise_multiplier=1.0), []

    def made(lie):
        return federation(privacy=privacy, learner=Liar(lie), seed=1)

    made(0.1).fit(1, run=tmp_path / "run")
    for lie in (0.1, 0.1001):
        shutil.copytree(tmp_path / "run", tmp_path / str(lie))
        again = made(np.float32(lie))
        again.fit(2, run=tmp_path / str(lie), resume=True)
        ends.append(again.weights)
    assert np.abs(ends[0] - ends[1]).max() > 1e-2  # far more than the updates make


def test_a_run_does_not_go_on_with_other_data(tmp_path):
    privacy = RecordDP(rounds=2, noise_multiplier=1.0, delta=1e-3)
    federation(changed(0.0), learner=Private(), privacy=privacy).fit(1, run=tmp_path / "run")
    other = federation(changed(1e-3), learner=Private(), privacy=privacy)
    with pytest.raises(HansaError, match="configuration differs"):
        other.fit(2, run=tmp_path / "run", resume=True)


class Private(LeastSquares):
    """Says that it takes private steps."""

    private_steps = True


def test_two_copies_of_a_run_do_not_share_the_noise_of_steps_either():
    keys = []
    for first in (0.0, 1.0):
        made = federation(
            changed(first), learner=Private(), privacy=RecordDP(rounds=2, noise_multiplier=1.0, delta=1e-3)
        )
        plan, site = made.plan(), made.prepare().sites["c0"]
        start = Start(round=0, weights=first_state(plan).weights)
        keys.append(begin(plan, site, start=start, memory={}, seeds=HIDDEN).private.key)
    assert keys[0] != keys[1]


# ------------------------------------------------------------------ to pay less


def test_facts_of_a_run_are_the_federations_own():
    forged = CentralDP(rounds=3, noise_multiplier=1.0, facts=Facts(population=10**6, taken=(1, 1, 1)))
    honest = CentralDP(rounds=3, noise_multiplier=1.0)
    told = [federation(privacy=plan).plan().private.spent(3).epsilon for plan in (forged, honest)]
    assert told[0] == told[1]


def test_going_on_does_not_reset_the_ledger(tmp_path):
    plan = CentralDP(rounds=4, noise_multiplier=1.0)
    for rounds in (1, 2, 4):
        made = federation(privacy=plan, seed=1)
        made.fit(rounds, run=tmp_path / "run", resume=rounds > 1)
    spent = [record.privacy["epsilon"] for record in made.records]
    assert spent == sorted(set(spent))
    assert made.guarantee().rounds_left == 0
    with pytest.raises(ConfigurationError, match="plan of privacy is for 4 rounds"):
        federation(privacy=plan, seed=1).fit(5, run=tmp_path / "run", resume=True)


def test_another_plan_does_not_go_on_with_a_run(tmp_path):
    federation(privacy=CentralDP(rounds=4, noise_multiplier=1.0), seed=1).fit(2, run=tmp_path / "run")
    cheaper = federation(privacy=CentralDP(rounds=4, noise_multiplier=9.0), seed=1)
    with pytest.raises(HansaError):
        cheaper.fit(4, run=tmp_path / "run", resume=True)


def test_fitting_twice_is_paid_for_twice():
    plan = CentralDP(rounds=4, noise_multiplier=1.0)
    made = federation(privacy=plan, seed=1)
    made.fit(4)
    try:
        made.fit(4)
    except HansaError:
        return  # a refusal is as good
    once = federation(privacy=plan).plan().private.spent(4).epsilon
    assert made.guarantee().epsilon > once


def test_a_refused_fit_does_not_reset_what_is_spent(tmp_path):
    made = federation(privacy=CentralDP(rounds=4, noise_multiplier=1.0), seed=1)
    made.fit(2, run=tmp_path / "run")
    spent, trained = made.guarantee(), made.model_hash
    made.algorithm = hansa.FedAvg(steps=1, batch_size=3)
    with pytest.raises(RunError, match="differs from that of the run"):
        made.fit(4, run=tmp_path / "run", resume=True)
    assert made.model_hash == trained
    assert made.guarantee() == spent
    with pytest.raises(ConfigurationError, match="has trained for 2 rounds already"):
        made.fit(2)


class Raises(keras.callbacks.Callback):
    """Looks at the weights, and breaks off."""

    def on_epoch_end(self, epoch, logs=None):
        raise KeyboardInterrupt


def test_a_callback_that_breaks_the_first_round_off_does_not_have_it_released_again():
    """Each time with fresh noise, so that the mean of many is bare; was told as 0 rounds spent."""
    made = federation(privacy=CentralDP(rounds=4, noise_multiplier=1.0), seed=1)
    with pytest.raises(KeyboardInterrupt):
        made.fit(4, callbacks=[Raises()])
    assert made.guarantee().rounds_spent == 1
    with pytest.raises(ConfigurationError, match="has trained for 1 rounds already"):
        made.fit(4, callbacks=[Raises()])
