"""Reading without trust: what is absent and what is of the wrong kind read the same."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contract.errors import PayloadInvalid
from bridge.kit.payload import Payload, command, parsed

BODY = Payload(
    {
        "id": 820982911946154508,
        "name": "  Ada ",
        "empty": "",
        "flag": True,
        "deep": {"list": [{"sku": "A"}, "odd", {"sku": "B"}], "null": None},
    }
)


def test_text_is_text_or_a_whole_number():
    """The first that is there counts; big ids stay exact."""
    assert BODY.text("nothing", "empty", "name") == "Ada"
    assert BODY.text("id") == "820982911946154508"
    assert BODY.text("flag") == BODY.text("deep") == BODY.text("deep.null") == BODY.text("name.first") == ""
    assert BODY.maybe("empty") is None


def test_text_holds_no_nul():
    """No database keeps one, and a key that loses it on the way is not found again."""
    assert Payload({"id": "a\0b"}).text("id") == "ab"
    assert Payload({"id": " \0 ", "other": "x"}).text("id", "other") == "x"


def test_lists_are_gone_through_and_anything_else_is_empty():
    """A row of the wrong kind is a row without fields."""
    assert [row.text("sku") for row in BODY.at("deep.list")] == ["A", "", "B"]
    assert list(BODY.at("name")) == []


def test_what_is_needed_is_named_by_its_place():
    """As the sender writes it."""
    with pytest.raises(PayloadInvalid) as error:
        next(iter(BODY.at("deep.list"))).needed_text("title", "name")
    assert error.value.faults == {"deep.list.0.title": "is missing"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (1_700_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("1700000000", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("2024-10-01T12:00:00.123456789Z", datetime(2024, 10, 1, 12, 0, 0, 123456, tzinfo=UTC)),
        ("2022-07-03T07:41:46.6167468-04:00", datetime(2022, 7, 3, 11, 41, 46, 616746, tzinfo=UTC)),
        ("2024-10-01T12:00:00", datetime(2024, 10, 1, 12, tzinfo=UTC)),
        ("yesterday", None),
        ("", None),
        (-1, None),
        (1e300, None),
        (True, None),
        (None, None),
        ("99999999999999999999", None),
        ("0001-01-01T00:00:00+23:59", None),
    ],
)
def test_times(said, expected):
    """Seconds, or ISO 8601 with any number of decimals; one without a zone is UTC."""
    assert Payload({"at": said}).moment("at") == expected


def test_flags_and_whole_numbers():
    """As text too, because forms know nothing else."""
    assert [
        Payload({"a": value}).flag("a") for value in (True, 1, "1", "true", "YES", False, 0, "0", "no", None, [])
    ] == [
        *[True] * 5,
        *[False] * 6,
    ]
    assert [Payload({"a": value}).whole("a", 7) for value in (3, "3", "-3", "3.5", "x", None, True)] == [
        3,
        3,
        -3,
        7,
        7,
        7,
        7,
    ]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_nothing_that_can_be_said_breaks_it(value):
    """Whatever stands there."""
    body = Payload({"a": value})
    body.text("a", "a.b"), body.whole("a"), body.flag("a"), body.moment("a"), list(body.at("a")), bool(body.at("a"))


def test_a_command_names_what_is_wrong_with_it():
    """In the words of the command, without the value."""
    with pytest.raises(PayloadInvalid) as error:
        command(
            action="enroll",
            occurred_at=datetime.now(UTC),
            learner={"email": "nobody"},
            items=[{"remote_product_id": "A"}],
        )
    assert error.value.faults == {"learner.email": "must be an e-mail address"}


def test_an_impossible_date_is_none():
    """The thirtieth of February, and what overflows on its way to UTC."""
    assert parsed("2024-02-30T00:00:00Z") is None
    assert parsed("9999-12-31T23:59:59-23:59") is None
