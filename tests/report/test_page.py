"""The page as a whole: what it says, that it is safe, self-contained, repeatable and small."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import math
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest

from hansa.errors import RunError
from hansa.record import ClientRecord, RoundRecord
from hansa.report import Comparison, ReportData, render, write_report
from hansa.types import DataCard

ATTACK = "<script>alert(1)</script>"
VOID = {"meta", "path", "circle"}


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own drawing


class Page(HTMLParser):
    """Elements and texts of a page; fails where tags do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"script", "style"} & set(self.open):
            self.texts.append(data)

    def names(self) -> list[str]:
        return [name for name, _ in self.elements]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def headline(text: str) -> str:
    whole = re.search(r"<h1>(.*?)</h1>", text)
    assert whole
    return re.sub(r"<[^>]+>", "", whole[1])


def test_headline_tells_alone_together_and_pooled(make_run, comparison):
    text = render(make_run(comparison=comparison))
    assert headline(text) == (
        "Federated training of 4 hospitals reached accuracy 0.810 on average after 15 rounds; "
        "alone they reach 0.752, pooled data 0.820."
    )
    assert "Together is better than alone at 3 of 4 hospitals, worse at 1." in Page(text).text


def test_headline_without_comparison_or_validation(make_run):
    assert headline(render(make_run())).startswith(
        "Federated training of 4 hospitals reached a central validation accuracy of 0."
    )
    one = make_run(rounds=1, validation=False)
    assert headline(render(one)) == (
        "Federated training of 4 hospitals reached a training accuracy of 0.554 after 1 round."
    )


def test_a_run_without_a_finished_round_or_any_client_renders(make_run):
    text = render(make_run(rounds=0, status="interrupted"))
    assert headline(text) == "Federated training of 4 hospitals ended before a round was finished."
    assert ("p", {"class": "status stopped"}) in Page(text).elements
    Page(render(ReportData(title="", config={}, records=())))


def test_same_data_gives_same_bytes(make_run, comparison):
    assert render(make_run(comparison=comparison)) == render(make_run(comparison=comparison))


def test_names_and_configuration_cannot_inject(make_run, comparison):
    names = (ATTACK, '"><img src=x onerror=alert(1)>', "</title></svg></style>", "a\x00b\ud800")
    rows = {name: {"local": 0.1, "federated": 0.2, "pooled": 0.3} for name in names}
    data = make_run(
        names,
        title=ATTACK,
        summary=ATTACK,
        status=ATTACK,
        config={"</script>": ATTACK, "nested": [{"x": "</script>" + ATTACK}], "algorithm": {"kind": ATTACK}},
        comparison=dataclasses.replace(comparison, rows=rows, note=ATTACK, metric=ATTACK),
        environment={ATTACK: ATTACK},
        model_summary={"name": ATTACK, "parameters": 3, "layers": [{ATTACK: ATTACK}]},
        run_folder=ATTACK,
    )
    first, *rest = data.records
    odd = dataclasses.replace(
        first, dropped={names[0]: ATTACK}, logs={**first.logs, ATTACK: 1.0}, model_hash=ATTACK
    )
    text = render(dataclasses.replace(data, records=(odd, *rest)))
    page = Page(text)
    assert page.names().count("script") == 1
    assert "img" not in page.names()
    assert all(not key.startswith("on") for _, attributes in page.elements for key in attributes)
    assert ATTACK in page.text
    assert text.encode()
    assert "\x00" not in text


def test_nothing_is_loaded_and_only_the_own_script_may_run(make_run, comparison):
    text = render(make_run(comparison=comparison))
    assert "http://" not in text
    assert "https://" not in text
    assert not re.search(r"@import|url\(", text)
    page = Page(text)
    assert not {"link", "img", "iframe", "object", "embed", "base"} & set(page.names())
    loads = [a[k] for _, a in page.elements for k in ("src", "href", "xlink:href") if k in a]
    assert loads == ["#result"]
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)
    assert script
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in text


