"""Runs whose sums are secure: the same model as with a plain sum, and dropouts in every phase."""

import dataclasses
import json
import stat

import numpy as np
import pytest

import hansa
from hansa.errors import ConfigurationError, MissingExtraError, RunError, UnknownNameError
from hansa.recipes import RECIPES
from hansa.secure_sum import SECURE_SUMS
from hansa.testing.faults import Unreliable
from least_squares import LeastSquares, federation, population

SECURE = [kind for kind in SECURE_SUMS if kind != "plain"]
LOCAL = {"steps": 3, "batch_size": 2}
SIZES = (5, 8, 13, 21, 9, 6)
QUANTISE = hansa.Quantise(clip=4.0)


def trained(secure_sum="plain", *, rounds=3, engine="local", clients=4, silent=None, run=None, **settings):
    declared = {"algorithm": hansa.FedAvg(**LOCAL), "quantise": QUANTISE, "seed": 3, **settings}
    if silent:
        declared["engine"] = Unreliable(hansa.Local(), silent)
    made = federation(population(SIZES[:clients]), secure_sum=secure_sum, **declared)
    made.fit(rounds, run=run)
    return made


@pytest.mark.parametrize("kind", SECURE)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"aggregate": "uniform"},
        {"algorithm": hansa.Scaffold(**LOCAL)},
        {"algorithm": hansa.FedAdam(**LOCAL, m0=0.01, v0=1e-6)},
        {"quantise": hansa.Quantise(clip=4.0, bound=2**14, bits=12, rotate=True)},
        {"clients": 6, "cohort": 4},
    ],
    ids=["fedavg", "uniform", "scaffold", "fedadam", "rotated", "cohort"],
)
def test_the_model_is_that_of_the_plain_sum(kind, settings):
    assert trained(kind, **settings).model_hash == trained(**settings).model_hash


@pytest.mark.parametrize("kind", SECURE)
def test_quantised_is_near_to_not_quantised(kind):
    near = trained(kind).weights
    floats = federation(population(), algorithm=hansa.FedAvg(**LOCAL), seed=3)
    floats.fit(3)
    assert np.allclose(near, floats.weights, atol=1e-5)
    assert not np.array_equal(near, floats.weights)


@pytest.mark.parametrize("engine", [pytest.param("local", marks=pytest.mark.backends), "vector"])
def test_heart_disease_gives_the_same_model_through_every_sum(engine):
    hashes = {}
    for kind in SECURE_SUMS:
        made = RECIPES["heart-disease"].build()
        made.secure_sum, made.quantise = SECURE_SUMS[kind](), hansa.Quantise(clip=8.0)
        made.engine = {"local": hansa.Local(), "vector": hansa.Vector(strategy=None)}[engine]
        made.fit(3)
        assert not any(record.dropped or record.void for record in made.records)
        hashes[kind] = made.model_hash
    assert len(set(hashes.values())) == 1, hashes


PHASES = {
    "sealed": ("train", "deliver", "lock", "open"),
    "masking": ("advertise", "share", "train", "lock", "unmask"),
}


@pytest.mark.parametrize("kind", SECURE)
def test_one_of_four_hospitals_may_drop_in_any_phase(kind):
    phases = PHASES[kind]
    for number, phase in enumerate(phases):
        silent = {(1, later): ("c2",) for later in phases[number:]}
        made = trained(kind, silent=silent)
        record = made.records[1]
        assert not record.void
        summed = number <= phases.index("train")
        assert list(record.dropped) == (["c2"] if summed else [])
        like = trained(silent={(1, "train"): ("c2",)} if summed else {(9, "train"): ("c2",)})
        assert made.model_hash == like.model_hash, phase


@pytest.mark.parametrize("kind", SECURE)
def test_two_of_four_leave_the_round_void_and_training_goes_on(kind):
    phases = PHASES[kind]
    for phase in phases:
        silent = {(1, later): ("c1", "c2") for later in phases[phases.index(phase) :]}
        made = trained(kind, silent=silent, algorithm=hansa.Scaffold(**LOCAL))
        before, void, after = made.records
        assert "needed" in void.void or "at least" in void.void
        assert set(void.dropped) == {"c0", "c1", "c2", "c3"}
        assert (void.model_hash, void.update_norm) == (before.model_hash, 0.0)
        assert not after.void
        assert after.model_hash != void.model_hash


