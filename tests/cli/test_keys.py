from dataclasses import dataclass, field

import pytest

from hansa.cli.keys import Section, build, expected, given, make, parse
from hansa.errors import ConfigurationError, UnknownNameError


class Keys(Section):
    rounds: int
    rate: float = 0.5
    names: list[str] | None = None
    on: bool = False


@dataclass(frozen=True, kw_only=True)
class Thing:
    size: int
    rate: float = 1.0
    tags: tuple[str, ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ConfigurationError(f"size must be 1 or more, got {self.size}.")


def test_a_good_section_keeps_what_was_given():
    keys = parse(Keys, {"rounds": 3, "rate": 1}, "[run]")
    assert (keys.rounds, keys.rate, keys.on) == (3, 1.0, False)
    assert given(keys) == {"rounds": 3, "rate": 1.0}


def test_unknown_keys_are_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown key in \[run\]: 'round'. Did you mean 'rounds'\?"):
        parse(Keys, {"round": 3}, "[run]")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"rounds": "ten"}, r'\[run\] rounds is "ten"; rounds must be a whole number\.'),
        ({"rounds": True}, r"\[run\] rounds is true; rounds must be a whole number\."),
        ({"rounds": 1.5}, r"\[run\] rounds is 1\.5; rounds must be a whole number\."),
        ({"rounds": 1, "rate": "0.1"}, r'\[run\] rate is "0\.1"; rate must be a number\.'),
        ({"rounds": 1, "names": "a"}, r'\[run\] names is "a"; names must be a list, each a text in quotes\.'),
        ({"rounds": 1, "names": ["a", 2]}, r"\[run\] names\[1\] is 2; names must be a list"),
        ({"rounds": 1, "on": 1}, r"\[run\] on is 1; on must be true or false\."),
        ({}, r"\[run\] lacks the key 'rounds': a whole number\."),
        (3, r"\[run\] is 3; expected a table of keys\."),
    ],
)
def test_wrong_values_are_told_with_key_value_and_what_was_expected(raw, message):
    with pytest.raises(ConfigurationError, match=message):
        parse(Keys, raw, "[run]")


def test_a_kind_becomes_its_dataclass():
    thing = make({"thing": Thing}, {"kind": "thing", "size": 2, "rate": 3}, "[x]")
    assert thing == Thing(size=2, rate=3.0)


@pytest.mark.parametrize(
    ("raw", "error", "message"),
    [
        ({"size": 1}, ConfigurationError, r"\[x\] lacks the key 'kind': one of thing"),
        ({"kind": "thin"}, UnknownNameError, r"unknown kind in \[x\]: 'thin'. Did you mean 'thing'\?"),
        (
            {"kind": "thing", "sise": 1},
            UnknownNameError,
            r"key in \[x\] of kind 'thing': 'sise'. Did you mean 'size'",
        ),
        (
            {"kind": "thing", "size": 0},
            ConfigurationError,
            r"\[x\] of kind 'thing': size must be 1 or more, got 0",
        ),
        ({"kind": "thing"}, ConfigurationError, r"lacks the key 'size'"),
        ("thing", ConfigurationError, r'\[x\] is "thing"; expected a table'),
    ],
)
def test_kinds_that_cannot_be(raw, error, message):
    with pytest.raises(error, match=message):
        make({"thing": Thing}, raw, "[x]")


def test_a_function_is_called_with_its_keys_and_with_what_is_given_besides():
    def pair(x: int, *, y: float = 2.0) -> tuple[int, float]:
        return x, y

    assert build(pair, {"y": 5}, "[p]", x=1) == (1, 5.0)
    with pytest.raises(UnknownNameError, match="'x'"):
        build(pair, {"x": 3}, "[p]", x=1)


def test_types_in_words():
    assert expected(str | int | float | None) == "a text in quotes or a whole number or a number"
    assert expected(dict[str, list[str]]) == "a table, each value a list, each a text in quotes"


@pytest.mark.parametrize("kind", [[], {}, [1, "a"], {"a": 1}, 3, True])
def test_a_kind_that_is_no_text(kind):
    with pytest.raises(ConfigurationError, match=r"\[x\] kind is .*; kind must be a text in quotes"):
        make({"thing": Thing}, {"kind": kind, "size": 1}, "[x]")
