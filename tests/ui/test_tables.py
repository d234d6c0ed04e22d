import io
import re

from rich.console import Console

from hansa.report.data import Comparison
from hansa.ui import comparison_table


def text_of(comparison: Comparison, width: int = 80) -> str:
    screen = Console(file=io.StringIO(), width=width, highlight=False)
    screen.print(comparison_table(comparison))
    return screen.file.getvalue()


def test_every_client_and_the_average_are_shown():
    text = text_of(
        Comparison(
            metric="accuracy",
            higher_is_better=True,
            rows={
                "a": {"local": 0.5, "federated": 0.75, "pooled": 0.8},
                "[b]": {"local": 0.25, "federated": None},
            },
            test_examples={"a": 10, "[b]": 1234},
            average={"local": 0.375, "federated": 0.75, "pooled": 0.8},
        )
    )
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()}
    assert rows["a"] == ["10", "0.500", "0.750", "0.800"]
    assert rows["[b]"] == ["1,234", "0.250", "–", "–"]
    assert rows["average"] == ["1,244", "0.375", "0.750", "0.800"]
    assert "higher is better" in text


def test_the_best_of_a_row_is_bold_also_where_lower_is_better():
    screen = Console(
        file=io.StringIO(), width=80, force_terminal=True, color_system="standard", highlight=False
    )
    rows = {"a": {"local": 0.5, "federated": 0.25}}
    screen.print(comparison_table(Comparison(metric="loss", higher_is_better=False, rows=rows)))
    line = next(line for line in screen.file.getvalue().splitlines() if "0.500" in line)
    assert re.search(r"\x1b\[1;32m +0\.250\x1b", line)
    assert line.count("\x1b[1;32m") == 1


def test_a_way_that_was_not_measured_has_no_column_and_many_clients_are_cut_short():
    rows = {f"c{i}": {"local": 0.5, "federated": 0.6} for i in range(50)}
    text = text_of(Comparison(metric="accuracy", higher_is_better=True, rows=rows))
    assert "pooled" not in text
    assert "… and 30 more" in text
    assert "c19" in text
    assert "c20" not in text
