import io
import json

from hansa.record import ClientRecord, RoundRecord
from hansa.ui import JsonProgress


def test_each_line_is_one_round_without_the_clients_details():
    out = io.StringIO()
    progress = JsonProgress(out)
    progress.begin(title="t", rounds=2, done=0, clients=2, backend="JAX")
    for number in range(2):
        progress.round(
            RoundRecord(
                round=number,
                cohort=("a",),
                logs={"loss": 0.5},
                clients={"a": ClientRecord(examples=3)},
                model_hash="ff",
            )
        )
    progress.step("pooled")
    progress.end("finished")
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["round"] for line in lines] == [0, 1]
    assert lines[0]["event"] == "round"
    assert lines[0]["logs"] == {"loss": 0.5}
    assert lines[0]["cohort"] == ["a"]
    assert "clients" not in lines[0]


def test_numbers_that_json_lacks_become_null():
    out = io.StringIO()
    JsonProgress(out).round(RoundRecord(round=0, cohort=(), logs={"loss": float("nan"), "x": float("inf")}))
    assert json.loads(out.getvalue())["logs"] == {"loss": None, "x": None}
