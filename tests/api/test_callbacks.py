import csv
import importlib.util

import keras
import numpy as np
import pytest

import hansa
from hansa.errors import ConfigurationError, MissingExtraError, RoundError
from least_squares import RATE, LeastSquares, federation, population

SPLIT = hansa.data.Split(train=0.6, validation=0.4)


def build():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


def keras_federation(**settings):
    return hansa.Federation(build, population((5, 8), split=SPLIT), seed=1, **settings)


class Watch(keras.callbacks.Callback):
    """Keeps every event with the weights and the learning rate that the model had."""

    def __init__(self):
        super().__init__()
        self.events, self.weights, self.rates = [], [], []

    def _note(self, event):
        self.events.append(event)
        self.weights.append(np.concatenate([w.ravel() for w in self.model.get_weights()]))
        self.rates.append(None if self.model.optimizer is None else float(self.model.optimizer.learning_rate))

    def on_train_begin(self, logs=None):
        self._note("train_begin")

    def on_epoch_begin(self, epoch, logs=None):
        self._note(f"begin {epoch}")

    def on_epoch_end(self, epoch, logs=None):
        self._note(f"end {epoch} {sorted(logs or {})}")

    def on_train_end(self, logs=None):
        self._note("train_end")


@pytest.mark.parametrize("make", [federation, keras_federation])
def test_callbacks_see_the_global_weights_round_by_round(make):
    watch, fed = Watch(), make()
    initial = fed.plan().initial
    fed.fit(2, callbacks=watch)
    names = "['loss']" if make is federation else "['clients_val_loss', 'loss', 'val_loss']"
    assert watch.events == [
        "train_begin",
        "begin 0",
        f"end 0 {names}",
        "begin 1",
        f"end 1 {names}",
        "train_end",
    ]
    assert np.array_equal(watch.weights[0], initial)
    assert np.array_equal(watch.weights[1], initial)
    assert not np.array_equal(watch.weights[2], initial)
    assert np.array_equal(watch.weights[2], watch.weights[3])
    assert np.array_equal(watch.weights[4], fed.weights)
    # Looking changes nothing.
    quiet = make()
    quiet.fit(2)
    assert quiet.model_hash == fed.model_hash


def test_without_callbacks_the_history_has_all_logs():
    history = federation(population(split=SPLIT)).fit(3)
    assert history.epoch == [0, 1, 2]
    assert sorted(history.history) == ["clients_val_loss", "loss", "val_loss"]
    own = keras.callbacks.History()
    assert federation().fit(2, callbacks=[own]) is own
    assert len(own.history["loss"]) == 2


class Setter(keras.callbacks.Callback):
    def __init__(self, event, value, epoch=0):
        super().__init__()
        self.value, self.at = value, epoch
        setattr(self, event, self.act)

    def act(self, epoch, logs=None):
        if epoch == self.at:
            self.model.set_weights([np.full_like(w, self.value) for w in self.model.get_weights()])


@pytest.mark.parametrize("make", [federation, keras_federation])
@pytest.mark.parametrize("event", ["on_epoch_begin", "on_epoch_end"])
def test_a_callback_that_changes_the_weights_is_honoured(make, event):
    watch, fed = Watch(), make()
    fed.fit(2, callbacks=[Setter(event, 0.25, epoch=1), watch])
    if event == "on_epoch_end":
        assert (fed.weights == 0.25).all()
        assert fed.records[-1].model_hash == fed.model_hash
    else:
        assert (watch.weights[3] == 0.25).all()
        started_there = make(initial_weights=np.full(4, 0.25, np.float32))
        assert not np.array_equal(fed.weights, watch.weights[2])
        if make is keras_federation:
            return
        started_there.fit(1)
        np.testing.assert_allclose(fed.weights, started_there.weights, atol=0.05)


def test_a_callback_that_sets_nan_is_refused_and_rounds_before_are_kept():
    fed = federation()
    with pytest.raises(RoundError, match="a callback set the global weights to NaN"):
        fed.fit(4, callbacks=[Setter("on_epoch_end", np.nan, epoch=2)])
    assert len(fed.records) == 2
    assert np.isfinite(fed.weights).all()


class Script(keras.callbacks.Callback):
    """Puts planned values of a log in place of the measured."""

    def __init__(self, name, values):
        super().__init__()
        self.name, self.values = name, values

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.values[epoch]


@pytest.mark.parametrize("make", [federation, keras_federation])
def test_early_stopping_restores_the_best_weights(make):
    watch, fed = Watch(), make()
    stopping = keras.callbacks.EarlyStopping("made_up", mode="min", patience=2, restore_best_weights=True)
    history = fed.fit(9, callbacks=[Script("made_up", [3.0, 1.0, 2.0, 2.0, 0.0]), stopping, watch])
    assert fed.status == "stopped by a callback"
    assert len(fed.records) == 4
    assert history.history["made_up"] == [3.0, 1.0, 2.0, 2.0]
    best = make()
    best.fit(2)
    assert fed.model_hash == best.model_hash
    if make is keras_federation:
        assert np.array_equal(np.concatenate([w.ravel() for w in fed.model.get_weights()]), best.weights)


def test_lambda_callbacks_stop_and_csv_logger_writes(tmp_path):
    fed = federation()
    stop = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", epoch == 1)
    )
    fed.fit(5, callbacks=(c for c in (stop, keras.callbacks.CSVLogger(str(tmp_path / "log.csv")))))
    assert len(fed.records) == 2
    table = list(csv.DictReader((tmp_path / "log.csv").read_text().splitlines()))
    assert [row["epoch"] for row in table] == ["0", "1"]
    assert [float(row["loss"]) for row in table] == pytest.approx([r.logs["loss"] for r in fed.records])
    fed.fit(1)  # a later fit is not stopped by what an earlier one's callback did
    assert fed.status == "finished"


