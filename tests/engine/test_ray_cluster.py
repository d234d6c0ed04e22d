"""The Ray engine gives the vector engine's bytes, whatever dies. Long tests run scripts with a Ray each."""

import json
import os
import subprocess
import sys
import textwrap
import types
import weakref
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import hansa
from hansa.algorithms.algorithm import Algorithm, add_mean
from hansa.cohort import FixedSize
from hansa.engine import ENGINES, RayCluster, Vector
from hansa.engine.ray_rows import Packer, arrays_of
from hansa.engine.ray_session import SESSION, _check_reachable, load_ray
from hansa.engine.ray_setup import recipe
from hansa.engine.ray_worker import Failure, RemoteTraceback
from hansa.errors import ConfigurationError, DataError, MissingExtraError, UnknownNameError, UpdateError
from hansa.privacy import Budget, DistributedDP
from hansa.rng import Seeds
from hansa.types import Ask, Examples
from least_squares import federation

pytestmark = [
    pytest.mark.xdist_group("ray"),
    # Ray leaves sockets, files and processes to the interpreter's end.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in.*:pytest.PytestUnraisableExceptionWarning"),
]


def builder(norm=False):
    """A model function that Ray sends as it is, not by the name of this module."""

    def build():
        import keras

        layers = [keras.layers.BatchNormalization()] if norm else []
        model = keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(6, activation="relu"),
                *layers,
                keras.layers.Dense(3, activation="softmax"),
            ]
        )
        model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    return build


def people(clients, rows=10, split=None):
    """Clients with unlike numbers of rows."""
    rng = np.random.default_rng(clients)
    x = rng.normal(size=(clients * rows, 4)).astype("float32")
    y = x[:, :3].argmax(1)
    split = hansa.data.Split(train=0.8, validation=0.2) if split is None else split
    cuts = np.sort(rng.choice(np.arange(1, clients * rows // 4), clients - 1, replace=False) * 4)
    parts = np.split(np.arange(len(x)), cuts)
    return tuple(
        hansa.data.Client(name=f"c{i}", source=hansa.data.Arrays(x[p], y[p]), split=split)
        for i, p in enumerate(parts)
    )


def fitted(engine, clients, rounds=2, norm=False, fit=None, **settings):
    made = hansa.Federation(builder(norm), clients, seed=3, engine=engine, **settings)
    made.fit(rounds=rounds, **(fit or {}))
    return made


def same(one, other):
    """Whether two federations came to the same model, memories and logs, bit for bit."""
    assert one.model_hash == other.model_hash
    assert [r.logs for r in one.records] == [r.logs for r in other.records]
    assert [r.clients for r in one.records] == [r.clients for r in other.records]
    assert one.memories.keys() == other.memories.keys()
    for name, memory in one.memories.items():
        assert {k: v.tobytes() for k, v in memory.items()} == {
            k: v.tobytes() for k, v in other.memories[name].items()
        }
    return True


# ---------------------------------------------------------------------- without Ray


def test_it_is_known_by_name_and_importing_it_does_not_import_ray():
    assert ENGINES["ray"] is RayCluster
    code = "import sys, hansa.engine; print('ray' in sys.modules, 'keras' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": True}, {"workers": 1.5}, {"address": ""}])
def test_a_wrong_declaration_is_refused(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        RayCluster(**wrong)


def test_a_learner_that_is_not_keras_is_refused():
    with pytest.raises(ConfigurationError, match="LeastSquares is none"):
        federation(engine="ray").fit(rounds=1)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"'\.\[ray\]'"):
        fitted("ray", people(3))


def test_a_cluster_that_is_not_there_is_told_at_once():
    with pytest.raises(ConfigurationError, match=r"no Ray cluster at 127\.0\.0\.1:1 .*ray start --head"):
        _check_reachable("127.0.0.1:1")


