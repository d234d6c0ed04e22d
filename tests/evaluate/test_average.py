import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hansa.evaluate.average import average_metrics, round_logs


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(-1e6, 1e6)), min_size=1))
def test_metrics_are_averaged_by_rows(pairs):
    means = average_metrics((rows, {"loss": value, "one": 1.0}) for rows, value in pairs)
    expected = np.average([v for _, v in pairs], weights=[r for r, _ in pairs])
    np.testing.assert_allclose(means["loss"], expected, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(means["one"], 1.0)


def test_clients_without_rows_or_without_a_metric_do_not_count():
    measured = [(10, {"a": 1.0, "b": 2.0}), (0, {"a": 100.0}), (30, {"a": 5.0}), (7, {})]
    assert average_metrics(measured) == {"a": 4.0, "b": 2.0}
    assert average_metrics([]) == {}


def test_logs_have_the_names_that_callbacks_expect():
    training, clients, central = {"loss": 1.0, "mae": 2.0}, {"loss": 3.0}, {"loss": 4.0}
    assert round_logs(training=training, clients=clients, central=central) == {
        "loss": 1.0,
        "mae": 2.0,
        "val_loss": 4.0,
        "clients_val_loss": 3.0,
    }
    # Without a central set the clients' mean stands in.
    assert round_logs(training={}, clients=clients, central=None) == {
        "val_loss": 3.0,
        "clients_val_loss": 3.0,
    }
    assert round_logs(training=training, clients={}, central=None) == training
