"""Salesforce as a sender, and what is built on it (Fonteva, Nimble AMS): outbound messages, which are SOAP.

Nothing is signed. What proves a message is the ``secret`` in the address (``?secret=...``), and the organisation's id
in it must be the source's: its 15 characters, with or without the 3 that Salesforce appends. ``SessionId`` is a live
credential and is blanked before a message is kept. DTDs and entities are refused.

A message holds 1 to 100 notifications, and one Ack counts for all: whatever is kept is acknowledged, a notification
that can't be understood waits in quarantine. Without an Ack Salesforce sends again for 24 hours, at longer and longer
intervals, packed differently perhaps and out of order. What it sends is the record as it is by then. So a notification
is known by its id and the record's time of change, and not by its id alone; and what the record says is the state of
one purchase, where the newer time counts. The purchase is the record itself, or the order that ``fields.order`` names,
of which the record then is one line.

Which fields say what is the operator's to set, because every organisation has its own. A message holds only fields of
its own object: an address or a product's code from elsewhere needs a formula field there. Examples, not from a source::

    [sources.fonteva.fields]              # object OrderApi__Sales_Order_Line__c
    email = "Contact_Email__c"            # formula over the order's contact
    user_id = "OrderApi__Contact__c"
    product = "OrderApi__Item__c"
    order = "OrderApi__Sales_Order__c"
    status = "Posting_Status__c"          # formula over the order
    amount = "OrderApi__Total__c"

    [sources.fonteva.actions]
    posted = "enroll"
    pending = "unpaid"
    canceled = "cancel"

    [sources.nimble.fields]               # object NU__OrderItemLine__c
    email = "Customer_Email__c"           # formula over the order's customer
    product = "NU__Product__c"
    status = "NU__Status__c"

    [sources.nimble.actions]
    active = "enroll"
    cancelled = "cancel"

Sources: the SOAP API guide's pages on outbound messages, and an article on the acknowledgement (its body is ours).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal
from xml.etree.ElementTree import Element, ParseError

from defusedxml.ElementTree import fromstring
from pydantic import BeforeValidator, Field

from bridge.contract.command import Action, EnrollmentCommand, Refund
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Meaning, Reception, Response, Route, Unreadable
from bridge.contract.settings import Secrets, SettingsModel, SourceSettings
from bridge.kit.acknowledge import acknowledge
from bridge.kit.money import major
from bridge.kit.names import first_and_last
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import any_same, same

_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/">\n'
    "  <soapenv:Body>\n{}  </soapenv:Body>\n</soapenv:Envelope>\n"
)
_ACK = _ENVELOPE.format(
    '    <notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound">\n'
    "      <Ack>{}</Ack>\n"
    "    </notificationsResponse>\n"
)
_FAULT = _ENVELOPE.format(
    "    <soapenv:Fault>\n"
    "      <faultcode>soapenv:Server</faultcode>\n"
    "      <faultstring>{}</faultstring>\n"
    "    </soapenv:Fault>\n"
)
_NOT_KEPT = frozenset({"invalid", "unreadable"})
"""Receptions of a call that never came as far as the intake: whatever did is kept, read or not."""

_SIGNIFICANT = 15  # characters of an id; the other three only repeat their case
_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"

_Meant = Literal["enroll", "unpaid", "cancel", "refund", "suspend", "resume", "ignore"]
_ACTIONS = {
    "enroll": Action.ENROLL,
    "unpaid": Action.ENROLL,
    "cancel": Action.CANCEL,
    "refund": Action.REFUND,
    "suspend": Action.SUSPEND,
    "resume": Action.RESUME,
}
_USUAL: Mapping[str, _Meant] = {
    **dict.fromkeys(("active", "paid", "posted", "completed", "confirmed", "registered", "true"), "enroll"),
    **dict.fromkeys(("pending", "open", "draft", "unpaid", "false"), "unpaid"),
    **dict.fromkeys(("cancelled", "canceled", "void", "voided"), "cancel"),
    "refunded": "refund",
}


def _folded(value: object) -> object:
    return {str(name).casefold(): held for name, held in value.items()} if isinstance(value, dict) else value


class RecordFields(SettingsModel):
    """``[sources.NAME.fields]``; an empty name means that no field says it.

    Attributes:
        email: address of the learner.
        user_id: the AMS's own id of the learner, such as the contact's.
        first_name: of the learner.
        last_name: of the learner.
        name: both in one, where neither of the two is there.
        product: what is bought; it is mapped to courses by this value.
        order: the order that the record is a line of; without it the record is a purchase of its own.
        status: what decides by ``actions``; without it every message enrolls.
        changed_at: when the record was changed; without it in the message the time of receipt counts.
        amount: what was paid.
        currency: of the amount.
        quantity: how many.
    """

    email: str = "Email__c"
    user_id: str = ""
    first_name: str = "First_Name__c"
    last_name: str = "Last_Name__c"
    name: str = "Name__c"
    product: Annotated[str, Field(min_length=1)] = "Product_Code__c"
    order: str = ""
    status: str = ""
    changed_at: str = "LastModifiedDate"
    amount: str = ""
    currency: str = "CurrencyIsoCode"
    quantity: str = ""


class SalesforceOutboundSettings(SourceSettings):
    """``[sources.NAME]`` with ``adapter = "salesforce_outbound"``.

    Attributes:
        secret: what stands in the endpoint's address as ``?secret=...``; several while it rotates.
        organization_id: of the Salesforce organisation, 15 or 18 characters.
        fields: which field of the record says what; an empty name means that none does.
        actions: value of the status field, in any case of its letters -> what it means; it replaces the default.
    """

    secret: Secrets
    organization_id: Annotated[str, Field(min_length=_SIGNIFICANT)]
    fields: RecordFields = RecordFields()
    actions: Annotated[dict[str, _Meant], BeforeValidator(_folded)] = Field(default_factory=lambda: dict(_USUAL))


class SalesforceOutbound:
    """Takes the outbound messages of a Salesforce organisation: one record, one purchase or order line."""

    Settings: ClassVar[type[SourceSettings]] = SalesforceOutboundSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = True
    credential_fields: ClassVar[frozenset[str]] = frozenset({"secret", "SessionId"})
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    product_id: ClassVar[str] = "The value of the field that `fields.product` names."
    setup: ClassVar[Sequence[str]] = (
        "In Setup, open Company Information and put the Salesforce.com Organization ID into `organization_id`.",
        "On the object that is one registration or order line, add formula fields for what other objects hold.",
        (
            "In Setup, open Outbound Messages and add one for that object, with the endpoint "
            "`{url}?secret=SECRET`, without Send Session ID, and with the fields that `fields` names and "
            "`LastModifiedDate`."
        ),
        (
            "Write those fields' names into `fields`: by default the e-mail is `Email__c`, the product `Product_Code__c`, and no "
            "field is the status, so that every message enrolls; name one in `fields.status` and its values in `actions`."
        ),
        "Send it from a flow or workflow rule whenever a record is created or its status changes, also when it ends.",
    )
    unverified: ClassVar[str] = (
        "The object and field names of Fonteva and Nimble AMS, which are examples, and what a status means there."
    )

    def __init__(self, settings: SalesforceOutboundSettings) -> None:
        """Take the settings of one source."""
        self._secrets = tuple(secret.get_secret_value() for secret in settings.secret)
        self._organization = settings.organization_id[:_SIGNIFICANT]
        self._fields = settings.fields
        self._actions = settings.actions

    def credentials(self) -> Sequence[str]:
        """Return nothing: there is no fixed address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return None: there is no fixed address."""
        return None

    def verify(self, event: InboundEvent) -> None:
        """Compare the secret of the address and the organisation's id.

        A body that can't be read has no id; it is the secret's holder's, and waits in quarantine.

        Raises:
            SignatureInvalid: one of them is missing or wrong, or it says that it is no XML, so that a session's id in
                it would not be blanked.
        """
        if not any_same(event.query.get("secret"), self._secrets):
            raise SignatureInvalid("the secret is not this source's")
        if "xml" not in event.headers.get("content-type", "xml").lower():
            raise SignatureInvalid("the content type is not text/xml")
        try:
            said = _messages(event.body)
        except PayloadInvalid:
            return
        if not all(same(_text(message, "OrganizationId")[:_SIGNIFICANT], self._organization) for message in said):
            raise SignatureInvalid("the OrganizationId is not this source's")

    def normalise(self, event: InboundEvent) -> list[Meaning]:
        """Return one command for each notification; a bad one does not sink the others.

        Raises:
            PayloadInvalid: it is no outbound message.
        """
        meanings: list[Meaning] = []
        for message in _messages(event.body):
            for place, notification in enumerate(_children(message, "Notification")):
                try:
                    meanings += self._meaning(notification, event)
                except PayloadInvalid as invalid:
                    meanings.append(Unreadable(_text(notification, "Id")[:100] or str(place), invalid.faults))
        return meanings

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge whatever is kept; what is not is answered by ``Ack`` false or a fault, and is sent again."""
        plain = acknowledge(reception)
        if plain.status == 200:
            body = _ACK.format("false" if reception.kind in _NOT_KEPT else "true")
        else:
            body = _FAULT.format(plain.body["status"])
        return Response(plain.status, body.encode(), plain.headers, "text/xml")

    def _meaning(self, notification: Element, event: InboundEvent) -> list[EnrollmentCommand]:
        record = _record(notification)
        number, names = record.needed_text("Id"), self._fields
        meant = self._meant(record)
        if meant == "ignore":
            return []
        changed_at = record.moment(names.changed_at) if names.changed_at else None
        key = _text(notification, "Id")
        order = record.needed_text(names.order) if names.order else ""
        return [
            command(
                action=_ACTIONS[meant],
                occurred_at=changed_at or event.received_at,
                event_key=(f"{key}@{changed_at.isoformat()}" if changed_at else key) or None,
                business_key=order or number,
                paid=meant != "unpaid",
                learner=self._learner(record, needed=meant in ("enroll", "unpaid")),
                items=[self._item(record, line=number if order else "")],
                order={"number": order or number, "refs": [number] if order else []},
                refund=Refund(full=True) if meant == "refund" else None,
            )
        ]

    def _meant(self, record: Payload) -> _Meant:
        if not self._fields.status:
            return "enroll"
        status = record.needed_text(self._fields.status)
        found = self._actions.get(status.casefold())
        if found is None:
            raise PayloadInvalid({self._fields.status: f"is {status[:100]}, which `actions` does not name"})
        return found

    def _learner(self, record: Payload, *, needed: bool) -> dict[str, Any] | None:
        names = self._fields
        user_id, email = _said(record, names.user_id), _said(record, names.email)
        if not (user_id or email):
            if needed:
                raise PayloadInvalid({names.email or names.user_id or "email": "is missing"})
            return None
        first, last = first_and_last(
            _said(record, names.first_name), _said(record, names.last_name), _said(record, names.name)
        )
        return {"remote_user_id": user_id or None, "email": email or None, "first_name": first, "last_name": last}

    def _item(self, record: Payload, line: str) -> dict[str, Any]:
        names = self._fields
        quantity = major(_said(record, names.quantity)) or Decimal(1)  # numbers come with a fraction: 2.0
        amount = major(_said(record, names.amount))
        return {
            "remote_product_id": record.needed_text(names.product),
            "quantity": min(max(1, int(quantity)), 1_000_000),
            "amount_paid": amount,
            "currency": (_said(record, names.currency) or None) if amount is not None else None,
            "line": line,
        }


