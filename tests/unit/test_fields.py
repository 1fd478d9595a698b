"""Field paths, templates and conditions."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from bridge.contract.command import Item, Learner, Order
from bridge.contract.settings import Condition
from bridge.kit.fields import all_hold, as_text, holds, placeholders, render, value_at

ROOTS = {
    "learner": Learner(remote_user_id="42", email="ada@example.org", first_name="Ada", attributes={"chapter": "North"}),
    "item": Item(remote_product_id="0815", amount_paid=Decimal("49.90"), quantity=2),
    "order": Order(number="A-1", total=Decimal("1E+2")),
    "livemode": True,
    "tags": ["ce", "member"],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("learner.first_name", "Ada"),
        ("learner.attributes.chapter", "North"),
        ("learner.attributes.none", None),
        ("learner.nothing.at.all", None),
        ("order.coupon", None),
        ("order.coupon.code", None),
        ("nobody.email", None),
        ("livemode", True),
    ],
)
def test_a_path_finds_what_stands_there(path: str, found: object) -> None:
    """And nothing where nothing does."""
    assert value_at(path, ROOTS) == found


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (Decimal("1E+2"), "100"),
        (Decimal("49.90"), "49.90"),
        (datetime(2026, 11, 22, 10, 30, tzinfo=UTC), "2026-11-22T10:30:00Z"),
        (["a", 1, None], "a;1;"),
        (frozenset({"b", "a", "c"}), "a;b;c"),
        (7, "7"),
        ("Zoë", "Zoë"),
    ],
)
def test_a_value_becomes_text_the_way_crms_take_it(value: object, text: str) -> None:
    """The same text every time."""
    assert as_text(value) == text


def test_a_template_is_filled_and_names_its_paths() -> None:
    """An absent value leaves nothing behind; braces that name nothing stay."""
    template = "{learner.first_name} {learner.last_name}/{order.total}{ }{learner.first_name!r}"
    assert render(template, ROOTS) == "Ada /100{ }{learner.first_name!r}"
    assert placeholders(template) == ["learner.first_name", "learner.last_name", "order.total"]


def test_what_is_filled_in_is_not_read_again() -> None:
    """A learner who calls herself a placeholder gets no one else's data."""
    sly = {"learner": Learner(email="x@example.org", first_name="{learner.email}")}
    assert render("{learner.first_name}", sly) == "{learner.email}"


@pytest.mark.parametrize(
    ("field", "operator", "value", "expected"),
    [
        ("order.total", "equal_to", 100, True),
        ("order.total", "equal_to", "100.00", True),
        ("order.total", "not_equal_to", 100, False),
        ("order.total", "greater_than", 99.5, True),
        ("order.total", "greater_than", 100, False),
        ("order.total", "less_than", "1000", True),
        ("item.amount_paid", "less_than", 9, False),  # as numbers, not as text
        ("order.coupon", "greater_than", 0, False),
        ("order.coupon", "less_than", 0, False),
        ("order.coupon", "equal_to", "", True),
        ("order.coupon", "not_equal_to", "FREE", True),
        ("learner.email", "contains", "@example.org", True),
        ("learner.email", "contains", "@example.com", False),
        ("tags", "contains", "ce", True),
        ("tags", "contains", "c", False),  # a tag, not a piece of one
        ("learner.attributes.chapter", "in", ["South", "North"], True),
        ("learner.attributes.chapter", "in", "North", True),
        ("learner.attributes.chapter", "in", ["Northern"], False),
        ("livemode", "equal_to", True, True),
        ("livemode", "equal_to", "false", False),
        ("learner.first_name", "greater_than", "A", False),  # words have no size
        ("learner.first_name", "equal_to", "ada", False),
    ],
)
def test_a_condition(field: str, operator: str, value: object, expected: bool) -> None:
    """Numbers compare as numbers, everything else as text, and what is absent is never greater or less."""
    assert holds(Condition(field=field, operator=operator, value=value), ROOTS) is expected


@pytest.mark.parametrize("odd", ["NaN", "Infinity", "-Infinity", "sNaN"])
def test_numbers_that_are_none_compare_as_text(odd: str) -> None:
    """No sender breaks a comparison with them."""
    roots = {"order": {"total": odd}}
    assert holds(Condition(field="order.total", operator="greater_than", value=0), roots) is False
    assert holds(Condition(field="order.total", operator="equal_to", value=odd), roots) is True


def test_all_conditions_must_hold() -> None:
    """None at all always does."""
    yes = Condition(field="order.total", operator="greater_than", value=0)
    no = Condition(field="order.number", operator="equal_to", value="B-1")
    assert all_hold([], ROOTS)
    assert all_hold([yes, yes], ROOTS)
    assert not all_hold([yes, no], ROOTS)
