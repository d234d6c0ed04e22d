import dataclasses
import json

import pytest

from hansa.record import ClientRecord, RoundRecord

RECORD = RoundRecord(
    round=3,
    cohort=("b", "a"),
    dropped={"a": "NaN"},
    logs={"loss": 0.5},
    clients={"b": ClientRecord(examples=4, training={"loss": 0.5}, validation={"loss": 1.5})},
    model_hash="ab",
    update_norm=0.25,
    timings_s={"train": 1.0},
    bytes_down=8,
    bytes_up=4,
)


def test_a_record_survives_json():
    assert RoundRecord.from_json(json.loads(json.dumps(RECORD.to_json()))) == RECORD


def test_the_json_shares_nothing_with_the_record():
    RECORD.to_json()["logs"]["loss"] = 9
    assert RECORD.logs["loss"] == 0.5


def test_records_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RECORD.round = 4  # type: ignore[misc]
