"""The federated algorithms: one file each, client half and server half side by side.

To add one: write a file like `fedavg.py`, import it here, add it to ``ALGORITHMS`` and to the
contract tests (`hansa.testing.contracts`).
"""

from hansa.algorithms.adaptive import FedAdagrad, FedAdam, FedYogi
from hansa.algorithms.algorithm import Algorithm
from hansa.algorithms.fedavg import FedAvg
from hansa.algorithms.fedbn import FedBN
from hansa.algorithms.fedprox import FedProx
from hansa.algorithms.fedsgd import FedSGD
from hansa.algorithms.scaffold import Scaffold

ALGORITHMS: dict[str, type[Algorithm]] = {
    "fedavg": FedAvg,
    "fedsgd": FedSGD,
    "fedprox": FedProx,
    "scaffold": Scaffold,
    "fedadam": FedAdam,
    "fedyogi": FedYogi,
    "fedadagrad": FedAdagrad,
    "fedbn": FedBN,
}

__all__ = [
    "ALGORITHMS",
    "Algorithm",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedBN",
    "FedProx",
    "FedSGD",
    "FedYogi",
    "Scaffold",
]
