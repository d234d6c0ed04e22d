import numpy as np
import pytest

from hansa.cli.declaration import ModelKeys
from hansa.cli.models import built_in, check_model, shape_of
from hansa.data import CSV, Bucketize, Client, Vocabulary
from hansa.data.client import as_clients
from hansa.errors import ConfigurationError, UnknownNameError

ROWS = 6


def clients(y, shape=(3,), other=None):
    x = np.zeros((ROWS, *shape), np.float32)
    return as_clients({"a": (x, y), "b": (x, y if other is None else other)})


def summary(keys, people):
    model = built_in(keys, people)()
    return [type(layer).__name__ for layer in model.layers], model.output_shape[-1], model.loss


BINARY = np.array([0, 1] * 3)
CLASSES = np.array([0, 1, 2] * 2)


@pytest.mark.parametrize(
    ("keys", "y", "shape", "layers", "units", "loss"),
    [
        ({"name": "logistic"}, BINARY, (3,), ["Dense"], 1, "binary_crossentropy"),
        ({"name": "logistic"}, CLASSES, (3,), ["Dense"], 3, "sparse_categorical_crossentropy"),
        (
            {"name": "logistic"},
            np.eye(6)[:, :4][[0, 1, 2, 3, 0, 1]],
            (3,),
            ["Dense"],
            4,
            "categorical_crossentropy",
        ),
        ({"name": "logistic"}, np.linspace(0.5, 2, 6), (3,), ["Dense"], 1, "mean_squared_error"),
        ({"name": "logistic", "classes": 5}, BINARY, (3,), ["Dense"], 5, "sparse_categorical_crossentropy"),
        ({"name": "logistic", "loss": "huber"}, CLASSES, (3,), ["Dense"], 1, "huber"),
        ({"name": "logistic"}, CLASSES, (4, 4), ["Flatten", "Dense"], 3, "sparse_categorical_crossentropy"),
        ({"name": "mlp", "hidden": [5, 4]}, BINARY, (3,), ["Dense"] * 3, 1, "binary_crossentropy"),
        (
            {"name": "mlp", "dropout": 0.5},
            BINARY,
            (3,),
            ["Dense", "Dropout", "Dense"],
            1,
            "binary_crossentropy",
        ),
        (
            {"name": "cnn", "filters": [2, 3]},
            CLASSES,
            (8, 8),
            ["Reshape", "Conv2D", "MaxPooling2D", "Conv2D", "MaxPooling2D", "Flatten", "Dense"],
            3,
            "sparse_categorical_crossentropy",
        ),
        (
            {"name": "cnn", "filters": [2]},
            BINARY,
            (8, 8, 3),
            ["Conv2D", "MaxPooling2D", "Flatten", "Dense"],
            1,
            "binary_crossentropy",
        ),
    ],
)
def test_the_model_fits_the_rows(keys, y, shape, layers, units, loss):
    assert summary(ModelKeys(**keys), clients(y, shape)) == (layers, units, loss)


def test_the_classes_are_those_of_all_clients():
    people = clients(BINARY, other=np.array([0, 1, 7] * 2))
    assert shape_of(ModelKeys(name="logistic"), people).units == 8


def test_optimizer_and_metrics_are_the_declared_ones():
    keys = ModelKeys(name="logistic", optimizer="adam", learning_rate=0.25, metrics=["accuracy", "auc"])
    model = built_in(keys, clients(BINARY))()
    assert type(model.optimizer).__name__ == "Adam"
    assert float(model.optimizer.learning_rate) == 0.25
    model.evaluate(np.zeros((6, 3)), BINARY.reshape(-1, 1), verbose=0)
    assert set(model.get_metrics_result()) == {"loss", "accuracy", "auc"}


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({"name": "logistik"}, UnknownNameError, "Did you mean 'logistic'"),
        ({"name": "mlp", "loss": "mse_"}, UnknownNameError, r"loss in \[model\]"),
        ({"name": "mlp", "metrics": ["acuracy"]}, UnknownNameError, "Did you mean 'accuracy'"),
        ({"name": "mlp", "dropout": 1.0}, ConfigurationError, "at least 0 and below 1"),
        (
            {"name": "mlp", "hidden": [0]},
            ConfigurationError,
            "hidden must be a list of whole numbers from 1 to 1000000",
        ),
        ({"name": "cnn", "filters": []}, ConfigurationError, "filters must be"),
        ({"name": "mlp", "hidden": [10**30]}, ConfigurationError, "hidden must be .* from 1 to 1000000"),
        ({"name": "mlp", "classes": 1}, ConfigurationError, "classes is 1"),
        ({"name": "mlp", "classes": 10**30}, ConfigurationError, "it must be from 2 to 1000000"),
        ({"name": "mlp", "optimizer": "sgdd"}, UnknownNameError, "Did you mean 'sgd'"),
    ],
)
def test_what_cannot_be(keys, error, message):
    with pytest.raises(error, match=message):
        check_model(ModelKeys(**keys))


def test_a_cnn_needs_images():
    with pytest.raises(ConfigurationError, match=r"needs images of at least 4 by 4 .* shape \(3,\)"):
        built_in(ModelKeys(name="cnn"), clients(BINARY))()


def test_the_model_takes_rows_as_preprocessing_makes_them(tmp_path):
    people = []
    for name in "abc":
        path = tmp_path / f"{name}.csv"
        path.write_text("town,v,y\n" + "".join(f"{'pq'[i % 2]},{i},{i % 2}\n" for i in range(6)))
        source = CSV(path, "y", categorical={"town": Vocabulary(minimum=9)})
        steps = [Bucketize(bins=3, columns=["v"], scope="federated", one_hot=True)]
        people.append(Client(name=name, source=source, preprocess=steps))
    assert built_in(ModelKeys(name="logistic"), people)().input_shape == (None, 6)
