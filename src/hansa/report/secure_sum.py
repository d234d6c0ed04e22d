"""What a secure sum hides, from whom, and while what holds: the numbers of a run's configuration in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hansa.report.data import ReportData
from hansa.report.facts import is_set
from hansa.report.markup import Child, Html, tag
from hansa.report.tables import MOST_ROWS, Column, capped, table
from hansa.report.wording import count, counted, size

_ASSUMED = {
    "sealed": "That a seal hides what is in it rests on the Ring-LWE problem.",
    "masking": "That a masked update hides what is in it rests on X25519, HKDF and AES.",
}
_HOW = {
    "sealed": "Each client encrypts its update with a key of its own. Encrypted updates are added up, and "
    "only the sum of the keys is ever put together, from shares that the clients hold for one another.",
    "masking": "Each client adds masks to its update that it has agreed on with others. In the sum the masks "
    "cancel out; those of clients that dropped out are put together from shares that others hold.",
}

_NOT_PUBLIC = ("CentralDP", "MatrixDP")
"""Plans of privacy with which sums are not public: noise is added after they were opened."""


def is_secure(data: ReportData) -> bool:
    """Whether a secure sum that this page can explain was used."""
    told = data.config.get("secure_sum")
    return is_set(told) and isinstance(told, Mapping) and told.get("kind") in _HOW


def explained(data: ReportData) -> Html | None:
    """Return what the secure sum of a run hides and what that rests on; None for a plain sum."""
    if not is_secure(data):
        return None
    told: Mapping[str, Any] = data.config["secure_sum"]
    kind = told["kind"]
    rows: list[list[Child]] = [[name, value] for name, value in _numbers(told)]
    columns = [Column(title="", numeric=False), Column(title="In this run")]
    numbers = table(columns, rows, caption="What holds for whom", class_="slim", quiet=True)
    assumed = (
        f"{_ASSUMED[kind]} It also needs at least two honest clients in every sum. Nothing is assumed of "
        "the coordinator. The construction follows published work; nobody outside the project reviewed it. "
        "A simulation has the keys of all clients on one machine, and so hides nothing from its owner."
    )
    return tag(
        "div",
        tag(
            "p",
            f"The coordinator sees sums of updates and of metrics, and no single one. {_HOW[kind]}",
            class_="first",
        ),
        numbers,
        _verified(data),
        _void(data),
        _corrected(data),
        tag("p", assumed, class_="note"),
    )


def _numbers(told: Mapping[str, Any]) -> list[tuple[str, str]]:
    members, least = told.get("members"), told.get("survivors")
    lines = [
        ("Clients asked in a round", told.get("members")),
        ("Clients that hold shares of each one’s key", told.get("holders")),
        ("Clients that each one shares masks with", told.get("neighbours")),
        ("Shares that open a sum (t)", told.get("threshold")),
        ("Share holders that may be corrupt (c_max)", told.get("corrupt")),
        ("Fewest clients in a sum that is opened (u_min)", least),
    ]
    shown = [(name, count(value)) for name, value in lines if isinstance(value, int)]
    if isinstance(members, int) and isinstance(least, int):
        shown.append(("Clients that may drop out of a round", count(members - least)))
    if isinstance(told.get("proof"), Mapping):
        shown.append(
            ("Norm that each client proves its update within, in steps", count(told["proof"]["norm"]))
        )
        if isinstance(told["proof"].get("noise"), int):
            shown.append(
                ("Norm that each client proves its noise within, in steps", count(told["proof"]["noise"]))
            )
    if isinstance(told.get("bytes"), int):
        shown.append(("Sent by a client for its update", size(told["bytes"])))
    if isinstance(told.get("share_bytes"), int):
        shown.append(("Sent by a client as shares of its key", size(told["share_bytes"])))
    return shown


def _verified(data: ReportData) -> Html | None:
    """Return how anyone can check the sums of this run; None where nobody can."""
    told, plan = data.config["secure_sum"], data.config.get("privacy")
    noise = plan.get("kind") if isinstance(plan, Mapping) else None
    if told["kind"] != "sealed" or not data.run_folder or noise in _NOT_PUBLIC:
        return None
    proofs = "every proof, " if isinstance(told.get("proof"), Mapping) else ""
    text = (
        "Anyone can check these sums afterwards, without any secret, from the log alone, which keeps what "
        f"clients sent unless it was told not to: every signature, {proofs}every sum of updates, and every "
        "step from a sum to the next model. "
    )
    return tag("p", text, tag("code", f"hansa verify {data.run_folder}"))


def _void(data: ReportData) -> Html | None:
    void = [(r.round + 1, r.void) for r in data.records if r.void]
    if not void:
        return None
    lead = (
        f"{counted(len(void), 'round')} of {count(len(data.records))} "
        f"{'was' if len(void) == 1 else 'were'} void: no sum was used, and the model stayed as it was."
    )
    columns = [Column(title=title, numeric=False) for title in ("Round", "Why")]
    rows: list[list[Child]] = [[str(number), why] for number, why in void[:MOST_ROWS]]
    shown = table(
        columns,
        rows,
        caption="Void rounds",
        left_out=capped(len(void), MOST_ROWS, "void rounds"),
        class_="slim",
        quiet=True,
    )
    return tag("div", tag("p", lead), shown)


def _corrected(data: ReportData) -> Html | None:
    wrong = [(r.round + 1, name, why) for r in data.records for name, why in r.corrected.items()]
    if not wrong:
        return None
    columns = [Column(title=title, numeric=False) for title in ("Round", "Client", "What was corrected")]
    rows: list[list[Child]] = [[str(number), name, why] for number, name, why in wrong[:MOST_ROWS]]
    lead = f"{counted(len(wrong), 'wrong answer')} came, and the sum is right all the same."
    shown = table(
        columns,
        rows,
        caption="Answers that were corrected",
        left_out=capped(len(wrong), MOST_ROWS, "corrected answers"),
        class_="slim",
        quiet=True,
    )
    return tag("div", tag("p", lead), shown)
