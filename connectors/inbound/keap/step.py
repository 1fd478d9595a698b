"""The step "Send HTTP POST" of a Keap automation: a form whose pairs somebody typed, with merge fields for values.

========================================= ==========================================================================
pair                                      value
========================================= ==========================================================================
``type``                                  ``purchase`` or ``cancel``; needed, because nothing else tells them apart
``product``, ``product_id``               what is bought or taken back; needed with ``purchase``
``contactId`` (``ContactId``, ``Id``,     ``~Contact.Id~``
``Contact0Id``)
``email``, ``first_name``, ``last_name``  ``~Contact.Email~`` and so on; also ``Email``, ``Contact0Email`` and the like
``order``, ``order_id``                   ``~Order.Id~``: the same purchase as that order's hooks tell of
``secret``, ``accessKey``                 the secret, where it does not stand in the address
========================================= ==========================================================================

Pairs that are always the same may stand in the address as well; the form counts more. A merge field that Keap did not
replace arrives as it was typed, ``~Contact.X~``: such a value is a fault, or, for a name, left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import InboundEvent
from bridge.kit.names import first_and_last
from bridge.kit.payload import Payload, command
from connectors.inbound.keap.api import learner_of

_PAIRS: Mapping[str, Sequence[str]] = {
    "type": ("type",),
    "product": ("product", "product_id"),
    "contactId": ("contactId", "ContactId", "Id", "Contact0Id"),
    "email": ("email", "Email", "Contact0Email"),
    "first_name": ("first_name", "firstName", "FirstName", "Contact0FirstName"),
    "last_name": ("last_name", "lastName", "LastName", "Contact0LastName"),
    "phone": ("phone", "Phone1", "Contact0Phone1"),
    "order": ("order", "order_id", "orderId"),
}
_OPTIONAL = frozenset({"first_name", "last_name", "phone"})
_TYPES = {"purchase": Action.ENROLL, "cancel": Action.CANCEL}


def secrets(event: InboundEvent) -> list[str]:
    """Return the secrets that a form shows; one that does not say it is a form could not be blanked, and shows none."""
    kind = event.headers.get("content-type", "")
    if (kind and "urlencoded" not in kind) or event.body.lstrip()[:1] in (b"{", b"[", b"<"):
        return []
    try:
        return [event.form[name] for name in ("secret", "accessKey") if name in event.form]
    except PayloadInvalid:
        return []


def contact_id(event: InboundEvent) -> str:
    """Return the contact's id; empty where there is none."""
    return _pairs(event)["contactId"]


def lacks_email(event: InboundEvent) -> bool:
    """Say whether it is a purchase of a contact whose address the form does not tell."""
    try:
        pairs = _pairs(event)
    except PayloadInvalid:
        return False
    asked = {name for name in ("type", "product", "contactId", "order") if _is_left_over(pairs[name])}
    return (
        bool(pairs["type"].lower() == "purchase" and pairs["contactId"] and pairs["product"] and not pairs["email"])
        and not asked
    )


def meaning(event: InboundEvent, contact: Payload | None = None) -> EnrollmentCommand:
    """Return the command; ``contact`` is what Keap told of a person whose address the form does not name.

    Raises:
        PayloadInvalid: a pair is missing or wrong; all of them are named at once.
    """
    pairs = _pairs(event)
    action = _TYPES.get(pairs["type"].lower())
    faults = _faults(pairs, action, asked=contact is not None)
    if faults:
        raise PayloadInvalid(faults)
    return command(
        action=action,
        occurred_at=event.received_at,
        business_key=pairs["order"] or None,
        learner=_learner(pairs) if contact is None else learner_of(contact, pairs["contactId"]),
        items=[{"remote_product_id": pairs["product"]}] if pairs["product"] else [],
        order={"number": pairs["order"]} if pairs["order"] else {},
    )


def _pairs(event: InboundEvent) -> dict[str, str]:
    given = Payload({**event.query, **event.form})
    pairs = {name: given.text(*spellings) for name, spellings in _PAIRS.items()}
    return {name: "" if name in _OPTIONAL and _is_left_over(text) else text for name, text in pairs.items()}


def _is_left_over(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] == "~"


def _faults(pairs: Mapping[str, str], action: Action | None, *, asked: bool) -> dict[str, str]:
    faults = {
        name: f"is {text[:100]}, a merge field that Keap did not replace; check how it is spelt"
        for name, text in pairs.items()
        if _is_left_over(text)
    }
    if action is None:
        faults.setdefault("type", "must be purchase or cancel")
    if action is Action.ENROLL and not pairs["product"]:
        faults["product"] = "is missing"
    if action is Action.ENROLL and not pairs["email"] and not asked:
        faults["email"] = "is missing"
    if action is Action.CANCEL and not pairs["order"]:
        if not pairs["product"]:
            faults["product"] = "is missing; without it and without order nobody knows what ends"
        if not (pairs["email"] or pairs["contactId"]):
            faults["email"] = "is missing; without it, contactId and order nobody knows whose access ends"
    return faults


def _learner(pairs: Mapping[str, str]) -> dict[str, Any] | None:
    if not (pairs["contactId"] or pairs["email"]):
        return None
    first, last = first_and_last(pairs["first_name"], pairs["last_name"])
    return {
        "remote_user_id": pairs["contactId"] or None,
        "email": pairs["email"] or None,
        "first_name": first,
        "last_name": last,
        "phone": pairs["phone"],
    }
