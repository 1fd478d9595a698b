"""Eventbrite: orders and attendees, by thin webhooks that are looked up.

Authentication: nothing is signed. The address is given with a secret in its query, ``?secret=...``, which nobody else knows.
Eventbrite repeats that address in every body (``config.endpoint_url``): it is blanked with the secret.

A body names an object by its address (``api_url``). Only the ids are taken from that; what they mean is asked at
``base_url`` with the private token, so a forged body can at most make us ask again. An answer is a state, and no
occurrence: every event of an order says again which of its attendees hold a ticket. Each attendee is a learner and a line of the
order's purchase, whoever paid; where an attendee has no e-mail, the buyer's stands in. The newer of the order's and the attendee's
``changed`` orders the answers.

Sources: the vendor's page on webhooks (410 ends a subscription), its API reference on orders and attendees. Not from a source: the
keys of ``config``, the status words beside ``placed``, whether a delivery is repeated, and that the address has one of the two forms.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import (
    InboundAdapter,
    InboundEvent,
    Lookup,
    Meaning,
    Reception,
    Response,
    Route,
    Unreadable,
)
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.contract.settings import CallsOut, Rate, Secrets, SourceSettings
from bridge.kit.acknowledge import acknowledge
from bridge.kit.answers import judge
from bridge.kit.http import Http
from bridge.kit.money import major, minor
from bridge.kit.names import first_and_last
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import any_same

_USED = frozenset({"order.placed", "order.updated", "order.refunded", "attendee.updated"})
_ADDRESSES = (
    ("attendee", re.compile(r"/v3/events/([0-9]{1,30}/attendees/[0-9]{1,30}(?:-[0-9]{1,30}){0,2})/?")),
    ("order", re.compile(r"/v3/orders/([0-9]{1,30})/?")),
)
_PATHS = {"order": "/v3/orders/{}/", "attendee": "/v3/events/{}/"}
_GONE = frozenset({"refunded", "cancelled", "canceled", "deleted", "not attending"})
_HELD = frozenset({"placed", "attending", "checked in"})


class EventbriteSettings(CallsOut):
    """``[sources.NAME]`` with ``adapter = "eventbrite"``.

    Attributes:
        secret: what stands as ``secret`` in the address's query; several while it changes.
        token: the private token of an API key of the organiser.
        sold_by: whether a ticket class or a whole event is the product.
    """

    base_url: str = "https://www.eventbriteapi.com"
    secret: Secrets
    token: Annotated[SecretStr, Field(min_length=1)]
    sold_by: Literal["ticket_class", "event"] = "ticket_class"


class Eventbrite:
    """Takes orders of tickets from Eventbrite; each attendee becomes a learner."""

    Settings: ClassVar[type[SourceSettings]] = EventbriteSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    quantities: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset({"secret", "endpoint_url"})
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    product_id: ClassVar[str] = (
        'The ticket class\'s id (`ticket_class_id`), or with `sold_by = "event"` the `event_id`.'
    )
    setup: ClassVar[Sequence[str]] = (
        "Make up a long secret and put it into `secret`.",
        "In Eventbrite, under Account Settings, Developer Links and API Keys, copy the private token into `token`.",
        (
            "Under Developer Links and Webhooks add a webhook with the payload URL `{url}?secret=SECRET` for the actions "
            "`order.placed`, `order.updated`, `order.refunded` and `attendee.updated`; tell nobody the address."
        ),
    )
    unverified: ClassVar[str] = (
        "The keys of `config`, the status words of orders and attendees beside `placed`, whether a failed delivery is repeated, and "
        "the rate limit."
    )
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(1000, 3600.0),)

    def __init__(self, settings: EventbriteSettings) -> None:
        """Take the settings of one source."""
        self._secrets = tuple(secret.get_secret_value() for secret in settings.secret)
        self._headers = {"Authorization": f"Bearer {settings.token.get_secret_value()}", "Accept": "application/json"}
        self._product = "event_id" if settings.sold_by == "event" else "ticket_class_id"

    def credentials(self) -> Sequence[str]:
        """Return none: the source is found by its address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return none, as :meth:`credentials`."""
        return None

    def verify(self, event: InboundEvent) -> None:
        """Compare the secret of the query.

        Raises:
            SignatureInvalid: it is missing or wrong.
        """
        if not any_same(event.query.get("secret"), self._secrets):
            raise SignatureInvalid("the secret is not this source's")

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        """Return nothing: what an event means must be asked.

        Raises:
            PayloadInvalid: it does not name the object that it is about.
        """
        body = Payload(event.json)
        if body.text("config.action") in _USED and _named(body) is None:
            raise PayloadInvalid({"api_url": "is not the address of an order or an attendee"})
        return []

    def lookups(self, event: InboundEvent) -> list[Lookup]:
        """Return the order or the attendee that the event is about."""
        body = Payload(event.json)
        named = _named(body)
        return [named] if named is not None and body.text("config.action") in _USED else []

    async def look_up(
        self, event: InboundEvent, lookup: Lookup, http: Http
    ) -> Sequence[Meaning] | TryLater | NeedsOperator | Refused:
        """Ask for an order with its attendees, or for one attendee, and say who holds a ticket.

        Raises:
            PayloadInvalid: the answer can't be understood.
            TransportFault: nobody answered.
        """
        what = f"get {lookup.kind} {lookup.key}"
        params = {"expand": "attendees"} if lookup.kind == "order" else {}
        path = _PATHS[lookup.kind].format(lookup.key)  # digits and the protocol's own words: see _ADDRESSES
        answer = await http.send("GET", path, params=params, headers=self._headers)
        if answer.status == 404:
            return Refused(f"{what}: not there for this token", "See whose token it is, then requeue the lookup.")
        if not answer.ok:
            outcome = judge(answer, what)
            return outcome if isinstance(outcome, TryLater | NeedsOperator | Refused) else TryLater(what)
        found = Payload(answer.json)
        if found.text("id") != lookup.key.rpartition("/")[2]:
            # A ticket was sold, so the question stays: a proxy's page is over some day.
            return TryLater(f"{what}: the answer can't be understood", cause="outage")
        if lookup.kind == "attendee":
            return self._tickets(Payload({}), [found], event.received_at)
        return self._tickets(found, list(found.at("attendees")), event.received_at)

    def _tickets(self, order: Payload, attendees: Sequence[Payload], received_at: datetime) -> list[Meaning]:
        meanings: list[Meaning] = []
        for place, attendee in enumerate(attendees):
            try:
                meanings += self._ticket(order, attendee, received_at)
            except PayloadInvalid as fault:
                meanings.append(Unreadable(attendee.text("id") or str(place), fault.faults))
        return meanings

    def _ticket(self, order: Payload, attendee: Payload, received_at: datetime) -> list[EnrollmentCommand]:
        states = {attendee.text("status").lower(), order.text("status").lower()} - {""}
        refunded = attendee.flag("refunded") or "refunded" in states
        gone = refunded or attendee.flag("cancelled") or bool(states & _GONE)
        if not gone and not states <= _HELD:
            return []  # not paid yet, or given up: an order.updated follows
        number = attendee.text("order_id") or order.needed_text("id")
        changes = [at for thing in (order, attendee) if (at := thing.moment("changed")) is not None]
        total = _money(order.at("costs.gross"))
        return [
            command(
                action=(Action.REFUND if refunded else Action.CANCEL) if gone else Action.ENROLL,
                business_key=f"order:{number}",
                occurred_at=max(changes, default=received_at),
                learner=_learner(order, attendee),
                items=[self._item(attendee)],
                refund={"full": False} if refunded else None,
                order={
                    "number": number,
                    "status": order.maybe("status"),
                    "total": total,
                    "currency": order.maybe("costs.gross.currency"),
                    "coupon": order.maybe("promo_code"),
                },
            )
        ]

    def _item(self, attendee: Payload) -> dict[str, Any]:
        return {
            "remote_product_id": attendee.needed_text(self._product),
            "amount_paid": _money(attendee.at("costs.gross")),
            "currency": attendee.maybe("costs.gross.currency"),
            "line": attendee.needed_text("id"),
        }

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; Eventbrite reads only the status."""
        return acknowledge(reception)


def _named(body: Payload) -> Lookup | None:
    """Return what an address is about; whose address it is does not matter, because nobody goes there."""
    try:
        path = urlsplit(body.text("api_url")).path
    except ValueError:
        return None
    for kind, address in _ADDRESSES:
        if found := address.fullmatch(path):
            return Lookup(kind, found[1])
    return None


def _learner(order: Payload, attendee: Payload) -> dict[str, Any]:
    profile = attendee.at("profile")
    whose = profile if profile.text("email") else order
    if not whose.text("email"):
        raise PayloadInvalid({"attendees.profile.email": "is missing"})
    first, last = first_and_last(whose.text("first_name"), whose.text("last_name"), whose.text("name"))
    return {
        "email": whose.text("email"),
        "first_name": first,
        "last_name": last,
        "phone": profile.text("cell_phone", "work_phone", "home_phone"),
    }


def _money(cost: Payload) -> Any:
    amount = major(cost.at("major_value").value)
    return amount if amount is not None else minor(cost.at("value").value, cost.text("currency"))


ADAPTER: type[InboundAdapter] = Eventbrite
