"""Federated learning native to Keras 3: several parties train one model and do not pool their rows.

Importing Hansa settles KERAS_BACKEND where it is not set (the first installed of JAX, TensorFlow,
PyTorch) and imports no backend; everything else is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hansa._version import __version__

if TYPE_CHECKING:
    from hansa import audit, claims, data, datasets, privacy, statistics
    from hansa.algorithms import (
        Algorithm,
        FedAdagrad,
        FedAdam,
        FedAvg,
        FedBN,
        FedProx,
        FedSGD,
        FedYogi,
        Scaffold,
    )
    from hansa.api import Federation, Progress, compare
    from hansa.cohort import AllClients, AtMost, FixedSize, Poisson
    from hansa.encode import EightBits, Quantise, TopK
    from hansa.engine import Local, RayCluster, Vector
    from hansa.errors import HansaError
    from hansa.record import RoundRecord
    from hansa.report.partition import partition_svg
    from hansa.secure_sum import NormBound, Plain, Sealed
    from hansa.train.learner import Learner
    from hansa.types import Examples
    from hansa.verification import Verification, export, verify

_HOMES = {
    "Algorithm": "hansa.algorithms",
    "AllClients": "hansa.cohort",
    "AtMost": "hansa.cohort",
    "EightBits": "hansa.encode",
    "Examples": "hansa.types",
    "FedAdagrad": "hansa.algorithms",
    "FedAdam": "hansa.algorithms",
    "FedAvg": "hansa.algorithms",
    "FedBN": "hansa.algorithms",
    "FedProx": "hansa.algorithms",
    "FedSGD": "hansa.algorithms",
    "FedYogi": "hansa.algorithms",
    "Federation": "hansa.api",
    "FixedSize": "hansa.cohort",
    "HansaError": "hansa.errors",
    "Learner": "hansa.train.learner",
    "Local": "hansa.engine",
    "Plain": "hansa.secure_sum",
    "Poisson": "hansa.cohort",
    "Progress": "hansa.api",
    "Quantise": "hansa.encode",
    "RayCluster": "hansa.engine",
    "RoundRecord": "hansa.record",
    "Scaffold": "hansa.algorithms",
    "NormBound": "hansa.secure_sum",
    "Sealed": "hansa.secure_sum",
    "TopK": "hansa.encode",
    "Vector": "hansa.engine",
    "Verification": "hansa.verification",
    "compare": "hansa.api",
    "export": "hansa.verification",
    "partition_svg": "hansa.report.partition",
    "verify": "hansa.verification",
}
_MODULES = ("audit", "claims", "data", "datasets", "errors", "privacy", "statistics", "ui")

__all__ = [
    "Algorithm",
    "AllClients",
    "AtMost",
    "EightBits",
    "Examples",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedBN",
    "FedProx",
    "FedSGD",
    "FedYogi",
    "Federation",
    "FixedSize",
    "HansaError",
    "Learner",
    "Local",
    "NormBound",
    "Plain",
    "Poisson",
    "Progress",
    "Quantise",
    "RayCluster",
    "RoundRecord",
    "Scaffold",
    "Sealed",
    "TopK",
    "Vector",
    "Verification",
    "__version__",
    "audit",
    "claims",
    "compare",
    "data",
    "datasets",
    "export",
    "partition_svg",
    "privacy",
    "statistics",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"hansa.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'hansa' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})


def _settle_backend() -> None:
    from hansa import bridge
    from hansa.errors import HansaError

    try:
        bridge.choose_backend()
    except HansaError:
        return  # told when a federation is built; datasets and reports work without a backend


_settle_backend()
