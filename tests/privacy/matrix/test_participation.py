import pytest

from hansa.errors import ConfigurationError, RoundError
from hansa.privacy.matrix import check_participation, most_participations


@pytest.mark.parametrize(
    ("history", "times", "gap"),
    [
        ([], 1, 1),
        ([[], [], []], 1, 5),
        ([["a", "b"], ["c"], ["a"], ["b"]], 2, 2),
        ([["a"], ["a"], ["a"]], 3, 1),
        ([["a"], ["b"], ["c"], ["a"], ["b"], ["c"]], 2, 3),
    ],
)
def test_histories_that_keep_the_promise(history, times, gap):
    check_participation(history, times, gap)
    check_participation((iter(cohort) for cohort in history), times, gap)


@pytest.mark.parametrize(
    ("history", "times", "gap", "message"),
    [
        ([["a"], ["b"], ["a"]], 2, 3, "client 'a' is in releases 0 and 2, 2 apart; the noise is made for 3"),
        ([["a"], ["a"]], 2, 2, "releases 0 and 1"),
        ([["a"], ["b", "a"], ["a"]], 2, 1, "client 'a' is in 3 releases, with number 2 the last"),
        ([["a"], [], ["a"]], 1, 2, "made for at most 1"),
        ([["a", "b", "a"]], 2, 1, "releases 0 and 0"),
        ([["a"], [], [], ["a"], [], ["a"]], 3, 3, "releases 3 and 5"),
    ],
)
def test_histories_that_break_it(history, times, gap, message):
    with pytest.raises(RoundError, match=message):
        check_participation(history, times, gap)


@pytest.mark.parametrize(("times", "gap"), [(0, 1), (1, 0), (1.5, 1), (True, 1)])
def test_promises_that_are_none(times, gap):
    with pytest.raises(ConfigurationError, match="must be"):
        check_participation([], times, gap)


def test_most_participations_is_reached_and_not_passed():
    for rounds in range(1, 20):
        for gap in range(1, 8):
            most = most_participations(rounds, gap)
            history = [["a"] if number % gap == 0 else [] for number in range(rounds)]
            check_participation(history, most, gap)
            assert sum(map(len, history)) == most
