"""Authorize.Net: payments, refunds, voids and recurring billing, by webhook and the Transaction Details API.

Authentication: ``X-ANET-Signature: sha512=HEX``, the HMAC-SHA512 of the raw body under the signature key. Implementations
differ on whether the key of 128 hexadecimal digits is used as text or decoded; both are accepted, and each takes the whole
key. No time is signed. ``notificationId`` makes an event unique.

An event is thin: it names a transaction, not the buyer and not what was bought. Those are asked for with
``getTransactionDetailsRequest`` in JSON, whose answer begins with a byte order mark (an issue of the vendor's library)
and has status 200 when it is an error, too. A purchase is its transaction, however many events tell of it; one that is
held for review, only authorised or declined means nothing. A refund is a transaction of its own that names the purchase
in ``refTransId``; the purchase is asked for as well, because only its amount says whether the refund was full. A void
names the transaction itself, so nothing is asked. Amounts are numbers in major units.

Not from a source: event types other than sales and captures, whether events are sent again, the error codes but E00011
(an issue of the vendor's samples), the polite rate limit. No answer says how long a period of recurring billing is: access
ends with the subscription. The sandbox is a system of its own, with its own address and keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import Field, SecretStr

from bridge.contract.command import Action, EnrollmentCommand
from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Lookup, Meaning, Reception, Response, Route
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.contract.settings import CallsOut, Rate, Secrets, SourceSettings, TellsFailedPayments
from bridge.kit.acknowledge import acknowledge
from bridge.kit.answers import judge
from bridge.kit.http import Answer, Http
from bridge.kit.money import major
from bridge.kit.names import clean
from bridge.kit.payload import Payload, command
from bridge.kit.signatures import signed_with
from bridge.kit.subscriptions import payment_failed

_BOM = b"\xef\xbb\xbf"
_HEX_KEY = re.compile(r"[0-9A-Fa-f]{128}")
_PAYMENT = "net.authorize.payment."
_SALES = frozenset(
    f"{_PAYMENT}{what}"
    for what in ("authcapture.created", "capture.created", "priorAuthCapture.created", "fraud.approved")
)
_REFUND = f"{_PAYMENT}refund.created"
_VOID = f"{_PAYMENT}void.created"
_SUBSCRIPTION = "net.authorize.customer.subscription."
_ENDS = frozenset({f"{_SUBSCRIPTION}cancelled", f"{_SUBSCRIPTION}terminated"})
_FAILED = frozenset({f"{_SUBSCRIPTION}failed", f"{_SUBSCRIPTION}suspended"})
_EXPIRED = f"{_SUBSCRIPTION}expired"

_PAID = frozenset({"capturedPendingSettlement", "settledSuccessfully"})
_NOT_REFUNDED = frozenset({"voided", "declined", "expired", "generalError", "communicationError", "settlementError"})

_REFUSED_CREDENTIALS = frozenset({"E00005", "E00006", "E00007", "E00008", "E00011"})
_BUSY = frozenset({"E00001", "E00053", "E00104"})


class AuthorizeNetSettings(TellsFailedPayments, CallsOut):
    """``[sources.NAME]`` with ``adapter = "authorize_net"``.

    Attributes:
        signing_secrets: the signature key (128 hexadecimal digits); several while it changes.
        api_login_id: the API login id.
        transaction_key: that belongs to it.
        without_lines: what is the product of a transaction without line items: ``none`` leaves it in quarantine.
        expiry_ends_access: whether access ends when a subscription has made all its payments (instalments: no).
    """

    base_url: str = "https://api.authorize.net"
    signing_secrets: Secrets
    api_login_id: Annotated[SecretStr, Field(min_length=1)]
    transaction_key: Annotated[SecretStr, Field(min_length=1)]
    without_lines: Literal["none", "description", "invoice_number"] = "none"
    expiry_ends_access: bool = False


class AuthorizeNet:
    """Takes payments, refunds, voids and the ends of subscriptions from Authorize.Net."""

    Settings: ClassVar[type[SourceSettings]] = AuthorizeNetSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset()
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(5, 1.0),)
    product_id: ClassVar[str] = (
        "The `itemId` of each line item; for transactions without, the order's description or invoice number, as "
        "`without_lines` says."
    )
    setup: ClassVar[Sequence[str]] = (
        (
            "In the Merchant Interface, under Account and API Credentials & Keys, make a signature key and a transaction key; "
            "put them with the API login id into `signing_secrets`, `transaction_key` and `api_login_id`."
        ),
        "Under Account and Transaction Details API, enable it.",
        (
            "Under Account and Webhooks, add an endpoint with the URL `{url}`; select the payment events for captures, refunds, "
            "voids and approved fraud reviews, and the subscription events for cancelled, terminated, suspended and failed."
        ),
        "The button Test Webhook works only while the endpoint is inactive.",
        "Have your checkout send line items whose `itemId` is the product, and the customer's e-mail.",
        'For the sandbox make a second source with `base_url = "https://apitest.authorize.net"` and its own keys.',
    )
    unverified: ClassVar[str] = (
        "Event types other than sales and captures, retries, and most error codes of the API. Whether the signature key is "
        "used as text or decoded is contested; both are accepted."
    )

    def __init__(self, settings: AuthorizeNetSettings) -> None:
        """Take the settings of one source."""
        self._keys: list[bytes] = []
        for secret in settings.signing_secrets:
            key = secret.get_secret_value()
            self._keys.append(key.encode())
            if _HEX_KEY.fullmatch(key):  # never a shorter one: of spaces alone nothing would be left
                self._keys.append(bytes.fromhex(key))
        self._settings = settings

    def credentials(self) -> Sequence[str]:
        """Return none: the source is found by its address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return none, as :meth:`credentials`."""
        return None

    def verify(self, event: InboundEvent) -> None:
        """Check the signature of the raw body.

        Raises:
            SignatureInvalid: it is missing, or of no key of ours.
        """
        scheme, _, shown = event.headers.get("x-anet-signature", "").partition("=")
        if scheme.lower() != "sha512" or not signed_with(self._keys, event.body, [shown], algorithm="sha512"):
            raise SignatureInvalid("the X-ANET-Signature fits no key of this source")

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        """Return what voids and ends of subscriptions mean; what else there is, only a lookup can tell.

        Raises:
            PayloadInvalid: the transaction or the subscription is not named.
        """
        body = Payload(event.json)
        kind = body.text("eventType")
        if kind in _SALES or kind == _REFUND:
            body.needed_text("payload.id")
        if kind == _VOID:
            number = body.needed_text("payload.id")
            order = {"transaction_id": number}
            return [command(action=Action.CANCEL, business_key=number, order=order, **_common(body, event))]
        if kind in _ENDS or (kind == _EXPIRED and self._settings.expiry_ends_access):
            order = {"subscription_id": body.needed_text("payload.id")}
            return [command(action=Action.CANCEL, order=order, **_common(body, event))]
        if kind in _FAILED:
            order = {"subscription_id": body.needed_text("payload.id")}
            return [payment_failed(self._settings.failed_payment_grace, _common(body, event), order=order)]
        return []

    def lookups(self, event: InboundEvent) -> Sequence[Lookup]:
        """Return the transaction that a sale or a refund names."""
        with suppress(PayloadInvalid):
            body = Payload(event.json)
            kind = body.text("eventType")
            if kind in _SALES or kind == _REFUND:
                what, number = "refund" if kind == _REFUND else "sale", body.needed_text("payload.id")
                return (Lookup(what, number, body.maybe("notificationId")),)
        return ()

    async def look_up(
        self, event: InboundEvent, lookup: Lookup, http: Http
    ) -> Sequence[Meaning] | TryLater | NeedsOperator | Refused:
        """Ask for the transaction; for a refund also for what it refunds.

        Raises:
            PayloadInvalid: the answer does not say who bought what, or what was refunded.
            TransportFault: nobody answered.
        """
        found = await self._transaction(lookup.key, http)
        if not isinstance(found, Payload):
            return found
        common = _common(Payload(event.json), event)
        if lookup.kind == "sale":
            return [self._bought(found, common)] if found.text("transactionStatus") in _PAID else []
        if found.text("transactionStatus") in _NOT_REFUNDED:
            return []
        refunded = found.needed_text("refTransId")
        sale = await self._transaction(refunded, http)
        if not isinstance(sale, Payload):
            return sale
        given, paid = _amount(found), _amount(sale)
        refund = {"full": given is not None and paid is not None and given >= paid}
        order = {"transaction_id": refunded}
        return [command(action=Action.REFUND, business_key=refunded, refund=refund, order=order, **common)]

    async def _transaction(self, number: str, http: Http) -> Payload | TryLater | NeedsOperator | Refused:
        credentials = {
            "name": self._settings.api_login_id.get_secret_value(),
            "transactionKey": self._settings.transaction_key.get_secret_value(),
        }  # in this order: it is read as XML
        asked = {"getTransactionDetailsRequest": {"merchantAuthentication": credentials, "transId": number}}
        answer = await http.send("POST", "/xml/v1/request.api", json=asked)
        if not answer.ok:
            outcome = judge(answer, "get the transaction")
            return outcome if isinstance(outcome, TryLater | NeedsOperator | Refused) else _garbled()
        said = Payload(_json(answer))
        if said.text("messages.resultCode") == "Error":
            return _error(said)
        transaction = Payload(said.at("transaction").value, "transaction")
        return transaction if transaction.text("transId") == number else _garbled()

    def _bought(self, sale: Payload, common: dict[str, Any]) -> EnrollmentCommand:
        number = sale.needed_text("transId")
        submitted = sale.moment("submitTimeUTC")
        return command(
            action=Action.ENROLL,
            business_key=number,
            learner={
                "email": sale.needed_text("customer.email"),
                "first_name": clean(sale.text("billTo.firstName")),
                "last_name": clean(sale.text("billTo.lastName")),
                "phone": sale.text("billTo.phoneNumber"),
            },
            items=self._items(sale),
            order={
                "number": sale.maybe("order.invoiceNumber"),
                "status": sale.maybe("transactionStatus"),
                "total": _amount(sale),
                "transaction_id": number,
                "subscription_id": sale.maybe("subscription.id"),
            },
            **{**common, "occurred_at": submitted or common["occurred_at"]},
        )

    def _items(self, sale: Payload) -> list[dict[str, Any]]:
        if items := list(_lines(sale)):
            return items
        path = {"description": "order.description", "invoice_number": "order.invoiceNumber"}.get(
            self._settings.without_lines
        )
        if path is None:
            raise PayloadInvalid({"transaction.lineItems": "is missing, and without_lines names nothing else"})
        return [{"remote_product_id": sale.needed_text(path), "amount_paid": _amount(sale)}]

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge; Authorize.Net reads only the status."""
        return acknowledge(reception)


