"""Small runs to be verified: a few clients, two rounds, one folder for each kind; and logs made anew."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np

import hansa
from hansa.secure_sum.sealed import dealing
from hansa.secure_sum.sealed import seal as sealing
from hansa.secure_sum.sealed.party import Party
from hansa.store import Log
from hansa.store.blobs import decode_arrays, encode_arrays, name_of
from hansa.store.canonical import canonical_json
from hansa.store.log import Entry
from hansa.store.rounds import commitment
from hansa.testing.faults import Unreliable
from hansa.types import Batches
from hansa.zk import prover
from least_squares import LeastSquares, federation, population

LOCAL = {"steps": 3, "batch_size": 2}
SIZES = (5, 8, 13, 21, 9, 6)
SPLIT = hansa.data.Split(train=0.7, validation=0.3)
COARSE = hansa.Quantise(clip=4.0, bound=2**16)
PHASES = ("train", "deliver", "lock", "open")
LIAR = "c4"


def declared(clients: int = 4, *, split: Any = None, **settings: Any) -> hansa.Federation:
    own = {"algorithm": hansa.FedAvg(**LOCAL), "quantise": COARSE, "seed": 3, "secure_sum": "sealed"}
    own = {name: value for name, value in {**own, **settings}.items() if value is not None}
    return federation(population(SIZES[:clients], split=split), **own)


def proven(**settings: Any) -> hansa.Sealed:
    return hansa.Sealed(proof=hansa.NormBound(bits=40), **settings)


def silent(*phases: str, who: tuple[str, ...] = ("c1", "c2"), number: int = 1) -> Unreliable:
    return Unreliable(hansa.Local(), {(number, phase): who for phase in phases})


@contextlib.contextmanager
def lying(liar: str = LIAR, number: int = 1) -> Iterator[None]:
    """Let one client seal an update a thousand times too large, and prove it as well as it can."""
    real = Party.seal

    def seal(self: Party, vector: Any, place: Any) -> Any:
        lies = self.member.name == liar and place.purpose == "train" and place.round == number
        return real(self, np.append(vector[:-1] * 1000, vector[-1]) if lies else vector, place)

    with (
        mock.patch.object(Party, "seal", seal),
        mock.patch.object(sealing, "_check_vector", lambda *_: None),
        mock.patch.object(dealing, "prove", lambda *known: prover.prove(*known, check=False)),
    ):
        yield


def accused(folder: Path) -> None:
    """One client is silent in the second round, and another's proof is false."""
    with lying():
        declared(5, secure_sum=proven(threshold=3), engine=silent("train", who=("c2",))).fit(2, run=folder)


def resumed(folder: Path) -> None:
    declared().fit(1, run=folder)
    declared().fit(2, run=folder, resume=True)


class Adds(keras.callbacks.Callback):
    """Adds one to each weight at the end of a round."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.set_weights([weight + 1 for weight in self.model.get_weights()])


class FirstAgain(keras.callbacks.Callback):
    """Puts the model of the first round back in the end, as `keras.callbacks.EarlyStopping` can."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 0:
            self.first = self.model.get_weights()

    def on_train_end(self, logs: Any = None) -> None:
        self.model.set_weights(self.first)


def keras_model() -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


def of_keras(**settings: Any) -> hansa.Federation:
    own = {"algorithm": hansa.FedAvg(**LOCAL), "quantise": COARSE, "seed": 3, "secure_sum": "sealed"}
    return hansa.Federation(keras_model, population(SIZES[:3]), **{**own, **settings})


def scheduled(folder: Path) -> None:
    slower = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / (epoch + 1))
    of_keras().fit(2, run=folder, callbacks=[slower, FirstAgain()])


class Private(LeastSquares):
    """Says that its steps are private. They are not: what is verified is not the noise."""

    private_steps = True

    def train(self, examples: Any, task: Any) -> Any:
        drawn = [batch for batch in task.batches if len(batch)] or [np.arange(2)]
        return super().train(examples, dataclasses.replace(task, batches=Batches.from_arrays(drawn)))


def records(folder: Path) -> None:
    privacy = hansa.privacy.RecordDP(rounds=3, noise_multiplier=2.0, delta=1e-2)
    declared(3, learner=Private(), secure_sum=proven(), privacy=privacy).fit(2, run=folder)


def plans(kind: str, **settings: Any) -> Any:
    return getattr(hansa.privacy, kind)(rounds=3, noise_multiplier=1.0, clip=4.0, delta=1e-2, **settings)


def fitted(rounds: int = 2, fit: Mapping[str, Any] | None = None, **settings: Any) -> Callable[[Path], None]:
    return lambda folder: void_of(declared(**settings).fit(rounds, run=folder, **(fit or {})))


def void_of(_: Any) -> None:
    """Forget a history."""


