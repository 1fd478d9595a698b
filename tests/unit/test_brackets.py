"""Bracket names of forms, read as PHP reads them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent
from bridge.kit.brackets import each, fields_of, nested


def event(body: bytes) -> InboundEvent:
    return InboundEvent("POST", "/in/x", {}, {}, body, datetime(2026, 1, 1, tzinfo=UTC))


def leaves(value: Any) -> Iterator[str]:
    for inner in each(value):
        yield from [inner] if isinstance(inner, str) else leaves(inner)


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ("a=1&b=", {"a": "1", "b": ""}),
        ("a=1&a=2", {"a": "2"}),
        ("user[email]=x&user[name]=y", {"user": {"email": "x", "name": "y"}}),
        ("o[c][0][n]=x&o[c][1][n]=y", {"o": {"c": [{"n": "x"}, {"n": "y"}]}}),
        ("m[1]=b&m[0]=a", {"m": ["a", "b"]}),
        ("m[0]=a&m[2]=c", {"m": {"0": "a", "2": "c"}}),
        ("g[]=a&g[]=b", {"g": ["a", "b"]}),
        ("a=1&a[b]=2", {"a": {"b": "2"}}),
        ("a[b]=2&a=1", {"a": "1"}),
        ("a[b=1&[c]=2&]=3", {"a[b": "1", "[c]": "2", "]": "3"}),
        ("m[01]=a&m[-1]=b&m[\u0660]=c", {"m": {"01": "a", "-1": "b", "\u0660": "c"}}),
    ],
)
def test_a_name_says_where_its_value_stands(form: str, wanted: dict[str, Any]) -> None:
    """Objects, lists, and what is neither."""
    assert nested(parse_qsl(form, keep_blank_values=True)) == wanted


def test_a_deep_name_is_cut() -> None:
    """Whoever writes a thousand levels means no good."""
    found: Any = nested([("a" + "[b]" * 1000, "x")])
    depth = 0
    while isinstance(found, dict):
        (found,) = found.values()
        depth += 1
    assert (found, depth) == ("x", 7)


@given(pairs=st.lists(st.tuples(st.text("a0[]", max_size=9), st.text(max_size=3)), max_size=20))
def test_any_names_are_read(pairs: list[tuple[str, str]]) -> None:
    """Whatever they are: the last value is kept somewhere."""
    assert {text for _, text in pairs[-1:]} <= set(leaves(nested(pairs)))


def test_a_body_is_a_form_or_a_json_object() -> None:
    """Of the same meaning."""
    wanted = {"customer": {"email": "x"}, "map": ["a"]}
    assert fields_of(event(b"customer%5Bemail%5D=x&map%5B0%5D=a")) == wanted
    assert fields_of(event(b' {"customer": {"email": "x"}, "map": ["a"]}')) == wanted
    assert fields_of(event(b'\xef\xbb\xbf{"a": 1}')) == {"a": 1}
    assert fields_of(event(b"[1]")) == fields_of(event(b"")) == {}


@pytest.mark.parametrize("body", [b"{", b"a=\xff", b"&".join([b"a=1"] * 1001)])
def test_what_is_neither_is_unreadable(body: bytes) -> None:
    """The sender is told of the body, not of a field."""
    with pytest.raises(PayloadInvalid) as invalid:
        fields_of(event(body))
    assert list(invalid.value.faults) == ["body"]
    assert not invalid.value.readable


def test_a_list_may_be_written_as_an_object() -> None:
    """PHP has one kind of both."""
    assert each({"3": "a", "7": "b"}) == each(["a", "b"]) == ["a", "b"]
    assert (each(None), each("a")) == ([], ["a"])
