"""Stage: differential privacy. Plans, their noise, and the accountant that says what they promise.

    clip → (noise) → sum → (noise) → a fixed denominator

A plan owns everything that must agree: who takes part, clip, weights, denominator, noise and accounting.

interface.py     what a plan is
central.py, local.py, distributed.py, correlated.py, record.py     the plans
budget.py, bounds.py     what a user states
events.py, accountant.py     what was released, and what that costs
ledger.py, account.py     all that was released, and a budget for it
mechanism.py, response.py     noise for statistics, and for labels
noise/     integer noise from a secret
"""

from hansa.privacy.account import Account
from hansa.privacy.bounds import AdaptiveClip, Capped, Clip
from hansa.privacy.budget import Budget, Person
from hansa.privacy.central import CentralDP
from hansa.privacy.correlated import MatrixDP
from hansa.privacy.distributed import DistributedDP
from hansa.privacy.guarantee import Guarantee
from hansa.privacy.interface import ClientLevel, Facts, Privacy
from hansa.privacy.ledger import Ledger
from hansa.privacy.local import LocalDP
from hansa.privacy.mechanism import Noise
from hansa.privacy.record import RecordDP
from hansa.privacy.response import RandomisedLabels, debias, randomised_response

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
    "Account",
    "AdaptiveClip",
    "Budget",
    "Capped",
    "CentralDP",
    "ClientLevel",
    "Clip",
    "DistributedDP",
    "Facts",
    "Guarantee",
    "Ledger",
    "LocalDP",
    "MatrixDP",
    "Noise",
    "Person",
    "Privacy",
    "RandomisedLabels",
    "RecordDP",
    "debias",
    "randomised_response",
]
