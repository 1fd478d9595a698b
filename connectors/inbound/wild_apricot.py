"""Wild Apricot: memberships, event registrations and paid invoices, by thin webhooks that are looked up.

Authentication: a secret, which the webhook's settings put into the query (as ``secret``) or into a Basic header (as the password of
any user name). Nothing is signed, so the ids are all that is taken from a body: what they mean is asked at the API.

There is no id of the occurrence, and an answer is a state: the newer notification counts. An event registration is a purchase of
its own; a membership is one for each renewal date, and gives access until then. A membership that has lapsed or
ended takes all its periods. Contacts are known by their id; a guest's registration, which has another e-mail
than its contact, is of a person known by that e-mail.

The API wants a token, which an API key gets for the client-credentials grant; it is kept until it is refused.

Sources: the vendor's page on webhooks (its three kinds of authorization); of bodies and answers nothing but public code of others that
uses them. Whether a notification is repeated is not known.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar
from urllib.parse import quote

from pydantic import Field, SecretStr

from bridge.contract.command import Action, EnrollmentCommand, email_key
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Lookup, Meaning, Reception, Response, Route
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.contract.settings import CallsOut, Duration, Rate, Secrets, SourceSettings
from bridge.kit.acknowledge import acknowledge
from bridge.kit.answers import judge
from bridge.kit.http import Http
from bridge.kit.money import major
from bridge.kit.names import clean
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import any_same
from bridge.kit.tokens import TokenKeeper

_KINDS = {  # MessageType -> what is looked up, and the parameters that may hold its id
    "Membership": ("contacts", ("Contact.Id", "ContactId")),
    "MembershipRenewed": ("contacts", ("Contact.Id", "ContactId")),
    "EventRegistration": ("eventregistrations", ("Registration.Id", "RegistrationId")),
    "Invoice": ("invoices", ("Invoice.Id", "InvoiceId")),
}
_MEMBER = frozenset({"active", "pendingrenewal", "pendingupgrade"})
_REGISTERED = frozenset({"confirmed", "noshow", ""})
_GIVEN_UP = frozenset({"cancelled", "canceled", "declined"})


class WildApricotSettings(CallsOut):
    """``[sources.NAME]`` with ``adapter = "wild_apricot"``.

    Attributes:
        secret: the webhook's token value, or the password of its Basic authorization; several while it changes.
        account_id: number of the Wild Apricot account; notifications of another one are left out.
        api_key: of an authorized application that may read contacts, events and finances.
        token_url: where the API key gets a token.
        period_grace: how long access outlasts a membership's renewal date, so that a late renewal finds it.
    """

    base_url: str = "https://api.wildapricot.org/v2.2"
    secret: Secrets
    account_id: Annotated[int, Field(ge=1, lt=10**18)]
    api_key: Annotated[SecretStr, Field(min_length=1)]
    token_url: str = "https://oauth.wildapricot.org/auth/token"  # noqa: S105 - an address
    period_grace: Duration = timedelta(days=3)


class _NotTold(Exception):
    """Wild Apricot did not answer the question; carries what follows from it."""

    def __init__(self, outcome: TryLater | NeedsOperator | Refused) -> None:
        super().__init__(outcome.why)
        self.outcome = outcome


class WildApricot:
    """Takes memberships and event registrations from Wild Apricot."""

    Settings: ClassVar[type[SourceSettings]] = WildApricotSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = True
    quantities: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset({"secret"})
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    product_id: ClassVar[str] = (
        "A membership is `level:ID` of its level, an event registration `event:ID` of its event."
    )
    setup: ClassVar[Sequence[str]] = (
        "In Wild Apricot, under Apps, Integrations and Webhooks, add a webhook with the URL `{url}`.",
        "As authorization choose the secret token in the query, name it `secret`, and put its value into `secret`.",
        "Or choose Basic, with any user name, and put the password into `secret`.",
        "Choose the notification types for memberships, membership renewals, event registrations and invoices.",
        "Under Authorized applications add a server application with an API key that may read: put it into `api_key`.",
        "Put the account's number into `account_id`.",
    )
    unverified: ClassVar[str] = (
        "All of the body (`MessageType`, `Parameters` and their names), the API's fields and status words, its rate limit, and whether a "
        "notification is repeated: no page of the vendor was to be had. A member who changes to another level keeps the old one "
        "until its renewal date."
    )
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(30, 60.0),)

    def __init__(self, settings: WildApricotSettings) -> None:
        """Take the settings of one source."""
        self._settings = settings
        self._secrets = tuple(secret.get_secret_value() for secret in settings.secret)
        self._http: Http | None = None  # of the lookup that is under way; one source has one
        self._keeper = TokenKeeper(self._log_in)

    def credentials(self) -> Sequence[str]:
        """Return none: the source is found by its address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return none, as :meth:`credentials`."""
        return None

    def verify(self, event: InboundEvent) -> None:
        """Compare the secret of the query, or the password of the Basic header.

        Raises:
            SignatureInvalid: both are missing or wrong.
        """
        shown = (event.query.get("secret"), _password(event.headers.get("authorization", "")))
        if True not in [any_same(secret, self._secrets) for secret in shown]:
            raise SignatureInvalid("the secret is not this source's")

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        """Return the end of a registration or a membership that was deleted; everything else must be asked.

        Raises:
            PayloadInvalid: the id of what it is about is missing.
        """
        body = Payload(event.json)
        kind, key = self._named(body)
        if kind and not key:
            raise PayloadInvalid({"Parameters": f"names no id of the {_words(kind)}"})
        if not _deleted(body):
            return []
        if kind == "eventregistrations":
            return [_ended(key, event.received_at)]
        return [_no_member(key, event.received_at)] if kind == "contacts" else []

    def lookups(self, event: InboundEvent) -> list[Lookup]:
        """Return the contact, the registration or the invoice that the event is about."""
        body = Payload(event.json)
        kind, key = self._named(body)
        return [Lookup(kind, key)] if kind and key and not _deleted(body) else []

    def _named(self, body: Payload) -> tuple[str, str]:
        kind, names = _KINDS.get(body.text("MessageType"), ("", ()))
        if body.text("AccountId") not in ("", str(self._settings.account_id)):
            return "", ""
        value = body.at("Parameters").value
        parameters = value if isinstance(value, dict) else {}
        # The parameters' names have dots in them, which are no path.
        return kind, next((text for name in names if (text := Payload(parameters.get(name)).text())), "")

    async def look_up(
        self, event: InboundEvent, lookup: Lookup, http: Http
    ) -> Sequence[Meaning] | TryLater | NeedsOperator | Refused:
        """Ask for a contact, a registration or an invoice, and say what it gives.

        Raises:
            PayloadInvalid: the answer can't be understood.
            TransportFault: nobody answered.
        """
        try:
            return await self._meaning(lookup.kind, lookup.key, event.received_at, http)
        except _NotTold as fault:
            return fault.outcome

    async def _meaning(self, kind: str, key: str, at: datetime, http: Http) -> list[EnrollmentCommand]:
        found = await self._get(kind, key, http)
        if kind == "contacts":
            return self._member(found, at)
        if kind == "eventregistrations":
            contact = found.text("Contact.Id")
            who = await self._get("contacts", contact, http) if contact else Payload({})
            return _registered(found, who, at)
        if not found.flag("IsPaid"):
            return []
        order, registration = found.text("OrderType"), found.text("EventRegistration.Id")
        if order.startswith("Membership") and (contact := found.text("Contact.Id")):
            return await self._meaning("contacts", contact, at, http)
        return await self._meaning("eventregistrations", registration, at, http) if registration else []

    def _member(self, contact: Payload, at: datetime) -> list[EnrollmentCommand]:
        """Return a membership's period, or the end of all of them."""
        number, level = contact.needed_text("Id"), contact.text("MembershipLevel.Id")
        status = contact.text("Status").lower()
        if status == "lapsed" or not contact.flag("MembershipEnabled"):
            return [_no_member(number, at)]
        if not level or status not in _MEMBER:
            return []
        due = _field(contact, "FieldValues", "RenewalDue", "Renewal due")
        return [
            command(
                action=Action.ENROLL,
                occurred_at=at,
                business_key=f"membership:{number}:{level}:{due.text('Value')[:10] or 'endless'}",
                learner=_person(contact),
                items=[{"remote_product_id": f"level:{level}"}],
                order={"subscription_id": f"membership:{number}", "status": contact.maybe("Status")},
                options=self._until(due.moment("Value")),
            )
        ]

    def _until(self, end: datetime | None) -> dict[str, Any]:
        with suppress(OverflowError):  # a membership that ends with the year 9999 has no end
            return {"expires_at": end + self._settings.period_grace if end else None}
        return {}

    async def _get(self, kind: str, key: str, http: Http) -> Payload:
        what = f"get the {_words(kind)} {key}"
        path = f"/accounts/{self._settings.account_id}/{kind}/{quote(key, safe='')}"
        self._http = http
        token = await self._keeper.token()
        answer = await http.send("GET", path, headers=_bearer(token))
        if answer.status == 401:
            answer = await http.send("GET", path, headers=_bearer(await self._keeper.renewed(token)))
        if answer.status == 404:
            raise _NotTold(Refused(f"{what}: not there", "See whose API key it is, then requeue the lookup."))
        if not answer.ok:
            outcome = judge(answer, what)
            raise _NotTold(outcome if isinstance(outcome, TryLater | NeedsOperator | Refused) else TryLater(what))
        found = Payload(answer.json)
        if found.text("Id") != key:
            raise _NotTold(TryLater(f"{what}: the answer can't be understood", cause="outage"))
        return found

    async def _log_in(self) -> str:
        assert self._http is not None  # noqa: S101 - set by whoever asks for a token
        pair = f"APIKEY:{self._settings.api_key.get_secret_value()}".encode()
        answer = await self._http.send(
            "POST",
            self._settings.token_url,
            form={"grant_type": "client_credentials", "scope": "auto"},
            headers={"Authorization": f"Basic {base64.b64encode(pair).decode()}", "Accept": "application/json"},
        )
        token = Payload(answer.json).text("access_token")
        if answer.ok and token:
            return token
        if answer.status in (400, 401, 403):
            raise _NotTold(NeedsOperator("log in: the API key was refused", "Correct api_key.", "lane"))
        outcome = judge(answer, "log in") if not answer.ok else None
        usable = isinstance(outcome, TryLater | NeedsOperator | Refused)
        raise _NotTold(outcome if usable else TryLater("log in: no token was answered", cause="outage"))  # type: ignore[arg-type]

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; Wild Apricot shows the answer in the webhook's log."""
        return acknowledge(reception)


