"""One of four hospitals lies: its update is a thousand times too large, or as large as nobody notices.

Four ways to sum are attacked in real rounds of Hansa, on the shipped heart-disease data. The page
``poisoning.html`` shows what becomes of the model, and who is named. Needs Numba and cryptography
(pip install '.[secure]' in a clone of Hansa); a minute.

    python examples/poisoning.py
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import Iterator
from unittest import mock

import numpy as np

import hansa
from hansa.engine import Declared
from hansa.recipes import RECIPES
from hansa.report import hero, section, sheet, write_page
from hansa.report.charts import Line, line_chart
from hansa.report.markup import Child, Html, join, tag
from hansa.report.tables import Column, table
from hansa.secure_sum.sealed import dealing
from hansa.secure_sum.sealed import seal as sealing
from hansa.secure_sum.sealed.party import Party
from hansa.zk import prover

LIAR, TIMES, ROUNDS, LAST, CLIP = "va", 1000, 15, 5, 2.0
STEPS = 2**16
HONEST, PLAIN, HIDDEN, SILENT, PROVEN = (
    "Nobody lies",
    "Plain sum, ×1000",
    "Sealed, ×1000",
    "Sealed, as large as passes",
    "Sealed and proven, ×1000",
)


class Liar(Declared):
    """The local engine, in which one client's update arrives a thousand times too large."""

    def start(self, *run, **known):
        """Start, and let the liar's update grow on its way."""
        engine = hansa.Local().start(*run, **known)
        answer = engine.answer

        def lie(ask):
            heard = answer(dataclasses.replace(ask, reduce="keep"))
            reply = heard.replies.get(LIAR)
            if ask.phase != "train" or reply is None or reply.delta is None or heard.total is None:
                return heard
            more = (TIMES - 1) * reply.delta.weight * reply.delta.vector.astype(np.float64)
            total = dataclasses.replace(heard.total, vector=heard.total.vector + more)
            return dataclasses.replace(heard, total=total)

        engine.answer = lie
        return engine


@contextlib.contextmanager
def lying(change) -> Iterator[None]:
    """Let the liar run another program of its own: it seals what it likes, and proves it if it can."""
    real = Party.seal

    def seal(self, vector, place):
        lies = self.member.name == LIAR and place.purpose == "train"
        return real(self, change(vector) if lies else vector, place)

    with (
        mock.patch.object(Party, "seal", seal),
        mock.patch.object(sealing, "_check_vector", lambda *_: None),
        mock.patch.object(dealing, "prove", lambda *known: prover.prove(*known, check=False)),
    ):
        yield


def too_large(vector):
    """Return the update a thousand times as large, its weight as it was."""
    return np.append(vector[:-1] * TIMES, vector[-1])


def unnoticed(vector):
    """Return minus the update, as large as the check of the sum lets pass: the others' room is used too."""
    norm = np.linalg.norm(vector[:-1].astype(float)) or 1.0
    room = 5 * STEPS / 2 * vector[-1]  # the liar holds a seventh of the rows, and takes most of all room
    return np.append(np.rint(-vector[:-1] * (room / norm)), vector[-1]).astype(np.int64)


def trained(rounds, change=None, **settings) -> hansa.Federation:
    """Train the four hospitals; what the liar seals is changed."""
    federation = RECIPES["heart-disease"].build(model="logistic", seed=0, algorithm=None)
    for name, value in settings.items():
        setattr(federation, name, value)
    federation.prepare()  # federated preprocessing, in which nobody lies
    with contextlib.nullcontext() if change is None else lying(change):
        federation.fit(rounds)
    return federation


def measure(rounds: int = ROUNDS) -> dict[str, hansa.Federation]:
    """Train once for each way."""
    small = {"quantise": hansa.Quantise(clip=CLIP, bound=STEPS)}
    sealed = {"secure_sum": hansa.Sealed(), **small}
    proven = {"secure_sum": hansa.Sealed(proof=hansa.NormBound()), **small}
    return {
        HONEST: trained(rounds, **small),
        PLAIN: trained(rounds, engine=Liar()),
        HIDDEN: trained(rounds, too_large, **sealed),
        SILENT: trained(rounds, unnoticed, **sealed),
        PROVEN: trained(rounds, too_large, **proven),
    }


def row(federation: hansa.Federation) -> tuple[str, str, str]:
    """Return the mean accuracy of the last rounds, how many were void, and who was named, in words."""
    last = np.mean([record.logs["clients_val_accuracy"] for record in federation.records[-LAST:]])
    void = sum(bool(record.void) for record in federation.records)
    named = {name for record in federation.records if not record.void for name in record.dropped}
    return f"{last:.3f}", f"{void} of {len(federation.records)}", ", ".join(sorted(named)) or "nobody"


def page(results: dict[str, hansa.Federation]) -> str:
    """Return the page: curves, a table, and what it means."""
    tones = dict(zip(results, ("grey", "orange", "violet", "rose", "blue"), strict=False))
    lines = [
        Line(
            name=name,
            points=[
                (record.round + 1.0, record.logs["clients_val_accuracy"])
                for record in federation.records
                if np.isfinite(record.logs.get("clients_val_accuracy", np.nan))
            ],
            tone=tones[name],
        )
        for name, federation in results.items()
    ]
    rows: list[list[Child]] = [[name, *row(federation)] for name, federation in results.items()]
    columns = [Column(title="", numeric=False)]
    columns += [Column(title=title) for title in (f"Accuracy, last {LAST} rounds", "Void rounds", "Named")]
    top = hero(
        "Poisoning",
        join(["A sum hides a lie as well as the truth. ", tag("em", "A proof does not"), "."]),
        f"Four hospitals train one model, and one of them, {LIAR!r}, lies about what it learned. These are "
        "real rounds of Hansa on real patients, with another sum each time.",
        table(columns, rows, caption="What a lie does to each way of summing"),
    )
    chart = line_chart(lines, title="Accuracy on the hospitals' validation patients")
    figure = tag("figure", tag("figcaption", tag("h3", "Accuracy on validation patients")), Html(chart))
    both = tag(
        "div", figure, tag("ul", *(tag("li", line) for line in MEANING), class_="facts"), class_="grid"
    )
    return sheet("Poisoning", "What a lie does", top, section("What becomes of the model", "", both))


MEANING = (
    "Plain: the server sees every update, and adds what it is told. One is enough to throw the model about.",
    "Sealed: nobody sees an update. A sum that is too large for four honest hospitals is noticed and not "
    "used; but nobody can say whose fault that is, and training stands still.",
    "Sealed, as large as passes: a liar that uses the room of all others is not noticed at all.",
    "Sealed and proven: each hospital shows that its hidden update is within the agreed norm. The liar "
    "cannot, is left out and named, and the others go on.",
    "A proof bounds the norm of an update. What can be done within it remains: a small lie in each round.",
)


def main() -> None:
    """Attack, print a table and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", default="poisoning.html")
    asked = parser.parse_args()
    results = measure(asked.rounds)
    print(f"{f'mean of the last {LAST} rounds':30}{'accuracy':>10}{'void rounds':>14}  named")
    for name, federation in results.items():
        accuracy, void, named = row(federation)
        print(f"{name:30}{accuracy:>10}{void:>14}  {named}")
    print("page:", write_page(page(results), asked.out))


if __name__ == "__main__":
    main()
