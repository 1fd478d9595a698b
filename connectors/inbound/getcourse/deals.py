"""What a deal's statuses come to. The two tables are the protocol's; the docs show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bridge.contract.errors import PayloadInvalid
from bridge.kit.payload import Payload


class Does(StrEnum):
    """What a status does, in words for the docs."""

    GIVES = "gives access"
    WAITS = "gives nothing until it is paid, and takes nothing away"
    NOTES = "is noted; access stays as it is until the money is returned"
    TAKES = "takes access away"
    REFUNDS = "takes access away, as a refund"
    NOTHING = "says nothing of access: the deal's own status decides"


DEAL_STATUSES: Mapping[str, Does] = {
    "new": Does.WAITS,
    "payed": Does.GIVES,
    "cancelled": Does.TAKES,
    "false": Does.TAKES,  # entered by mistake, or for a test: it never was a sale
    "in_work": Does.WAITS,
    "payment_waiting": Does.WAITS,
    "part_payed": Does.WAITS,
    "waiting_for_return": Does.NOTES,
    "not_confirmed": Does.WAITS,
    "pending": Does.WAITS,
}
"""``deal_status`` -> what it does. A deal of a status that waits is given all the same where ``deal_is_paid`` says yes."""

PAYMENT_STATUSES: Mapping[str, Does] = {
    "expected": Does.NOTHING,
    "accepted": Does.NOTHING,
    "returned": Does.REFUNDS,
    "tobalance": Does.NOTHING,
    "frombalance": Does.NOTHING,
    "returned_to_balance": Does.REFUNDS,
}
"""``payment_status`` -> what it does, whatever the deal's own status says. An unknown one says nothing."""

_SHOWN_AS = {  # the names on GetCourse's screens, which some callers send in place of the code
    "новый": "new",
    "завершен": "payed",
    "завершён": "payed",
    "оплачен": "payed",
    "отменен": "cancelled",
    "отменён": "cancelled",
    "ложный": "false",
    "в работе": "in_work",
    "ожидаем оплаты": "payment_waiting",
    "частично оплачен": "part_payed",
    "ожидаем возврата": "waiting_for_return",
    "не подтвержден": "not_confirmed",
    "не подтверждён": "not_confirmed",
    "отложен": "pending",
}
_PAID = {"1": True, "true": True, "yes": True, "да": True} | dict.fromkeys(("", "0", "false", "no", "нет"), False)
_LARGEST_EXACT = 2**53  # of a number with a decimal point


@dataclass(frozen=True, slots=True)
class Deal:
    """What a call says of a deal.

    Attributes:
        number: what the deal is found by; empty where the caller gives none, and then it is a new deal each time.
        product: what the caller calls the offer; empty where it is known from the number.
        status: the code of the deal's status, or empty.
    """

    number: str
    product: str
    status: str
    does: Does


def deal_of(said_of_it: Payload) -> Deal:
    """Read a deal.

    Raises:
        PayloadInvalid: it can't be told which deal is meant, of what, or what is to become of it.
    """
    number = _identifier(said_of_it, "deal_number")
    product = next(
        filter(None, (_identifier(said_of_it, name) for name in ("offer_code", "offer_id", "product_title"))), ""
    )
    status = _status(said_of_it)
    deal = Deal("" if number == "0" else number, product, status, _does(said_of_it, status))
    if not deal.number and not product:
        told = "The deal needs an offer (deal.offer_code, deal.offer_id or deal.product_title), or the deal.deal_number of one that is known."
        raise PayloadInvalid({"deal.offer_code": told})
    if not deal.number and deal.does in (Does.TAKES, Does.REFUNDS):
        told = "The deal.deal_number parameter is required: without it nobody can tell which deal is taken back."
        raise PayloadInvalid({"deal.deal_number": told})
    return deal


def _does(deal: Payload, status: str) -> Does:
    if PAYMENT_STATUSES.get(deal.text("payment_status").lower()) is Does.REFUNDS:
        return Does.REFUNDS
    does = DEAL_STATUSES.get(status, Does.WAITS)
    return Does.GIVES if does is Does.WAITS and _is_paid(deal) else does


def _status(deal: Payload) -> str:
    text = " ".join(deal.text("deal_status", "status").lower().split())
    status = _SHOWN_AS.get(text, text)
    if status and status not in DEAL_STATUSES:
        raise PayloadInvalid(
            {"deal.deal_status": f"The deal.deal_status parameter must be one of {', '.join(DEAL_STATUSES)}."}
        )
    return status


def _is_paid(deal: Payload) -> bool:
    value = deal.at("deal_is_paid").value
    if isinstance(value, bool | float):
        return value == 1
    paid = _PAID.get(deal.text("deal_is_paid").lower())
    if paid is None:  # somebody may have paid: better to ask than to guess
        raise PayloadInvalid({"deal.deal_is_paid": "The deal.deal_is_paid parameter must be 1 or 0, yes or no."})
    return paid


def _identifier(deal: Payload, name: str) -> str:
    value = deal.at(name).value
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_EXACT:
        return str(int(value))
    text = deal.text(name)
    if text or value is None or isinstance(value, str | bool) or value in ([], {}):
        return text
    raise PayloadInvalid({f"deal.{name}": f"The deal.{name} parameter must be text or a whole number."})
