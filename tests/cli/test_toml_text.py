import tomllib

from hypothesis import given
from hypothesis import strategies as st

from hansa.cli.toml_text import dumps

# tomllib turns a lone \r into a newline, and reads no surrogates; everything else must come back.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
SECTIONS = st.dictionaries(TEXTS, VALUES, max_size=4)


@given(st.dictionaries(TEXTS, SECTIONS | st.lists(SECTIONS, min_size=1, max_size=3), max_size=4))
def test_what_is_written_reads_back(document):
    assert tomllib.loads(dumps(document)) == document


def test_none_is_left_out_and_tuples_become_lists():
    text = dumps({"run": {"a": None, "b": (1, 2), "c": {"d": None, "e": True}}})
    assert tomllib.loads(text) == {"run": {"b": [1, 2], "c": {"e": True}}}