def _common(body: Payload, event: InboundEvent) -> dict[str, Any]:
    at = body.moment("eventDate") or event.received_at
    return {"event_key": body.maybe("notificationId"), "occurred_at": at}


def _amount(transaction: Payload) -> Any:
    settled = major(transaction.at("settleAmount").value)
    return major(transaction.at("authAmount").value) if settled is None else settled


def _lines(sale: Payload) -> Iterator[dict[str, Any]]:
    held = sale.at("lineItems").value
    if isinstance(held, dict):  # as the XML has it
        held = held.get("lineItem")
    for line in Payload([held] if isinstance(held, dict) else held, "transaction.lineItems"):
        quantity = major(line.at("quantity").value)
        whole = int(quantity) if quantity is not None and quantity == int(quantity) and quantity >= 1 else 1
        price = major(line.at("unitPrice").value)
        yield {
            "remote_product_id": line.needed_text("itemId"),
            "quantity": whole,
            "amount_paid": None if price is None else price * whole,
        }


def _json(answer: Answer) -> Any:
    try:
        return orjson.loads(answer.body.removeprefix(_BOM))
    except orjson.JSONDecodeError:
        return None


def _error(said: Payload) -> TryLater | NeedsOperator | Refused:
    message = next(iter(said.at("messages.message")), Payload(None))
    code = message.text("code")
    why = f"get the transaction: {code or 'an error without a code'}"
    if code in _REFUSED_CREDENTIALS:
        remedy = "Check api_login_id and transaction_key, and that the Transaction Details API is enabled."
        return NeedsOperator(why, remedy, "lane")
    if code in _BUSY or not code:
        return TryLater(why, cause="outage")
    return Refused(why, "See that the keys are of the account of the webhook, then requeue the lookup.")


def _garbled() -> TryLater:
    # The payment is real, so the question stays: a proxy's page is over some day.
    return TryLater("get the transaction: the answer can't be understood", cause="outage")


ADAPTER: type[InboundAdapter] = AuthorizeNet
