"""Keap (Infusionsoft) as a sender: REST hooks, and the step "Send HTTP POST" of an automation.

Nothing is signed. What proves a call is the ``secret`` in the address (``?secret=...``); the step may send it as a pair
``secret`` or ``accessKey`` instead, in a form that says that it is one (else it could not be blanked). A hook says only
which objects changed, so what an event gives away or takes is asked at Keap under ``token``, and a forged id gets
nobody anything that Keap does not confirm.

Before it sends, Keap posts ``X-Hook-Secret`` to the address and wants it back in the answer's header. The body of that
post is undefined. It is answered only at an address with the right secret; a post that holds events is no such call,
whatever its headers.

A hook's post names up to 1000 objects of one event type: one lookup each, from its id and never from its ``apiUrl``.
Keap tries four times within 40 minutes, and then switches the hook off until somebody verifies it again. There is no id
of a delivery; an event is (event key, object id, timestamp), and the answer at Keap is the state of the object, so that
a repeat says the same again. The order's id is the purchase; a tag's purchase is the tag on the contact.

What the events mean:

- ``order.add``, ``order.edit``, ``invoice.payment.*``: the order is read. Paid: enroll. Not paid yet: kept, and given by
  the event that finds it paid. Refunded in full: taken away. An order of a subscription is one period of it.
- ``order.delete``: taken away.
- ``subscription.edit``: read; one that is no longer active ends. ``subscription.delete``: it ends.
- ``contactGroup.applied``, ``contactGroup.removed``: a tag is a product, ``tag:ID``.
- ``invoice.add``, ``invoice.edit``: nothing; the API can't be asked for an invoice, and its order tells the same.

Sources: the vendor's "REST Hook Documentation" and "Personal Access Tokens & Service Account Keys"; the models of its
SDK infusionsoft/keap-sdk-php (orders, subscriptions and contacts, v2) and of its earlier one (transactions, v1).
Not from a source: the form of a tag's contacts in an event, which ids ``invoice.payment.*`` carries, the rate limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, ClassVar

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
from bridge.contract.settings import CallsOut, Duration, Rate, Secrets, SourceSettings
from bridge.kit.acknowledge import acknowledge
from bridge.kit.http import Http
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import any_same
from connectors.inbound.keap import step
from connectors.inbound.keap.api import Api, NotTold, learner_of, order_meanings, subscription_ends

_ASKED = {
    "order.add": "order",
    "order.edit": "order",
    "invoice.payment.add": "payment",
    "invoice.payment.edit": "payment",
    "invoice.payment.delete": "payment",
    "subscription.edit": "subscription",
    "contactGroup.applied": "tag",
}
"""Event key -> what is asked about each of its objects."""

_TOLD = frozenset({"order.delete", "subscription.delete", "contactGroup.removed"})
"""Event keys that say enough by themselves."""

_LONGEST_SECRET = 500
_LONGEST_ID = 100


class KeapSettings(CallsOut):
    """``[sources.NAME]`` with ``adapter = "keap"``.

    Attributes:
        secret: what stands in the address as ``?secret=...``; several while it rotates.
        token: a Service Account Key or Personal Access Token of Keap; hooks need it, the step "Send HTTP POST" doesn't.
        tags: ids of the tags that give access; events of other tags are left out. Without it every tag counts.
        part_paid: an order gives access as soon as part of it is paid, as with a payment plan.
        period_grace: how long after a subscription's next billing date its access lasts.
    """

    secret: Secrets
    token: Annotated[SecretStr, Field(min_length=1)] | None = None
    base_url: str = "https://api.infusionsoft.com"
    tags: tuple[str, ...] = ()
    part_paid: bool = False
    period_grace: Duration = timedelta(days=3)


class Keap:
    """Takes purchases from Keap: orders, subscriptions, tags, and what its automations post."""

    Settings: ClassVar[type[SourceSettings]] = KeapSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = True
    credential_fields: ClassVar[frozenset[str]] = frozenset({"secret", "accessKey"})
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(10, 1.0),)
    product_id: ClassVar[str] = (
        "The product's id in Keap; a tag is `tag:ID`; of the step Send HTTP POST the pair `product` as it is."
    )
    setup: ClassVar[Sequence[str]] = (
        "In Keap, open Settings, then API Settings, create a Service Account Key and put it into `token`.",
        (
            "With that key in the header `X-Keap-API-Key`, post JSON with `eventKey` and `hookUrl` to "
            "`https://api.infusionsoft.com/crm/rest/v1/hooks`; `hookUrl` is `{url}?secret=SECRET`, and the answer must "
            "say that it is verified."
        ),
        (
            "Do so once for each of `order.add`, `order.edit`, `order.delete`, `invoice.payment.add`, "
            "`subscription.edit` and `subscription.delete`; where tags give access, for `contactGroup.applied` and "
            "`contactGroup.removed`, and list those tags in `tags`."
        ),
        (
            "Or, without hooks, add the step Send HTTP POST to an automation, to `{url}?secret=SECRET`, with the pairs "
            "`type` = `purchase` (or `cancel`), `product` = the id that you map, `contactId` = `~Contact.Id~`, "
            "`email` = `~Contact.Email~`, `first_name` = `~Contact.FirstName~` and `last_name` = `~Contact.LastName~`."
        ),
        "Where the automation knows the order, add `order` = `~Order.Id~`, so that step and hooks mean one purchase.",
    )
    unverified: ClassVar[str] = (
        "How an event names the contacts of a tag, that the ids of invoice.payment.* are those of transactions, whether"
        " a refund changes the paid total of an order, and that the step sends an urlencoded form."
    )

    def __init__(self, settings: KeapSettings) -> None:
        """Take the settings of one source."""
        self._secrets = tuple(secret.get_secret_value() for secret in settings.secret)
        self._token = settings.token
        self._tags = frozenset(settings.tags)
        self._part_paid = settings.part_paid
        self._grace = settings.period_grace

    def credentials(self) -> Sequence[str]:
        """Return nothing: there is no fixed address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return None: there is no fixed address."""
        return None

    def handshake(self, event: InboundEvent) -> Response | None:
        """Give Keap its ``X-Hook-Secret`` back, at an address with the right secret; an event is none."""
        shown = event.headers.get("x-hook-secret", "")
        plain = shown.isascii() and shown.isprintable() and 0 < len(shown) <= _LONGEST_SECRET
        if not plain or b'"object_keys"' in event.body or not any_same(event.query.get("secret"), self._secrets):
            return None
        return Response(200, {"status": "verified"}, {"X-Hook-Secret": shown})

    def verify(self, event: InboundEvent) -> None:
        """Compare the secret of the address, or the one of the step's form.

        Raises:
            SignatureInvalid: it is missing or wrong.
        """
        shown = [event.query.get("secret"), *step.secrets(event)]
        if not any([any_same(secret, self._secrets) for secret in shown]):  # noqa: C419 - all are compared
            raise SignatureInvalid("the secret is not this source's")

    def normalise(self, event: InboundEvent) -> list[Meaning]:
        """Return what needs no question: a step's command, and the objects that are gone.

        Raises:
            PayloadInvalid: it can't be understood, or it would have to be asked and there is no ``token``.
        """
        hook = _hook(event)
        if hook is None:
            return [] if self._asks_for_email(event) else [step.meaning(event)]
        asked = hook.text("event_key") in _ASKED
        if asked and self._token is None:
            raise PayloadInvalid({"token": "is not set, so that Keap can't be asked what the event means"})
        if not asked and hook.text("event_key") not in _TOLD:
            return []
        meanings: list[Meaning] = []
        for row in self._rows(hook, event.received_at):
            if isinstance(row, Unreadable):
                meanings.append(row)
            elif not asked:
                meanings.append(_gone(hook.text("event_key"), row))
        return meanings

    def lookups(self, event: InboundEvent) -> list[Lookup]:
        """Return one question for each object of a hook, and one for a step that names a contact without an e-mail."""
        hook = _hook(event)
        if self._token is None:
            return []
        if hook is None:
            return [Lookup("contact", step.contact_id(event))] if self._asks_for_email(event) else []
        kind = _ASKED.get(hook.text("event_key"))
        rows = self._rows(hook, event.received_at) if kind else []
        newest = {
            row.key: row for row in sorted((row for row in rows if isinstance(row, _Row)), key=lambda row: row.at)
        }
        return [Lookup(kind or "", key, row.occurrence(hook.text("event_key"))) for key, row in newest.items()]

    async def look_up(
        self, event: InboundEvent, lookup: Lookup, http: Http
    ) -> Sequence[Meaning] | TryLater | NeedsOperator | Refused:
        """Ask for an order, a payment's orders, a subscription or a contact.

        Raises:
            PayloadInvalid: the answer does not say what was bought, or by whom.
            TransportFault: nobody answered.
        """
        if self._token is None:
            return NeedsOperator("there is no token any more", "Set token, then requeue the lookup.")
        api = Api(http, self._token.get_secret_value())
        try:
            if lookup.kind == "contact":
                return [step.meaning(event, await api.contact(lookup.key))]
            row = self._row(event, lookup.key)
            return [] if row is None else await self._found(api, lookup, row)
        except NotTold as reason:
            return reason.outcome

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; Keap reads only the status."""
        return acknowledge(reception)

    def _asks_for_email(self, event: InboundEvent) -> bool:
        return self._token is not None and _hook(event) is None and step.lacks_email(event)

    async def _found(self, api: Api, lookup: Lookup, row: _Row) -> Sequence[Meaning]:
        if lookup.kind == "tag":
            return [_tagged(row, await api.contact(row.contact))]
        if lookup.kind == "subscription":
            subscription = await api.subscription(row.id)
            return [] if subscription.flag("active") else [subscription_ends(row.id, subscription, row.at)]
        numbers = await api.orders_of_payment(row.id) if lookup.kind == "payment" else [row.id]
        meanings: list[Meaning] = []
        for number in numbers:
            order = await api.order(number)
            meanings += await order_meanings(api, order, number, row.at, part_paid=self._part_paid, grace=self._grace)
        return meanings

    def _rows(self, hook: Payload, received_at: datetime) -> Iterator[_Row | Unreadable]:
        for place, told in enumerate(hook.at("object_keys")):
            at = told.moment("timestamp")
            try:
                if hook.text("event_key").startswith("contactGroup."):
                    yield from self._tag_rows(told, at, received_at)
                else:
                    yield _Row(_id(told, "id"), at or received_at, dated=at is not None)
            except PayloadInvalid as invalid:
                yield Unreadable(str(place), invalid.faults)

    def _tag_rows(self, told: Payload, tagged_at: datetime | None, received_at: datetime) -> Iterator[_Row]:
        tag = _id(told, "id", "tagId")
        if self._tags and tag not in self._tags:
            return
        contacts = [*told.at("contact_details"), *told.at("applied")]
        if not contacts:
            raise PayloadInvalid({"contact_details": "is missing, so that nobody knows whose tag it is"})
        for contact in contacts:
            number = _id(contact, "id") if isinstance(contact.value, dict) else _id(contact)
            at = contact.moment("timestamp") or tagged_at
            yield _Row(tag, at or received_at, number, dated=at is not None)

    def _row(self, event: InboundEvent, key: str) -> _Row | None:
        """Return the newest row of an object; None where the tag was taken out of ``tags`` since."""
        rows = self._rows(_hook(event) or Payload({}), event.received_at)
        named = [row for row in rows if isinstance(row, _Row) and row.key == key]
        return max(named, key=lambda row: row.at, default=None)


