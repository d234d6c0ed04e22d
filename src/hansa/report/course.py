"""How the run went: the six steps of a round, with what this run did in each."""

from __future__ import annotations

from hansa.report.data import ReportData
from hansa.report.facts import central, client_names, is_set, metric_names, named, outcome, setting
from hansa.report.markup import Html, tag
from hansa.report.wording import (
    clients_noun,
    count,
    counted,
    decimal,
    duration,
    finite,
    metric_words,
    size,
)

# Outlines on a 24 × 24 grid, drawn for this page.
_PICTURES = {
    "Initialise": "M12 3.5v4M12 16.5v4M3.5 12h4M16.5 12h4M12 8.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7z",
    "Localise the data": "M5 6.5c0-1.7 3.1-3 7-3s7 1.3 7 3s-3.1 3-7 3s-7-1.3-7-3zM5 6.5v11c0 1.7 3.1 3 7 3"
    "s7-1.3 7-3v-11M5 12c0 1.7 3.1 3 7 3s7-1.3 7-3",
    "Train locally": "M4 19.5h16M4 19.5v-15M7 8c2.5 7 5.5 8.3 12 8.5",
    "Aggregate": "M4.5 5.5h3c3 0 3 6.5 6 6.5h6M4.5 18.5h3c3 0 3-6.5 6-6.5M4.5 12h15M16.5 9l3 3l-3 3",
    "Update": "M19.5 12a7.5 7.5 0 1 1-2.4-5.5M19.5 3.5v4h-4",
    "Evaluate": "M4 19.5h16M7 16v-4M12 16v-10M17 16v-7",
}


def steps(data: ReportData) -> Html:
    """Return the six steps of a round as a row of pictures, each with the facts of this run."""
    facts = {
        "Initialise": _initialise(data),
        "Localise the data": _localise(data),
        "Train locally": _train(data),
        "Aggregate": _aggregate(data),
        "Update": _update(data),
        "Evaluate": _evaluate(data),
    }
    items = [
        tag("li", _picture(name), tag("h3", name), *(tag("p", line) for line in facts[name]))
        for name in _PICTURES
    ]
    return tag("ol", *items, class_="steps")


def _picture(name: str) -> Html:
    return tag(
        "span",
        tag("svg", tag("path", d=_PICTURES[name]), viewBox="0 0 24 24", aria_hidden="true"),
        class_="step",
    )


def _initialise(data: ReportData) -> list[str]:
    lines = []
    model, parameters = data.model_summary.get("name"), finite(data.model_summary.get("parameters"))
    if model:
        lines.append(f"Model “{model}”")
    if parameters is not None:
        lines.append(f"{count(parameters)} parameters")
    return [*lines, f"Seed {data.seed}"]


def _localise(data: ReportData) -> list[str]:
    names = client_names(data)
    lines = [counted(len(names), *clients_noun(names))]
    rows = [n for card in data.cards.values() if (n := card.examples.get("train")) is not None]
    if rows:
        lines.append(f"{count(sum(rows))} training examples")
    if len(rows) > 1:
        lines.append(f"{count(min(rows))} to {count(max(rows))} at each")
    return lines


def _train(data: ReportData) -> list[str]:
    lines = []
    algorithm = _spelled(named(setting(data.config, "algorithm", "strategy")))
    if algorithm:
        lines.append(algorithm)
    epochs = finite(setting(data.config, "epochs", "local_epochs"))
    steps_, batch = finite(setting(data.config, "steps")), finite(setting(data.config, "batch_size"))
    if epochs is not None:
        lines.append(f"{counted(round(epochs), 'local epoch')} a round")
    elif steps_ is not None:
        lines.append(f"{count(steps_)} local steps a round")
    if batch is not None:
        lines.append(f"Batches of {count(batch)}")
    drawn = [len(r.cohort) for r in data.records]
    total = len(client_names(data))
    if drawn and total:
        few, most = min(drawn), max(drawn)
        each = f"{few:,}" if few == most else f"{few:,} to {most:,}"
        lines.append("All take part in every round" if few == total else f"{each} of {total:,} a round")
    return lines


def _aggregate(data: ReportData) -> list[str]:
    means = {"examples": "Mean weighted by examples", "uniform": "Mean, all clients alike"}
    weights = named(setting(data.config, "aggregate"))
    lines = [means.get(weights, f"Aggregate: {weights}" if weights else "Mean of the updates")]
    if is_set(data.config.get("secure_sum")):
        lines.append(f"Secure sum: {named(data.config['secure_sum'], 'as configured')}")
        void = sum(bool(r.void) for r in data.records)
        if void:
            lines.append(f"{counted(void, 'round')} void")
    else:
        lines.append("Plain sum: the server sees individual updates")
    if data.guarantee is not None:
        lines.append(f"Differential privacy for {data.guarantee.protects}")
    up = sum(r.bytes_up for r in data.records)
    if up:
        lines.append(f"{size(up)} received")
    return lines


def _spelled(name: str) -> str:
    """The algorithm's name as its authors write it."""
    spellings = (
        "FedAvg",
        "FedProx",
        "FedSGD",
        "FedBN",
        "SCAFFOLD",
        "FedAdam",
        "FedYogi",
        "FedAdagrad",
        "FedAvgM",
    )
    return next((s for s in spellings if s.lower() == name.lower()), name)


def _update(data: ReportData) -> list[str]:
    optimizer = data.config.get("server_optimizer", setting(data.config, "server"))
    name = named(optimizer)
    lines = [f"Server optimizer: {name}" if name else "The mean update is taken as it is"]
    norms = [n for r in data.records if (n := finite(r.update_norm)) is not None]
    if norms and any(norms):
        first, last = (f"{n:.3g}" for n in (norms[0], norms[-1]))
        lines.append(
            f"Update norm {first}" if len(norms) == 1 else f"Update norm {first} at first, {last} at last"
        )
    return lines


def _evaluate(data: ReportData) -> list[str]:
    result = outcome(data)
    if result.final is None:
        return ["No metric was logged"]
    lines = []
    if any(central(data.records, name) for name in metric_names(data.records)):
        lines.append("On a central validation set")
    if any(key.startswith("clients_val_") for r in data.records for key in r.logs):
        lines.append("On each client’s own held-out rows")
    if not lines:
        lines.append("On training rows only" if not result.key.startswith("val_") else f"On {result.where}")
    lines.append(f"Last {metric_words(result.metric)} {decimal(result.final)}")
    seconds = sum(finite(r.timings_s.get("evaluate")) or 0.0 for r in data.records)
    return [*lines, f"{duration(seconds)} in all"] if seconds else lines
