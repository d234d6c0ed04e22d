"""What a report is made of: one frozen value that holds everything the page shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hansa.privacy.guarantee import Guarantee
from hansa.record import RoundRecord
from hansa.types import DataCard

WAYS = ("local", "federated", "pooled")
"""The ways of training that a comparison sets side by side, in the order they are shown."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric of the same test rows after training alone, together, and on pooled data.

    Attributes:
        metric: Name of the metric, for example ``"accuracy"``.
        higher_is_better: Whether a greater value is the better one.
        rows: Value by client and way (a name of `WAYS`); None or absent where it was not measured.
        test_examples: Number of test rows by client.
        average: Average over the clients by way, as the caller defines it.
        note: How the numbers were obtained, one or two sentences; may be empty.
    """

    metric: str
    higher_is_better: bool
    rows: Mapping[str, Mapping[str, float | None]]
    test_examples: Mapping[str, int] = field(default_factory=dict)
    average: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything that the report of one run shows.

    All text in it is untrusted (parties choose their own names) and is escaped when drawn.

    Attributes:
        title: Title of the run.
        summary: A sentence about what was done, or empty.
        config: The resolved configuration, nested plain values.
        records: One record for each finished round, in order.
        cards: What each party told about its data, by client.
        comparison: Training alone, together and on pooled data, where this was measured.
        guarantee: What differential privacy promises, or None without a plan of it.
        silos: What each silo has spent (ε), where single records are protected.
        environment: Versions by name (Python, Hansa, Keras, the backend, NumPy, the platform).
        model_summary: ``name``, ``parameters`` and ``layers`` of the model.
        status: How the run ended: ``"finished"``, ``"stopped by a callback"``, ``"target reached"``
            or ``"interrupted"``.
        seed: Root seed of the run.
        run_folder: Where the run is kept, as the user named it; may be empty.
        started: ISO 8601 time at which the run began, or None.
        finished: ISO 8601 time at which the run ended, or None.
    """

    title: str
    config: Mapping[str, Any]
    records: Sequence[RoundRecord]
    summary: str = ""
    cards: Mapping[str, DataCard] = field(default_factory=dict)
    comparison: Comparison | None = None
    guarantee: Guarantee | None = None
    silos: Mapping[str, float] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    model_summary: Mapping[str, Any] = field(default_factory=dict)
    status: str = "finished"
    seed: int = 0
    run_folder: str = ""
    started: str | None = None
    finished: str | None = None
