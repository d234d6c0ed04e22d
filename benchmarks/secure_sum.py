"""What a sealed sum costs a value, beside other homomorphic encryptions in the same minutes.

    python benchmarks/secure_sum.py             # 10^4, 10^5 and 10^6 values; a minute
    python benchmarks/secure_sum.py --save

Processor seconds of one thread, the least of several repetitions, over the number of values: to seal a
vector, to add one seal to a sum, to open a sum. Ten clients; the bound is 2^24 (one value a coefficient) and
2^15 ("packed": two). Peers, if they are installed (pip install seal-python==4.4.0 tenseal==0.3.18):

- SEAL BFV, degree 4096, one modulus of 54 bits (the least that adds), a plain modulus of 20 bits, symmetric
  encryption with a key that all clients share, which this binding stores without its seed
- TenSEAL CKKS at NVIDIA FLARE's parameters: degree 8192, moduli of 60, 40 and 40 bits, scale 2^40

Masked sums the same: what a client with ten neighbours takes to mask a vector (eleven masks), and the server
to take eleven self-masks off a sum.

Then rounds of training on the vector engine: ten clients, a model of 10^6 weights, one minibatch each,
through each secure sum, masks with all nine others. Processor seconds, the least of three rounds;
"plain" is the same round with a plain sum of the same integers, so that the difference is what secrecy costs.

A peer's server learns no single vector either, but whoever has the key, as each client has, opens any of
them. The last line printed is one JSON object: ``d`` has the times a value by number of values, of masks
modulo 2^32; ``round_10x1e6_cpu_s`` is the sealed round, and ``round_10x1e6`` has all three.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from results import report

from hansa.crypto import field, shamir
from hansa.crypto.envelope import OVERHEAD
from hansa.crypto.ring import N
from hansa.engine.parties import fresh_keys, roster_of
from hansa.secure_sum import SECURE_SUMS, Masking, Run, Shape
from hansa.secure_sum.sealed.parameters import choose
from hansa.secure_sum.sealed.seal import open_sum, seal
from hansa.types import Answer, Ask, Reply

CLIENTS = 10
PLACE = (b"configuration", b"roster", 0)


def least(work: Callable[[], Any], repetitions: int) -> float:
    """Return the least processor time of some repetitions, after one that does not count."""
    work()
    found = []
    for _ in range(repetitions):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


def micro(seconds: float, size: int) -> float:
    """Return microseconds a value."""
    return round(seconds / size * 1e6, 5)


def hansa(size: int, bound: int, repetitions: int) -> dict[str, float]:
    """Measure sealing, adding, sharing and opening."""
    parameters = choose(dimension=size, members=CLIENTS, bound=bound)
    vector = np.random.default_rng(0).integers(-bound, bound + 1, size=size)
    one, key = seal(vector, parameters, *PLACE)
    total, keys = one.copy(), key.elements()
    points = list(range(1, CLIENTS + 1))
    shares = shamir.share(keys, points, parameters.threshold)

    def opened() -> Any:
        restored = shamir.restore(points, shares, parameters.threshold)
        return open_sum(one, restored.secret, 1, parameters, *PLACE)

    if not (opened() == vector).all():
        raise SystemExit("the opened sum is not the vector")
    return {
        "seal_us": micro(least(lambda: seal(vector, parameters, *PLACE), repetitions), size),
        "add_us": micro(least(lambda: field.add_into(total, one), repetitions), size),
        "open_us": micro(least(opened, repetitions), size),
        "share_s": round(least(lambda: shamir.share(keys, points, parameters.threshold), repetitions), 5),
        "bytes_per_param": round(one.nbytes / size, 3),
        "envelope_bytes": 8 * N + OVERHEAD,
    }


def masked(size: int, bound: int, repetitions: int) -> dict[str, float]:
    """Measure masking with ten neighbours, and unmasking: new rounds, since a client masks once in each."""
    names = tuple(f"c{i}" for i in range(CLIENTS + 1))
    keys = fresh_keys(names)
    run = Run(roster=roster_of(keys), configuration=bytes(32))
    planned = Masking().plan(Shape(dimension=size, members=len(names), bound=bound), run)
    vector = np.random.default_rng(0).integers(-bound, bound + 1, size=size)
    sent, unmasked = [], []
    for number in range(repetitions + 1):
        parties = {name: planned.party(name, keys[name], {}) for name in names}
        steps = planned.collect(Ask(phase="train", clients=names), number=number)
        ask, answer = next(steps), None
        while answer is None:
            replies = {}
            for name in ask.clients:
                begun = time.process_time()
                if ask.phase == "train":
                    message = parties[name].send(vector, ask.each[name], ask.place)
                    sent.append(time.process_time() - begun)
                else:
                    message = parties[name].answer(ask.phase, ask.each.get(name), ask.place)
                replies[name] = Reply(message=message)
            begun = time.process_time()
            try:
                ask = steps.send(Answer(replies=replies))
            except StopIteration as end:
                unmasked.append(time.process_time() - begun)
                answer = end.value
        if not (answer.total.vector == len(names) * vector).all():
            raise SystemExit("the unmasked sum is not that of the vectors")
    return {
        "mask_us": micro(min(sent), size),
        "unmask_us": micro(min(unmasked), size),
        "modulus_bits": planned.describe()["modulus_bits"],
        "bytes_per_param": round(planned.describe()["bytes"] / size, 3),
    }


def seal_bfv(size: int, repetitions: int) -> dict[str, float] | None:
    """Measure SEAL's BFV with batching."""
    try:
        lib = importlib.import_module("seal")
    except ImportError:
        return None
    settings = lib.EncryptionParameters(lib.scheme_type.bfv)
    settings.set_poly_modulus_degree(N)
    settings.set_coeff_modulus(lib.CoeffModulus.Create(N, [54]))
    settings.set_plain_modulus(lib.PlainModulus.Batching(N, 20))
    context = lib.SEALContext(settings)
    secret = lib.KeyGenerator(context).secret_key()
    encoder, adder = lib.BatchEncoder(context), lib.Evaluator(context)
    encryptor, decryptor = lib.Encryptor(context, secret), lib.Decryptor(context, secret)
    rows = np.random.default_rng(0).integers(1000, size=(-(-size // N), N))

    def sealed() -> list[Any]:
        return [encryptor.encrypt_symmetric(encoder.encode(row)) for row in rows]

    ones = sealed()
    bytes_each = sum(one.save_size() for one in ones) / size

    def opened() -> list[Any]:
        return [encoder.decode(decryptor.decrypt(one)) for one in ones]

    if not all((np.asarray(a)[:N] == b).all() for a, b in zip(opened(), rows, strict=True)):
        raise SystemExit("SEAL did not give the vector back")
    return {
        "seal_us": micro(least(sealed, repetitions), size),
        "add_us": micro(least(lambda: [adder.add(one, one) for one in ones], repetitions), size),
        "open_us": micro(least(opened, repetitions), size),
        "bytes_per_param": round(bytes_each, 2),
    }


def tenseal_ckks(size: int, repetitions: int) -> dict[str, float] | None:
    """Measure TenSEAL's CKKS vectors."""
    try:
        lib = importlib.import_module("tenseal")
    except ImportError:
        return None
    context = lib.context(
        lib.SCHEME_TYPE.CKKS,
        8192,
        coeff_mod_bit_sizes=[60, 40, 40],
        encryption_type=lib.ENCRYPTION_TYPE.SYMMETRIC,
    )
    context.global_scale = 2**40
    parts = np.array_split(np.random.default_rng(0).standard_normal(size), -(-size // 4096))

    def sealed() -> list[Any]:
        return [lib.ckks_vector(context, part) for part in parts]

    ones = sealed()
    if max(abs(np.array(ones[0].decrypt()) - parts[0])) > 1e-3:
        raise SystemExit("TenSEAL did not give the vector back")
    return {
        "seal_us": micro(least(sealed, repetitions), size),
        "add_us": micro(least(lambda: [one + one for one in ones], repetitions), size),
        "open_us": micro(least(lambda: [one.decrypt() for one in ones], repetitions), size),
        "bytes_per_param": round(sum(len(one.serialize()) for one in ones) / size, 1),
    }


class Clock:
    """Notes the processor time of every round."""

    def __init__(self) -> None:
        """Begin with no rounds."""
        import keras

        seconds = self.seconds = []

        class Callback(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
                self.begun = time.process_time()

            def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
                seconds.append(time.process_time() - self.begun)

        self.callback = Callback()


def model() -> Any:
    """A model of 10^6 weights, about."""
    import keras

    layers = [keras.Input((784,)), keras.layers.Dense(1258, activation="relu"), keras.layers.Dense(10)]
    made = keras.Sequential(layers)
    made.compile(keras.optimizers.SGD(0.1), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


def rounds(kind: str) -> dict[str, float]:
    """Measure rounds of training through a secure sum."""
    import hansa as lib

    rng = np.random.default_rng(0)
    clients = {
        f"c{i}": (rng.normal(size=(20, 784)).astype(np.float32), rng.integers(10, size=20))
        for i in range(CLIENTS)
    }
    clock = Clock()
    federation = lib.Federation(
        model,
        clients,
        algorithm=lib.FedAvg(steps=1, batch_size=20),
        quantise=lib.Quantise(clip=8.0),
        secure_sum=kind,
        engine="vector",
    )
    federation.fit(4, callbacks=[clock.callback])
    last = federation.records[-1]
    return {
        "cpu_s": round(min(clock.seconds[1:]), 3),
        "first_cpu_s": round(clock.seconds[0], 3),
        "bytes_up_per_client": last.bytes_up // CLIENTS,
        "hash": federation.model_hash[:12],
    }


def main() -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--save", action="store_true", help="keep the figures in benchmarks/results/")
    options = parser.parse_args()
    figures: dict[str, Any] = {"d": {}, "packed": {}, "peers": {}}
    masks: dict[int, dict[str, float]] = {}
    for size in (10**4, 10**5, 10**6):
        figures["d"][str(size)] = hansa(size, 2**24, 5)
        figures["packed"][str(size)] = hansa(size, 2**15, 5)
        masks[size] = masked(size, 2**24, 3)
        figures["d"][str(size)]["mask_us"] = masks[size]["mask_us"]
        for kind in ("d", "packed"):
            print(f"{size} values ({kind}): {figures[kind][str(size)]}", flush=True)
    figures["masking"] = {"32 bits": masks[10**6], "64 bits": masked(10**6, 2**40, 3)}
    print(f"masking with ten neighbours: {figures['masking']}", flush=True)
    for name, peer in (("SEAL BFV", seal_bfv), ("TenSEAL CKKS", tenseal_ckks)):
        figures["peers"][name] = peer(10**6, 3)
        print(f"{name}: {figures['peers'][name] or 'not installed'}", flush=True)
    figures["round_10x1e6"] = {kind: rounds(kind) for kind in SECURE_SUMS}
    print(f"rounds of 10 clients with 10^6 weights: {figures['round_10x1e6']}", flush=True)
    figures["round_10x1e6_cpu_s"] = figures["round_10x1e6"]["sealed"]["cpu_s"]
    if len({told["hash"] for told in figures["round_10x1e6"].values()}) != 1:
        raise SystemExit("the rounds did not give the same model")
    report("secure_sum", figures, save=options.save)


if __name__ == "__main__":
    main()
