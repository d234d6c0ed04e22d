import json

import pytest

import hansa
from hansa.algorithms import ALGORITHMS
from hansa.errors import ConfigurationError


@pytest.mark.parametrize("name", ["epochs", "steps", "batch_size"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"])
def test_counts_are_whole_numbers_of_1_or_more(name, value):
    with pytest.raises(
        ConfigurationError, match=f"{name} must be a whole number of 1 or more, got {value!r}"
    ):
        hansa.FedAvg(**{name: value})


def test_settings_that_exclude_one_another():
    with pytest.raises(ConfigurationError, match="epochs or steps, not both"):
        hansa.FedAvg(epochs=1, steps=1)
    with pytest.raises(ConfigurationError, match=r"carry_over .* needs steps"):
        hansa.FedAvg(carry_over=True)
    with pytest.raises(ConfigurationError, match=r"batch_size .* got None"):
        hansa.FedAvg(batch_size=None)  # type: ignore[arg-type]
    for wrong in ({"epochs": 2}, {"steps": 3}):
        with pytest.raises(ConfigurationError, match="FedSGD takes one gradient"):
            hansa.FedSGD(**wrong)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (hansa.FedProx, "mu"),
        (hansa.FedSGD, "learning_rate"),
        (hansa.Scaffold, "learning_rate"),
        (hansa.FedAdam, "learning_rate"),
        (hansa.FedYogi, "tau"),
        (hansa.FedAdagrad, "v0"),
        (hansa.FedAdam, "m0"),
        (hansa.FedAdam, "beta_1"),
        (hansa.FedYogi, "beta_2"),
    ],
)
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), "x", True, None])
def test_numbers_out_of_range_are_told_with_name_and_value(make, name, value):
    if name == "m0" and value == -1.0:
        assert make(m0=-1.0).m0 == -1.0
        return
    with pytest.raises(ConfigurationError, match=f"{name} must be .*got {value!r}"):
        make(**{name: value})


def test_betas_stay_below_1_and_steps_above_0():
    with pytest.raises(ConfigurationError, match="beta_1"):
        hansa.FedAdam(beta_1=1.0)
    with pytest.raises(ConfigurationError, match="tau must be a finite number above 0, got 0"):
        hansa.FedAdam(tau=0)
    assert hansa.FedProx(mu=0).mu == 0


@pytest.mark.parametrize("name", ALGORITHMS)
def test_descriptions_are_json_and_name_every_setting(name):
    described = ALGORITHMS[name]().describe()
    assert json.loads(json.dumps(described)) == described
    assert described["kind"] == name
    assert ALGORITHMS[name](**{k: v for k, v in described.items() if k != "kind"}) == ALGORITHMS[name]()
