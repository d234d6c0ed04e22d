"""Runs to report on, made of formulas: no training, no randomness."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from hansa.record import ClientRecord, RoundRecord
from hansa.report import Comparison, ReportData
from hansa.types import DataCard

HOSPITALS = ("hospital north", "hospital south", "hospital east", "hospital west")


def _metrics(i: int, r: int) -> dict[str, float]:
    learned = 1 - math.exp(-(r + 1) / 5)
    return {"loss": 0.7 - 0.3 * learned + 0.01 * (i % 7), "accuracy": 0.5 + 0.3 * learned - 0.01 * (i % 7)}


def _record(names: tuple[str, ...], r: int, validation: bool) -> RoundRecord:
    clients = {
        name: ClientRecord(
            examples=100 + i, training=_metrics(i, r), validation=_metrics(i + 1, r) if validation else {}
        )
        for i, name in enumerate(names)
    }
    logs = dict(_metrics(0, r))
    if validation:
        logs |= {f"clients_val_{k}": v for k, v in _metrics(1, r).items()}
        logs |= {f"val_{k}": v for k, v in _metrics(2, r).items()}
    return RoundRecord(
        round=r,
        cohort=names,
        logs=logs,
        clients=clients,
        model_hash=f"{r:064x}",
        update_norm=1 / (r + 1),
        timings_s={"draw": 0.001, "train": 0.5, "aggregate": 0.02, "evaluate": 0.2, "other": 0.01},
        bytes_down=4000 * len(names),
        bytes_up=4000 * len(names),
    )


def _card(i: int, labels: int) -> DataCard:
    return DataCard(
        examples={"train": 100 + i, "validation": 20, "test": 30},
        features=(3,),
        columns=("age", "sex", "pulse"),
        labels={str(k): 10 + (i * k) % 13 for k in range(labels)},
        label_range=(0.0, float(labels - 1)),
    )


@pytest.fixture
def make_run() -> Callable[..., ReportData]:
    """Return a function that makes the data of a run; keywords replace fields of it."""

    def make(
        names: tuple[str, ...] = HOSPITALS, rounds: int = 15, *, validation: bool = True, **fields: Any
    ) -> ReportData:
        values: dict[str, Any] = {
            "title": "Heart disease",
            "summary": "A small network learns from 13 measurements.",
            "config": {"seed": 7, "algorithm": {"kind": "fedavg", "epochs": 2}, "aggregate": "examples"},
            "records": tuple(_record(names, r, validation) for r in range(rounds)),
            "cards": {name: _card(i, 2) for i, name in enumerate(names)},
            "environment": {"Python": "3.13", "Keras": "3.15", "Backend": "jax"},
            "model_summary": {
                "name": "net",
                "parameters": 1345,
                "layers": [{"name": "dense", "parameters": 448}],
            },
            "seed": 7,
        }
        return ReportData(**(values | fields))

    return make


@pytest.fixture
def comparison() -> Comparison:
    """Four hospitals, of which one is better off alone."""
    rows = {
        "hospital north": {"local": 0.70, "federated": 0.80, "pooled": 0.81},
        "hospital south": {"local": 0.74, "federated": 0.84, "pooled": 0.83},
        "hospital east": {"local": 0.78, "federated": 0.82, "pooled": 0.82},
        "hospital west": {"local": 0.79, "federated": 0.78, "pooled": None},
    }
    average = {"local": 0.7525, "federated": 0.81, "pooled": 0.82}
    return Comparison(
        metric="accuracy",
        higher_is_better=True,
        rows=rows,
        test_examples=dict.fromkeys(rows, 30),
        average=average,
        note="All clients count alike.",
    )