def test_drawings_are_well_formed_and_named(make_run, comparison):
    text = render(make_run(comparison=comparison))
    charts = re.findall(r'<svg class="hansa-chart".*?</svg>(?=</figure>|</div>|<p)', text, re.DOTALL)
    assert len(charts) == 4
    for chart in charts:
        root = parse(chart)
        assert root.get("role") == "img"
        assert root.get("aria-label")


def test_page_is_accessible(make_run, comparison):
    text = render(make_run(comparison=comparison))
    page = Page(text)
    assert page.names().count("h1") == 1
    assert ("html", {"lang": "en"}) in page.elements
    assert page.names().count("table") == page.names().count("caption") >= 4
    outer = [a for n, a in page.elements if n == "svg" and "x" not in a]
    assert all(a.get("aria-label") or a.get("aria-hidden") for a in outer)
    assert all(a.get("scope") in {"row", "col"} for n, a in page.elements if n == "th")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, None, 1e308, -1e308, 5e-324])
def test_odd_numbers_break_nothing(make_run, comparison, bad):
    rows = {"hospital north": {"local": bad, "federated": 0.8}}
    data = make_run(comparison=dataclasses.replace(comparison, rows=rows))
    first, second, *rest = data.records
    clients = {name: ClientRecord(validation={"loss": bad, "accuracy": bad}) for name in first.cohort}
    odd = dataclasses.replace(
        second,
        logs=dict.fromkeys(second.logs, bad),
        clients=clients,
        update_norm=bad,
        timings_s={"train": bad},
    )
    for records in ((odd,), (first, odd, *rest), (odd, odd), (*rest, odd)):
        text = render(dataclasses.replace(data, records=records))
        Page(text)
        assert not re.search(r'\b(x|y|d|width|height|cx|cy|data-x)="[^"]*(nan|inf)', text)


def test_values_that_are_not_finite_are_told(make_run):
    data = make_run()
    records = list(data.records)
    records[3] = dataclasses.replace(records[3], logs={**records[3].logs, "val_loss": math.nan})
    text = Page(render(dataclasses.replace(data, records=records))).text
    assert "1 value is not finite and is not drawn." in text


def test_thousand_clients_and_five_hundred_rounds_stay_small():
    names = tuple(f"client-{i:04d}" for i in range(1000))
    clients = {
        n: ClientRecord(examples=50, validation={"loss": 1 / (i + 1), "accuracy": i / 1000})
        for i, n in enumerate(names)
    }
    records = [
        RoundRecord(
            round=r,
            cohort=names,
            clients=clients,
            logs={f"{p}{m}": 1 / (r + 1) for p in ("", "val_", "clients_val_") for m in ("loss", "accuracy")},
            dropped={names[r]: "late"},
            timings_s={"train": 1.0, "evaluate": 0.5},
            model_hash=f"{r:064x}",
        )
        for r in range(500)
    ]
    cards = {
        n: DataCard(
            examples={"train": 50}, features=(28, 28), labels={str(k): (i + k) % 9 for k in range(10)}
        )
        for i, n in enumerate(names)
    }
    rows = {n: {"local": 0.5, "federated": 0.6, "pooled": 0.7} for n in names}
    comparison = Comparison(metric="accuracy", higher_is_better=True, rows=rows)
    config = {"clients": list(names)}
    data = ReportData(title="Large", config=config, records=records, cards=cards, comparison=comparison)
    text = render(data)

    assert len(text.encode()) < 1_000_000
    page = Page(text)
    assert "The first 100 of 1,000 clients are shown." in page.text
    assert "200 of 500 rounds are shown, evenly spaced." in page.text
    assert "The first 100 of 500 updates not used are shown." in page.text


def test_dropped_updates_are_shown_only_when_there_are_any(make_run):
    data = make_run()
    assert "Updates that were not used" not in render(data)
    late = dataclasses.replace(data.records[2], dropped={"hospital east": "no answer within 30 s"})
    text = Page(render(dataclasses.replace(data, records=(late,)))).text
    assert "1 update of 4 was not used: no answer within 30 s (1)." in text


