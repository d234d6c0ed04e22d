"""A run that was interrupted goes on to the same final model, bit for bit."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

import hansa
from hansa.errors import RoundError, RunError
from hansa.store.run import Run
from least_squares import LeastSquares, federation, population

SPLIT = hansa.data.Split(train=0.7, validation=0.3)
LOCAL = {"steps": 3, "batch_size": 2}
ROUNDS = 6


class Countdown:
    """Raises (or does) something in the middle of the n-th local training."""

    def __init__(self, calls, act):
        self.calls, self.act = calls, act

    def __call__(self, examples, task):
        self.calls -= 1
        if self.calls == 0:
            self.act()


def stop():
    raise KeyboardInterrupt


def fail():
    raise OSError("the disk is gone")


def settings(name):
    """The settings of a federation by name; made anew each time."""
    made = {
        "fedavg": {"algorithm": hansa.FedAvg(**LOCAL)},
        "carried": {"algorithm": hansa.FedAvg(**LOCAL, carry_over=True)},
        "scaffold": {"algorithm": hansa.Scaffold(**LOCAL, carry_over=True), "cohort": 3},
        "fedadam": {"algorithm": hansa.FedAdam(**LOCAL, m0=0.01, v0=1e-6)},
        "fedbn": {"algorithm": hansa.FedBN(**LOCAL), "cohort": 2},
        "fixed": {"algorithm": hansa.FedAvg(**LOCAL), "cohort": 2},
        "poisson": {"algorithm": hansa.FedAvg(**LOCAL), "cohort": hansa.Poisson(0.6)},
    }
    if name == "adam":
        return {"algorithm": hansa.FedAvg(**LOCAL), "server_optimizer": keras.optimizers.Adam(0.1)}
    return made[name]


NAMES = ("fedavg", "carried", "scaffold", "fedadam", "fedbn", "fixed", "poisson", "adam")


def made(name, hook=None):
    learner = LeastSquares(personal=name == "fedbn", hook=hook)
    return federation(population(split=SPLIT), learner=learner, seed=5, **settings(name))


def same(left, right):
    """Whether two federations ended alike: model, memories and everything measured."""
    assert left.model_hash == right.model_hash
    assert left.memories.keys() == right.memories.keys()
    for name, memory in left.memories.items():
        assert {k: np.asarray(v).tobytes() for k, v in memory.items()} == {
            k: np.asarray(v).tobytes() for k, v in right.memories[name].items()
        }
    for a, b in zip(left.records, right.records, strict=True):
        assert (a.logs, a.cohort, a.clients, a.model_hash) == (b.logs, b.cohort, b.clients, b.model_hash)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("act", [stop, fail])
def test_after_ctrl_c_or_an_exception_in_the_middle_of_a_round(name, act, tmp_path):
    whole = made(name)
    history = whole.fit(ROUNDS)
    broken = made(name, Countdown(8, act))
    with pytest.raises(KeyboardInterrupt if act is stop else OSError):
        broken.fit(ROUNDS, run=tmp_path / "run")
    done = len(broken.records)
    assert 0 < done < ROUNDS
    assert broken.status == "interrupted"
    assert broken.model_hash == whole.records[done - 1].model_hash
    resumed = made(name)
    again = resumed.fit(ROUNDS, run=tmp_path / "run", resume=True)
    same(resumed, whole)
    assert again.history == history.history
    assert again.epoch == history.epoch


def test_the_same_federation_resumes_in_the_same_process(tmp_path):
    whole, broken = made("scaffold"), made("scaffold", Countdown(8, stop))
    whole.fit(ROUNDS)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(ROUNDS, run=tmp_path / "run")
    broken.fit(ROUNDS, run=tmp_path / "run", resume=True)
    same(broken, whole)


def test_interrupted_twice_and_in_the_first_round(tmp_path):
    whole = made("scaffold")
    whole.fit(ROUNDS)
    for calls in (2, 5, 4):
        with pytest.raises(KeyboardInterrupt):
            made("scaffold", Countdown(calls, stop)).fit(ROUNDS, run=tmp_path / "run", resume=calls != 2)
    resumed = made("scaffold")
    resumed.fit(ROUNDS, run=tmp_path / "run", resume=True)
    same(resumed, whole)


CHILD = """
    import os, signal, sys
    sys.path.insert(0, sys.argv[1])
    import test_resume
    hook = test_resume.Countdown(int(sys.argv[4]), lambda: os.kill(os.getpid(), 9))
    killed = test_resume.made(sys.argv[2], hook)
    killed.fit(test_resume.ROUNDS, run=sys.argv[3])
