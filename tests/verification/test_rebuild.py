"""The server's half of a run, made again from its configuration alone."""

import copy

import pytest

from hansa.errors import ConfigurationError, HansaError, LogError
from hansa.store.canonical import canonical_json, parse_json
from hansa.verification.rebuild import NotRebuilt, configuration_of, rebuilt, roster_hash, why_not
from hansa.verification.source import opened
from hansa.verification.told import read_weights


@pytest.fixture
def known(run_of):
    """Returns configuration and first model of a run."""

    def get(kind):
        with opened(run_of(kind)) as source:
            started = next(entry.body for entry in source.public if entry.kind == "started")
            return copy.deepcopy(dict(source.config)), read_weights(source, started["initial"])

    return get


@pytest.mark.parametrize(
    "kind", ["sealed", "proven", "fedadam", "keras", "cohort", "rotated", "scaffold", "fedbn", "distributed"]
)
def test_says_of_itself_what_the_run_said(kind, known):
    config, initial = known(kind)
    plan = rebuilt(config, initial)
    told = plan.describe()
    names = ("algorithm", "cohort", "aggregate", "quantise", "secure_sum", "roster", "evaluation", "model")
    assert parse_json(canonical_json({name: told[name] for name in names})) == {n: config[n] for n in names}
    assert plan.cards == {}
    assert plan.configuration == configuration_of(config)
    assert bool(plan.proves) == (kind == "proven")


def test_the_engine_is_not_in_what_clients_pinned(known):
    config, _ = known("sealed")
    pinned = configuration_of(config)
    assert configuration_of({**config, "engine": {"kind": "other"}}) == pinned
    assert configuration_of({**config, "title": "other"}) != pinned


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("plain", "in the clear"),
        ("masking", "masked sums cannot be added up again"),
        ("central sealed", "with CentralDP"),
    ],
)
def test_says_why_a_run_cannot_be_done_again(kind, words, known):
    assert words in why_not(known(kind)[0])


def test_a_strange_algorithm_or_a_long_plan_cannot_be_done_again(known):
    config, _ = known("distributed")
    assert why_not(config) == ""
    assert "'Mine' is not one of Hansa's" in why_not({**config, "algorithm": {"kind": "Mine"}})
    privacy = {**config["privacy"], "rounds": 10**12}
    assert "more rounds than are looked ahead over" in why_not({**config, "privacy": privacy})


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["secure_sum"].update(threshold=4),
        lambda c: c["secure_sum"].update(scale=2 * c["secure_sum"]["scale"]),
        lambda c: c["secure_sum"].update(survivors=2),
        lambda c: c["quantise"].update(bound_l2=c["quantise"]["bound_l2"] + 1),
        lambda c: c["quantise"].update(scale=c["quantise"]["scale"] * 2),
        lambda c: c["model"].update(layout="0" * 64),
        lambda c: c["algorithm"].update(steps=-1),
        lambda c: c.pop("cohort"),
        lambda c: c.update(cohort=[]),
        lambda c: c.update(metrics=["loss", "x"]) or c["roster"].update(hash="00"),
        lambda c: c["model"]["variables"].append(c["model"]["variables"][0]),
        lambda c: c["evaluation"].update(every=0),
    ],
)
def test_numbers_that_do_not_follow_are_refused(change, known):
    config, initial = known("proven")
    change(config)
    with pytest.raises(HansaError):
        rebuilt(config, initial)


def test_the_first_model_fits_the_layout(known):
    config, initial = known("sealed")
    with pytest.raises(ConfigurationError, match="the first model has 3 weights"):
        rebuilt(config, initial[:-1])


def test_the_roster_has_the_hash_that_it_tells(known):
    config, _ = known("sealed")
    assert roster_hash(config) == config["roster"]["hash"]
    assert roster_hash({}) == ""
    config["roster"]["members"].reverse()
    with pytest.raises(LogError, match="the members of the roster have the hash"):
        roster_hash(config)


@pytest.mark.parametrize(
    "told",
    [
        {"kind": "SGD", "learning_rate": {"module": "os", "class_name": "system", "config": {}}},
        {"kind": "schedules"},
        {"kind": "__loader__"},
        {"kind": "LossScaleOptimizer", "inner_optimizer": {"class_name": "SGD"}},
        {"kind": "Mine"},
    ],
)
def test_only_optimizers_of_keras_with_plain_numbers_are_made_again(told, known):
    config, initial = known("sealed")
    with pytest.raises(NotRebuilt, match="is not one of Keras' own"):
        rebuilt({**config, "server_optimizer": told}, initial)
