"""Stage: differential privacy. Plans, their noise, and the accountant that says what they promise.

    clip → (noise) → sum → (noise) → a fixed denominator

A plan owns everything that must agree: who takes part, clip, weights, denominator, noise and accounting.

interface.py     what a plan is
central.py, local.py, distributed.py, correlated.py, record.py     the plans
budget.py, bounds.py     what a user states
events.py, accountant.py     what was released, and what that costs
noise/     integer noise from a secret
"""

from hansa.privacy.bounds import AdaptiveClip, Capped, Clip
from hansa.privacy.budget import Budget, Person
from hansa.privacy.central import CentralDP
from hansa.privacy.correlated import MatrixDP
from hansa.privacy.distributed import DistributedDP
from hansa.privacy.guarantee import Guarantee
from hansa.privacy.interface import ClientLevel, Facts, Privacy
from hansa.privacy.local import LocalDP
from hansa.privacy.record import RecordDP

PLANS: dict[str, type[Privacy]] = {
    "central": CentralDP,
    "record": RecordDP,
    "local": LocalDP,
    "distributed": DistributedDP,
    "matrix": MatrixDP,
}
"""The plans by the names that TOML knows."""

__all__ = [
    "PLANS",
    "AdaptiveClip",
    "Budget",
    "Capped",
    "CentralDP",
    "ClientLevel",
    "Clip",
    "DistributedDP",
    "Facts",
    "Guarantee",
    "LocalDP",
    "MatrixDP",
    "Person",
    "Privacy",
    "RecordDP",
]