@dataclass(frozen=True, slots=True)
class _Row:
    """One changed object; of a tag on each contact."""

    id: str
    at: datetime
    contact: str = ""
    dated: bool = True

    @property
    def key(self) -> str:
        return f"{self.id}/{self.contact}" if self.contact else self.id

    def occurrence(self, event_key: str) -> str | None:
        """Return what a repeat has in common; nothing where Keap did not say when it was."""
        return f"{event_key}:{self.key}:{self.at.isoformat()}" if self.dated else None


def _id(told: Payload, *paths: str) -> str:
    found = told.needed_text(*paths)
    if len(found) > _LONGEST_ID:
        raise PayloadInvalid({"object_keys.id": "is no id"})
    return found


def _hook(event: InboundEvent) -> Payload | None:
    """Return a hook's body; None where it is the step's form."""
    if event.body.lstrip()[:1] not in (b"{", b"["):
        return None
    return Payload(event.json)


def _gone(event_key: str, row: _Row) -> EnrollmentCommand:
    if event_key == "subscription.delete":
        return subscription_ends(row.id, Payload({}), row.at)
    if event_key == "order.delete":
        return command(
            action=Action.CANCEL,
            occurred_at=row.at,
            event_key=row.occurrence(event_key),
            business_key=row.id,
            order={"number": row.id},
        )
    return command(
        action=Action.CANCEL,
        occurred_at=row.at,
        event_key=row.occurrence(event_key),
        business_key=f"tag:{row.key}",
        learner={"remote_user_id": row.contact},
        items=[{"remote_product_id": f"tag:{row.id}"}],
    )


def _tagged(row: _Row, contact: Payload) -> EnrollmentCommand:
    return command(
        action=Action.ENROLL,
        occurred_at=row.at,
        event_key=row.occurrence("contactGroup.applied"),
        business_key=f"tag:{row.key}",
        learner=learner_of(contact, row.contact),
        items=[{"remote_product_id": f"tag:{row.id}"}],
    )


ADAPTER: type[InboundAdapter] = Keap
