"""Amounts: the four forms in which senders write them, and everything that is no amount."""

from __future__ import annotations

from decimal import Decimal

import pytest

from bridge.kit.money import exponent, major, minor


@pytest.mark.parametrize(
    ("value", "currency", "expected"),
    [
        (4990, "eur", "49.90"),
        ("65215", "USD", "652.15"),
        (500, "JPY", "500"),
        (1234, "KWD", "1.234"),
        (-999, "EUR", "-9.99"),
        (0, None, "0.00"),
        (4990.0, "EUR", "49.90"),
    ],
)
def test_the_smallest_unit_follows_the_currency(value, currency, expected):
    """A yen has no smaller unit, a Kuwaiti dinar a thousand."""
    found = minor(value, currency)
    assert found == Decimal(expected)
    assert found.as_tuple().exponent == Decimal(expected).as_tuple().exponent


def test_a_sender_may_count_in_hundredths_whatever_the_currency():
    """Some do, also for yen."""
    assert minor("50000", "JPY", digits=2) == Decimal("500.00")


@pytest.mark.parametrize("value", ["49.90", 49.9, Decimal("49.90"), " 49.90 "])
def test_major_units_are_taken_as_they_are(value):
    """Text or number."""
    assert major(value) == Decimal("49.90")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1,234.50",
        "49,90",
        "NaN",
        "Infinity",
        "1e9",
        "0x10",
        "١٢",
        "1" * 40,
        None,
        True,
        [],
        {},
        float("nan"),
        float("inf"),
    ],
)
def test_anything_else_is_no_amount(value):
    """A guess at somebody's money is worse than none."""
    assert major(value) is None
    assert minor(value, "EUR") is None


def test_a_fraction_of_the_smallest_unit_is_no_amount():
    """The sender does not count in it, then."""
    assert minor("49.90", "EUR") is None


def test_huge_numbers_stay_plain():
    """No exponent, however large."""
    assert format(major(1e17), "f") == "100000000000000000"


def test_most_currencies_have_hundredths():
    """Also those nobody told us of."""
    assert [exponent(code) for code in ("EUR", "jpy", "BHD", "XYZ", "", None)] == [2, 0, 3, 2, 2, 2]
