"""What a sender wrote, as one document."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.errors import PayloadInvalid
from bridge.kit.bodies import document, unfolded
from bridge.kit.merge_fields import left_over
from tests.suites.inbound import ANY_TEXT, GARBAGE, request


@pytest.mark.parametrize(
    ("body", "form", "expected"),
    [
        (b' {"a": 1}', "auto", {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', "auto", {"a": 1}),
        (b"[1]", "auto", [1]),
        (b"a=1&b=x%20y&c=", "auto", {"a": "1", "b": "x y", "c": ""}),
        (b"", "auto", {"q": "1"}),
        (b" ", "auto", {"q": "1"}),
        (b'{"a": 1}', "query", {"q": "1"}),
        (b"5", "json", 5),
        (b"{a=1", "form", {"{a": "1"}),
    ],
)
def test_a_body_is_read_as_what_it_is(body: bytes, form: Any, expected: Any) -> None:
    """Without a body, the query is what was said."""
    assert document(request(body, query={"q": "1"}), form) == expected


@pytest.mark.parametrize(
    ("body", "form"),
    [
        (b"{", "auto"),
        (b"a=1", "json"),
        (b"a=\xff", "auto"),
        (b"--x\r\n", "auto"),
        (b"&".join([b"a=1"] * 1_001), "form"),
    ],
)
def test_what_cannot_be_read_is_said(body: bytes, form: Any) -> None:
    """The body is at fault, not a field."""
    with pytest.raises(PayloadInvalid) as wrong:
        document(request(body), form)
    assert list(wrong.value.faults) == ["body"]
    assert not wrong.value.readable


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("customer[email]", "a@x"), ("customer[name]", "A")], {"customer": {"email": "a@x", "name": "A"}}),
        ([("items[]", "1"), ("items[]", "2")], {"items": ["1", "2"]}),
        ([("i[10][id]", "b"), ("i[9][id]", "a")], {"i": [{"id": "a"}, {"id": "b"}]}),
        ([("order[charges][0][amount]", "5")], {"order": {"charges": [{"amount": "5"}]}}),
        ([("a", "1"), ("a", "2")], {"a": "2"}),
        ([("a", "1"), ("a[b]", "2")], {"a": {"b": "2"}}),
        (
            [("a[b", "1"), ("[c]", "2"), ("d]e", "3"), ("f[g]h", "4")],
            {"a[b": "1", "[c]": "2", "d]e": "3", "f[g]h": "4"},
        ),
        ([("a" + "[b]" * 13, "1")], {"a" + "[b]" * 13: "1"}),
        ([("7", "1")], {"7": "1"}),
    ],
)
def test_the_brackets_of_php_are_unfolded(pairs: list[tuple[str, str]], expected: Any) -> None:
    """Only those that are whole, and not to any depth."""
    assert unfolded(pairs) == expected


@given(pairs=st.lists(st.tuples(st.text("a[]01", max_size=12) | ANY_TEXT, ANY_TEXT), max_size=12))
@GARBAGE
def test_any_names_of_fields_can_be_unfolded(pairs: list[tuple[str, str]]) -> None:
    """Whatever contradicts itself, something comes out."""
    assert isinstance(unfolded(pairs), dict)


@pytest.mark.parametrize(
    "text",
    [
        "{{email}}",
        "{email}",
        "~Contact.Email~",
        "*|EMAIL|*",
        "%EMAIL%",
        "[email]",
        "<email>",
        "#email#",
        "${a.b}",
        "$email",
    ],
)
def test_a_merge_field_is_known_by_its_signs(text: str) -> None:
    """Those of the senders that people use."""
    assert left_over(text)


@pytest.mark.parametrize("text", ["", "ada@example.org", "a {b} c", "100%", "$5", "~", "#12", "O'Neil", "x" * 1_000])
def test_what_only_holds_such_signs_is_none(text: str) -> None:
    """A name, a price, a ticket."""
    assert not left_over(text)
