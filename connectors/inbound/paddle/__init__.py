"""Paddle: Paddle Billing, and the older Paddle Classic at the same address.

Billing signs ``ts:body`` with HMAC-SHA256 in the header ``Paddle-Signature``. Its SDK takes a signature for five seconds;
whether a retry is signed anew is contested, so ours may be days old, and ``event_id`` tells repeats. Paddle wants 200
within five seconds; it retries for days, in no order. A transaction is one purchase, paid and completed alike, and every
period of a subscription is another. It names its buyer only by an id: the customer is looked up with ``api_key``, or the
checkout passes the e-mail in ``custom_data``. Test accounts are separate; nothing in an event marks a test.

Classic puts ``p_signature`` among the fields of a form: RSA with SHA-1 over the others as PHP serialises them.
``alert_id`` tells repeats, ``order_id`` the purchase. There too every payment of a subscription is its own.

Sources: PaddleHQ/paddle-python-sdk (signature), captured deliveries in hookdeck/webhook-samples, Paddle's pages on
responding to webhooks, on adjustments and on Classic's alerts; public Classic receivers agree on its signature.

Map: settings; billing and classic (signature and meaning of each); here: the adapter and its lookup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import quote

from bridge.contract.command import EnrollmentCommand
from bridge.contract.inbound import InboundAdapter, InboundEvent, Lookup, Meaning, Reception, Response, Route
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.contract.settings import Rate, SourceSettings
from bridge.kit.acknowledge import acknowledge
from bridge.kit.answers import judge
from bridge.kit.http import Http
from bridge.kit.names import first_and_last
from bridge.kit.payload import Payload
from connectors.inbound.paddle import billing, classic
from connectors.inbound.paddle.settings import PaddleSettings, rsa_key


class Paddle:
    """Takes transactions, subscriptions, refunds and chargebacks from Paddle."""

    Settings: ClassVar[type[SourceSettings]] = PaddleSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = False
    credential_fields: ClassVar[frozenset[str]] = frozenset()
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    rate_limit: ClassVar[Sequence[Rate]] = (Rate(4, 1.0),)  # a polite guess
    product_id: ClassVar[str] = (
        "Billing: the price's id (`pri_...`), of a price made for one sale the product's (`pro_...`). "
        "Classic: `product_id`, of a subscription `subscription_plan_id`."
    )
    setup: ClassVar[Sequence[str]] = (
        "In Paddle, under *Developer Tools > Notifications*, choose *New destination*, type *URL*, and paste `{url}`.",
        "Tick `transaction.completed`, `adjustment.created` and `adjustment.updated`.",
        "Tick `subscription.canceled`, `subscription.paused` and `subscription.resumed`.",
        "The destination's secret key is `signing_secrets`.",
        "Under *Developer Tools > Authentication* make an API key that may read customers: `api_key`.",
        "Without `api_key`, have your checkout pass the buyer's e-mail in `custom_data` under `email`.",
        "For Classic: under *Developer Tools > Alerts / Webhooks* paste `{url}` and tick payment, subscription and dispute alerts.",
        "Classic's key from *Developer Tools > Public Key* is `public_key`.",
    )
    unverified: ClassVar[str] = (
        "Whether a retry of Billing is signed anew (`tolerance` is wide for that), the values of `origin`, prices of type "
        "`custom`, and how long it retries. Classic's signature is known from public receivers only."
    )

    def __init__(self, settings: PaddleSettings) -> None:
        """Take the settings of one source."""
        self._settings = settings
        self._secrets = tuple(secret.get_secret_value() for secret in settings.signing_secrets)
        self._keys = tuple(rsa_key(pem) for pem in settings.public_key)

    def credentials(self) -> Sequence[str]:
        """Return none: the address is the source's own."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return None."""
        return None

    def verify(self, event: InboundEvent) -> None:
        """Check the signature of either kind.

        Raises:
            SignatureInvalid: it is missing, wrong or too old, or the source has no key for this kind.
            PayloadInvalid: a form can't be read.
        """
        if classic.is_classic(event):
            classic.verify(event, self._keys)
        else:
            billing.verify(event, self._secrets, self._settings.tolerance)

    def normalise(self, event: InboundEvent) -> list[EnrollmentCommand]:
        """Return what the event means; nothing for a purchase whose buyer is looked up.

        Raises:
            PayloadInvalid: a field is missing or wrong.
        """
        if classic.is_classic(event):
            return classic.meaning(event, self._settings.period_grace, self._settings.failed_payment_grace)
        return billing.meaning(event, self._known, self._settings.period_grace, self._settings.failed_payment_grace)

    def _known(self, data: Payload) -> Mapping[str, Any] | None:
        """Return the buyer as the checkout passed it; None where Paddle is asked.

        Raises:
            PayloadInvalid: it passed no e-mail.
        """
        if self._settings.api_key is not None:
            data.needed_text("customer_id")
            return None
        passed = data.at("custom_data")
        first, last = first_and_last(passed.text("first_name"), passed.text("last_name"), passed.text("name"))
        return {"email": passed.needed_text(self._settings.email_field), "first_name": first, "last_name": last}

    def lookups(self, event: InboundEvent) -> list[Lookup]:
        """Return the customer of a purchase."""
        if self._settings.api_key is None or classic.is_classic(event) or not billing.is_purchase(event):
            return []
        _, data, _ = billing.base_of(event)
        return [Lookup("customer", data.text("customer_id"))]

    async def look_up(
        self, event: InboundEvent, lookup: Lookup, http: Http
    ) -> Sequence[Meaning] | TryLater | NeedsOperator | Refused:
        """Ask Paddle who the customer is.

        Raises:
            PayloadInvalid: the customer has no e-mail, or the purchase no product.
            TransportFault: nobody answered.
        """
        key = self._settings.api_key.get_secret_value() if self._settings.api_key else ""
        answer = await http.send(
            "GET", f"/customers/{quote(lookup.key, safe='')}", headers={"Authorization": f"Bearer {key}"}
        )
        if answer.status == 404:
            return Refused(f"Paddle knows no customer {lookup.key}", "Check that api_key is of the same account.")
        if not answer.ok:
            outcome = judge(answer, "get the customer")
            assert isinstance(outcome, TryLater | NeedsOperator | Refused)  # noqa: S101 - all that judge() says of a failure
            return outcome
        learner = billing.customer(Payload(answer.json).at("data"), "data")
        return billing.purchase(event, learner, self._settings.period_grace)

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Acknowledge."""
        return acknowledge(reception)


ADAPTER: type[InboundAdapter] = Paddle
