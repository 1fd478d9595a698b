"""Amounts of money as senders write them, as Decimal in major units."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{0,12})?|-?\.[0-9]{1,12}")

# ISO 4217: how many digits the minor unit has, where it is not two.
_EXPONENTS = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}  # fmt: skip


def exponent(currency: str | None) -> int:
    """Return how many digits the minor unit of a currency has: 2 for most, 0 for JPY, 3 for KWD."""
    return _EXPONENTS.get((currency or "").upper(), 2)


def major(value: Any) -> Decimal | None:
    """Return an amount that was written in major units, as text or as a number; None for what is no amount.

    Of text only plain decimals with a point are taken, no thousands separators: what else it says is a guess.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    text = format(Decimal(repr(value)), "f") if isinstance(value, float) and _finite(value) else str(value).strip()
    return Decimal(text) if _NUMBER.fullmatch(text) else None


def minor(value: Any, currency: str | None, *, digits: int | None = None) -> Decimal | None:
    """Return an amount that was written in the currency's smallest unit; None for what is no whole number.

    ``digits`` overrides the currency's own, for a sender that counts in hundredths whatever the currency.
    """
    amount = major(value)
    if amount is None or amount != amount.to_integral_value():
        return None
    return amount.to_integral_value().scaleb(-(exponent(currency) if digits is None else digits))


def _finite(value: float) -> bool:
    return value == value and value not in (float("inf"), float("-inf"))  # noqa: PLR0124 - NaN differs from itself
