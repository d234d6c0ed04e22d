import io
import re

import pytest
from rich.console import Console

from hansa.record import RoundRecord
from hansa.ui import TerminalProgress
from hansa.ui.terminal import thinning


def console(width: int) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, highlight=False, color_system=None)


def shown(screen: Console) -> str:
    """Return what was written, without cursor movements."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.file.getvalue()).replace("\r", "\n")


def follow(screen: Console, rounds: int, *, done: int = 0, **options) -> str:
    progress = TerminalProgress(screen, **options)
    progress.begin(title="Hospitals", rounds=rounds, done=done, clients=4, backend="JAX 1")
    for number in range(done, rounds):
        logs = {"loss": 0.5, "accuracy": 0.75, "val_accuracy": 0.71}
        progress.round(RoundRecord(round=number, cohort=("a",) * 4, logs=logs))
    progress.end("finished")
    return shown(screen)


def test_it_shows_title_backend_rows_and_end():
    text = follow(console(90), 3, why="KERAS_BACKEND is set")
    assert "Hospitals" in text
    assert "4 clients · 3 rounds · JAX 1 (KERAS_BACKEND is set)" in text
    assert re.search(r"round +loss +accuracy +val accuracy +clients", text)
    for number in (1, 2, 3):
        assert re.search(rf"{number}/3 +0\.5000 +0\.7500 +0\.7100 +4", text)
    assert "✓ finished after 3 rounds" in text


def test_the_live_line_has_rounds_values_and_time_left():
    text = follow(console(100), 3)
    assert re.search(r"2/3  loss 0\.5000  accuracy 0\.7500  val accuracy 0\.7100  ETA 0:0\d", text)


@pytest.mark.parametrize("width", [30, 40, 60, 80])
def test_no_line_is_wider_than_the_terminal(width):
    screen = console(width)
    text = follow(screen, 12)
    assert max(len(line) for line in text.split("\n")) <= width
    assert "12/12" in text


def test_long_runs_keep_some_of_their_lines_the_first_and_the_last():
    text = follow(console(90), 200)
    rows = {int(n) for n in re.findall(r"^ *(\d+)/200 +0\.5000", text, re.MULTILINE)}
    assert {1, 5, 10, 200} <= rows
    assert 3 not in rows


def test_resuming_says_so():
    assert "going on after round 5 of 8" in follow(console(80), 8, done=5)


def test_interrupted_runs_show_their_last_round_and_are_not_ticked_off():
    screen = console(80)
    progress = TerminalProgress(screen)
    progress.begin(title="t", rounds=100, done=0, clients=2, backend="JAX")
    for number in range(2):
        progress.round(RoundRecord(round=number, cohort=("a", "b"), logs={"loss": 1.0 - number / 10}))
    progress.end("interrupted")
    text = shown(screen)
    assert re.search(r"2/100 +0\.9000", text)
    assert "■ interrupted after 2 rounds" in text
    assert "✓" not in text


def test_thinning_never_keeps_more_than_forty_lines():
    for rounds in range(1, 3000):
        every = thinning(rounds)
        assert rounds / every <= 40
        assert every == 1 or str(every)[0] in "125"


def test_text_of_parties_is_not_taken_as_markup():
    screen = console(80)
    progress = TerminalProgress(screen)
    progress.begin(title="[bold]x[/bold] [link]", rounds=1, done=0, clients=1, backend="JAX")
    progress.end("finished")
    assert "[bold]x[/bold] [link]" in shown(screen)


def test_what_is_spent_is_a_column():
    screen = console(80)
    progress = TerminalProgress(screen)
    progress.begin(title="t", rounds=1, done=0, clients=2, backend="JAX")
    logs = {"loss": 1.0, "accuracy": 0.75, "val_accuracy": 0.71}
    spent = {"epsilon": 1.23456, "delta": 1e-5}
    progress.round(RoundRecord(round=0, cohort=("a", "b"), logs=logs, privacy=spent))
    progress.end("finished")
    assert re.search(r"val accuracy +ε +clients", shown(screen))
    assert re.search(r"0\.7100 +1\.23 +2", shown(screen))
