"""What the operator writes for a PayPal source."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from cryptography import x509
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from bridge.contract.command import Email
from bridge.contract.settings import CallsOut, Duration, MarksTestOrders, Secrets, TellsFailedPayments

SANDBOX_API = "https://api-m.sandbox.paypal.com"

_PRICE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,4})?) ([A-Z]{3})")
_SIMULATOR = "WEBHOOK_ID"  # what PayPal's webhook simulator signs with, for whoever asks it to


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _price(text: str) -> str:
    if not _PRICE.fullmatch(text):
        raise ValueError('expected an amount and a currency, such as "49.00 USD"')
    return text


def _own(secrets: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if _SIMULATOR in [secret.get_secret_value() for secret in secrets]:
        raise ValueError(f"{_SIMULATOR} is what PayPal's simulator signs with: anybody could have an event signed")
    return secrets


def _certificates(pem: str) -> str:
    if pem:
        try:
            x509.load_pem_x509_certificates(pem.encode())
        except ValueError:
            raise ValueError("expected certificates in PEM form") from None
    return pem


class PaypalSettings(MarksTestOrders, TellsFailedPayments, CallsOut):
    """``[sources.NAME]`` with ``adapter = "paypal"``: the webhook and its app; for IPN besides, ``receiver_email``.

    Attributes:
        webhook_id: id of the webhook in PayPal's developer portal: it is part of what is signed.
        client_id: of the REST app that owns the webhook; orders and subscriptions are looked up with it.
        client_secret: of the same app.
        verify: by the certificate that PayPal signs with, or by asking PayPal's API about every event.
        receiver_email: your PayPal address, one or several: IPN is taken only where it is set, and only what pays it.
        prices: least price of an IPN's product, such as "49.00 USD": a button's price can be changed by the buyer.
        period_grace: how long access outlives a paid period of a subscription.
        base_url: PayPal's API; with test_mode that of the sandbox.
        cert_hosts: hosts that a certificate may come from, by https only.
        trust_root: root certificates as PEM instead of the system's; also an issuer that PayPal does not send along.
        ipn_url: where an IPN is posted back to; PayPal's address, live or sandbox, when empty.
    """

    webhook_id: Annotated[Secrets, AfterValidator(_own)]
    client_id: Annotated[str, Field(min_length=1)]
    client_secret: Annotated[SecretStr, Field(min_length=1)]
    verify: Literal["certificate", "api"] = "certificate"
    receiver_email: Annotated[tuple[Email, ...], BeforeValidator(_several)] = ()
    prices: dict[str, Annotated[str, AfterValidator(_price)]] = Field(default_factory=dict)
    period_grace: Duration = timedelta(days=3)
    base_url: str = "https://api-m.paypal.com"
    cert_hosts: tuple[str, ...] = (
        "api.paypal.com",
        "api-m.paypal.com",
        "api.sandbox.paypal.com",
        "api-m.sandbox.paypal.com",
    )
    trust_root: Annotated[str, AfterValidator(_certificates)] = ""
    ipn_url: str = ""

    @model_validator(mode="before")
    @classmethod
    def _sandbox(cls, given: Any) -> Any:
        if isinstance(given, Mapping) and given.get("test_mode") is True and not given.get("base_url"):
            return {**given, "base_url": SANDBOX_API}
        return given

    @property
    def webhook_ids(self) -> tuple[str, ...]:
        """The ids in the clear."""
        return tuple(secret.get_secret_value() for secret in self.webhook_id)

    def least(self, product: str) -> tuple[Decimal, str] | None:
        """Return the least price of a product and its currency, or None where the operator names none."""
        match = _PRICE.fullmatch(self.prices.get(product, ""))
        return (Decimal(match[1]), match[2]) if match else None
