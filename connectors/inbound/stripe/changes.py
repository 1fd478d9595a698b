"""What follows a purchase at Stripe: refunds, disputes, the end of a subscription. Pure.

They carry neither e-mail nor product; the ledger finds the purchase by its payment intent or charge.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from bridge.contract.command import Action, EnrollmentCommand
from bridge.kit.payload import command
from bridge.kit.subscriptions import payment_failed
from connectors.inbound.stripe.purchases import SUBSCRIPTION
from connectors.inbound.stripe.told import Told, id_of, refs

_DISPUTES = {
    "needs_response": Action.SUSPEND,
    "under_review": Action.SUSPEND,
    "won": Action.RESUME,
    "lost": Action.CANCEL,
}
"""Status of a dispute -> what follows. ``warning_*`` is an inquiry and takes no money, ``prevented`` never became a dispute,
and ``appeal_*`` leaves it at what ``lost`` did."""


def refunded(told: Told) -> Sequence[EnrollmentCommand]:
    """Read ``charge.refunded``: only with all of its money is the purchase taken back. Which line a part was of, nobody says."""
    refund = {"full": told.thing.flag("refunded")}
    return [_change(told, Action.REFUND, told.thing.text("id"), refund=refund)]


def refund_changed(told: Told) -> Sequence[EnrollmentCommand]:
    """Read the events of one refund. Whether it was of everything only the charge says; one that failed is undone.

    ``charge.refunded`` names no refund, but when the one that failed was made tells it from those before.
    """
    status, charge = told.thing.text("status"), id_of(told.thing, "charge")
    if status in ("failed", "canceled"):
        failed = {"ref": told.thing.maybe("id"), "made_at": told.thing.moment("created")}
        return [_change(told, Action.RESUME, charge, undoes="refunds", refund=failed)]
    pending = status in ("pending", "requires_action")
    return [_change(told, Action.REFUND, charge, refund={"full": False, "pending": pending})]


def disputed(told: Told) -> Sequence[EnrollmentCommand]:
    """Read the events of a dispute by its status, which is that of the moment the event was made."""
    action = _DISPUTES.get(told.thing.text("status"))
    return [_change(told, action, id_of(told.thing, "charge"))] if action else []


def renewal_failed(told: Told, grace: timedelta) -> Sequence[EnrollmentCommand]:
    """Read ``invoice.payment_failed`` of the next period; what is billed within a period leaves alone what is paid of it."""
    subscription = id_of(told.thing, *SUBSCRIPTION)
    if told.thing.text("billing_reason") != "subscription_cycle" or not subscription:
        return []
    return [payment_failed(grace, told.common, order={"subscription_id": subscription})]


def subscription_ended(told: Told) -> Sequence[EnrollmentCommand]:
    """End all periods of a subscription; one that was never paid has none."""
    if told.thing.text("status") == "incomplete_expired":
        return []
    order = {"subscription_id": told.thing.needed_text("id")}
    at = told.thing.moment("ended_at") or told.at
    return [command(**{**told.common, "occurred_at": at}, action=Action.CANCEL, order=order)]


def _change(told: Told, action: Action, charge: str, **more: Any) -> EnrollmentCommand:
    intent, invoice = id_of(told.thing, "payment_intent"), id_of(told.thing, "invoice")
    if not (intent or charge or invoice):
        told.thing.needed_text("payment_intent")
    # Where the purchase is an invoice's and only its payment is told, it has another key: the ids of the order find it.
    key = f"invoice:{invoice}" if invoice else f"payment:{intent}" if intent else None
    order = {"transaction_id": intent or charge or None, "refs": refs(charge, intent, invoice)}
    return command(**told.common, action=action, business_key=key, order=order, **more)