@pytest.mark.parametrize("kind", SECURE)
def test_clients_whose_update_was_lost_forget_what_they_learned(kind):
    silent = {(0, "train"): ("c2",)}
    made = trained(kind, rounds=1, silent=silent, algorithm=hansa.Scaffold(**LOCAL))
    assert set(made.memories) == {"c0", "c1", "c3"}


def test_a_spoiled_update_is_left_out_and_named():
    def hook(examples, task):
        if len(examples) == SIZES[2]:
            task.start[:] = np.nan

    made = federation(learner=LeastSquares(hook=hook), secure_sum="sealed", quantise=QUANTISE)
    with np.errstate(all="ignore"):
        made.fit(1)
    assert "NaN" in made.records[0].dropped["c2"]
    assert np.isfinite(made.weights).all()


def test_clipped_updates_are_counted():
    made = trained("sealed", rounds=1, quantise=hansa.Quantise(clip=2.0**-10))
    assert made.records[0].clipped == 4
    assert made.records[0].update_norm <= 2.0**-10


@pytest.mark.parametrize("kind", SECURE)
def test_a_run_goes_on_with_its_keys(kind, tmp_path):
    whole = trained(kind, rounds=4, run=tmp_path / "whole")
    begun = trained(kind, rounds=2, run=tmp_path / "run")
    again = federation(
        population(), algorithm=hansa.FedAvg(**LOCAL), quantise=QUANTISE, secure_sum=kind, seed=3
    )
    again.fit(4, run=tmp_path / "run", resume=True)
    assert again.model_hash == whole.model_hash
    assert len(begun.records) == 2
    keys = tmp_path / "run" / "keys.json"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    config = json.loads((tmp_path / "run" / "config.json").read_bytes())
    assert [member["name"] for member in config["roster"]["members"]] == ["c0", "c1", "c2", "c3"]
    private = json.loads(keys.read_bytes())["keys"]["c0"]
    for file in (tmp_path / "run").rglob("*"):
        if file.is_file() and file != keys:
            text = file.read_bytes()
            assert private["exchange"].encode() not in text
            assert bytes.fromhex(private["signing"]) not in text


@pytest.mark.parametrize("spoil", ["gone", "text", "other"])
def test_a_run_does_not_go_on_with_other_keys(spoil, tmp_path):
    trained("sealed", rounds=1, run=tmp_path / "run")
    trained("sealed", rounds=1, run=tmp_path / "other")
    keys = tmp_path / "run" / "keys.json"
    if spoil == "gone":
        keys.unlink()
    elif spoil == "text":
        keys.write_text('{"keys": {"c0": {"exchange": "SECRET-00ff"}}}')
    else:
        keys.write_bytes((tmp_path / "other" / "keys.json").read_bytes())
    again = federation(
        population(), algorithm=hansa.FedAvg(**LOCAL), quantise=QUANTISE, secure_sum="sealed", seed=3
    )
    with pytest.raises(RunError) as error:
        again.fit(2, run=tmp_path / "run", resume=True)
    assert "SECRET" not in str(error.value)


@pytest.mark.parametrize("kind", SECURE)
@pytest.mark.parametrize(
    "settings",
    [{}, {"clients_validate": "cohort"}, {"clients_validate": "none"}, {"validation_freq": 2}],
    ids=["all", "cohort", "none", "every second"],
)
def test_metrics_are_told_as_sums_and_come_to_the_plain_ones(kind, settings):
    split = hansa.data.Split(train=0.7, validation=0.3)
    logs = {}
    for secure_sum in ("plain", kind):
        made = federation(
            population(SIZES, split=split),
            algorithm=hansa.FedAvg(**LOCAL),
            cohort=4,
            quantise=QUANTISE,
            secure_sum=secure_sum,
        )
        made.fit(3, **settings)
        logs[secure_sum] = [record.logs for record in made.records]
        if secure_sum == kind:
            assert all(record.clients == {} for record in made.records)
    assert [list(log) for log in logs[kind]] == [list(log) for log in logs["plain"]]
    for told, plain in zip(logs[kind], logs["plain"], strict=True):
        assert all(np.isclose(told[name], plain[name], atol=1e-5) for name in plain)


