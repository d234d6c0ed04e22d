import numpy as np
import pytest

import hansa
from hansa.api.loop import Target, drive
from hansa.errors import ConfigurationError, UnknownNameError
from least_squares import federation, population

SPLIT = hansa.data.Split(train=0.6, validation=0.4)


def test_a_target_stops_the_run_where_it_is_reached():
    full = federation(population(split=SPLIT)).fit(6).history["val_loss"]
    between = (full[2] + full[3]) / 2
    fed = federation(population(split=SPLIT))
    history = fed.fit(6, target={"val_loss": between})
    assert full[3] < between < full[2]
    assert history.history["val_loss"] == full[:4]
    assert fed.status == "target reached"


@pytest.mark.parametrize(
    ("name", "value", "reached"),
    [
        ("val_accuracy", 0.9, True),
        ("val_accuracy", 0.96, False),
        ("val_loss", 0.4, True),
        ("val_loss", 0.2, False),
        ("clients_val_mae", 1.0, True),
        ("clients_val_mae", 0.5, False),
    ],
)
def test_losses_and_errors_fall_to_a_target_and_others_rise(name, value, reached):
    logs = {"val_accuracy": 0.95, "val_loss": 0.3, "clients_val_mae": 0.8}
    assert Target(name, value).reached(logs) is reached


def test_nan_reaches_no_target():
    assert not Target("val_loss", 1.0).reached({"val_loss": float("nan")})
    assert not Target("val_accuracy", 0.1).reached({"val_accuracy": float("nan")})


def test_a_wrong_name_is_told_with_the_nearest():
    fed = federation(population(split=SPLIT))
    with pytest.raises(UnknownNameError, match=r"target: 'val_los'. Did you mean 'val_loss'"):
        fed.fit(3, target={"val_los": 0.1})
    assert len(fed.records) == 1


def test_rounds_without_evaluation_or_without_clients_are_passed_over():
    fed = federation(population(split=SPLIT))
    fed.fit(4, target={"val_loss": 1e9}, validation_freq=3)
    assert len(fed.records) == 3
    fed = federation(population(split=SPLIT), cohort=hansa.Poisson(0.05), seed=1)
    fed.fit(3, target={"loss": -1.0})
    assert any(not r.cohort for r in fed.records)


@pytest.mark.parametrize(
    ("settings", "name"),
    [({}, "val_loss"), ({}, "clients_val_loss"), ({"validation": True}, "clients_val_loss")],
)
def test_a_target_that_is_never_measured_is_refused_before_the_first_round(settings, name):
    if settings:
        settings = {"validation": (np.ones((2, 3)), np.ones(2))}
    fed = federation()
    with pytest.raises(
        ConfigurationError, match=f"target '{name}' is never measured.*Split with validation rows"
    ):
        fed.fit(3, target={name: 0.1}, **settings)
    assert fed.records == []
    with pytest.raises(ConfigurationError, match="never measured"):
        federation(population(split=SPLIT)).fit(3, target={"val_loss": 0.1}, clients_validate="none")


@pytest.mark.parametrize(
    "wrong",
    [{}, {"a": 1, "b": 2}, "val_loss", {"loss": "x"}, {"loss": True}, {"loss": float("nan")}, {3: 0.5}],
)
def test_a_target_is_one_name_and_one_number(wrong):
    with pytest.raises(ConfigurationError, match="target names one log and its value"):
        federation().fit(1, target=wrong)


class Watch:
    def __init__(self):
        self.told = []

    def begin(self, *, title, rounds, done, clients, backend):
        self.told.append(("begin", title, rounds, done, clients))

    def round(self, record):
        self.told.append(record.round)

    def end(self, status):
        self.told.append(status)


def test_progress_is_told_how_it_goes():
    watch = Watch()
    federation(title="Mine").fit(2, progress=watch)
    assert watch.told == [("begin", "Mine", 2, 0, 4), 0, 1, "finished"]


def test_phases_are_timed():
    fed = federation(population(split=SPLIT))
    fed.fit(1, validation=(np.ones((2, 3)), np.ones(2)))
    assert set(fed.records[0].timings_s) == {
        *("draw", "gather", "train", "encode", "sum", "step", "evaluate", "other")
    }
    assert all(seconds >= 0 for seconds in fed.records[0].timings_s.values())


def test_a_learners_stop_iteration_is_not_taken_for_the_end_of_the_round():
    def steps():
        yield type("A", (), {"phase": "train"})()

    class Engine:
        def answer(self, ask):
            raise StopIteration("an exhausted iterator of the learner's")

    with pytest.raises(StopIteration, match="exhausted iterator"):
        drive(steps(), Engine())  # type: ignore[arg-type]
