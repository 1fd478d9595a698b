"""Paddle Classic: a form with its signature in it, and what its alerts mean."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from bridge.contract.command import Action, EnrollmentCommand, Refund
from bridge.contract.errors import SignatureInvalid
from bridge.contract.inbound import InboundEvent
from bridge.kit.money import major
from bridge.kit.names import first_and_last
from bridge.kit.payload import Payload, command
from bridge.kit.subscriptions import payment_failed

_SIGNATURE = "p_signature"
_MOST = 1_000_000


def is_classic(event: InboundEvent) -> bool:
    """Say whether it is a form: events of Billing are JSON objects."""
    return event.body.lstrip()[:1] != b"{" and b"=" in event.body


def verify(event: InboundEvent, keys: Sequence[RSAPublicKey]) -> None:
    """Check ``p_signature``: RSA with SHA-1 over all other fields, sorted by name and written as PHP serialises an array.

    Raises:
        SignatureInvalid: it is missing or wrong.
        PayloadInvalid: the form can't be read.
    """
    fields = dict(event.form)
    text = fields.pop(_SIGNATURE, "")
    try:
        signature = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SignatureInvalid("the p_signature is not base64") from None
    if base64.b64encode(signature).decode() != text:  # one signature has one spelling
        raise SignatureInvalid("the p_signature is not base64")
    for key in keys:
        try:
            key.verify(signature, _serialised(fields), PKCS1v15(), hashes.SHA1())  # noqa: S303 - the vendor's choice
        except InvalidSignature:
            continue
        return
    raise SignatureInvalid("the p_signature does not fit the fields and any of the keys")


def meaning(event: InboundEvent, grace: timedelta, payment_grace: timedelta) -> list[EnrollmentCommand]:
    """Say what an alert means. ``alert_id`` is the occurrence, ``order_id`` the purchase."""
    said = Payload(event.form)
    kind = said.text("alert_name")
    base = {"event_key": said.maybe("alert_id"), "occurred_at": said.moment("event_time") or event.received_at}
    if kind in ("payment_succeeded", "subscription_payment_succeeded"):
        return [_purchase(said, base, said.needed_text("order_id"), grace)]
    if kind == "subscription_created" and said.text("status") == "trialing":
        return [_purchase(said, base, f"{said.needed_text('subscription_id')}:trial", grace)]  # nothing is paid yet
    if kind == "subscription_payment_failed":
        subscription = {"subscription_id": said.needed_text("subscription_id")}
        return [payment_failed(payment_grace, base, order=subscription)]
    if kind == "subscription_cancelled":
        return _cancelled(said, base)
    if kind in ("payment_refunded", "subscription_payment_refunded"):
        # Part of the money, or its tax: the lines are not told.
        refund = Refund(full=said.text("refund_type") == "full")
        return [command(**base, **_about(said), action=Action.REFUND, refund=refund)]
    if kind == "payment_dispute_created":
        return [command(**base, **_about(said), action=Action.SUSPEND)]
    if kind == "payment_dispute_closed":  # only one that was won is told
        return [command(**base, **_about(said), action=Action.RESUME)]
    return []


def _purchase(said: Payload, base: Mapping[str, Any], key: str, grace: timedelta) -> EnrollmentCommand:
    first, last = first_and_last("", "", said.text("customer_name"))
    paid, currency, end = major(said.text("sale_gross")), said.maybe("currency"), said.moment("next_bill_date")
    item = {
        "remote_product_id": said.needed_text("product_id", "subscription_plan_id"),
        "quantity": min(max(1, said.whole("quantity", 1)), _MOST),
        "amount_paid": paid,
        "currency": currency,
    }
    return command(
        **base,
        action=Action.ENROLL,
        business_key=key,
        learner={"email": said.needed_text("email"), "first_name": first, "last_name": last},
        items=[item],
        order={
            "number": said.maybe("order_id"),
            "status": said.maybe("status"),
            "total": paid,
            "currency": currency,
            "coupon": said.maybe("coupon"),
            "payment_method": said.maybe("payment_method"),
            "transaction_id": said.maybe("order_id"),
            "subscription_id": said.maybe("subscription_id"),
        },
        options={"expires_at": end + grace} if end is not None else {},
    )


def _cancelled(said: Payload, base: Mapping[str, Any]) -> list[EnrollmentCommand]:
    """Return the end of a subscription: on the day that is told, or at once."""
    subscription = {"subscription_id": said.needed_text("subscription_id")}
    until = said.moment("cancellation_effective_date")
    return [command(**base, action=Action.CANCEL, order=subscription, effective_at=until)]


def _about(said: Payload) -> dict[str, Any]:
    order_id = said.needed_text("order_id")
    return {"business_key": order_id, "order": {"transaction_id": order_id}}


def _serialised(fields: Mapping[str, str]) -> bytes:
    parts = [b"a:%d:{" % len(fields)]
    for name, value in sorted(fields.items()):
        parts += [_string(name), _string(value)]
    return b"".join([*parts, b"}"])


def _string(text: str) -> bytes:
    written = text.encode("utf-8", "surrogatepass")
    return b's:%d:"%s";' % (len(written), written)
