"""TOML that is written from what was read."""

from __future__ import annotations

import tomllib
from datetime import date, datetime, time

from hypothesis import given
from hypothesis import strategies as st

from bridge.cli.sandboxed import text_of

_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_PLAIN = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    _TEXTS,
    st.dates(date(1000, 1, 1)),
    st.times(),
    st.builds(datetime.combine, st.dates(date(1000, 1, 1)), st.times()),
)
_VALUES = st.recursive(
    _PLAIN, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXTS, inner, max_size=3))
)


@given(st.dictionaries(_TEXTS, _VALUES, max_size=4))
def test_it_reads_as_what_was_read(tree) -> None:
    """Whatever keys, tables, lists of tables and values there are."""
    assert tomllib.loads(text_of(tree)) == tree


def test_it_is_laid_out_as_people_write_it() -> None:
    """Tables under their headings, a list of tables as such, what is no bare key quoted."""
    tree = {"server": {"port": 1}, "a": {"b c": {"at": time(7, 30)}}, "products": [{"id": "x", "more": {"y": 1}}]}
    assert text_of(tree) == (
        '[server]\nport = 1\n\n[a."b c"]\nat = 07:30:00\n\n[[products]]\nid = "x"\nmore = { y = 1 }\n'
    )
