import pytest

from hansa.ui.words import Eta, bytes_of, main_metric, number, shown_logs, who


def test_eta_forgets_the_first_round_which_compiles():
    eta = Eta(rounds=10, done=0, now=0.0)
    assert eta.left_s() is None
    eta.round(30.0)
    assert eta.left_s() == 9 * 30.0
    eta.round(31.0)
    assert eta.left_s() == 8 * 1.0
    eta.round(33.0)
    assert eta.left_s() == pytest.approx(7 * 1.3)
    assert eta.elapsed_s(40.0) == 40.0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5000"),
        (-3.25, "-3.2500"),
        (0.0, "0.0000"),
        (123456.0, "1.2e+05"),
        (float("-inf"), "-∞"),
        (None, "–"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


def test_the_wanted_metric_is_shown_where_there_is_one():
    logs = {"loss": 1.0, "accuracy": 0.5, "auc": 0.6, "val_auc": 0.7}
    assert main_metric(logs, "auc") == "auc"
    assert main_metric(logs, "f1") == "accuracy"
    assert shown_logs(logs, "auc") == {"loss": 1.0, "auc": 0.6, "val_auc": 0.7}
    assert shown_logs({"loss": 1.0}) == {"loss": 1.0, "val_loss": None}


def test_who_and_bytes():
    assert who(4, 4, []) == "4"
    assert who(10, 100, []) == "10/100"
    assert who(10, 10, ["a"]) == "9/10, 1 dropped"
    assert bytes_of(999) == "999 B"
    assert bytes_of(1_000_000) == "1.0 MB"
