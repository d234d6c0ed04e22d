"""The plain sum: the server receives every update and adds them. No secrecy towards the server."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from hansa.types import Answer, Ask, Delta, Start


@dataclass(frozen=True, kw_only=True)
class Plain:
    """Updates travel as they are.

    Leaks:
        The server sees each client's update, weight and metrics. Use it where the server may see them.
    """

    sends_update: ClassVar[bool] = True
    """Whether what a client sends is its update, so that an engine may add updates where they arise."""

    def describe(self) -> dict[str, Any]:
        """Return the settings for the run's configuration."""
        return {"kind": "plain"}

    # server half
    def collect(
        self, start: Start, cohort: tuple[str, ...], *, reduce: Literal["keep", "sum"]
    ) -> Generator[Ask, Answer, Answer]:
        """Ask the cohort for its updates; an engine adds them up (`hansa.secure_sum.tree`), or keeps them."""
        return (yield Ask(phase="train", clients=cohort, payload=start, reduce=reduce))

    # client half
    def send(self, delta: Delta) -> Delta:
        """Return what a client sends for its update: the update."""
        return delta
