"""What a run's folder keeps beside the log, so that its report can be written again from the folder alone.

``facts.json`` has what is known when the run begins: what each party told about its data, the versions,
the model. ``comparison.json`` has what the trainings alone and pooled gave, where they were made.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hansa.errors import RunError
from hansa.record import RoundRecord
from hansa.report.data import Comparison, ReportData
from hansa.store.files import explained, read_bounded, write_atomic
from hansa.store.run import Run
from hansa.types import DataCard

FACTS = "facts.json"
COMPARISON = "comparison.json"
_LIMIT_BYTES = 64 * 2**20
_BEGUN, _ENDED = ("started", "resumed"), ("finished", "stopped", "target", "interrupted")
_PHASES = ("draw", "gather", "train", "encode", "sum", "step", "aggregate", "evaluate", "other")
_STATUS = {"stopped": "stopped by a callback", "target": "target reached"}


def write_facts(
    folder: Path, *, cards: Mapping[str, DataCard], environment: Mapping[str, str], model: Mapping[str, Any]
) -> None:
    """Keep what a report needs and the log does not have.

    Raises:
        RunError: It cannot be written.
    """
    fields = [field.name for field in dataclasses.fields(DataCard)]
    told = {name: {field: getattr(card, field) for field in fields} for name, card in cards.items()}
    _write(folder / FACTS, {"cards": told, "environment": dict(environment), "model": dict(model)})


def write_texts(folder: Path, texts: Mapping[str, str]) -> None:
    """Keep texts in a run's folder by file name.

    Raises:
        RunError: One cannot be written.
    """
    for name, text in texts.items():
        with explained("write", folder / name):
            write_atomic(folder / name, text.encode())


def write_comparison(folder: Path, comparison: Comparison) -> Path:
    """Keep a comparison in a run's folder and return its path.

    Raises:
        RunError: It cannot be written.
    """
    path = folder / COMPARISON
    _write(path, dataclasses.asdict(comparison))
    return path


def read_comparison(folder: Path) -> Comparison | None:
    """Return the comparison that a run's folder keeps, or None.

    Raises:
        RunError: The file is damaged.
    """
    values = _read(folder / COMPARISON)
    return None if values is None else _made(folder / COMPARISON, lambda: Comparison(**values))


def read_report(folder: str | Path, *, summary: str = "") -> ReportData:
    """Return what the report of a run shows, from its folder alone: no data and no training are needed.

    Args:
        folder: The run's folder. It may be written by another process meanwhile.
        summary: A sentence about what was done.

    Raises:
        RunError: There is no run, or a file of it is missing or damaged.
    """
    folder = Path(folder)
    with Run.open(folder, write=False) as run:
        config, records = run.config, tuple(map(_in_order, run.history()))
        notes = [entry for entry in run.entries() if entry.kind in (*_BEGUN, *_ENDED)]
    facts = _read(folder / FACTS)
    if facts is None:
        raise RunError(f"{folder / FACTS} is missing: the run ended before it began to train. Start it anew.")
    begun = [entry for entry in notes if entry.kind in _BEGUN]
    last = notes[-1].kind if notes else "interrupted"
    ended = notes[-1].body.get("time") if last in _ENDED else None
    return _made(
        folder / FACTS,
        lambda: ReportData(
            title=config["title"],
            summary=summary,
            config=config,
            records=records,
            cards={name: _card(values) for name, values in facts["cards"].items()},
            comparison=read_comparison(folder),
            environment={str(name): str(version) for name, version in facts["environment"].items()},
            model_summary=_model(facts["model"]),
            status="interrupted" if last in _BEGUN else _STATUS.get(last, last),
            seed=config["seed"],
            run_folder=str(folder),
            started=begun[-1].body.get("time") if begun else None,
            finished=ended,
        ),
    )


def _in_order(record: RoundRecord) -> RoundRecord:
    """Return a record of the log, which sorts keys, with its phases in the order in which they happen."""
    timings = {phase: record.timings_s[phase] for phase in _PHASES if phase in record.timings_s}
    return dataclasses.replace(record, timings_s={**timings, **record.timings_s})


def _card(values: Mapping[str, Any]) -> DataCard:
    columns, ends = values["columns"], values["label_range"]
    labels = values["labels"]
    return DataCard(
        examples=_counts(values["examples"]),
        features=values["features"],
        columns=None if columns is None else tuple(columns),
        labels=None if labels is None else _counts(labels),
        label_range=None if ends is None else (ends[0], ends[1]),
    )


def _counts(values: Mapping[str, Any]) -> dict[str, int]:
    return {str(name): int(count) for name, count in values.items()}


def _model(values: Mapping[str, Any]) -> dict[str, Any]:
    layers = [str(layer) for layer in values["layers"]]
    return {"name": str(values["name"]), "parameters": int(values["parameters"]), "layers": layers}


def _write(path: Path, value: Mapping[str, Any]) -> None:
    # Keys keep their order here: clients are shown in the order in which they were declared.
    with explained("write", path):
        write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False, default=_number).encode() + b"\n")


def _number(value: Any) -> Any:
    return value.item()  # NumPy's numbers


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    with explained("read", path):
        content = read_bounded(path, _LIMIT_BYTES)
    return _made(path, lambda: dict(json.loads(content)))


def _made(path: Path, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(
            f"{path} is damaged ({type(error).__name__}: {error}). Restore it from a copy of the run."
        ) from error
