"""A round done again from its log: what is answered in place of clients."""

import pytest

from hansa.errors import LogError, VoidRoundError
from hansa.secure_sum.roster import Place
from hansa.types import Ask, Heard
from hansa.verification.replay import Replay, as_told

PLACE = Place(configuration=b"", roster=b"", payload=b"", round=0, attempt=0, cohort=("a", "b"))


def heard(phase, purpose="train", **settings):
    own = {"messages": {"b": 2, "a": 1, "x": 3}, "silent": {"c": "late", "y": "z"}, **settings}
    return {(purpose, phase): Heard(purpose=purpose, phase=phase, **own)}


def test_answers_with_what_was_said_by_those_who_are_asked_in_their_order():
    ask = Ask(phase="train", clients=("a", "b", "c", "d"), place=PLACE)
    answer = Replay(heard("train"), {}).answer(ask)
    assert answer.replayed
    assert [(name, reply.message) for name, reply in answer.replies.items()] == [("a", 1), ("b", 2)]
    assert answer.dropped == {"c": "the coordinator tells: 'late'"}


def test_a_phase_of_another_purpose_is_another_phase():
    replay = Replay(heard("deliver", purpose="tell"), {})
    with pytest.raises(LogError, match="does not have what clients said in the phase 'deliver'"):
        replay.answer(Ask(phase="deliver", clients=("a",), place=PLACE))


def test_metrics_that_are_not_public_leave_the_round_without():
    replay = Replay({}, {})
    assert not replay.has_metrics
    with pytest.raises(VoidRoundError):
        replay.answer(Ask(phase="tell", clients=("a",), place=PLACE))
    assert Replay(heard("tell", purpose="tell"), {}).has_metrics


def test_the_server_measures_again_what_it_has_told():
    logs = {"loss": 1.0, "val_loss": 2.0, "clients_val_loss": 3.0}
    answer = Replay({}, logs).answer(Ask(phase="validate", clients=("@server",)))
    assert answer.replies["@server"].metrics == {"validation": {"loss": 2.0}}


def test_without_a_place_nobody_was_asked():
    with pytest.raises(LogError):
        Replay(heard("train"), {}).answer(Ask(phase="evaluate", clients=("a",)))


def test_a_reason_that_nothing_shows_is_marked_and_ends_where_it_ends():
    assert as_told("it's late\n\x1b") == 'the coordinator tells: "it\'s late\\n\\x1b"'