KINDS: dict[str, Callable[[Path], None]] = {
    "sealed": fitted(split=SPLIT),
    "proven": fitted(clients=3, secure_sum=proven()),
    "plain": fitted(secure_sum="plain"),
    "masking": fitted(secure_sum="masking"),
    "fedadam": fitted(algorithm=hansa.FedAdam(**LOCAL, m0=0.01, v0=1e-6)),
    "keras": fitted(server_optimizer=keras.optimizers.Adam(0.01)),
    "cohort": fitted(clients=6, cohort=4),
    "tell cohort": fitted(clients=6, cohort=4, split=SPLIT, fit={"clients_validate": "cohort"}),
    "rotated": fitted(quantise=hansa.Quantise(clip=4.0, bound=2**14, bits=12, rotate=True)),
    "scaffold": fitted(algorithm=hansa.Scaffold(**LOCAL)),
    "fedbn": fitted(learner=LeastSquares(personal=True), algorithm=hansa.FedBN(**LOCAL)),
    "validated": fitted(fit={"validation": (np.ones((3, 3), np.float32), np.zeros(3, np.float32))}),
    "changed": fitted(fit={"callbacks": [Adds()]}),
    "not kept": fitted(fit={"verifiable": False}),
    "void": fitted(3, engine=silent(*PHASES)),
    "void late": fitted(3, engine=silent("open")),
    "one silent": fitted(engine=silent("deliver", "lock", "open", who=("c3",))),
    "accused": accused,
    "resumed": resumed,
    "scheduled": scheduled,
    "records": records,
    "distributed": fitted(quantise=None, privacy=plans("DistributedDP")),
    "distributed cohort": fitted(
        clients=6, quantise=None, privacy=plans("DistributedDP", participation=hansa.FixedSize(4))
    ),
    "central": fitted(quantise=None, secure_sum="plain", privacy=plans("CentralDP")),
    "central sealed": fitted(privacy=plans("CentralDP")),
}


# ---------------------------------------------------------------- logs made anew, by who can write them


def copied(run: Path, to: Path) -> Path:
    """Return a copy of a run that may be changed."""
    shutil.copytree(run, to)
    return to


def entries(folder: Path, stream: str) -> list[dict[str, Any]]:
    lines = (folder / "log" / f"{stream}.jsonl").read_bytes().splitlines()
    return [json.loads(line, object_pairs_hook=_pairs) for line in lines]


def _pairs(pairs: list[tuple[str, Any]]) -> Any:
    value = dict(pairs)
    return float(value["$float"]) if set(value) == {"$float"} else value


def forged(
    run: Path,
    to: Path,
    change: Callable[[list[Any], list[Any], dict[str, Any]], Any] | None = None,
    *,
    history: bool = False,
) -> Path:
    """Return a copy of a run of which its coordinator has changed what it likes, with chains as they must be.

    Args:
        run: The run.
        to: Where the copy is to be.
        change: Takes the bodies of the rounds in the public log, of those in the private one (both lists of
            entries) and the configuration, and changes them in place. It may return a list of entries.
        history: Whether to keep the history, which is then another than the log's.
    """
    folder = copied(run, to)
    public, private = entries(folder, "public"), entries(folder, "private")
    config = json.loads((folder / "config.json").read_bytes())
    if change is not None:
        change(public, private, config)
    content = canonical_json(config)
    (folder / "config.json").write_bytes(content)
    public[0]["body"]["config"] = name_of(content)
    chain(folder, public, private)
    if not history:
        (folder / "history.jsonl").unlink()
    return folder


def chain(folder: Path, public: list[Any], private: list[Any]) -> None:
    """Write both logs, each entry with the hash of the one before, and with new commitments."""
    own: list[Entry] = []
    log = Log.create(folder / "log" / "private.jsonl", stream="private")
    for entry in private:
        written = log.append(entry["kind"], entry["body"])
        own += [written] if entry["kind"] in ("created", "round") else []
    log = Log.create(folder / "log" / "public.jsonl", stream="public")
    hidden = iter(own)
    for entry in public:
        body = dict(entry["body"])
        if entry["kind"] in ("created", "round"):
            body["private"] = commitment(next(hidden))
        log.append(entry["kind"], body)


def rounds_of(log: list[Any]) -> list[Any]:
    """Return the bodies of the rounds in a log."""
    return [entry["body"] for entry in log if entry["kind"] == "round"]


def arrays_in(folder: Path, name: str) -> dict[str, Any]:
    return decode_arrays((folder / "blobs" / name[:2] / name).read_bytes())


def put(folder: Path, data: bytes) -> str:
    """Keep a blob, and return its name."""
    name = name_of(data)
    path = folder / "blobs" / name[:2] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return name


def put_arrays(folder: Path, arrays: Mapping[str, Any]) -> str:
    return put(folder, encode_arrays(arrays))
