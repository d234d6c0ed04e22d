import pytest

from hansa.cli.optimizers import OPTIMIZERS, optimizer_of
from hansa.errors import ConfigurationError, UnknownNameError


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_name_makes_its_keras_optimizer_with_all_of_its_keys(name):
    class_name, keys = OPTIMIZERS[name]
    settings = {key: False if key == "nesterov" else 0.25 for key in keys.model_fields}
    optimizer = optimizer_of({"kind": name, **settings}, "[x]").build()
    assert type(optimizer).__name__ == class_name
    config = optimizer.get_config()
    assert {key: config[key] for key in settings} == settings


def test_a_name_alone_and_the_learning_rate_beside_it():
    assert optimizer_of("sgd", "[x]", learning_rate=0.5).build().learning_rate == 0.5
    assert (
        optimizer_of({"kind": "sgd", "learning_rate": 0.25}, "[x]", learning_rate=0.5).build().learning_rate
        == 0.25
    )


def test_names_and_values_that_cannot_be():
    with pytest.raises(UnknownNameError, match="Did you mean 'rmsprop'"):
        optimizer_of("rmsprp", "[x]")
    with pytest.raises(ConfigurationError, match='learning_rate is "fast"; learning_rate must be a number'):
        optimizer_of({"kind": "sgd", "learning_rate": "fast"}, "[x]")


def test_values_that_keras_refuses_and_values_that_are_no_numbers():
    with pytest.raises(ConfigurationError, match=r"SGD cannot have momentum = -1.0. Keras said: .*momentum"):
        optimizer_of({"kind": "sgd", "momentum": -1.0}, "[x]").build()
    for value in (float("nan"), float("inf")):
        with pytest.raises(ConfigurationError, match=f"learning_rate is {value}; it must be a finite number"):
            optimizer_of("adam", "[x]", learning_rate=value)