def test_what_clients_measure_around_their_training_is_not_told_under_a_secure_sum():
    made = federation(population(), secure_sum="sealed", quantise=QUANTISE)
    with pytest.raises(ConfigurationError, match="local_metrics"):
        made.fit(1, local_metrics=True)


def test_a_threshold_is_for_cohorts_and_not_for_sums_over_all_clients():
    scale = hansa.data.Standardize(scope="federated")
    clients = [dataclasses.replace(one, preprocess=(scale,)) for one in population(SIZES)]
    made = federation(
        clients,
        cohort=4,
        secure_sum=hansa.Sealed(threshold=3),
        quantise=QUANTISE,
        algorithm=hansa.FedAvg(**LOCAL),
    )
    made.fit(2)
    assert made.plan().sums.describe()["threshold"] == 3
    assert [list(record.logs) for record in made.records] == [["loss"]] * 2


BAD = {
    "two clients": ({"clients": 2}, "hides nothing"),
    "a cohort of two": ({"cohort": 2}, "hides nothing"),
    "poisson": ({"cohort": hansa.Poisson(0.5)}, "FixedSize"),
    "a function": ({"aggregate": lambda updates, weights: updates.mean(0)}, "each client's update"),
    "too fine": ({"quantise": hansa.Quantise(clip=1.0, bound=2**53)}, "fewer|coarser|smaller"),
    "no declaration": ({"quantise": "eight bits"}, "quantise"),
}


@pytest.mark.parametrize("kind", SECURE)
@pytest.mark.parametrize("what", BAD)
def test_what_cannot_hold_is_refused_before_anything_runs(kind, what):
    settings, told = BAD[what]
    with pytest.raises(ConfigurationError, match=told):
        trained(kind, **settings)


def test_a_wrong_name_is_told_with_the_right_one():
    with pytest.raises(UnknownNameError, match="sealed"):
        trained("seald")
    with pytest.raises(ConfigurationError, match="secure_sum"):
        trained(5)


def test_metrics_of_very_many_clients_are_not_summed_unasked():
    made = federation(population([2] * 1001), secure_sum="sealed", cohort=4, quantise=QUANTISE)
    with pytest.raises(ConfigurationError, match="clients_validate='cohort'"):
        made.plan()
    assert made.plan(clients_validate="cohort").telling.describe()["members"] == 4


def test_two_clients_may_be_meant():
    made = trained(hansa.Sealed(may_be_few=True), clients=2)
    assert made.model_hash == trained(clients=2).model_hash


def test_a_threshold_that_lets_two_groups_open_is_refused():
    with pytest.raises(ConfigurationError, match="two groups"):
        trained(hansa.Sealed(threshold=2))