def test_rows_come_out_of_blocks_as_they_were(monkeypatch):
    monkeypatch.setattr("hansa.engine.ray_rows.BLOCK_BYTES", 300)
    rng = np.random.default_rng(0)
    rows = {
        f"c{i}": Examples(
            x={"a": rng.normal(size=(n, 3)), "b": rng.normal(size=(n, 2)).astype("float32")},
            y=np.arange(n) if i < 5 else np.arange(n, dtype=np.int32),
            sample_weight=np.ones(n) if i == 2 else None,
        )
        for i, n in enumerate([5, 1, 4, 9, 2, 3, 7])
    }
    packer = Packer(lambda block: block)
    for name, part in rows.items():
        packer.add(name, part)
    packer.close()
    for name, (number, place) in packer.places.items():
        there, here = arrays_of(packer.blocks[number].of(place)), arrays_of(rows[name])
        assert [(a.tobytes(), a.dtype) for a in there] == [(a.tobytes(), a.dtype) for a in here]
    assert [packer.places[f"c{i}"] for i in range(7)] == [
        *((0, 0), (0, 1), (1, 0), (2, 0)),
        *((3, 0), (4, 0), (4, 1)),
    ]
    assert [len(form) for form in packer.forms] == [0, 0, 0]


class Odd(ValueError):
    """Cannot be pickled as it is."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UpdateError("bad"), UpdateError),
        (UnknownNameError("strategy", "lop", ["loop"]), ConfigurationError),
        (Odd(1, 2), ValueError),
        (KeyError("k"), KeyError),
    ],
)
def test_an_error_travels_with_its_notes(error, kind):
    pytest.importorskip("ray")

    def train():
        raise error

    error.add_note("while client 'a' trained in round 0")
    with pytest.raises(kind) as caught:
        train()
    raised = Failure.of(caught.value).raised()
    assert type(raised) is kind
    assert str(raised) == str(error)
    assert raised.__notes__ == error.__notes__
    assert isinstance(raised.__cause__, RemoteTraceback)
    assert "in train" in str(raised.__cause__)


# ---------------------------------------------------------------------- one Ray for several tests


@pytest.fixture(scope="module")
def cluster():
    pytest.importorskip("ray")
    SESSION.join(None, 2)
    yield RayCluster(workers=2)
    SESSION.leave()


def test_the_bytes_are_those_of_the_vector_engine(cluster):
    settings = {"clients": people(130), "class_weight": {0: 2.0, 2: 0.5}}
    on_ray = fitted(cluster, **settings)
    assert same(fitted(Vector(workers=2), **settings), on_ray)
    facts = on_ray._engine.facts()
    assert (facts["kind"], facts["workers"], facts["nodes"]) == ("ray", 2, 1)
    assert facts["compilations"] > 0
    assert on_ray._engine.describe() == {"kind": "vector", "strategy": facts["strategy"]}


@pytest.mark.backends
def test_the_bytes_are_those_of_the_vector_engine_on_every_backend(cluster):
    clients, one = people(9), RayCluster(workers=1)
    assert same(fitted(Vector(workers=2), clients, norm=True), fitted(one, clients, norm=True))


@pytest.mark.parametrize(
    "settings",
    [
        {"secure_sum": "sealed", "algorithm": hansa.Scaffold(steps=3, batch_size=4)},
        # The engine knows neither the sum nor why integers come: the sealed one shows both.
        pytest.param({"secure_sum": "masking"}, marks=pytest.mark.slow),
        pytest.param({"quantise": 4.0}, marks=pytest.mark.slow),
        {"compress": hansa.TopK(keep=0.2)},
    ],
    ids=["sealed", "masking", "quantised", "compressed"],
)
def test_secure_sums_give_the_same_bytes(cluster, settings):
    clients = people(5)
    assert same(fitted(Vector(), clients, **settings), fitted(RayCluster(workers=1), clients, **settings))


@pytest.mark.parametrize("secure_sum", ["sealed", hansa.Sealed(proof="norm")], ids=["sealed", "proven"])
@pytest.mark.parametrize("known", [{"noise_multiplier": 1.0}, {"budget": Budget(epsilon=8.0, delta=1e-3)}])
def test_workers_add_the_noise_that_is_promised(secure_sum, known):
    """They knew of a plain sum: of fewer shares than a sum opens with, and of cohorts that nobody knows."""
    privacy = DistributedDP(rounds=2, participation=FixedSize(4), **known)
    made = hansa.Federation(builder(), people(9), secure_sum=secure_sum, privacy=privacy, seed=3)
    plan, learner = made.plan(), types.SimpleNamespace(recipe=())
    sent, _ = load_ray().cloudpickle.loads(recipe(plan, learner, Seeds(3)))
    assert sent.private.noise == plan.private.noise
    assert sent.private.share == plan.private.share
    assert sent.private.sharers == 3
    assert sent.sums.noise_norm == plan.sums.noise_norm


class Elsewhere:
    """A source whose rows are made when they are read; it counts whose are in memory at a time."""

    living: ClassVar[set[int]] = set()
    most = reads = 0

    def __init__(self, number, y_type=np.int64, weighted=False):
        self.number, self.y_type, self.weighted = number, y_type, weighted

    def load(self):
        rng = np.random.default_rng(self.number)
        x = rng.normal(size=(8 + self.number % 5, 4)).astype("float32")
        weakref.finalize(x, Elsewhere.living.discard, self.number)
        Elsewhere.living.add(self.number)
        Elsewhere.most = max(Elsewhere.most, len(Elsewhere.living))
        Elsewhere.reads += 1
        weight = rng.uniform(1, 2, len(x)).astype("float32") if self.weighted else None
        return Examples(x=x, y=x[:, :3].argmax(1).astype(self.y_type), sample_weight=weight)

    def describe(self):
        return {"kind": "elsewhere", "number": self.number}


@pytest.mark.parametrize("kind", ["mixed", "preprocessed and class weights"])
def test_the_driver_holds_a_block_of_rows_and_not_the_population(cluster, monkeypatch, kind):
    monkeypatch.setattr("hansa.engine.ray_rows.BLOCK_BYTES", 4 * 12 * (4 * 4 + 8))  # four clients' rows
    mixed, preprocessed = kind == "mixed", kind != "mixed"
    clients = [
        hansa.data.Client(
            name=f"c{i}",
            source=Elsewhere(i, np.int32 if mixed and i % 3 else np.int64, weighted=mixed and i % 4 == 1),
            preprocess=(hansa.data.Standardize(scope="federated"),) if preprocessed else (),
            split=hansa.data.Split(train=0.7, validation=0.3) if preprocessed else hansa.data.Split(),
        )
        for i in range(30)
    ]
    settings = {"rounds": 1, "fit": {"local_metrics": True}}
    settings["class_weight"] = {0: 2.0} if preprocessed else None
    Elsewhere.most = Elsewhere.reads = 0
    on_ray = fitted(RayCluster(workers=1, strategy="loop"), clients, **settings)
    assert 30 * 2 <= Elsewhere.reads <= 30 * 4 + 10
    assert Elsewhere.most <= 8
    assert not Elsewhere.living
    assert same(fitted(Vector(workers=1, strategy="loop"), clients, **settings), on_ray)
    assert preprocessed or Elsewhere.most == 30  # what is counted is what is in memory


def test_rows_of_unlike_structure_are_told(cluster):
    x, y = np.zeros((4, 4), np.float32), np.arange(4) % 2
    clients = {"a": (x, y), "b": (x, y[:, None])}
    with pytest.raises(DataError, match="do not have the same structure"):
        fitted(cluster, clients)


def test_scaffolds_memories_stay_with_the_driver(cluster):
    settings = {"clients": people(20), "cohort": 10, "algorithm": hansa.Scaffold(batch_size=4)}
    on_ray = fitted(RayCluster(workers=1), **settings)
    assert same(fitted(Vector(workers=1), **settings), on_ray)
    assert on_ray.memories


@dataclass(frozen=True, kw_only=True)
class Spoilt(Algorithm):
    """Fails on clients alone."""

    def client_update(self, start, memory, trained, layout):
        raise UpdateError(f"spoilt in round {start.round}")

    def server_step(self, state, mean, layout, *, share):
        return add_mean(state, mean)


def test_an_error_of_the_users_code_is_raised_as_it_is(cluster):
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        with pytest.raises(UpdateError, match=r"^spoilt in round 0$") as caught:
            fitted(RayCluster(workers=1), people(4), algorithm=Spoilt())
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    assert "client_update" in str(caught.value.__cause__)


@pytest.mark.slow
def test_a_module_that_workers_lack_is_told(cluster, monkeypatch):
    lacking = types.ModuleType("lacking")
    exec("def build(): raise AssertionError", lacking.__dict__)  # noqa: S102
    monkeypatch.setitem(sys.modules, "lacking", lacking)
    made = hansa.Federation(builder(), people(4), engine=RayCluster(workers=1))
    made.prepare()
    made.learner._function = lacking.build
    with pytest.raises(ConfigurationError, match="cannot load what the run is made of"):
        made.fit(rounds=1)


def test_a_model_function_that_cannot_be_sent_is_told(cluster):
    import threading

    lock, build = threading.Lock(), builder()
    made = hansa.Federation(lambda: (lock, build())[1], people(4), engine=cluster)
    with pytest.raises(ConfigurationError, match="cannot be sent to workers"):
        made.fit(rounds=1)


def test_an_address_other_than_the_connections_is_refused(cluster):
    with pytest.raises(ConfigurationError, match=r"not to 10\.0\.0\.1:6379"):
        fitted(RayCluster(address="10.0.0.1:6379"), people(4))


# ---------------------------------------------------------------------- slow: more of the same


ALGORITHMS = {
    "fedavg": {},
    "fedavg, cohort of 10": {"cohort": 10},
    "fedavg, carried over": {"algorithm": hansa.FedAvg(steps=3, batch_size=4, carry_over=True)},
    "fedbn, carried over": {
        "norm": True,
        "cohort": 12,
        "algorithm": hansa.FedBN(steps=3, batch_size=4, carry_over=True),
        "fit": {"local_metrics": True},
    },
    "fedprox": {"algorithm": hansa.FedProx(mu=0.1, batch_size=4)},
    "fedsgd": {"algorithm": hansa.FedSGD(batch_size=4)},
    "own aggregate": {"aggregate": lambda updates, weights: np.median(updates, axis=0)},
    "local metrics without validation rows": {
        "split": hansa.data.Split(),
        "fit": {"local_metrics": True},
        "class_weight": {1: 3.0},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_way_to_train_gives_the_same_bytes(cluster, name):
    settings = dict(ALGORITHMS[name])
    settings["clients"] = people(110, split=settings.pop("split", None))
    assert same(fitted(Vector(workers=1), rounds=3, **settings), fitted(cluster, rounds=3, **settings))


@pytest.mark.slow
def test_a_run_goes_on_on_the_other_engine(cluster, tmp_path):
    settings = {"clients": people(20), "algorithm": hansa.Scaffold(batch_size=4)}
    whole = fitted(Vector(workers=1), rounds=4, **settings)
    for first, then in ((cluster, Vector(workers=2)), (Vector(workers=2), cluster)):
        folder = {"run": tmp_path / type(first).__name__}
        fitted(first, rounds=2, fit=folder, **settings)
        resumed = fitted(then, rounds=4, fit={**folder, "resume": True}, **settings)
        assert resumed.model_hash == whole.model_hash


@pytest.mark.slow
def test_who_has_no_validation_rows_measures_nothing(cluster):
    made = hansa.Federation(builder(), people(4, split=hansa.data.Split()), engine=cluster)
    plan = made.plan(local_metrics=True)
    engine = made.engine.start(plan, made.prepare().sites, made.learner, made.seeds, server=None, known={})
    try:
        ask = Ask(phase="evaluate", clients=("c0",), payload=plan.initial)
        assert engine.answer(ask).replies["c0"].examples == 0
        with pytest.raises(ConfigurationError, match="cannot answer the phase 'validate'"):
            engine.answer(Ask(phase="validate", clients=(), payload=plan.initial))
    finally:
        engine.close()
        engine.close()


# ---------------------------------------------------------------------- slow: what dies, and what grows

HEAD = '''
import json, os, signal, sys, threading, time
import numpy as np
os.environ["RAY_AUTH_MODE"] = "token"
os.environ.setdefault("RAY_AUTH_TOKEN", "t" * 64)
import hansa, keras
from hansa.engine import RayCluster, Vector
import hansa.engine.ray_fleet as fleet

def build():
    import keras
    dense = keras.layers.Dense
    model = keras.Sequential([keras.Input((8,)), dense(64, activation="relu"), dense(3, "softmax")])
    model.compile(keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model

def federation(engine, clients=24, rows=400, epochs=600, **settings):
    x = np.random.default_rng(0).normal(size=(clients * rows, 8)).astype("float32")
    parts = hansa.data.iid(x, x[:, :3].argmax(1), clients=clients)
    algorithm = hansa.FedAvg(epochs=epochs, batch_size=8)
    return hansa.Federation(build, parts, algorithm=algorithm, engine=engine, seed=5, **settings)

class During(keras.callbacks.Callback):
    """Does something a little after a round has begun."""
    def __init__(self, round, what, after=1.5):
        super().__init__()
        self.round, self.what, self.after, self.done = round, what, after, False
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.round:
            threading.Timer(self.after, self.act).start()
    def act(self):
        self.what()
        self.done = time.time()

def undisturbed():
    made = federation(Vector(strategy="loop"))
    made.fit(rounds=3)
    return made.model_hash

def pids():
    import ray
    return [ray.get(h.actor.__ray_call__.remote(lambda self: os.getpid())) for h in made._engine._fleet.hands]
'''


def told_by(script, **environment):
    """Run a script with a Ray of its own; return the JSON of its last line."""
    done = subprocess.run(
        [sys.executable, "-c", HEAD + textwrap.dedent(script)],
        check=False,
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.strip().split("\n")[-1])


@pytest.mark.slow
def test_killed_actors_lose_nothing():
    pytest.importorskip("ray")
    told = told_by(
        """
        def kill():
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
        killed, dead = [], set()
        class Look(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch < 2:
                    killed[:] = pids()[: 1 + epoch]  # one, then all that there are
                    dead.update(killed)
            def on_epoch_end(self, epoch, logs=None):
                if epoch == 2:
                    self.left = pids()
        made = federation(RayCluster(workers=2, strategy="loop"))
        look, acts = Look(), [During(0, kill), During(1, kill)]
        made.fit(rounds=3, callbacks=[look, *acts])
        print(json.dumps([made.model_hash, undisturbed(), [*dead], look.left]))
        """
    )
    assert told[0] == told[1]
    assert len(told[2]) >= 2
    assert told[3]
    assert not {*told[2]} & {*told[3]}


@pytest.mark.slow
def test_a_removed_node_loses_nothing():
    pytest.importorskip("ray")
    told = told_by(
        """
        from ray.cluster_utils import Cluster
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        node = cluster.add_node(num_cpus=1)
        made = federation(RayCluster(address=cluster.address, strategy="loop"))
        act = During(1, lambda: cluster.remove_node(node, allow_graceful=False))
        seen = []
        class Look(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                seen.append(made._engine.facts()["nodes"])
        made.fit(rounds=3, callbacks=[act, Look()])
        cluster.shutdown()
        print(json.dumps([made.model_hash, undisturbed(), seen]))
        """
    )
    assert told[0] == told[1]
    assert (told[2][0], told[2][-1]) == (2, 1)


@pytest.mark.slow
def test_no_worker_left_ends_the_round_with_a_reason():
    pytest.importorskip("ray")
    told = told_by(
        """
        from ray.cluster_utils import Cluster
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        node = cluster.add_node(num_cpus=1)
        made = federation(RayCluster(address=cluster.address, strategy="loop"))
        act = During(1, lambda: cluster.remove_node(node, allow_graceful=False))
        class Soon(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                fleet.START_S = 3
        try:
            made.fit(rounds=3, callbacks=[act, Soon()])
        except hansa.errors.RoundError as error:
            told = str(error)
        cluster.shutdown()
        print(json.dumps([told, len(made.records)]))
        """
    )
    assert "no worker of 1 is left or could be started within 3 s; the cluster has " in told[0]
    assert told[1] == 1


@pytest.mark.slow
def test_a_wrong_token_is_told():
    pytest.importorskip("ray")
    told = told_by(
        """
        import subprocess
        from ray.cluster_utils import Cluster
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        code = '''
        import sys; from hansa.engine.ray_session import SESSION
        try: SESSION.join(sys.argv[1], 1)
        except Exception as error: print(type(error).__name__, error)
        '''.replace("\\n        ", "\\n")
        out = [subprocess.run([sys.executable, "-c", code, cluster.address], capture_output=True, text=True,
               env={**os.environ, "RAY_AUTH_TOKEN": token}).stdout for token in ("x" * 64, "t" * 64)]
        cluster.shutdown()
        print(json.dumps(out))
        """
    )
    assert "ConfigurationError the Ray cluster at" in told[0]
    assert "its token is missing or wrong" in told[0]
    assert told[1] == ""


@pytest.mark.slow
def test_500_rounds_leave_nothing_behind():
    pytest.importorskip("ray")
    told = told_by(
        """
        from ray._private.internal_api import node_stats
        seen = []
        def look():
            import ray
            stats = node_stats(node_manager_address=ray.nodes()[0]["NodeManagerAddress"],
                               node_manager_port=ray.nodes()[0]["NodeManagerPort"])
            resident = int(open("/proc/self/statm").read().split()[1]) * 4096
            seen.append([stats.store_stats.object_store_bytes_used, resident])
        class Look(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                if epoch in (99, 499):
                    look()
        made = federation(RayCluster(workers=2, strategy="loop"), clients=40, rows=20, epochs=1, cohort=10)
        made.fit(rounds=500, callbacks=[Look()])
        print(json.dumps(seen))
        """
    )
    (store, resident), (later_store, later_resident) = told
    assert later_store <= store + (1 << 20)
    assert later_resident - resident < 32 << 20  # of which the history is a part


@pytest.mark.slow
def test_a_ray_that_was_there_stays():
    pytest.importorskip("ray")
    told = told_by(
        """
        import ray
        ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        made = federation(RayCluster(workers=1, strategy="loop"), clients=4, rows=20, epochs=1)
        made.fit(rounds=1)
        stays = ray.is_initialized()
        ray.shutdown()
        made = federation("ray", clients=4, rows=20, epochs=1)
        made.fit(rounds=1)
        print(json.dumps([stays, ray.is_initialized()]))
        """
    )
    assert told == [True, False]


def test_load_ray_asks_for_a_token_and_no_telemetry(cluster):
    load_ray()
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_data_that_do_not_fit_together_are_told_before_ray_starts():
    x = np.zeros((4, 4), np.float32)
    clients = {"a": (x, np.zeros(4, np.int64)), "b": (x[:, :3], np.zeros(4, np.int64))}
    with pytest.raises(DataError):
        fitted("ray", clients)
