"""What a user may get wrong: a clear error before anything is trained, or a defined behaviour."""

import keras
import numpy as np
import pytest

import hansa
from hansa.errors import ConfigurationError, DataError, HansaError, UnknownNameError
from hansa.train.keras_learner import KerasLearner
from least_squares import LeastSquares, federation, population, rows


def build(units=1, activation="sigmoid", loss="binary_crossentropy", compiled=True, width=3):
    model = keras.Sequential([keras.Input((width,)), keras.layers.Dense(units, activation=activation)])
    if compiled:
        model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
    return model


def classes(n, *, seed=0, values=(0, 1), width=3):
    x, _ = rows(n, seed=seed, width=width)
    return x, np.asarray([values[i % len(values)] for i in range(n)])


def fit(clients, model=build, **settings):
    fed = hansa.Federation(model, clients, **settings)
    return fed, fed.fit(2)


@pytest.mark.parametrize("rounds", [0, -1, True, 1.5, "3", None])
def test_rounds_are_a_whole_number_of_1_or_more(rounds):
    with pytest.raises(
        ConfigurationError, match=f"rounds must be a whole number of 1 or more, got {rounds!r}"
    ):
        federation().fit(rounds)


@pytest.mark.parametrize("seed", [-1, 1.0, True, "a", None])
def test_a_seed_is_a_whole_number_of_0_or_more(seed):
    with pytest.raises(ConfigurationError, match=f"seed must be an integer of 0 or more, got {seed!r}"):
        federation(seed=seed)


def test_an_empty_client_is_named():
    with pytest.raises(DataError, match="'b'"):
        fit({"a": classes(6), "b": (np.ones((0, 3)), np.ones(0, int))})


def test_a_client_of_one_class_trains_with_the_others():
    fed, history = fit({"a": classes(6), "ones": classes(5, values=(1,))})
    assert len(history.history["loss"]) == 2
    assert fed.prepare().cards["ones"].labels == {"1": 5}
    assert np.isfinite(fed.weights).all()


def test_a_client_with_other_columns_is_named_with_the_difference():
    clients = {"a": classes(6), "b": classes(6), "odd": classes(6, width=4)}
    with pytest.raises(
        DataError, match=r"client 'odd' has other features than 2 of 3 clients.*\(4,\).*\(3,\)"
    ):
        fit(clients)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_named_with_client_and_remedy(bad):
    x, y = classes(6)
    x[2, 1] = bad
    with pytest.raises(DataError, match=r"(?s)'ill'.*(NaN|infinite|infinity)"):
        fit({"well": classes(6), "ill": (x, y)})


@pytest.mark.parametrize(
    ("model", "values", "message"),
    [
        (
            lambda: build(3, "softmax", "sparse_categorical_crossentropy"),
            (0, 1, 3),
            "0 to 3 .*3 classes.*0 to 2",
        ),
        (lambda: build(3, "softmax", "sparse_categorical_crossentropy"), (-1, 1), "-1 to 1 .*3 classes"),
        (build, (0, 2), "0 to 2 for binary cross-entropy"),
    ],
)
def test_labels_out_of_range_are_named_with_client_and_range(model, values, message):
    with pytest.raises(DataError, match=f"client 'b' has labels from {message}"):
        fit({"a": classes(6, values=(0, 1)), "b": classes(6, values=values)}, model)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: build(width=5), "model does not match the data.*3"),
        (lambda: build(4, "softmax", "categorical_crossentropy"), "model does not match the data"),
        (lambda: build(compiled=False), "not compiled.*model.compile"),
        (lambda: "a model", "returned str"),
        (lambda: build()(np.ones((1, 3))), "expected a compiled keras.Model"),
        (build(), "function of no arguments"),
        (None, "function of no arguments"),
    ],
)
def test_a_model_that_does_not_match_is_refused(model, message):
    with pytest.raises(ConfigurationError, match=f"(?s){message}"):
        fit({"a": classes(6)}, model)


def test_duplicate_names_are_refused():
    client = population((5,))[0]
    with pytest.raises(ConfigurationError, match="two clients are named 'c0'"):
        federation([client, client])


@pytest.mark.parametrize("clients", [[], {}, None, "abc", 5, [(1, 2)]])
def test_clients_of_the_wrong_kind_are_refused(clients):
    with pytest.raises(ConfigurationError, match="client"):
        hansa.Federation(build, clients)


def test_a_cohort_larger_than_the_population_is_refused():
    with pytest.raises(ConfigurationError, match="cohort is 9 clients but there are only 4"):
        federation(cohort=9)


def test_an_unknown_aggregate_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'uniform'"):
        federation(aggregate="unifrom").fit(1)


@pytest.mark.parametrize("algorithm", ["fedavg", hansa.FedAvg, 3])
def test_an_algorithm_is_an_object(algorithm):
    with pytest.raises(
        ConfigurationError, match=r"algorithm must be an Algorithm such as hansa.FedAvg\(epochs=1\)"
    ):
        federation(algorithm=algorithm)


@pytest.mark.parametrize("optimizer", [3, object(), "no such optimizer"])
def test_a_server_optimizer_is_a_keras_optimizer(optimizer):
    with pytest.raises(ConfigurationError, match="server_optimizer"):
        federation(server_optimizer=optimizer)


def test_class_weights_on_numbers_are_refused():
    with pytest.raises(DataError, match="class_weight needs labels that are classes"):
        federation(class_weight={0: 2.0}).fit(1)