def test_a_missing_package_is_told(monkeypatch):
    import sys

    for name in [n for n in sys.modules if n.startswith("hansa.secure_sum.sealed.parameters")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hansa.crypto.arithmetic", None)
    with pytest.raises(MissingExtraError, match="secure"):
        trained("sealed")


# ---------------------------------------------------------------------- compression of plain sums


def compressed(how, *, rounds=30, engine="local", **settings):
    made = federation(population(), compress=how, algorithm=hansa.FedAvg(**LOCAL), engine=engine, **settings)
    made.fit(rounds)
    return made


@pytest.mark.parametrize("how", [hansa.TopK(keep=0.5), hansa.EightBits(), hansa.TopK(keep=1.0)])
def test_compressed_updates_train_nearly_as_well_and_bytes_are_those_that_travel(how):
    made, whole = compressed(how), compressed(None)
    assert made.records[-1].logs["loss"] < 1.3 * whole.records[-1].logs["loss"] + 0.01
    sizes = {record.bytes_up for record in made.records}
    if isinstance(how, hansa.EightBits):
        assert sizes == {4 * len(how.encode(np.ones(4, np.float32), np.random.default_rng(0)))}
    else:
        assert max(sizes) == 4 * len(how.encode(np.ones(4, np.float32), None)[0])


def test_what_top_k_leaves_out_is_sent_later_and_survives_a_resume(tmp_path):
    how = hansa.TopK(keep=0.25)
    whole = compressed(how, rounds=6)
    assert all("residual" in memory for memory in whole.memories.values())
    for rounds in (3, 6):
        made = federation(population(), compress=how, algorithm=hansa.FedAvg(**LOCAL))
        made.fit(rounds, run=tmp_path / "run", resume=rounds == 6)
    assert made.model_hash == whole.model_hash


@pytest.mark.parametrize("kind", SECURE)
def test_integers_are_not_compressed(kind):
    with pytest.raises(ConfigurationError, match="compress"):
        trained(kind, compress=hansa.EightBits())
    with pytest.raises(ConfigurationError, match="compress"):
        trained(compress="8-bit")


PROVEN = hansa.Sealed(proof=hansa.NormBound())


@pytest.mark.parametrize(
    "settings",
    [{}, {"aggregate": "uniform"}, {"clients": 6, "cohort": 4}],
    ids=["weighed", "uniform", "cohort"],
)
def test_the_model_with_proofs_is_that_of_the_plain_sum(settings):
    settings = {"quantise": hansa.Quantise(clip=4.0, bound=2**16), **settings}
    made = trained(PROVEN, **settings)
    assert made.model_hash == trained(**settings).model_hash
    assert not any(record.dropped for record in made.records)
    assert "proves that its vector's norm is at most 32770" in made.plan().sums.explain()


def test_quantised_to_as_many_steps_as_can_be_proven():
    made = trained(PROVEN, rounds=1, quantise=None)
    assert made.plan().encoder.grid.bound_l2 * max(SIZES) < 2**26
    assert not made.records[0].void


def test_who_sends_too_large_an_update_is_named_and_the_others_summed(monkeypatch):
    from hansa.secure_sum.sealed import dealing, seal
    from hansa.secure_sum.sealed.party import Party
    from hansa.zk import prover

    real = Party.seal

    def boosted(self, vector, place):
        larger = vector.copy()
        if self.member.name == "c1":
            larger[:-1] *= 1000
        return real(self, larger, place)

    monkeypatch.setattr(Party, "seal", boosted)
    monkeypatch.setattr(seal, "_check_vector", lambda *_: None)
    monkeypatch.setattr(dealing, "prove", lambda *given: prover.prove(*given, check=False))
    made = trained(PROVEN, quantise=hansa.Quantise(clip=4.0, bound=2**16))
    for record in made.records:
        assert list(record.dropped) == ["c1"]
        assert "its proof was rejected" in record.dropped["c1"]
        assert not record.void
    assert np.isfinite(made.weights).all()


@pytest.mark.parametrize("aggregate", ["examples", "uniform"])
def test_a_norm_that_is_all_in_one_value_makes_no_round_void(monkeypatch, aggregate):
    """With bits an honest value is far below the norm. Nobody would have known who voided every round."""
    from hansa.secure_sum.sealed import seal
    from hansa.secure_sum.sealed.party import Party

    real = Party.seal

    def spiky(self, vector, place):
        weight = int(vector[-1]) if aggregate == "examples" else 1
        if self.member.name == "c1":
            vector = np.where(np.arange(len(vector)) == 0, weight * made.plan().encoder.grid.bound_l2, vector)
            vector[1 : -1 if aggregate == "examples" else None] = 0
        return real(self, vector, place)

    monkeypatch.setattr(Party, "seal", spiky)
    monkeypatch.setattr(seal, "_check_vector", lambda *_: None)
    settings = {"quantise": hansa.Quantise(clip=4.0, bound=2**16, bits=12, rotate=True), "seed": 3}
    made = federation(
        population(SIZES[:4]),
        secure_sum=PROVEN,
        aggregate=aggregate,
        algorithm=hansa.FedAvg(**LOCAL),
        **settings,
    )
    made.fit(1)
    assert not made.records[0].dropped
    assert not made.records[0].void


@pytest.mark.parametrize("proof", ["norms", 1, True, b"norm"])
def test_a_proof_that_there_is_not(proof):
    with pytest.raises(ConfigurationError, match=r"Sealed\.proof must be"):
        hansa.Sealed(proof=proof)


@pytest.mark.parametrize("bits", [0, 109, 1.5, True, "100"])
def test_bits_of_a_proof(bits):
    with pytest.raises(ConfigurationError, match=r"NormBound\.bits"):
        hansa.NormBound(bits=bits)
