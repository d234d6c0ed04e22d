"""A privacy budget for several releases, whoever makes them."""

from __future__ import annotations

import threading
from typing import Any

from hansa.errors import BudgetError, ConfigurationError
from hansa.privacy.accountant import Spent, spent
from hansa.privacy.budget import Budget, relation
from hansa.privacy.events import Event
from hansa.privacy.ledger import Ledger
from hansa.privacy.terms import Neighbours

_ROUNDING = 1 + 1e-9  # so that ten releases of 0.1 fit into 1

_HOLDS: dict[Neighbours, tuple[Neighbours, ...]] = {
    "add/remove": ("add/remove",),
    "zero-out": ("zero-out", "add/remove"),
    "replace": ("replace", "zero-out", "add/remove"),
}
"""Of which relations noise also holds for a relation, at the price that accountants give for it."""


class Account:
    """A `Ledger` with a budget: what would exceed it is refused before it happens.

    Share one among all that is released of the same records: statistics (``ledger=account``), randomised
    labels, and whatever else charges it. Only what is charged is counted.

    Args:
        budget: The most that may be spent, at its delta. Fixed before anything is looked at.
        neighbours: The neighbouring relation that the budget is for; noise for another one is refused, unless
            it holds for this one too. (Noise for add/remove holds for zero-out at the same price, and for
            replace at twice the price.)
        ledger: What was charged before, for example read from a file; None for nothing.

    Guarantees:
        All that was charged is together (epsilon, delta)-DP for the budget and the relation. A release is
        charged before it is made, also if it then fails.

    Assumes:
        What is asked next may depend on earlier results; with how much noise must not, unless plain sums of
        epsilons are within the budget (Rogers et al. 2016, Privacy odometers and filters).

    Source:
        Kairouz, Oh and Viswanath 2015, The composition theorem for differential privacy.

    Example:
        >>> from hansa.privacy import Budget, Noise
        >>> account = Account(budget=Budget(epsilon=1.0, delta=1e-6))
        >>> account.charge(Noise(epsilon=0.4).event, neighbours="add/remove")
        >>> round(account.spent().epsilon, 3), account.affords(Noise(epsilon=0.7).event)
        (0.4, False)
    """

    def __init__(
        self, *, budget: Budget, neighbours: Neighbours = "add/remove", ledger: Ledger | None = None
    ) -> None:
        """Open an account."""
        if not isinstance(budget, Budget):
            raise ConfigurationError(f"budget must be Budget(epsilon=..., delta=...), got {budget!r}.")
        self.budget = budget
        self.neighbours: Neighbours = relation(neighbours)
        self.ledger = Ledger() if ledger is None else ledger
        self._lock = threading.Lock()

    def affords(self, event: Event) -> bool:
        """Return whether one more event is within the budget."""
        return not self.ledger.would_exceed(
            event,
            epsilon=self.budget.epsilon * _ROUNDING,
            delta=self.budget.delta,
            neighbours=self.neighbours,
        )

    def charge(self, event: Event, *, neighbours: Neighbours) -> None:
        """Charge an event that is about to happen.

        Raises:
            BudgetError: It would exceed the budget. Nothing is charged.
            ConfigurationError: Its noise is for a relation that does not hold for that of the account.
        """
        if neighbours not in _HOLDS[self.neighbours]:
            raise ConfigurationError(
                f"the account is for the relation {self.neighbours!r}, and this noise for {neighbours!r}: "
                f"take neighbours={self.neighbours!r} for both."
            )
        with self._lock:
            if not self.affords(event):
                before = self.spent()
                raise BudgetError(
                    f"the budget is epsilon {self.budget.epsilon:g} at delta {self.budget.delta:g}, of which "
                    f"{before.epsilon:.4g} is spent, and with this release it would be "
                    f"{self._after(event):.4g}. Nothing was released. Ask with a smaller epsilon."
                )
            self.ledger.charge(event)

    def spent(self) -> Spent:
        """Return what is spent, at the budget's delta."""
        return self.ledger.spent(delta=self.budget.delta, neighbours=self.neighbours)

    def describe(self) -> dict[str, Any]:
        """Return budget, relation, what is spent, and all events, as plain JSON values."""
        return {
            "budget": {"epsilon": self.budget.epsilon, "delta": self.budget.delta},
            "neighbours": self.neighbours,
            "epsilon": self.spent().epsilon,
            "events": self.ledger.describe(),
        }

    def _after(self, event: Event) -> float:
        after = Ledger.read(self.ledger.describe())
        after.charge(event)
        return spent(after.event, delta=self.budget.delta, neighbours=self.neighbours).epsilon


def charge(ledger: Ledger | Account | None, event: Event, *, neighbours: Neighbours) -> None:
    """Charge an event that is about to happen, where there is something to charge.

    Raises:
        BudgetError: It would exceed the budget of an `Account`.
        ConfigurationError: It is neither a ledger nor an account, or one for another relation.
    """
    if isinstance(ledger, Account):
        ledger.charge(event, neighbours=neighbours)
    elif isinstance(ledger, Ledger):
        ledger.charge(event)
    elif ledger is not None:
        raise ConfigurationError(
            f"ledger must be hansa.privacy.Account(budget=...) or Ledger(), got {type(ledger).__name__}."
        )
