"""What private training steps (DP-SGD) cost: milliseconds a step against plain ones, batch 256.

    python benchmarks/dp_sgd.py                       # JAX, TensorFlow, PyTorch; a few minutes
    python benchmarks/dp_sgd.py --backends jax        # those wanted
    python benchmarks/dp_sgd.py --save                # keeps benchmarks/results/dp_sgd.json

The MLP is 784-200-200-10, the CNN the classic one for private MNIST (16 filters 8x8 stride 2, pool 2/1, 32
filters 4x4 stride 2, pool 2/1, dense 32, dense 10). Plain and private training take turns, through the
learner (the local engine) and through the trainer with the backend's first strategy (the vector engine); the
best turn counts. ``cpu`` is processor time, which other work on the machine disturbs less than the clock.
Wanted on JAX: at most 2 for the MLP and 6 for the CNN. The last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from results import report

BATCH, STEPS, ROWS = 256, 8, 2048
BACKENDS = ("jax", "tensorflow", "torch")


def mlp() -> Any:
    """Return the MLP, compiled."""
    import keras
    from keras import layers

    hidden = [layers.Dense(200, activation="relu"), layers.Dense(200, activation="relu")]
    return compiled(keras.Sequential([keras.Input((784,)), *hidden, layers.Dense(10)]))


def cnn() -> Any:
    """Return the CNN, compiled."""
    import keras
    from keras import layers

    inner = [
        layers.Conv2D(16, 8, strides=2, padding="same", activation="relu"),
        layers.MaxPooling2D(2, 1),
        layers.Conv2D(32, 4, strides=2, activation="relu"),
        layers.MaxPooling2D(2, 1),
        layers.Flatten(),
        layers.Dense(32, activation="relu"),
    ]
    return compiled(keras.Sequential([keras.Input((28, 28, 1)), *inner, layers.Dense(10)]))


def compiled(model: Any) -> Any:
    """Compile a classifier with SGD."""
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05), loss, metrics=["accuracy"])
    return model


MODELS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "mlp": (mlp, (784,)),
    "cnn": (cnn, (28, 28, 1)),
}


def works(name: str) -> dict[str, Callable[[], Any]]:
    """Return plain and private training, each of so many steps."""
    from hansa import bridge
    from hansa.train.keras_learner import KerasLearner
    from hansa.types import Examples, LocalTask, PrivateSteps

    build, shape = MODELS[name]
    rng = np.random.default_rng(0)
    examples = Examples(
        x=rng.normal(size=(ROWS, *shape)).astype("float32"), y=rng.integers(0, 10, ROWS).astype("int64")
    )
    learner = KerasLearner(build)
    learner.build(examples, 0)
    batches = list(rng.permutation(ROWS).reshape(STEPS, BATCH))
    plain = LocalTask(start=learner.initial_weights(), batches=batches, batch_size=BATCH)
    steps = PrivateSteps(clip_l2=1.0, noise=1.0, expected=float(BATCH), key=bytes(32))
    private = dataclasses.replace(plain, private=steps)
    kind = bridge.load_trainer()
    strategy = kind.candidates(learner.program)[0]
    trainer = kind(learner.program, examples, strategy=strategy)
    start = learner.layout().unflatten(plain.start)
    return {
        "local plain": lambda: learner.train(examples, plain),
        "local private": lambda: learner.train(examples, private),
        "vector plain": lambda: trainer.train(start, [], plain),
        "vector private": lambda: trainer.train(start, [], private),
    }


def measure(name: str, turns: int) -> dict[str, Any]:
    """Return the best milliseconds a step by way, and ratios."""
    ways = works(name)
    for work in ways.values():
        work()
    best = {way: [float("inf")] * 2 for way in ways}
    for _ in range(turns):
        for way, work in ways.items():
            clock, cpu = time.perf_counter(), time.process_time()
            work()
            spent = (time.perf_counter() - clock, time.process_time() - cpu)
            best[way] = [min(*pair) for pair in zip(best[way], spent, strict=True)]
    figures: dict[str, Any] = {}
    for place, unit in enumerate(("ms", "cpu_ms")):
        figures[unit] = {way: round(best[way][place] / STEPS * 1e3, 3) for way in ways}
        figures[unit.replace("ms", "ratio")] = {
            engine: round(best[f"{engine} private"][place] / best[f"{engine} plain"][place], 3)
            for engine in ("local", "vector")
        }
    return figures


def main() -> None:
    """Measure each backend in a process of its own and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--save", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps({name: measure(name, options.turns) for name in MODELS}))
        return
    figures = {}
    for backend in options.backends:
        environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, __file__, "--here", "--turns", str(options.turns)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        figures[backend] = json.loads(done.stdout.splitlines()[-1])
        for name, found in figures[backend].items():
            print(f"{backend:11} {name}  {found}")
    report("dp_sgd", figures, save=options.save)


if __name__ == "__main__":
    main()