def test_sample_weights_count_in_training():
    x, y = rows(8)
    doubled = (np.concatenate([x, x[:4]]), np.concatenate([y, y[:4]]))
    weight = np.where(np.arange(8) < 4, 2.0, 1.0)

    def linear():
        return build(1, None, "mse")

    whole = hansa.FedSGD(learning_rate=0.1)
    zeros = [np.zeros((3, 1)), np.zeros(1)]
    weighted, _ = fit({"a": (x, y, weight)}, linear, algorithm=whole, initial_weights=zeros)
    repeated, _ = fit(
        {"a": doubled}, linear, algorithm=hansa.FedSGD(learning_rate=0.15), initial_weights=zeros
    )
    np.testing.assert_allclose(weighted.weights, repeated.weights, rtol=1e-4)


@pytest.mark.parametrize("weight", [np.ones(5), -np.ones(6), np.full(6, np.nan), np.ones((6, 2))])
def test_sample_weights_that_do_not_fit_are_refused(weight):
    with pytest.raises(DataError, match=r"(?i)weight"):
        fit({"a": (*classes(6), weight)})


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(5, np.float32), "4 scalars"),
        (np.array([1, 2, 3, np.nan], np.float32), "NaN"),
        (np.array([1, 2, 3, np.inf], np.float32), "NaN or infinity"),
        ([np.zeros((3, 1))], "2 arrays, got 1"),
        ([np.zeros((1, 3)), np.zeros(1)], r"\(3, 1\), got \(1, 3\)"),
        ([[[1], [2]], [0]], r"\(3, 1\), got \(2, 1\)"),
        (5, "initial weights"),
        ("abcd", "initial weights"),
        ({"a": 1}, "initial weights"),
        ([["x"], ["y"]], "initial weights"),
    ],
)
def test_initial_weights_that_do_not_fit_are_refused(weights, message):
    with pytest.raises(ConfigurationError, match=message):
        federation(initial_weights=weights).fit(1)


def test_initial_weights_as_a_list_or_a_vector_are_the_same():
    vector = np.arange(4, dtype=np.float32) / 10
    listed = [vector[:3].reshape(3, 1), vector[3:]]
    hashes = []
    for given in (vector, listed):
        fed = federation(initial_weights=given)
        fed.fit(1)
        hashes.append(fed.model_hash)
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("validation", [5, "xy", (np.ones((2, 3)),), (np.ones((2, 3)), np.ones(3))])
def test_validation_rows_of_the_wrong_kind_are_refused(validation):
    with pytest.raises(HansaError):
        federation().fit(1, validation=validation)


def test_validation_rows_of_another_shape_are_refused_before_the_first_round():
    fed = hansa.Federation(build, {"a": classes(6)})
    with pytest.raises(HansaError, match="validation"):
        fed.fit(1, validation=classes(4, width=5))
    assert fed.records == []
    with pytest.raises(HansaError, match="validation"):
        fed.fit(1, validation=(np.ones((0, 3)), np.ones(0, int)))
    with pytest.raises(HansaError, match=r"validation.*labels from 0 to 2"):
        fed.fit(1, validation=classes(4, values=(0, 2)))


def test_before_fit_there_is_nothing_to_look_at():
    fed = federation()
    for look in ("weights", "model_hash"):
        with pytest.raises(ConfigurationError, match="nothing is trained yet"):
            getattr(fed, look)
    with pytest.raises(ConfigurationError, match="nothing is trained yet"):
        fed.report_data()
    assert fed.memories == {}


def test_scaffold_with_momentum_or_a_schedule_is_refused():
    def compiled(optimizer):
        def model():
            made = build(compiled=False)
            made.compile(optimizer(), "binary_crossentropy")
            return made

        return model

    schedule = keras.optimizers.schedules.ExponentialDecay
    for optimizer in (
        lambda: keras.optimizers.SGD(0.1, momentum=0.9),
        lambda: keras.optimizers.Adam(0.1),
        lambda: keras.optimizers.SGD(schedule(0.1, 10, 0.5)),
    ):
        with pytest.raises(ConfigurationError, match="plain SGD"):
            fit({"a": classes(6)}, compiled(optimizer), algorithm=hansa.Scaffold())


def test_a_learner_that_is_not_keras_has_no_model():
    fed = federation(learner=LeastSquares())
    fed.fit(1)
    with pytest.raises(ConfigurationError, match=r"not Keras; use federation.weights"):
        _ = fed.model


@pytest.mark.parametrize("run", [5, "a\0b", True])
def test_a_run_is_kept_in_a_folder(run):
    with pytest.raises(ConfigurationError, match="run must be the path of a folder"):
        federation().fit(1, run=run)


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ({"../evil": "x"}, "cannot name a file '../evil'"),
        ({"a/b": "x"}, "cannot name a file 'a/b'"),
        ({".hidden": "x"}, "cannot name a file"),
        ({"config.json": "{}"}, "cannot name a file 'config.json'.*none of the run's own"),
        ({"log": "x"}, "cannot name a file 'log'"),
        ({3: "x"}, "cannot name a file 3"),
        ({"a.txt": 5}, r"keep\['a.txt'\] must be a text, got int"),
        (["a.txt"], "keep maps file names to texts"),
    ],
)
def test_texts_to_keep_stay_in_the_folder_and_replace_nothing(tmp_path, keep, message):
    with pytest.raises(ConfigurationError, match=message):
        federation().fit(1, run=tmp_path / "run", keep=keep)
    assert not list(tmp_path.iterdir())


def test_a_learner_that_was_built_for_other_rows_is_refused():
    learner = KerasLearner(build)
    hansa.Federation(learner, {"a": classes(6)}).fit(1)
    with pytest.raises(
        ConfigurationError, match=r"built for features of shape \(3,\) and cannot take \(4,\)"
    ):
        hansa.Federation(learner, {"a": classes(6, width=4)}).fit(1)