def _messages(body: bytes) -> list[Element]:
    """Return the ``notifications`` of the envelope.

    Raises:
        PayloadInvalid: it is no XML, it has a DTD or entities, or it is something else.
    """
    try:
        envelope = fromstring(body, forbid_dtd=True)
    except (ParseError, ValueError, LookupError):  # a forbidden one is a ValueError, an unknown encoding a LookupError
        raise PayloadInvalid({"body": "is no XML without DTD and entities"}, readable=False) from None
    found = [message for held in _children(envelope, "Body") for message in _children(held, "notifications")]
    if not found:
        raise PayloadInvalid({"notifications": "is missing"}, readable=False)
    return found


def _record(notification: Element) -> Payload:
    for held in _children(notification, "sObject"):
        return Payload({_name(field): _content(field) for field in held})
    raise PayloadInvalid({"sObject": "is missing"})


def _children(element: Element, name: str) -> Iterator[Element]:
    return (child for child in element if _name(child) == name)


def _name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]  # each object has a namespace of its own


def _text(element: Element, name: str) -> str:
    return next((_content(child) for child in _children(element, name)), "")


def _content(element: Element) -> str:
    return "" if element.get(_NIL) == "true" else (element.text or "").strip()


def _said(record: Payload, field: str) -> str:
    return record.text(field) if field else ""


ADAPTER: type[InboundAdapter] = SalesforceOutbound
