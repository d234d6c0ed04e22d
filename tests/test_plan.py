import json

import keras
import numpy as np
import pytest

import hansa
from hansa.errors import ConfigurationError, DataError, UnknownNameError
from least_squares import LeastSquares, federation, population, rows


def plan(**settings):
    evaluation = {
        k: settings.pop(k)
        for k in ("clients_validate", "validation_freq", "evaluation_batch_size")
        if k in settings
    }
    return federation(settings.pop("clients", None), **settings).plan(**evaluation)


def test_shared_and_personal_parts_are_put_together_again():
    fed = federation(algorithm=hansa.FedBN(), learner=LeastSquares(personal=True, statistic=True))
    made = fed.plan()
    full = np.arange(6, dtype=np.float32)
    shared, own = made.shared_part(full), made.personal_part(full)
    assert shared.tolist() == [0, 1, 2, 3, 5]
    assert own["personal"].tolist() == [4]
    assert np.array_equal(made.full(shared, own), full)
    assert made.full(shared)[4] == made.initial[4]
    assert made.full(shared, {})[4] == made.initial[4]
    assert made.widen(shared).tolist() == [0, 1, 2, 3, 0, 5]
    assert (made.update_size, made.shared.size) == (5, 5)


def test_without_personal_weights_vectors_are_passed_on():
    made = plan(algorithm=hansa.Scaffold())
    vector = np.arange(4, dtype=np.float32)
    assert made.full(vector) is made.shared_part(vector) is made.widen(vector) is vector
    assert made.personal_part(vector) == {}
    assert made.update_size == 8


@pytest.mark.parametrize(
    "algorithm", [hansa.FedAdam(), hansa.FedYogi(), hansa.FedAdagrad(), hansa.Scaffold()]
)
def test_two_server_steps_at_once_are_an_error(algorithm):
    with pytest.raises(
        ConfigurationError, match=r"has a server step of its own.*FedAvg\(\.\.\.\) with server_opt"
    ):
        plan(algorithm=algorithm, server_optimizer=keras.optimizers.Adam(0.1))


@pytest.mark.parametrize("algorithm", [hansa.FedProx(), hansa.Scaffold()])
def test_corrections_need_a_learner_that_corrects(algorithm):
    with pytest.raises(ConfigurationError, match="changes the gradients"):
        plan(algorithm=algorithm, learner=LeastSquares(corrects_gradients=False))


def test_scaffold_needs_plain_sgd():
    with pytest.raises(ConfigurationError, match="plain SGD steps"):
        plan(algorithm=hansa.Scaffold(), learner=LeastSquares(plain_sgd=False))


def test_a_model_of_personal_weights_alone_has_nothing_to_aggregate():
    class OnlyNormalization(LeastSquares):
        def layout(self):
            entries = super().layout().entries
            return type(super().layout())(
                tuple(type(e)(name=e.name, shape=e.shape, layer="BatchNormalization") for e in entries)
            )

    with pytest.raises(ConfigurationError, match="FedBN shares none of this model's trainable weights"):
        plan(algorithm=hansa.FedBN(), learner=OnlyNormalization())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("validation_freq", v) for v in (0, -1, 1.5, True, None)),
        *(("evaluation_batch_size", v) for v in (0, True, 2.0)),
    ],
)
def test_counts_are_whole_numbers_of_1_or_more(setting, value):
    with pytest.raises(
        ConfigurationError, match=f"{setting} must be a whole number of 1 or more, got {value!r}"
    ):
        plan(**{setting: value})


def test_unknown_names_are_told_with_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"aggregate.*'example'.*Did you mean 'examples'.*examples, uniform"
    ):
        plan(aggregate="example")
    with pytest.raises(UnknownNameError, match=r"clients_validate: 'al'.*Did you mean 'all'"):
        plan(clients_validate="al")


def classes(n, seed):
    x, _ = rows(n, seed=seed)
    return x, np.arange(n) % 2


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"0": 1.0}, "whole numbers.*'0'"),
        ({0.5: 1.0}, "whole numbers.*0.5"),
        ({True: 1.0}, "whole numbers.*True"),
        ({0: -1.0}, "weight of class 0 must be .*0 or more, got -1.0"),
        ({0: float("nan")}, "weight of class 0 .*nan"),
        ({1: float("inf")}, "weight of class 1 .*inf"),
        ({1: "a"}, "weight of class 1 .*'a'"),
        ([1.0, 2.0], "class_weight maps classes to weights"),
        (2.0, "class_weight maps classes to weights"),
    ],
)
def test_class_weights_map_classes_to_finite_weights(weights, message):
    clients = {"a": classes(6, 0), "b": classes(6, 1)}
    with pytest.raises(ConfigurationError, match=message):
        plan(clients=clients, class_weight=weights)
    assert plan(clients=clients, class_weight={0: 2.0, 1: 0}).class_weight == {0: 2.0, 1: 0}


def test_class_weights_need_classes_at_every_client():
    with pytest.raises(DataError, match=r"class_weight needs labels that are classes.*'c0'"):
        plan(class_weight={0: 2.0})
    with pytest.raises(DataError, match="'b'"):
        plan(clients={"a": classes(6, 0), "b": rows(6, seed=1)}, class_weight={0: 2.0})


def test_class_weights_leave_every_client_something_to_learn():
    x, y = classes(6, 0)
    clients = {"a": (x, y), "zeros": (x, np.zeros_like(y))}
    with pytest.raises(DataError, match=r"'zeros': class_weight gives all of its training rows.*weight 0"):
        plan(clients=clients, class_weight={0: 0.0})
    assert plan(clients=clients, class_weight={1: 0.0}).class_weight == {1: 0.0}


def test_the_description_is_json_and_tells_two_plans_apart():
    described = [
        plan().describe(),
        plan(algorithm=hansa.FedProx(mu=0.5)).describe(),
        plan(cohort=2).describe(),
        plan(aggregate="uniform").describe(),
        plan(server_optimizer=keras.optimizers.Adam(0.1)).describe(),
        plan(server_optimizer=keras.optimizers.Adam(0.2)).describe(),
        plan(
            server_optimizer=keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 5))
        ).describe(),
        plan(validation_freq=2).describe(),
    ]
    texts = [json.dumps(d, sort_keys=True) for d in described]
    assert len(set(texts)) == len(texts)
    assert (
        json.dumps(plan(server_optimizer=keras.optimizers.Adam(0.1)).describe(), sort_keys=True) == texts[4]
    )


def test_a_cohort_larger_than_the_population_is_refused_when_declared():
    with pytest.raises(ConfigurationError, match="cohort is 5 clients but there are only 4"):
        federation(population(), cohort=5)
