"""What the driver of a Ray run sends to its workers before the first round."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hansa import bridge
from hansa._version import __version__
from hansa.engine.ray_session import load_ray
from hansa.errors import ConfigurationError
from hansa.plan import Plan
from hansa.rng import Seeds
from hansa.secure_sum.plain import Plain
from hansa.train.keras_learner import KerasLearner
from hansa.types import Examples

KERAS_SETTINGS = ("floatx", "epsilon", "image_data_format")
ENVIRONMENT = ("JAX_", "XLA_", "TF_", "NPROC")
"""Beginnings of the environment variables that workers are given: they may decide what is computed."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What a worker needs for the whole run.

    Attributes:
        recipe: Model function, sample rows and seed, plan and seeds of the run, pickled (they hold code).
        keras: Keras' own settings in the driver's process.
        strategy: How clients are trained.
        layout: Hash of the model's layout.
        first: The first row of the whole population.
        train: Blocks of training rows in the object store.
        held_out: Blocks of rows to measure on.
    """

    recipe: bytes
    keras: Mapping[str, Any]
    strategy: str
    layout: str
    first: Examples
    train: Sequence[Any]
    held_out: Sequence[Any]


def recipe(plan: Plan, learner: KerasLearner, seeds: Seeds) -> bytes:
    """Return what a worker makes model and plan of, pickled: only what clients need of the plan."""
    cloudpickle: Any = load_ray().cloudpickle
    kept = "examples" if callable(plan.aggregate) else plan.aggregate
    # The driver has the keys: workers return integers, and it seals them. Noise that clients add depends on
    # the sum, though: on its fewest clients, on whether cohorts are secret, on whether it is proven apart.
    noisy = getattr(plan.privacy, "integers", False)
    clients = replace(
        plan,
        server_optimizer=None,
        aggregate=kept,
        cards={},
        quantise=plan.settled,
        secure_sum=plan.secure_sum if noisy else Plain(),
        roster=None,
    )
    try:
        return cloudpickle.dumps((*learner.recipe, clients, seeds))
    except Exception as error:
        raise ConfigurationError(
            f"the model function or the algorithm cannot be sent to workers: {error}. Let the model function "
            "build everything it needs itself (no open files, locks, or models from outside)."
        ) from error


def keras_settings() -> dict[str, Any]:
    """Return the settings of Keras that decide what a model function gives."""
    import keras

    settings = {name: getattr(keras.config, name)() for name in KERAS_SETTINGS}
    return {**settings, "dtype_policy": keras.config.dtype_policy().name}


def environment() -> dict[str, str]:
    """Return the environment variables of a worker's process."""
    chosen = {name: value for name, value in os.environ.items() if name.startswith(ENVIRONMENT)}
    own = [path for path in sys.path if not path.startswith((sys.prefix, sys.base_prefix))]
    found = os.pathsep.join(str(Path(path).resolve()) for path in own if Path(path).is_dir())
    # Modules beside the script are found on this machine, and where file systems are shared.
    # NPROC is XLA's number of threads: two workers with two threads each took half as long again.
    return {"NPROC": "1", **chosen, "KERAS_BACKEND": bridge.choose_backend(), "PYTHONPATH": found}


def versions() -> dict[str, str]:
    """Return the versions that the bits of a result depend on."""
    return {
        "hansa": __version__,
        "keras": importlib.metadata.version("keras"),
        "numpy": np.__version__,
        "backend": bridge.backend_version(bridge.choose_backend()),
    }