def test_what_is_not_protected_follows_the_configuration(make_run):
    plain = Page(render(make_run(config={"secure_sum": {"kind": "plain"}, "privacy": None}))).text
    assert "Updates are visible to the coordinator." in plain
    assert "There is no differential privacy." in plain
    assert "the server sees individual updates" in plain
    both = {"secure_sum": {"kind": "sealed"}, "privacy": {"kind": "record_dp"}}
    sealed = Page(render(make_run(config=both))).text

    assert "Updates are visible to the coordinator." not in sealed
    assert "There is no differential privacy." not in sealed
    assert "Secure sum: sealed" in sealed


def test_write_report_replaces_the_file_whole(make_run, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    assert write_report(make_run(), path) == path
    assert path.read_text(encoding="utf-8") == render(make_run())
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_write_report_says_why_it_cannot(make_run, tmp_path):
    with pytest.raises(RunError, match="cannot write the report to"):
        write_report(make_run(), tmp_path / "absent" / "report.html")
    (tmp_path / "folder").mkdir()
    with pytest.raises(RunError, match="Give a file in a folder that exists"):
        write_report(make_run(), tmp_path / "folder")
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


SEALED = {
    "kind": "sealed",
    "members": 4,
    "holders": 4,
    "threshold": 3,
    "corrupt": 1,
    "survivors": 3,
    "bytes": 32768,
    "share_bytes": 163840,
}


def test_a_secure_sum_says_what_holds_for_whom(make_run):
    text = Page(render(make_run(config={"secure_sum": SEALED}))).text
    assert "sees sums of updates" in text
    for line in ("(t) 3", "(c_max) 1", "(u_min) 3", "drop out of a round 1"):
        assert line in " ".join(text.split()), line
    assert "losses and metrics" not in text
    assert "Updates are visible to the coordinator" not in text


def test_a_sealed_run_says_how_anyone_verifies_it(make_run):
    told = "hansa verify runs/<here>"
    for kind, folder, wanted in (
        ("sealed", "runs/<here>", 1),
        ("sealed", "", 0),
        ("masking", "runs/<here>", 0),
    ):
        made = make_run(config={"secure_sum": {**SEALED, "kind": kind}}, run_folder=folder)
        page = render(made)
        assert Page(page).text.count(told) == wanted
        assert "<here>" not in page


@pytest.mark.parametrize(
    ("proof", "noise", "told"),
    [
        (None, None, "every signature, every sum of updates"),
        ({"norm": 5}, "RecordDP", "every signature, every proof, every sum of updates"),
        ({"norm": 5}, "CentralDP", ""),  # sums are not public: they could not be added up again
        (None, "MatrixDP", ""),
    ],
)
def test_a_sealed_run_promises_no_check_that_cannot_be_made(make_run, proof, noise, told):
    config: dict = {"secure_sum": {**SEALED, **({} if proof is None else {"proof": proof})}}
    config |= {} if noise is None else {"privacy": {"kind": noise}}
    text = Page(render(make_run(config=config, run_folder="runs/a"))).text
    assert ("hansa verify runs/a" in text) == bool(told)
    assert told in " ".join(text.split())
    assert proof is not None or "every proof" not in text


def test_void_rounds_and_corrected_answers_are_told(make_run):
    made = make_run(config={"secure_sum": SEALED})
    first = dataclasses.replace(
        made.records[0], void="2 usable seals <of> 4", corrected={"a&b": "wrong share"}
    )
    page = render(dataclasses.replace(made, records=(first, *made.records[1:])))
    text = " ".join(Page(page).text.split())
    assert "1 round of" in text and "was void" in text
    # The shares may have been opened before a false one was found: the page must not say that none were.
    assert "no sum was used" in text and "no sum was opened" not in text
    assert "2 usable seals <of> 4" in text
    assert "a&b" in text and "wrong share" in text
    assert "<of>" not in page
