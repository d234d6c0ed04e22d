"""A round done again from its log: the same generator as in the run, with messages in place of clients."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from hansa.errors import LogError, VoidRoundError
from hansa.plan import Plan
from hansa.record import RoundRecord
from hansa.rng import Seeds
from hansa.round import Settle, Steps, round_steps
from hansa.types import Answer, Ask, Heard, Reply, ServerState


@dataclass(frozen=True)
class Replay:
    """Answers a round's Asks from its log.

    Attributes:
        heard: What clients said, by purpose and phase of the sum.
        logs: The round's logs, in which the server's own measurements are; nothing follows from them.
    """

    heard: Mapping[tuple[str, str], Heard]
    logs: Mapping[str, float]

    @property
    def has_metrics(self) -> bool:
        """Whether the sum of the clients' metrics is there to be seen."""
        return ("tell", "tell") in self.heard

    def answer(self, ask: Ask) -> Answer:
        """Return what was said at the time.

        Raises:
            VoidRoundError: If this is about metrics, and their sum is not public.
            LogError: If the log lacks it.
        """
        if ask.phase == "validate":
            told = {name[4:]: value for name, value in self.logs.items() if name.startswith("val_")}
            return Answer(replies={"@server": Reply(metrics={"validation": told})})
        heard = None if ask.place is None else self.heard.get((ask.place.purpose, ask.phase))
        if heard is None and ask.phase == "tell":
            raise VoidRoundError("the sum of the metrics is not public")
        if heard is None:
            raise LogError(f"the log does not have what clients said in the phase {ask.phase!r}.")
        return Answer(
            replies={n: Reply(message=heard.messages[n]) for n in ask.clients if n in heard.messages},
            dropped={name: as_told(why) for name, why in heard.silent.items() if name in ask.clients},
            replayed=True,
        )


def as_told(why: str) -> str:
    """Return a reason that nothing in the log shows; in quotes, so that it is seen where it ends."""
    return f"the coordinator tells: {why!r}"


def replayed(
    plan: Plan, state: ServerState, replay: Replay, settle: Settle
) -> tuple[ServerState, RoundRecord]:
    """Return the state after a round, and its record, from its log.

    Every signature and every proof is checked again, every sum is added up and opened again.

    Args:
        plan: The server's half.
        state: The server's state before the round.
        replay: Answers from the log.
        settle: Takes the model that the round gives, and returns that of the log; or raises.

    Raises:
        LogError: If the log lacks what it needs.
        RoundError: If what clients said gives no round.
    """
    steps = round_steps(plan, state, Seeds(plan.seed), settle=settle)
    ask = next(steps)
    while True:
        try:
            ask = _next(steps, replay, ask)
        except StopIteration as end:
            new, record = end.value
            return dataclasses.replace(new, learning_rate=None), record


def _next(steps: Steps, replay: Replay, ask: Ask) -> Ask:
    try:
        answer = replay.answer(ask)
    except VoidRoundError as error:  # the round goes on without
        return steps.throw(error)
    return steps.send(answer)
