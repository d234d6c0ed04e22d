"""The plain sum: the server receives every update and adds them. No secrecy towards the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from hansa.secure_sum.interface import Phases, Planned, Run, SecureSum, Shape
from hansa.types import Ask


@dataclass(frozen=True, kw_only=True)
class Plain(SecureSum, Planned):
    """Updates travel as they are.

    Leaks:
        The server sees each client's update, weight and metrics. Use it where the server may see them.
    """

    sends_update: ClassVar[bool] = True

    def plan(self, shape: Shape, run: Run | None = None) -> Plain:  # noqa: ARG002 - it has no limits
        """Return itself: there is nothing to settle."""
        return self

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""
        return {"kind": "plain"}

    def explain(self) -> str:
        """Return what the server sees."""
        return "The server sees every client's update."

    # server half
    def collect(self, ask: Ask, *, number: int) -> Phases:  # noqa: ARG002 - not bound
        """Ask; an engine adds updates up (`hansa.secure_sum.tree`), or keeps them."""
        return (yield ask)