def test_model_checkpoint_saves_the_best_global_model(tmp_path):
    fed, path = keras_federation(), tmp_path / "best.keras"
    saver = keras.callbacks.ModelCheckpoint(str(path), monitor="made_up", mode="max", save_best_only=True)
    fed.fit(3, callbacks=[Script("made_up", [1.0, 5.0, 2.0]), saver])
    best = keras_federation()
    best.fit(2)
    saved = keras.models.load_model(path)
    assert np.array_equal(np.concatenate([w.ravel() for w in saved.get_weights()]), best.weights)


def test_a_schedule_sets_the_clients_learning_rate():
    def halve(epoch, rate):
        return rate / 2 if epoch else rate

    fed, watch = keras_federation(), Watch()
    history = fed.fit(3, callbacks=[watch, keras.callbacks.LearningRateScheduler(halve)])
    assert history.history["learning_rate"] == pytest.approx([0.05, 0.025, 0.0125])
    assert watch.rates == pytest.approx([0.05, 0.05, 0.05, 0.05, 0.025, 0.025, 0.0125, 0.0125])
    assert fed._outcome.state.learning_rate == pytest.approx(0.0125)
    # The compiled rate is back, so that the next fit (and a resumed run's configuration) begins with it.
    assert float(fed.model.optimizer.learning_rate) == pytest.approx(0.05)
    first = fed.model_hash
    assert fed.fit(3, callbacks=[keras.callbacks.LearningRateScheduler(halve)]).history["learning_rate"][
        0
    ] == pytest.approx(0.05)
    assert fed.model_hash == first
    plain = keras_federation()
    plain.fit(3)
    assert plain.model_hash != first


def test_reduce_on_plateau_reduces_the_clients_learning_rate():
    fed = keras_federation()
    reduce = keras.callbacks.ReduceLROnPlateau("made_up", factor=0.1, patience=1, mode="min")
    history = fed.fit(4, callbacks=[Script("made_up", [1.0, 2.0, 0.5, 0.7]), reduce])
    assert history.history["learning_rate"] == pytest.approx([0.05, 0.05, 0.005, 0.005])
    assert fed._outcome.state.learning_rate == pytest.approx(0.0005)


def test_the_learner_gets_the_rate_that_a_callback_set():
    learner = LeastSquares()
    fed = federation(learner=learner)
    fed.fit(1)
    assert set(learner.rates) == {None}
    assert RATE == 0.05


class InfiniteLoss(LeastSquares):
    def train(self, examples, task):
        trained = super().train(examples, task)
        return type(trained)(
            weights=trained.weights, steps=1, learning_rate=RATE, metrics={"loss": float("inf")}
        )


def test_a_callback_that_sets_a_learning_rate_of_nan_is_refused():
    def spoil(epoch, rate):
        return float("nan") if epoch == 1 else rate

    fed = keras_federation()
    with pytest.raises(RoundError, match="a callback set the clients' learning rate to nan"):
        fed.fit(3, callbacks=[keras.callbacks.LearningRateScheduler(spoil)])
    assert len(fed.records) == 1


def test_terminate_on_nan_stops_where_the_loss_is_not_finite(capsys):
    fed = federation(learner=InfiniteLoss())
    fed.fit(5, callbacks=[keras.callbacks.TerminateOnNaN()])
    assert (len(fed.records), fed.status) == (1, "stopped by a callback")
    fed = federation()
    fed.fit(3, callbacks=[keras.callbacks.TerminateOnNaN()])
    assert len(fed.records) == 3


@pytest.mark.parametrize("wrong", [["not a callback"], [keras.callbacks.History], 5])
def test_what_is_no_callback_is_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"keras.callbacks.Callback objects, got"):
        federation().fit(1, callbacks=wrong)


def test_tensorboard_without_tensorflow_says_what_to_install(monkeypatch, tmp_path):
    fed = federation()
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "tensorflow" else real(name, *a)
    )
    board = keras.callbacks.TensorBoard(str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"TensorBoard .*'tensorflow'.*\.\[tensorflow\]"):
        fed.fit(1, callbacks=[board])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs the tensorflow extra")
def test_tensorboard_writes_events(tmp_path):
    keras_federation().fit(2, callbacks=[keras.callbacks.TensorBoard(str(tmp_path))])
    assert {p.name for p in tmp_path.iterdir()} >= {"train", "validation"}
    assert all(any(folder.iterdir()) for folder in tmp_path.iterdir())


def test_a_client_optimizer_with_a_schedule_keeps_its_schedule():
    def scheduled():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.05, 1, 0.5)), "mse")
        return model

    fed, watch = hansa.Federation(scheduled, population((5, 8))), keras.callbacks.LambdaCallback()
    fed.fit(2, callbacks=[watch])
    assert fed._outcome.state.learning_rate is None


def test_reduced_precision_is_not_taken_for_a_change():
    def half():
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, dtype="bfloat16")])
        model.compile(keras.optimizers.SGD(0.05), "mse")
        return model

    hashes = []
    for callbacks in (None, [keras.callbacks.LambdaCallback()]):
        fed = hansa.Federation(half, population((5, 8)), seed=1)
        fed.fit(2, callbacks=callbacks)
        hashes.append(fed.model_hash)
    assert hashes[0] == hashes[1]
