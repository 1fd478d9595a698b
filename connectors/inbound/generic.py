"""Any sender of JSON, forms or queries, told what it says by the settings alone.

``verify`` says how the sender proves who it is, one of four schemes: an HMAC of the body (with a time, where one is
signed), a token in a header or a field, HTTP basic authentication, a secret in the address. Without it the source does
not start. ``fields`` says where each field of the command stands, as JMESPath expressions; ``actions`` what each of the
sender's events means; docs/recipes holds complete examples.

What makes an event unique is whatever ``fields.event_key`` finds; without it every accepted call is kept, and a repeat
is decided by ``fields.business_key`` and the live registration. Answers are those of a webhook: 200 for everything that
is proven. Retries, and what the sender takes for a failure, are the sender's own.

Sources: the schemes are those that the senders of docs/connectors.md use; none is a protocol of its own.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator

from bridge.contract.errors import PayloadInvalid, SignatureInvalid
from bridge.contract.inbound import InboundAdapter, InboundEvent, Meaning, Reception, Response, Route
from bridge.contract.settings import Duration, Secrets, SettingsModel, SourceSettings
from bridge.kit.acknowledge import acknowledge
from bridge.kit.bodies import Format, document
from bridge.kit.mapper import Mapper
from bridge.kit.mapping import MapsFields
from bridge.kit.rows import Times
from bridge.kit.signatures import any_same, fresh, signed_with

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SIGNED_HEADER = re.compile(r"header:[A-Za-z0-9_-]+")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_SHORT = {"body": "{body}", "timestamp.body": "{timestamp}.{body}", "timestamp:body": "{timestamp}:{body}"}
_NEVER_KEPT = frozenset({"authorization", "proxy-authorization", "cookie"})


def _header(name: str) -> str:
    if name and not _HEADER.fullmatch(name):
        raise ValueError('expected the name of a header, such as "X-Signature"')
    return name.lower()


def _signed(template: str) -> str:
    template = _SHORT.get(template, template)
    names = _PLACEHOLDER.findall(template)
    strange = [
        name for name in names if name not in ("body", "timestamp", "url") and not _SIGNED_HEADER.fullmatch(name)
    ]
    if strange or len(names) != template.count("{") or len(names) != template.count("}"):
        raise ValueError('expected "body", "timestamp.body" or a template of {body}, {timestamp}, {url}, {header:X-Id}')
    if names.count("body") != 1:
        raise ValueError("expected {body} once: a signature that does not cover the body proves nothing")
    return template


def _positive(span: timedelta) -> timedelta:
    if span <= timedelta(0):
        raise ValueError("expected more than 0 seconds")
    return span


HeaderName = Annotated[str, AfterValidator(_header)]


class HmacScheme(SettingsModel):
    """A signature of the body.

    Attributes:
        header: that holds the signature, or several.
        secret: the signing secret; several while it rotates.
        secret_encoding: how the secret's bytes are written.
        algorithm: the hash that the signature is made with.
        encoding: of the signature.
        prefix: that stands before a signature, such as ``"sha256="`` or ``"v1="``.
        separator: between the parts of the header, such as ``","``, where it holds several.
        signed: what is signed: ``"body"``, ``"timestamp.body"`` or a template of ``{body}``, ``{timestamp}``,
            ``{url}`` and ``{header:X-Id}``.
        timestamp_header: that holds the signed time.
        timestamp_prefix: of the part of ``header`` that holds it instead, such as ``"t="``.
        tolerance: how far the signed time may be off, either way.
        url: the address as the sender knows it, where it is signed.
    """

    scheme: Literal["hmac"]
    header: Annotated[HeaderName, Field(min_length=1)]
    secret: Secrets
    secret_encoding: Literal["text", "hex", "base64"] = "text"  # noqa: S105 - how it is written
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    separator: str = ""
    signed: Annotated[str, AfterValidator(_signed)] = "{body}"
    timestamp_header: HeaderName = ""
    timestamp_prefix: str = ""
    tolerance: Annotated[Duration, AfterValidator(_positive)] = timedelta(minutes=5)
    url: str = ""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        placed = bool(self.timestamp_header) + bool(self.timestamp_prefix)
        if "{timestamp}" in self.signed and placed != 1:
            raise ValueError("expected timestamp_header or timestamp_prefix: signed has a {timestamp}")
        if "{timestamp}" not in self.signed and placed:
            raise ValueError("expected {timestamp} in signed: a time that is not signed proves nothing")
        if ("{url}" in self.signed) is not bool(self.url):
            raise ValueError("expected url together with {url} in signed")
        self.keys()
        return self

    def keys(self) -> list[bytes]:
        """Return the secrets as bytes.

        Raises:
            ValueError: one is not encoded as it should be.
        """
        read: Mapping[str, Callable[[str], bytes]] = {
            "text": str.encode,
            "hex": bytes.fromhex,
            "base64": lambda text: base64.b64decode(text, validate=True),
        }
        try:
            keys = [read[self.secret_encoding](secret.get_secret_value()) for secret in self.secret]
        except (ValueError, binascii.Error):
            raise ValueError(f"expected a secret in {self.secret_encoding}, as secret_encoding says") from None
        if not all(keys):
            raise ValueError("expected a secret that is not empty")
        return keys

    def verify(self, event: InboundEvent) -> None:
        """Check the signature.

        Raises:
            SignatureInvalid: it does not fit, or it is too old.
        """
        if not event.body.strip():  # what the address says is not signed
            raise SignatureInvalid("there is no body that could be signed")
        text = event.headers.get(self.header, "")
        parts = [part.strip() for part in (text.split(self.separator) if self.separator else [text])]
        presented = [part.removeprefix(self.prefix) for part in parts if part.startswith(self.prefix)]
        stamp = self._timestamp(event, parts)
        message = self._message(event, stamp)
        if not signed_with(
            self.keys(), message, filter(None, presented), algorithm=self.algorithm, encoding=self.encoding
        ):
            raise SignatureInvalid("no signature of this source fits")

    def _timestamp(self, event: InboundEvent, parts: Iterable[str]) -> str:
        if "{timestamp}" not in self.signed:
            return ""
        stamp = event.headers.get(self.timestamp_header, "")
        if self.timestamp_prefix:
            found = [part for part in parts if part.startswith(self.timestamp_prefix)]
            stamp = found[0].removeprefix(self.timestamp_prefix) if found else ""
        signed_at = _TIMES.read(stamp)
        window = self.tolerance.total_seconds()
        if signed_at is None or not fresh(signed_at, event.received_at, window=window, ahead=window):
            raise SignatureInvalid("the signature's time is missing, too old or too new")
        return stamp

    def _message(self, event: InboundEvent, stamp: str) -> bytes:
        before, after = self.signed.split("{body}")

        def filled(text: str) -> bytes:
            values = {"timestamp": stamp, "url": self.url}
            return _PLACEHOLDER.sub(lambda match: values.get(match[1]) or _named(event, match[1]), text).encode(
                "utf-8", "surrogatepass"
            )

        return filled(before) + event.body + filled(after)


class TokenScheme(SettingsModel):
    """A secret in a header, or in a field of the body.

    Attributes:
        header: that holds it.
        field: at the top of the body that holds it instead; it is blanked before the event is kept.
        prefix: that stands before it, such as ``"Bearer "``.
        secret: the token; several while it rotates.
    """

    scheme: Literal["token"]
    header: HeaderName = ""
    field: str = ""
    prefix: str = ""
    secret: Secrets

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if bool(self.header) is bool(self.field):
            raise ValueError("expected header or field: where the token stands")
        return self

    def verify(self, event: InboundEvent) -> None:
        """Compare the token.

        Raises:
            SignatureInvalid: it is missing or wrong.
        """
        shown = event.headers.get(self.header) if self.header else _in_body(event, self.field)
        if shown is None or not shown.startswith(self.prefix):
            raise SignatureInvalid("the token is missing")
        if not any_same(shown.removeprefix(self.prefix), _texts(self.secret)):
            raise SignatureInvalid("the token is not this source's")


class BasicScheme(SettingsModel):
    """HTTP basic authentication.

    Attributes:
        username: the name that the sender logs in with.
        password: of the user; several while it rotates.
    """

    scheme: Literal["basic"]
    username: str
    password: Secrets

    def verify(self, event: InboundEvent) -> None:
        """Compare user and password.

        Raises:
            SignatureInvalid: they are missing or wrong.
        """
        scheme, _, shown = event.headers.get("authorization", "").partition(" ")
        pairs = [f"{self.username}:{password}" for password in _texts(self.password)]
        expected = [base64.b64encode(pair.encode()).decode() for pair in pairs]
        if scheme.lower() != "basic" or not any_same(shown.strip(), expected):
            raise SignatureInvalid("user or password is not this source's")


class QueryScheme(SettingsModel):
    """A secret in the address: for a sender that can't do anything else.

    Attributes:
        parameter: of the address that holds it; it is blanked before the event is kept.
        secret: several while it rotates.
    """

    scheme: Literal["query"]
    parameter: Annotated[str, Field(min_length=1)] = "secret"
    secret: Secrets

    def verify(self, event: InboundEvent) -> None:
        """Compare the secret.

        Raises:
            SignatureInvalid: it is missing or wrong.
        """
        if not any_same(event.query.get(self.parameter), _texts(self.secret)):
            raise SignatureInvalid("the secret in the address is not this source's")


Scheme = Annotated[HmacScheme | TokenScheme | BasicScheme | QueryScheme, Field(discriminator="scheme")]


class GenericSettings(MapsFields):
    """``[sources.NAME]`` with ``adapter = "generic"``.

    Attributes:
        verify: how the sender proves who it is: a table with ``scheme`` and what that scheme takes: ``"hmac"`` (header,
            secret, algorithm, encoding, prefix, separator, signed, timestamp_header or timestamp_prefix, tolerance, url,
            secret_encoding), ``"token"`` (header or field, prefix, secret), ``"basic"`` (username, password),
            ``"query"`` (parameter, secret).
        format: how the body is written; ``"auto"`` looks at it, and reads the address where there is none.
    """

    verify: Scheme = Field(examples=[{"scheme": "token", "header": "X-Token", "secret": "${GENERIC_SOURCE_SECRET}"}])
    format: Format = "auto"

    @model_validator(mode="after")
    def _reads_no_credential(self) -> Self:
        verify = self.verify
        if isinstance(verify, HmacScheme) and self.format == "query":
            raise ValueError('expected another format than "query": a signature covers the body only')
        header = getattr(verify, "header", "")
        blanked = _credential_fields(verify)
        for place, expression in self.expressions():
            if expression.headers & ({header} | _NEVER_KEPT):
                raise ValueError(f"{place}: a header with credentials is not kept, and can't be read")
            if expression.names & blanked:
                name = min(expression.names & blanked)
                raise ValueError(f"{place}: '{name}' is blanked before the event is kept, and can't be read")
        return self


class Generic:
    """Takes events of any sender, by expressions in its settings."""

    Settings: ClassVar[type[SourceSettings]] = GenericSettings
    routes: ClassVar[Sequence[Route]] = ()
    methods: ClassVar[Sequence[str]] = ("GET", "POST")
    synchronous: ClassVar[bool] = False
    user_ids: ClassVar[bool] = True
    credential_fields: ClassVar[frozenset[str]] = frozenset()
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    product_id: ClassVar[str] = "What `fields.items.remote_product_id` finds."
    setup: ClassVar[Sequence[str]] = (
        "Find a recipe in docs/recipes that is near to the sender, or look at a body that it sends.",
        "Give the sender the address `{url}`, and the secret that `verify` names.",
        'With `verify.scheme = "query"` the secret stands in the address: `{url}?secret=SECRET`.',
        "Send one event: what the expressions do not find is named in `bridge quarantine`.",
    )
    unverified: ClassVar[str] = ""

    def __init__(self, settings: GenericSettings) -> None:
        """Take the settings of one source, and prepare its expressions."""
        self._verify = settings.verify
        self._format = settings.format
        self._mapper = Mapper(settings)
        # What is blanked and what is kept differs by source here, not by type.
        vars(self)["credential_fields"] = _credential_fields(settings.verify)
        vars(self)["kept_headers"] = frozenset().union(*(found.headers for _, found in settings.expressions()))

    def credentials(self) -> Sequence[str]:
        """Return nothing: the source is found by its address."""
        return ()

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return nothing: the source is found by its address."""
        return None

    def verify(self, event: InboundEvent) -> None:
        """Check what ``verify`` in the settings says.

        Raises:
            SignatureInvalid: the event is not proven.
        """
        self._verify.verify(event)

    def normalise(self, event: InboundEvent) -> list[Meaning]:
        """Return what the expressions find, one meaning for each row.

        Raises:
            PayloadInvalid: fields are missing or wrong; all of them are named, with their expressions.
        """
        return self._mapper.meanings(document(event, self._format), event)

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Answer 200 to everything that is proven."""
        return acknowledge(reception)


_TIMES = Times(UTC, "", timedelta(0))


def _texts(secrets: Iterable[SecretStr]) -> list[str]:
    return [secret.get_secret_value() for secret in secrets]


def _named(event: InboundEvent, name: str) -> str:
    value = event.headers.get(name.removeprefix("header:").lower())
    if not value:
        raise SignatureInvalid("a header that is signed is missing")
    return value


def _in_body(event: InboundEvent, field: str) -> str | None:
    try:
        body = document(event)
    except PayloadInvalid:
        raise SignatureInvalid("the body can't be read, so that there is no token to compare") from None
    shown = body.get(field) if isinstance(body, dict) else None
    return shown if isinstance(shown, str) else None


def _credential_fields(verify: Any) -> frozenset[str]:
    return frozenset({getattr(verify, "field", ""), getattr(verify, "parameter", "")} - {""})


ADAPTER: type[InboundAdapter] = Generic
