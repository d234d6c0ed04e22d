"""How often a client may take part, and the check that a history kept to it.

A promise ``(times, min_gap)``: each client is in at most ``times`` releases, and the numbers of two that it
is in differ by ``min_gap`` or more. Rounds here are *releases*: a void round that published nothing is none,
and leaves no participation behind.

Source:
    Choquette-Choo et al. 2023, (Amplified) Banded Matrix Factorization, section 3 (b-min-sep participation).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hansa.errors import ConfigurationError, RoundError

MOST_ROUNDS = 100_000
"""Longest run for which a strategy is made."""


def whole(name: str, value: object, *, low: int = 1, high: int | None = None) -> int:
    """Return an integer of a declaration, or raise `ConfigurationError` where it is none or out of range."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise ConfigurationError(f"{name} must be an integer, got {value!r}.")
    if value < low or (high is not None and value > high):
        most = "or more" if high is None else f"to {high}"
        raise ConfigurationError(f"{name} must be {low} {most}, got {value}.")
    return int(value)


def most_participations(rounds: int, min_gap: int) -> int:
    """Return how often a client can be in so many rounds, at this gap or more: ``⌈rounds / min_gap⌉``."""
    return -(-rounds // min_gap)


def check_promise(rounds: int, min_gap: int, times: int) -> None:
    """Raise `ConfigurationError` where no client can take part so often in so many rounds."""
    whole("rounds", rounds, high=MOST_ROUNDS)
    whole("min_gap", min_gap)
    whole("times", times)
    most = most_participations(rounds, min_gap)
    if times > most:
        raise ConfigurationError(
            f"a client cannot take part {times} times in {rounds} rounds that are {min_gap} or more apart: "
            f"at most {most} times. Lower times to {most}, or leave it out."
        )


def check_participation(history: Iterable[Iterable[str]], times: int, min_gap: int) -> None:
    """Check that every client kept the promise.

    Args:
        history: The names of the clients of every release, in order; void rounds left out.
        times: Most participations of a client, 1 or more.
        min_gap: Least difference between the numbers of two releases that a client is in, 1 or more.

    Raises:
        RoundError: A client is in too many releases, in two that are too close, or twice in one.
        ConfigurationError: A bound is not an integer of 1 or more.

    Guarantees:
        It returns only where the promise holds for every client.

    Example:
        >>> check_participation([["a"], ["b"], ["a"]], times=2, min_gap=2)
    """
    times, min_gap = whole("times", times), whole("min_gap", min_gap)
    last: dict[str, int] = {}
    count: dict[str, int] = {}
    for number, cohort in enumerate(history):
        for client in cohort:
            before = last.get(client)
            if before is not None and number - before < min_gap:
                raise RoundError(
                    f"client {client!r} is in releases {before} and {number}, {number - before} apart; "
                    f"the noise is made for {min_gap} or more. The guarantee does not cover this run."
                )
            last[client], count[client] = number, count.get(client, 0) + 1
            if count[client] > times:
                raise RoundError(
                    f"client {client!r} is in {count[client]} releases, with number {number} the last; the "
                    f"noise is made for at most {times}. The guarantee does not cover this run."
                )
