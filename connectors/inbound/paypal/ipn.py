"""PayPal's Instant Payment Notification, the older protocol: a form post, proven by posting it back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from bridge.contract.command import Action, EnrollmentCommand, Refund
from bridge.contract.errors import PayloadInvalid, SignatureInvalid, TransportFault
from bridge.contract.inbound import InboundEvent, Lookup
from bridge.kit.http import Http
from bridge.kit.money import major
from bridge.kit.names import first_and_last
from bridge.kit.payload import Payload, command
from bridge.kit.subscriptions import payment_failed
from connectors.inbound.paypal.settings import PaypalSettings

_LIVE, _SANDBOX = "https://ipnpb.paypal.com/cgi-bin/webscr", "https://ipnpb.sandbox.paypal.com/cgi-bin/webscr"
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_ENCODING = re.compile(
    r"utf-?8|us-ascii|windows-125[0-8]|iso-8859-1?[0-9]|shift_jis|euc-(?:jp|kr)|big5|gb2312|gbk|gb18030|koi8-r"
)
_USUAL = "windows-1252"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DATE = re.compile(r"(\d\d):(\d\d):(\d\d) ([A-Z][a-z]{2}) (\d{1,2}), (\d{4}) P([SD])T", re.ASCII)
_MOST_LINES, _MOST = 100, 1_000_000

_REVERSAL = Refund(ref="reversal")  # of one payment there is one under way at a time
_AFTERWARDS: Mapping[str, tuple[Action, Refund]] = {  # payment_status -> what it does to an earlier payment
    "partially_refunded": (Action.REFUND, Refund(full=False)),
    "reversed": (Action.REFUND, _REVERSAL),
    "canceled_reversal": (Action.RESUME, _REVERSAL),
}
_SUBSCRIPTIONS = {  # txn_type
    "subscr_cancel": Action.CANCEL,
    "subscr_eot": Action.CANCEL,
    "recurring_payment_profile_cancel": Action.CANCEL,
    "recurring_payment_expired": Action.CANCEL,
    "recurring_payment_suspended": Action.SUSPEND,
    "recurring_payment_suspended_due_to_max_failed_payment": Action.SUSPEND,
}

_FAILED = frozenset({"subscr_failed", "recurring_payment_failed", "recurring_payment_skipped"})


def is_ipn(event: InboundEvent) -> bool:
    """Say whether it is a form, and no webhook: those are JSON objects."""
    return event.body.lstrip()[:1] not in (b"{", b"[", b"\xef") and b"=" in event.body


def check(event: InboundEvent, settings: PaypalSettings) -> None:
    """Refuse what pays somebody else, before anybody is asked: PayPal would call it verified all the same.

    Raises:
        SignatureInvalid: it does, or it doesn't say whom it pays.
    """
    said = Payload(_fields(event)).text("receiver_email").casefold()
    if said not in {ours.casefold() for ours in settings.receiver_email}:
        raise SignatureInvalid("the receiver_email is not this source's")


async def ask(event: InboundEvent, settings: PaypalSettings, http: Http) -> None:
    """Post it back, byte for byte; PayPal says whether it has sent it.

    A test of the sandbox is asked about at the sandbox: the live address does not know it.

    Raises:
        SignatureInvalid: PayPal has not.
        TransportFault: there was no answer that says so.
    """
    address = settings.ipn_url or (_LIVE if _is_live(_fields(event)) else _SANDBOX)
    answer = await http.send("POST", address, content=b"cmd=_notify-validate&" + event.body, headers=_FORM)
    said = answer.text.strip() if answer.status == 200 else ""
    if said == "INVALID":
        raise SignatureInvalid("PayPal has not sent this IPN")
    if said != "VERIFIED":
        raise TransportFault(f"ask PayPal about the IPN: HTTP {answer.status}, neither VERIFIED nor INVALID")


def meaning(event: InboundEvent, settings: PaypalSettings) -> list[EnrollmentCommand]:
    """Say what a verified IPN means. One payment comes again with every status, so both together are the occurrence."""
    fields = _fields(event)
    said = Payload(fields)
    status, kind = said.text("payment_status").lower(), said.text("txn_type").lower()
    base: dict[str, Any] = {
        "livemode": _is_live(fields),
        "occurred_at": _date(said.text("payment_date")) or event.received_at,
    }
    if (action := _SUBSCRIPTIONS.get(kind)) is not None:
        subscription = said.needed_text("subscr_id", "recurring_payment_id")
        # Suspended more than once, it is not the same occurrence; ended it is only once.
        key = f"{subscription}:{kind}" if action is Action.CANCEL else None
        # Its dates are those of the subscription; what ends one now must not be older than its last payment.
        base["occurred_at"] = event.received_at
        return [command(**base, event_key=key, action=action, order={"subscription_id": subscription})]
    if kind in _FAILED:
        subscription = said.needed_text("subscr_id", "recurring_payment_id")
        base["occurred_at"] = event.received_at  # as above; and it may fail more than once
        return [payment_failed(settings.failed_payment_grace, base, order={"subscription_id": subscription})]
    if status != "completed" and status not in _AFTERWARDS:  # of "Refunded" the payment itself says whether it was all
        return []
    payment = said.needed_text("txn_id")
    base["event_key"] = f"{payment}:{status}"
    if status in _AFTERWARDS:
        action, refunded = _AFTERWARDS[status]
        order = {"transaction_id": said.needed_text("parent_txn_id", "txn_id"), "refs": (payment,)}
        # A reversal that is cancelled gives back what the reversal, a refund to us, has taken, and no other refund.
        more = {"undoes": "all"} if action is Action.RESUME else {}
        return [command(**base, action=action, refund=refunded, order=order, **more)]
    return [_purchase(said, payment, base, settings)]


def lookups(event: InboundEvent, settings: PaypalSettings) -> list[Lookup]:
    """Return the payment that an IPN says was refunded: "Refunded" is said of a part of the money as well."""
    fields = _fields(event)
    said = Payload(fields)
    if said.text("payment_status").lower() != "refunded" or _is_live(fields) is settings.test_mode:
        return []
    payment, refund = said.text("parent_txn_id", "txn_id"), said.text("txn_id")
    return [Lookup("refunded payment", payment, event_key=f"{refund}:refunded")] if payment else []


def refund(event: InboundEvent, payment: str, *, full: bool) -> EnrollmentCommand:
    """Return the refund that an IPN told of, once it is known whether it took everything."""
    fields = _fields(event)
    said = Payload(fields)
    return command(
        event_key=f"{said.text('txn_id')}:refunded",
        livemode=_is_live(fields),
        occurred_at=_date(said.text("payment_date")) or event.received_at,
        action=Action.REFUND,
        refund=Refund(full=full, ref=said.needed_text("txn_id")),
        order={"transaction_id": payment, "refs": (said.needed_text("txn_id"),)},
    )


def _purchase(said: Payload, payment: str, base: Mapping[str, Any], settings: PaypalSettings) -> EnrollmentCommand:
    first, last = first_and_last(said.text("first_name"), said.text("last_name"))
    currency, invoice = said.maybe("mc_currency"), said.maybe("invoice")
    items = _items(said, currency)
    for item in items:
        _check_price(item, settings)
    return command(
        **base,
        action=Action.ENROLL,
        business_key=payment,
        learner={"email": said.needed_text("payer_email"), "first_name": first, "last_name": last},
        items=items,
        order={
            "number": invoice,
            "status": said.text("payment_status"),
            "payment_method": "paypal",
            "total": major(said.text("mc_gross")),
            "currency": currency,
            "transaction_id": payment,
            "subscription_id": said.maybe("subscr_id", "recurring_payment_id"),
            "refs": (invoice,) if invoice else (),
        },
    )


def _items(said: Payload, currency: str | None) -> list[dict[str, Any]]:
    """Return the lines of a cart, which are numbered from 1, or the one item of a button."""
    lines: list[tuple[tuple[str, ...], str, tuple[str, ...]]] = []
    for place in range(1, _MOST_LINES + 1):
        if not said.text(f"item_number{place}", f"item_name{place}"):
            break
        names = (f"item_number{place}", f"item_name{place}")
        lines.append((names, f"quantity{place}", (f"mc_gross_{place}", f"mc_gross{place}")))
    if not lines:
        lines = [(("item_number", "item_name", "product_name"), "quantity", ("mc_gross",))]
    return [
        {
            "remote_product_id": said.needed_text(*names),
            "quantity": min(max(1, said.whole(quantity, 1)), _MOST),
            "amount_paid": major(said.text(*amounts)),
            "currency": currency,
        }
        for names, quantity, amounts in lines
    ]


def _check_price(item: Mapping[str, Any], settings: PaypalSettings) -> None:
    least = settings.least(item["remote_product_id"])
    if least is None:
        return
    price, currency = least
    paid: Decimal | None = item["amount_paid"]
    if item["currency"] != currency or paid is None or paid < price * item["quantity"]:
        raise PayloadInvalid({"mc_gross": "is less than the price of the product, or in another currency"})


def _is_live(fields: Mapping[str, str]) -> bool:
    return fields.get("test_ipn") != "1"


def _fields(event: InboundEvent) -> dict[str, str]:
    """Return the fields, in the encoding that one of them names."""
    try:
        plain = dict(
            parse_qsl(event.body.decode("latin-1"), keep_blank_values=True, encoding="latin-1", max_num_fields=2000)
        )
        named = plain.get("charset", "").lower()
        encoding = named if _ENCODING.fullmatch(named) else _USUAL
        body = event.body.decode(encoding, "replace")
        return dict(parse_qsl(body, keep_blank_values=True, encoding=encoding, errors="replace", max_num_fields=2000))
    except (ValueError, LookupError):
        raise PayloadInvalid({"body": "The request body is not a valid form."}, readable=False) from None


def _date(text: str) -> datetime | None:
    """Return PayPal's time of day, written as ``18:30:30 Jan 1, 2000 PST``."""
    match = _DATE.fullmatch(text)
    if match is None or match[4] not in _MONTHS:
        return None
    hour, minute, second, _, day, year, _ = match.groups()
    zone = timezone(timedelta(hours=-8 if match[7] == "S" else -7))
    try:
        found = datetime(
            int(year), _MONTHS.index(match[4]) + 1, int(day), int(hour), int(minute), int(second), tzinfo=zone
        )
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