def _password(header: str) -> str | None:
    scheme, _, shown = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(shown.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return None


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Accept": "application/json"}


def _words(kind: str) -> str:
    return {"contacts": "contact", "eventregistrations": "event registration"}.get(kind, "invoice")


def _deleted(body: Payload) -> bool:
    return body.text("Parameters.Action").lower() == "deleted"


def _ended(registration: str, at: datetime) -> EnrollmentCommand:
    return command(action=Action.CANCEL, occurred_at=at, business_key=f"registration:{registration}")


def _no_member(contact: str, at: datetime) -> EnrollmentCommand:
    return command(action=Action.CANCEL, occurred_at=at, order={"subscription_id": f"membership:{contact}"})


def _registered(registration: Payload, contact: Payload, at: datetime) -> list[EnrollmentCommand]:
    number, status = registration.needed_text("Id"), registration.text("Status").lower()
    if status in _GIVEN_UP:
        return [_ended(number, at)]
    fee, paid = major(registration.at("RegistrationFee").value), major(registration.at("PaidSum").value)
    settled = registration.flag("IsPaid") or not fee or (paid is not None and paid >= fee)
    if status not in _REGISTERED or registration.flag("OnWaitlist") or not settled:
        return []  # nothing is paid, or no place is left: another notification follows
    return [
        command(
            action=Action.ENROLL,
            occurred_at=at,
            business_key=f"registration:{number}",
            learner=_registrant(registration, contact),
            items=[{"remote_product_id": f"event:{registration.needed_text('Event.Id')}", "amount_paid": paid}],
            order={"number": number, "status": registration.maybe("Status"), "total": fee},
        )
    ]


def _registrant(registration: Payload, contact: Payload) -> dict[str, Any]:
    email = _field(registration, "RegistrationFields", "Email", "e-Mail").text("Value")
    known = contact.text("Email")
    if not email or (known and email_key(known) == email_key(email)):
        return _person(contact)
    first = _field(registration, "RegistrationFields", "FirstName", "First name").text("Value")
    last = _field(registration, "RegistrationFields", "LastName", "Last name").text("Value")
    return {"email": email, "first_name": clean(first), "last_name": clean(last)}


def _person(contact: Payload) -> dict[str, Any]:
    return {
        "remote_user_id": contact.needed_text("Id"),
        "email": contact.needed_text("Email"),
        "first_name": clean(contact.text("FirstName")),
        "last_name": clean(contact.text("LastName")),
        "phone": _field(contact, "FieldValues", "Phone").text("Value"),
    }


def _field(thing: Payload, fields: str, *names: str) -> Payload:
    """Return one of the account's own fields, found by its code or its name; its ``Value`` is what it says."""
    for field in thing.at(fields):
        if field.text("SystemCode") in names or field.text("FieldName") in names:
            return field
    return Payload({})


ADAPTER: type[InboundAdapter] = WildApricot
