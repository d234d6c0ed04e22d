import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hansa.errors import ConfigurationError, UnknownNameError
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
    read_event,
)
from hansa.privacy.terms import terms_of

positive = st.floats(1e-3, 1e3)
leaves = st.one_of(
    st.builds(Gaussian, noise_multiplier=positive),
    st.builds(Laplace, noise_multiplier=positive),
    st.builds(Pure, epsilon=positive),
    st.builds(lambda v, x, f: Skellam(variance=v, l2=x, l1=x * f), positive, positive, st.floats(1, 9)),
    st.just(NotPrivate()),
)
events = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Repeated, event=inner, count=st.integers(1, 10**6)),
        st.builds(PoissonSampled, rate=st.floats(1e-6, 1), event=inner),
        st.builds(
            PoissonSampled, rate=st.floats(1e-6, 1), event=inner, population=st.just(9), cap=st.just(4)
        ),
        st.builds(FixedSampled, population=st.just(9), size=st.integers(1, 9), event=inner),
        st.builds(lambda many: Several(events=many), st.lists(inner, max_size=3)),
    ),
    max_leaves=5,
)


@given(events)
def test_what_is_described_is_read_back(event):
    through_json = json.loads(json.dumps(event.describe(), allow_nan=False))
    assert read_event(through_json) == event
    assert hash(read_event(through_json)) == hash(event)


def test_events_are_frozen_and_keyword_only():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Gaussian(noise_multiplier=1.0).noise_multiplier = 2.0
    with pytest.raises(TypeError):
        Gaussian(1.0)


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, True, "1", None])
@pytest.mark.parametrize(
    "build",
    [
        lambda v: Gaussian(noise_multiplier=v),
        lambda v: Laplace(noise_multiplier=v),
        lambda v: Pure(epsilon=v),
        lambda v: Skellam(variance=v, l2=1, l1=1),
        lambda v: Skellam(variance=1, l2=v, l1=1),
    ],
)
def test_values_that_are_not_positive_numbers_are_refused(build, value):
    with pytest.raises(ConfigurationError, match="must be a number greater than 0"):
        build(value)


def test_no_noise_is_named_for_what_it_is():
    with pytest.raises(ConfigurationError, match="NotPrivate"):
        Gaussian(noise_multiplier=0)


@pytest.mark.parametrize("rate", [0, -0.1, 1.1, math.nan, "0.1", True])
def test_a_rate_is_a_probability(rate):
    with pytest.raises(ConfigurationError, match="rate must be a probability"):
        PoissonSampled(rate=rate, event=Gaussian(noise_multiplier=1))


def test_samples_and_counts_that_cannot_be():
    one = Gaussian(noise_multiplier=1)
    with pytest.raises(ConfigurationError, match="cap=5 needs population"):
        PoissonSampled(rate=0.1, event=one, cap=5)
    with pytest.raises(ConfigurationError, match="at most the population of 3, got 4"):
        FixedSampled(population=3, size=4, event=one)
    for count in (0, -1, 1.0, True):
        with pytest.raises(ConfigurationError, match="count must be a whole number"):
            Repeated(event=one, count=count)
    with pytest.raises(ConfigurationError, match="expected an event"):
        Repeated(event="gaussian", count=1)
    with pytest.raises(ConfigurationError, match="expected an event"):
        Several(events=[one, 1.0])
    with pytest.raises(ConfigurationError, match="l1 must be at least l2"):
        Skellam(variance=1, l2=2, l1=1)


@pytest.mark.parametrize(
    ("described", "message"),
    [
        ({}, "with the key 'kind'"),
        ([], "with the key 'kind'"),
        (None, "with the key 'kind'"),
        ({"kind": 3}, "with the key 'kind'"),
        ({"kind": "gaussian"}, "lacks noise_multiplier"),
        ({"kind": "gaussian", "noise_multiplier": "1"}, "greater than 0"),
        ({"kind": "gaussian", "noise_multiplier": -1}, "greater than 0"),
        ({"kind": "repeated", "count": 2}, "lacks event"),
        ({"kind": "repeated", "count": 2, "event": 5}, "with the key 'kind'"),
        ({"kind": "several", "events": {"kind": "gaussian"}}, "must be a list"),
    ],
)
def test_malformed_descriptions_are_refused(described, message):
    with pytest.raises(ConfigurationError, match=message):
        read_event(described)


def test_unknown_names_are_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'gaussian'"):
        read_event({"kind": "gausian", "noise_multiplier": 1})
    with pytest.raises(UnknownNameError, match="Did you mean 'noise_multiplier'"):
        read_event({"kind": "gaussian", "noise_multiplyer": 1})


def test_nesting_without_end_is_refused():
    described = {"kind": "gaussian", "noise_multiplier": 1}
    for _ in range(100):
        described = {"kind": "repeated", "count": 1, "event": described}
    with pytest.raises(ConfigurationError, match="nested more than"):
        read_event(described)


def test_terms_merge_what_is_exact():
    one = Gaussian(noise_multiplier=2.0)
    assert terms_of(Repeated(event=one, count=4)) == {Gaussian(noise_multiplier=1.0): 1}
    assert terms_of(Several(events=[one] * 4)) == {Gaussian(noise_multiplier=1.0): 1}
    assert terms_of(Several()) == {}
    sampled = PoissonSampled(rate=0.1, event=Several(events=[one] * 4))
    merged = PoissonSampled(rate=0.1, event=Gaussian(noise_multiplier=1.0))
    assert terms_of(Several(events=[Repeated(event=sampled, count=3), sampled])) == {merged: 4}


def test_terms_know_a_sample_of_everybody_and_amplify_pure_releases():
    one = Laplace(noise_multiplier=2.0)
    assert terms_of(PoissonSampled(rate=1, event=one)) == {one: 1}
    assert terms_of(FixedSampled(population=4, size=4, event=one)) == {one: 1}
    for epsilon in (0.01, 0.99, 1.0, 5.0, 700.0, 5000.0):
        [(pure, count)] = terms_of(PoissonSampled(rate=0.1, event=Pure(epsilon=epsilon))).items()
        assert count == 1
        if epsilon < 700:
            assert pure.epsilon == pytest.approx(math.log1p(0.1 * math.expm1(epsilon)), rel=1e-12)
        else:
            assert pure.epsilon == pytest.approx(epsilon + math.log(0.1), rel=1e-12)
    with pytest.raises(ConfigurationError, match="a sample of a sample"):
        terms_of(PoissonSampled(rate=0.1, event=PoissonSampled(rate=0.1, event=one)))
