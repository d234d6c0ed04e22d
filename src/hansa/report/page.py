"""The page itself: the order of its parts, its head, and writing it to disk."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hansa.errors import RunError
from hansa.report import claims, clients, course, details, privacy, sections, secure_sum
from hansa.report.canvas import asset
from hansa.report.data import ReportData
from hansa.report.facts import (
    client_names,
    headline,
    outcome,
    setting,
    total_seconds,
    verdict,
)
from hansa.report.markup import Child, Html, join, tag
from hansa.report.wording import (
    ABSENT,
    clients_noun,
    count,
    decimal,
    duration,
    finite,
    metric_words,
    size,
)

_ENDED_WELL = {"finished", "target reached", "stopped by a callback"}


def render(data: ReportData) -> str:
    """Return the report of a run as one HTML page.

    Args:
        data: Everything that the page shows.

    Guarantees:
        The same data gives the same text. The page loads nothing: styles, drawings and its one
        script are inside, and its content security policy forbids the rest. Every text of the data
        is escaped.
    """
    good = "ok" if data.status in _ENDED_WELL else "stopped"
    status = tag("p", tag("i"), data.status or "unknown", class_=f"status {good}")
    main = [_hero(data), *_sections(data)]
    return _whole(data.title or "Federated run", "Report of a federated run", main, status)


def sheet(title: str, kind: str, *main: Child) -> str:
    """Return another page that looks like a report, and is as closed: for examples and studies.

    Args:
        title: Title of the page.
        kind: What the page is, beside the name of Hansa.
        main: What is on it: `hero`, then parts made by `section`.
    """
    return _whole(title, kind, main)


def hero(kicker: str, headline: Child, lead: str, *children: Child) -> Html:
    """Return the top of a `sheet`: what it is about, what was found, how in a sentence or two, and more."""
    words = tag("div", tag("p", kicker, class_="kicker"), tag("h1", headline), tag("p", lead, class_="lead"))
    return tag("section", words, *children, class_="hero")


def section(title: str, about: str, *children: Child) -> Html:
    """Return a part of a page, with a heading and a sentence below it, which may be empty."""
    lead = tag("p", about, class_="lead") if about else None
    return tag("section", tag("h2", title), lead, *children)


def _whole(title: str, kind: str, main: Iterable[Child], status: Html | None = None) -> str:
    body = tag(
        "body",
        tag("a", "Skip to the result", href="#result", class_="skip"),
        _masthead(kind, status),
        tag("main", *main, id="result"),
        tag(
            "footer",
            tag("p", "Written by Hansa. This page is a single file; it loads nothing and sends nothing."),
        ),
        Html(f"<script>{asset('script.js')}</script>"),
    )
    return f'<!doctype html>\n<html lang="en">{_head(title).text}{body.text}</html>\n'


def write_report(data: ReportData, path: str | os.PathLike[str]) -> Path:
    """Write the report to a file, whole or not at all.

    Args:
        data: Everything that the page shows.
        path: The file to write; its folder must exist. A file there is replaced.

    Returns:
        The path written.

    Raises:
        RunError: The file cannot be written.
    """
    return write_page(render(data), path)


def write_page(text: str, path: str | os.PathLike[str]) -> Path:
    """Write the text of a page to a file, whole or not at all; a file there is replaced.

    Raises:
        RunError: The file cannot be written.
    """
    target = Path(path)
    content = text.encode()
    temporary = ""
    try:
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(target)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise RunError(
            f"cannot write the report to {str(target)!r}: {error}. "
            "Give a file in a folder that exists and can be written."
        ) from error
    return target


def _head(title: str) -> Html:
    digest = base64.b64encode(hashlib.sha256(asset("script.js").encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    metas = Html(
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="color-scheme" content="light dark"><meta name="generator" content="Hansa">'
    )
    style = Html(f"<style>{asset('charts.css')}{asset('style.css')}</style>")
    return tag("head", metas, tag("title", title), style)


def _masthead(kind: str, status: Html | None) -> Html:
    mark = Html(
        '<svg class="mark" viewBox="0 0 24 24" aria-hidden="true">'
        '<path d="M12 12L5 5.5M12 12l7-6.5M12 12v8"/>'
        '<circle cx="12" cy="12" r="3.4"/><circle cx="4.6" cy="5" r="2.1"/><circle cx="19.4" cy="5" r="2.1"/>'
        '<circle cx="12" cy="20.6" r="2.1"/></svg>'
    )
    brand = tag("p", mark, "Hansa", tag("span", kind), class_="brand")
    return tag("header", brand, status, class_="masthead")


def _hero(data: ReportData) -> Html:
    second = " ".join(part for part in (data.summary.strip(), verdict(data)) if part)
    contest = clients.contest(data.comparison)
    words = tag(
        "div",
        tag("p", data.title, class_="kicker"),
        tag("h1", *_emphasised(data)),
        tag("p", second, class_="lead") if second else None,
    )
    return join([tag("section", words, contest, class_="hero two" if contest else "hero"), _cards(data)])


def _emphasised(data: ReportData) -> list[Child]:
    """The headline with the value that the federation reached set off."""
    before, reached, after = headline(data).partition(" reached ")
    value, space, rest = (
        after.partition(" on average") if " on average" in after else after.partition(" after ")
    )
    article = "a " if value.startswith("a ") else ""
    emphasis = tag("em", value.removeprefix(article))
    return [before, reached, article, emphasis, space, rest] if reached else [before]


def _cards(data: ReportData) -> Html:
    result, names = outcome(data), client_names(data)
    seconds = total_seconds(data)
    down, up = sum(r.bytes_down for r in data.records), sum(r.bytes_up for r in data.records)
    asked = finite(setting(data.config, "rounds"))
    done, final = len(data.records), data.records[-1].model_hash if data.records else ""
    cohort = sorted({len(r.cohort) for r in data.records})
    drawn = f"{cohort[0]:,} to {cohort[-1]:,}" if len(cohort) > 1 else f"{cohort[0]:,}" if cohort else "none"
    cards = [
        _card("Rounds", count(done), f"of {asked:.0f} asked for" if asked and asked != done else data.status),
        _card(clients_noun(names)[1].capitalize(), count(len(names)), f"{drawn} in a round"),
    ]
    if result.final is not None and result.best is not None:
        best = f"; best {decimal(result.best[1])} in round {result.best[0]}" if len(result.values) > 1 else ""
        where = result.where.replace("the clients’ own", "clients’")
        kind = "Training" if "training" in where else "Validation"
        cards.append(_card(f"{kind} {metric_words(result.metric)}", decimal(result.final), f"{where}{best}"))
    each = duration(seconds / done) if done else ABSENT
    cards.append(_card("Time in rounds", duration(seconds), f"{each} a round"))
    if down or up:
        cards.append(_card("Payload exchanged", size(down + up), f"{size(down)} to clients, {size(up)} back"))
    if final:
        cards.append(_card("Model hash", final[:8], "SHA-256 of the final weights", title=final, code=True))
    return tag("dl", *cards, class_="cards", aria_label="Key numbers")


def _card(name: str, value: str, about: str, *, title: str | None = None, code: bool = False) -> Html:
    return tag(
        "div",
        tag("dt", name),
        tag("dd", value, class_="value code" if code else "value", title=title),
        tag("dd", about, class_="about"),
    )


def _sections(data: ReportData) -> list[Html]:
    empty = tag("p", "No metric was logged.", class_="note")
    parts: list[tuple[str, str, list[Child]]] = [
        (
            "How the run went",
            "The six steps of a round, and what this run did in each.",
            [course.steps(data)],
        ),
        ("Learning curves" if len(data.records) > 1 else "Metrics", "", [sections.curves(data) or empty]),
        ("Clients", "", [clients.clients_table(data), clients.clients_note(data)]),
        ("Data at the clients", "", [sections.partition(data)]),
        ("Time", "", [sections.timings(data)]),
        ("Updates that were not used", "", [sections.dropped(data)]),
        ("What differential privacy promises", "", [privacy.promised(data)]),
        ("What the secure sum hides", "", [secure_sum.explained(data)]),
        ("What clients proved about their data", "", [claims.explained(data)]),
        ("What this run does not protect", "", [details.protection(data)]),
    ]
    folded = [
        details.data_cards(data),
        details.rounds_table(data),
        details.configuration(data),
        details.model(data),
        details.provenance(data),
    ]
    parts.append(("Details", "", [part for part in folded if part]))
    shown = [(title, about, [c for c in children if c is not None]) for title, about, children in parts]
    return [section(title, about, *children) for title, about, children in shown if children]