"""


@pytest.mark.parametrize("name", ["fedavg", "scaffold"])
def test_after_kill_9_of_a_process(name, tmp_path):
    calls = int(np.random.default_rng(os.getpid()).integers(2, 17))
    here = Path(__file__).parent
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD), here, name, tmp_path / "run", str(calls)],
        env={**os.environ, "PYTHONPATH": str(here.parent)},
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    with Run.open(tmp_path / "run", write=False) as run:
        assert 0 <= run.rounds < ROUNDS
    whole, resumed = made(name), made(name)
    whole.fit(ROUNDS)
    resumed.fit(ROUNDS, run=tmp_path / "run", resume=True)
    same(resumed, whole)


def test_more_rounds_than_were_asked_for_at_first(tmp_path):
    whole, resumed = made("fedadam"), made("fedadam")
    whole.fit(ROUNDS)
    resumed.fit(2, run=tmp_path / "run")
    assert resumed.status == "finished"
    resumed.fit(ROUNDS, run=tmp_path / "run", resume=True)
    same(resumed, whole)
    # Fewer rounds than are done: nothing is undone and nothing is trained.
    history = resumed.fit(1, run=tmp_path / "run", resume=True)
    same(resumed, whole)
    assert len(history.epoch) == ROUNDS


def test_no_checkpoint_but_the_last_is_read_where_no_callback_looks(tmp_path, monkeypatch):
    made("fedavg").fit(3, run=tmp_path / "run")
    monkeypatch.setattr(Run, "at", lambda *a: pytest.fail("a checkpoint of an old round was read"))
    resumed = made("fedavg")
    assert len(resumed.fit(4, run=tmp_path / "run", resume=True).history["loss"]) == 4


# ------------------------------------------------------------------ callbacks


def build():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


class Interrupt(keras.callbacks.Callback):
    """Raises at the end of a round the first time that it is reached."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


class Script(keras.callbacks.Callback):
    def __init__(self, values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs["made_up"] = self.values[epoch]


def run_keras(folder, callbacks, *, interrupt=None, resume=False, rounds=ROUNDS):
    fed = hansa.Federation(build, population((5, 8)), algorithm=hansa.FedAvg(batch_size=2), seed=1)
    given = [*callbacks, *([] if interrupt is None else [Interrupt(interrupt)])]
    if interrupt is None:
        return fed, fed.fit(rounds, callbacks=given, run=folder, resume=resume)
    with pytest.raises(KeyboardInterrupt):
        fed.fit(rounds, callbacks=given, run=folder, resume=resume)
    return fed, None


def test_early_stopping_counts_on(tmp_path):
    def callbacks():
        stopping = keras.callbacks.EarlyStopping("made_up", mode="min", patience=2, restore_best_weights=True)
        return [Script([3.0, 1.0, 2.0, 1.5, 0.1, 0.1]), stopping]

    whole, history = run_keras(tmp_path / "whole", callbacks())
    assert len(whole.records) == 4
    run_keras(tmp_path / "run", callbacks(), interrupt=2)
    resumed, again = run_keras(tmp_path / "run", callbacks(), resume=True)
    assert (len(resumed.records), resumed.status) == (4, "stopped by a callback")
    assert resumed.model_hash == whole.model_hash == whole.records[1].model_hash
    assert again.history == history.history
    # A run that a callback has stopped stays stopped, and its best weights are found again.
    stopped, _ = run_keras(tmp_path / "run", callbacks(), resume=True)
    assert (len(stopped.records), stopped.model_hash) == (4, whole.model_hash)
    saved = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert np.array_equal(np.concatenate([w.ravel() for w in saved.get_weights()]), whole.weights)


@pytest.mark.parametrize("kind", ["schedule", "plateau"])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_learning_rate_that_a_callback_set_is_kept(tmp_path, kind, at):
    def callbacks():
        if kind == "schedule":
            return [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.7 if epoch else rate)]
        reduce = keras.callbacks.ReduceLROnPlateau("made_up", mode="min", factor=0.3, patience=1, min_lr=0.01)
        return [Script([3.0, 3.0, 2.0, 2.0, 2.0, 2.0]), reduce]

    whole, history = run_keras(tmp_path / "whole", callbacks())
    run_keras(tmp_path / "run", callbacks(), interrupt=at)
    resumed, again = run_keras(tmp_path / "run", callbacks(), resume=True)
    assert resumed.model_hash == whole.model_hash
    assert again.history == history.history
    assert resumed._outcome.state.learning_rate == whole._outcome.state.learning_rate != 0.05


