"""Any sender that follows the Standard Webhooks specification.

Signed are ``{webhook-id}.{webhook-timestamp}.{body}``; ``webhook-signature`` holds one or several signatures with a
space between them: ``v1,BASE64`` is HMAC-SHA256 under a ``whsec_`` secret, ``v1a,BASE64`` is ed25519 under the private
half of a ``whpk_`` key. Other versions are passed over, and one signature that fits is enough. The older names
``svix-id``, ``svix-timestamp`` and ``svix-signature`` mean the same. The time is that of the attempt, so it only guards
against replay; the id stays the same over all retries and makes the event unique.

The body is the sender's own; the specification recommends ``type``, ``timestamp`` and ``data``, and these are where the
action and the time are looked for unless the settings say otherwise. A conforming sender retries for about three days,
honours ``Retry-After``, follows no redirects and switches the address off when it is answered 410.

Source: the specification and its Python library (standard-webhooks/standard-webhooks). That some senders write secrets
without their prefix or without padding is the library's knowledge.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

from bridge.contract.errors import SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Meaning, Reception, Response, Route
from bridge.contract.settings import Duration, SourceSettings
from bridge.kit.acknowledge import acknowledge
from bridge.kit.mapper import Mapper
from bridge.kit.mapping import MapsFields
from bridge.kit.public_keys import ed25519_key, ed25519_signed
from bridge.kit.signatures import fresh, signed_with

_SECRET, _PUBLIC, _PRIVATE = "whsec_", "whpk_", "whsk_"
_SHORTEST = 16  # bytes; the specification asks for 24, and not every sender keeps to it
_LONGEST_TIMESTAMP = 12
_FAMILIES = ("webhook", "svix")


def _several(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def _usable(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text.startswith(_PRIVATE):
        raise ValueError(
            'expected a secret ("whsec_...") or a public key ("whpk_..."); a private key stays at the sender'
        )
    try:
        raw = _raw(text)
        if text.startswith(_PUBLIC):
            ed25519_key(raw)
    except (ValueError, binascii.Error):
        raise ValueError('expected "whsec_" and a secret in base64, or "whpk_" and a public key in base64') from None
    if len(raw) < _SHORTEST:
        raise ValueError(f"expected a secret of at least {_SHORTEST} bytes, in base64")
    return secret


def _raw(text: str) -> bytes:
    bare = text.removeprefix(_SECRET).removeprefix(_PUBLIC).rstrip("=")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)


class StandardWebhooksSettings(MapsFields):
    """``[sources.NAME]`` with ``adapter = "standard_webhooks"``.

    Attributes:
        signing_secrets: the secret (``whsec_...``) or the public key (``whpk_...``); several while it rotates.
        tolerance: how far the time of the attempt may be off, either way.
    """

    presets: ClassVar[Mapping[str, str]] = {
        "action": "type",
        "occurred_at": "timestamp",
        "event_key": "header('webhook-id') || header('svix-id')",
    }

    signing_secrets: Annotated[
        tuple[Annotated[SecretStr, Field(min_length=1), AfterValidator(_usable)], ...],
        BeforeValidator(_several),
        Field(min_length=1),
    ]
    tolerance: Duration = timedelta(minutes=5)


class StandardWebhooks:
    """Takes events of any sender that signs as Standard Webhooks asks; what they say is told by expressions."""

    Settings: ClassVar[type[SourceSettings]] = StandardWebhooksSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("POST",)
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = True
    credential_fields: ClassVar[frozenset[str]] = frozenset()
    kept_headers: ClassVar[frozenset[str]] = frozenset({"webhook-id", "svix-id"})
    product_id: ClassVar[str] = "What `fields.items.remote_product_id` finds."
    setup: ClassVar[Sequence[str]] = (
        "At the sender, add an endpoint with the address `{url}`.",
        "Choose the events that `actions` names; others are quarantined unless `unknown_actions` ignores them.",
        "Copy the endpoint's signing secret (`whsec_...`) into `signing_secrets`.",
        "Say under `fields` where the learner and the products stand in the sender's `data`.",
    )
    unverified: ClassVar[str] = ""

    def __init__(self, settings: StandardWebhooksSettings) -> None:
        """Take the settings of one source, and prepare its keys and expressions."""
        texts = [secret.get_secret_value() for secret in settings.signing_secrets]
        self._secrets = [_raw(text) for text in texts if not text.startswith(_PUBLIC)]
        self._keys = [ed25519_key(_raw(text)) for text in texts if text.startswith(_PUBLIC)]
        self._tolerance = settings.tolerance.total_seconds()
        self._mapper = Mapper(settings)
        # Which other headers are needed again differs by source here, not by type.
        read = (found.headers for _, found in settings.expressions())
        vars(self)["kept_headers"] = type(self).kept_headers.union(*read)

    def credentials(self) -> Sequence[str]:
        """Return nothing: the source is found by its address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return nothing: the source is found by its address."""
        return None

    def verify(self, event: InboundEvent) -> None:
        """Check time and signature.

        Raises:
            SignatureInvalid: no signature fits, or the attempt is too old or too new.
        """
        family = next((name for name in _FAMILIES if event.headers.get(f"{name}-id")), _FAMILIES[0])
        message_id, stamp, shown = (
            event.headers.get(f"{family}-{part}", "") for part in ("id", "timestamp", "signature")
        )
        if not (message_id and shown):
            raise SignatureInvalid("a header of the signature is missing")
        signed_at = _moment(stamp)
        if signed_at is None or not fresh(signed_at, event.received_at, window=self._tolerance, ahead=self._tolerance):
            raise SignatureInvalid("the time of the attempt is missing, too old or too new")
        message = f"{message_id}.{stamp}.".encode("utf-8", "surrogatepass") + event.body
        by_secret = signed_with(self._secrets, message, _signatures(shown, "v1"), encoding="base64")
        if not by_secret and not ed25519_signed(self._keys, message, _signatures(shown, "v1a")):
            raise SignatureInvalid("no signature of this source fits")

    def normalise(self, event: InboundEvent) -> list[Meaning]:
        """Return what the expressions find, one meaning for each row.

        Raises:
            PayloadInvalid: fields are missing or wrong; all of them are named, with their expressions.
        """
        return self._mapper.meanings(event.json, event)

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Answer 200 to everything that is proven."""
        return acknowledge(reception)


def _signatures(shown: str, version: str) -> Iterator[str]:
    for part in shown.split(" "):
        found, comma, signature = part.partition(",")
        if comma and found == version:
            yield signature


def _moment(stamp: str) -> datetime | None:
    digits = stamp.isascii() and stamp.isdigit() and len(stamp) <= _LONGEST_TIMESTAMP
    try:
        return datetime.fromtimestamp(int(stamp), UTC) if digits else None
    except (ValueError, OverflowError, OSError):
        return None


ADAPTER: type[InboundAdapter] = StandardWebhooks
