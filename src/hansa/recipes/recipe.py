"""What a recipe is: a federation that is ready to run, and what to say about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hansa.api.federation import Federation


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A federation on real data that runs by name.

    Attributes:
        name: The name to run it by.
        title: Title of its runs.
        field: Where its data come from: ``"medicine"``, ``"finance"``, ``"industry"``.
        summary: What is trained by whom, in one sentence.
        metric: The metric to compare local-only, federated and pooled training by.
        higher_is_better: Whether a greater value of it is better.
        rounds: Number of rounds that suffices.
        models: Names of its models, the default first.
        build: Returns the federation: ``build(model="logistic", seed=0, algorithm=None)``; None is the
            recipe's own algorithm. Nothing is read and no Keras is imported before it is fitted.
    """

    name: str
    title: str
    field: str
    summary: str
    metric: str
    higher_is_better: bool
    rounds: int
    models: tuple[str, ...]
    build: Callable[..., Federation]