def test_the_learning_rate_is_kept_even_where_the_callback_is_not_given_again(tmp_path):
    once = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 0.01)
    run_keras(tmp_path / "run", [once], interrupt=2)
    resumed, _ = run_keras(tmp_path / "run", [], resume=True)
    assert resumed._outcome.state.learning_rate == pytest.approx(0.01)


def test_a_csv_log_covers_all_rounds(tmp_path):
    def callbacks():
        return [keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))]

    run_keras(tmp_path / "whole", callbacks())
    expected = (tmp_path / "log.csv").read_text()
    logger = callbacks()
    run_keras(tmp_path / "run", logger, interrupt=3)
    logger[0].csv_file.close()
    run_keras(tmp_path / "run", callbacks(), resume=True)
    assert (tmp_path / "log.csv").read_text() == expected


class Shrink(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.set_weights([w * 0.9 for w in self.model.get_weights()])


def test_weights_that_a_callback_changed_are_kept(tmp_path):
    whole, _ = run_keras(tmp_path / "whole", [Shrink()])
    run_keras(tmp_path / "run", [Shrink()], interrupt=3)
    resumed, _ = run_keras(tmp_path / "run", [Shrink()], resume=True)
    assert resumed.model_hash == whole.model_hash


def test_an_error_of_a_callback_leaves_model_and_memories_of_the_same_round():
    fed = federation(algorithm=hansa.FedAvg(steps=2, carry_over=True))
    with pytest.raises(KeyboardInterrupt):
        fed.fit(4, callbacks=[Interrupt(2)])
    assert len(fed.records) == 2
    assert {int(m["position"]) for m in fed.memories.values()} == {4}


# ------------------------------------------------------------------ what cannot be resumed


def test_all_clients_dropped_is_an_error_and_the_folder_is_as_before(tmp_path):
    def diverge(examples, task):
        if task.seed in bad:
            task.start[:] = np.nan

    fed = federation(learner=LeastSquares(hook=diverge), seed=5)
    bad = {fed.seeds.integer("layers", f"c{i}", 2) for i in range(4)}
    with pytest.raises(RoundError, match=r"round 2 has no usable update \(c0: 4 of 4 values"):
        fed.fit(4, run=tmp_path / "run")
    assert len(fed.records) == 2
    with Run.open(tmp_path / "run", write=False) as run:
        checkpoint = run.latest()
        assert run.rounds == 2
    assert checkpoint is not None
    assert checkpoint.state.weights.tobytes() == fed.weights.tobytes()
    two = federation(seed=5)
    two.fit(2)
    assert fed.model_hash == two.model_hash


def test_a_changed_configuration_names_what_differs(tmp_path):
    made("fedavg").fit(1, run=tmp_path / "run")
    other = federation(
        population(split=SPLIT), learner=LeastSquares(), seed=6, algorithm=hansa.FedAvg(steps=3, batch_size=4)
    )
    with pytest.raises(RunError, match=r"(?s)algorithm.batch_size: 2 -> 4.*seed: 5 -> 6"):
        other.fit(3, run=tmp_path / "run", resume=True)
    made("fedavg").fit(2, run=tmp_path / "run", resume=True)  # the folder was let go


def test_resume_needs_a_folder_with_a_run(tmp_path):
    with pytest.raises(RunError, match="resume=True needs run="):
        made("fedavg").fit(1, resume=True)
    with pytest.raises(RunError, match=str(tmp_path / "none")):
        made("fedavg").fit(1, run=tmp_path / "none", resume=True)


def test_a_folder_that_has_a_run_is_not_overwritten(tmp_path):
    made("fedavg").fit(1, run=tmp_path / "run")
    before = (tmp_path / "run" / "history.jsonl").read_bytes()
    with pytest.raises(RunError, match=r"resume"):
        made("fedavg").fit(1, run=tmp_path / "run")
    assert (tmp_path / "run" / "history.jsonl").read_bytes() == before


def test_a_folder_that_cannot_be_written_is_an_error_before_training(tmp_path):
    (tmp_path / "file").write_text("in the way")
    trained = []
    fed = federation(learner=LeastSquares(hook=lambda e, t: trained.append(t)))
    with pytest.raises(RunError, match=str(tmp_path)):
        fed.fit(1, run=tmp_path / "file" / "run")
    assert trained == []
