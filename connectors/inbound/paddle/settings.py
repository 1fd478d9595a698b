"""What the operator writes for a Paddle source."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from bridge.contract.settings import CallsOut, Duration, TellsFailedPayments


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def rsa_key(pem: str) -> RSAPublicKey:
    """Return the RSA key of a PEM text.

    Raises:
        ValueError: it is none; the message does not repeat it.
    """
    with suppress(ValueError):
        key = load_pem_public_key(pem.encode())
        if isinstance(key, RSAPublicKey):
            return key
    raise ValueError("expected an RSA public key in PEM form, with its BEGIN and END lines")


def _pem(text: str) -> str:
    rsa_key(text)
    return text


class PaddleSettings(TellsFailedPayments, CallsOut):
    """``[sources.NAME]`` with ``adapter = "paddle"``: Paddle Billing, Paddle Classic, or both.

    Attributes:
        signing_secrets: secret key of the notification destination (Billing), several while they rotate; [] for Classic alone.
        public_key: the account's public key as PEM (Classic), one or several.
        api_key: key of Paddle Billing with the right to read customers: a transaction names its buyer only by an id.
        email_field: without api_key, the name in custom_data under which your checkout passes the buyer's e-mail.
        tolerance: how old a signature may be; a retry may bear the time of the first try, and retries go on for days.
        period_grace: how long access outlives a paid period of a subscription.
        base_url: Paddle's API; for a sandbox account https://sandbox-api.paddle.com.
    """

    signing_secrets: Annotated[
        tuple[Annotated[SecretStr, Field(min_length=1)], ...],
        BeforeValidator(_several),
    ]
    public_key: Annotated[tuple[Annotated[str, AfterValidator(_pem)], ...], BeforeValidator(_several)] = ()
    api_key: Annotated[SecretStr, Field(min_length=1)] | None = None
    email_field: Annotated[str, Field(min_length=1)] = "email"
    tolerance: Duration = timedelta(days=4)
    period_grace: Duration = timedelta(days=3)
    base_url: str = "https://api.paddle.com"

    @model_validator(mode="after")
    def _can_verify(self) -> PaddleSettings:
        if not self.signing_secrets and not self.public_key:
            raise ValueError("expected signing_secrets for Paddle Billing, public_key for Paddle Classic, or both")
        return self
