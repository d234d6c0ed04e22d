"""What Hansa expects of a learner, an algorithm, an engine, a cohort and a secure sum, as plain functions.

Each raises `AssertionError` with a message. Call them from a test of your own implementation.

Example:
    >>> from hansa.algorithms import FedAvg
    >>> check_algorithm(FedAvg(epochs=2))
"""

from hansa.testing.contracts.algorithm import check_algorithm
from hansa.testing.contracts.cohort import check_cohort
from hansa.testing.contracts.engine import check_engine
from hansa.testing.contracts.learner import check_learner
from hansa.testing.contracts.secure_sum import check_running_sum, check_secure_sum

__all__ = [
    "check_algorithm",
    "check_cohort",
    "check_engine",
    "check_learner",
    "check_running_sum",
    "check_secure_sum",
]
