"""The inbound contract: how an adapter verifies, normalises and answers a sender.

An adapter is one file in ``connectors/inbound``; its last line is ``ADAPTER: type[InboundAdapter] = ...``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable
from urllib.parse import parse_qsl

import orjson

from bridge.contract.command import EnrollmentCommand
from bridge.contract.errors import PayloadInvalid
from bridge.contract.outbound import NeedsOperator, Refused, TryLater
from bridge.contract.settings import Rate, SourceSettings


@dataclass(frozen=True)
class InboundEvent:
    """What a sender sent.

    The edge builds it from the request; replay and release build it from the ledger, where its credential fields are
    blank.

    Attributes:
        path: the address it came to, without the query and without a trailing slash.
        headers: names in lower case.
        query: decoded; of a repeated name the last value counts.
        body: as sent.
        received_at: when the bridge took it, UTC.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    received_at: datetime

    @cached_property
    def json(self) -> Any:
        """The body as JSON.

        Raises:
            PayloadInvalid: it is not JSON (field ``body``).
        """
        try:
            return orjson.loads(self.body.removeprefix(_BOM))  # some senders' libraries put one there
        except orjson.JSONDecodeError:
            raise PayloadInvalid({"body": "The request body is not valid JSON."}, readable=False) from None

    @cached_property
    def form(self) -> dict[str, str]:
        """The body as form fields, in UTF-8; of a repeated name the last value counts.

        Raises:
            PayloadInvalid: it is not a form (field ``body``).
        """
        try:
            return dict(parse_qsl(self.body.decode(), keep_blank_values=True, max_num_fields=1000))
        except ValueError:
            raise PayloadInvalid({"body": "The request body is not a valid form."}, readable=False) from None


@dataclass(frozen=True, slots=True)
class AcceptedLine:
    """One order line that is on disk.

    Attributes:
        registration_id: the public id.
        product_url: where the learner finds the course, or None when the config names no address.
        repeat: it was there already; the answer is the same as the first time.
        state: of the registration, see docs/flow.md.
    """

    registration_id: int
    remote_product_id: str
    product_url: str | None
    repeat: bool
    state: str


_BOM = b"\xef\xbb\xbf"

Kind = Literal[
    "accepted",  # kept; `lines` says what it became
    "unmapped",  # kept, and every line waits in quarantine
    "ignored",  # verified, kept or counted, and of no use to us
    "not_found",  # a registration that is not there, or is another source's
    "unreadable",  # 400: not even the syntax
    "unauthorised",  # 401
    "no_such_address",  # 404
    "method_not_allowed",  # 405
    "too_large",  # 413
    "invalid",  # 422: `faults` by field
    "unavailable",  # 503 with Retry-After: not kept, send it again
]


@dataclass(frozen=True, slots=True)
class Reception:
    """What became of a sender's call; the adapter says it in the protocol's own words.

    Attributes:
        faults: field -> what is wrong, for ``invalid`` and ``unreadable``.
        retry_after: seconds, for ``unavailable``.
        learner_id: our number of the person it concerned, for a protocol that answers with one.
    """

    kind: Kind
    lines: tuple[AcceptedLine, ...] = ()
    faults: Mapping[str, str] = field(default_factory=dict)
    retry_after: int = 5
    event_id: int | None = None
    learner_id: int | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """What the sender gets: ``body`` is sent as JSON, or as it is when it is bytes."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """One row of a post with many that can't be understood; it waits in quarantine and does not sink the others.

    Attributes:
        row: which one: the sender's id of it, or its place counted from 0.
        faults: as of :class:`bridge.contract.errors.PayloadInvalid`.
    """

    row: str
    faults: Mapping[str, str]


Meaning = EnrollmentCommand | Unreadable
"""What one row of an event means."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Something to be asked at the sender before an event is understood.

    Attributes:
        kind: what it is, in the sender's word (``order``).
        key: its id as the event gave it. The address is built from it, never taken from the event.
        event_key: the sender's own id of the occurrence, as a command's; by it a repeat of an event that means nothing
            but lookups is known.
    """

    kind: str
    key: str
    event_key: str | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """A fixed address that a protocol prescribes, besides ``POST /in/{source}``."""

    methods: tuple[str, ...]
    path: str


@runtime_checkable
class InboundAdapter(Protocol):
    """One kind of sender.

    Class attributes:
        Settings: model of ``[sources.NAME]``.
        routes: fixed addresses; the source is then found by :meth:`credential`.
        methods: what ``/in/{source}`` takes.
        synchronous: whether the caller waits for our word (a bad body is told so), or fires a webhook (a bad body is
            kept in quarantine and answered 200: a sender that sees 4xx switches us off).
        user_ids: whether the sender names people by ids of its own, besides their e-mail.
        quantities: optional; False where the sender never tells how many were bought.
        credential_fields: fields of body, form or query that are blanked before an event is stored.
        kept_headers: headers that :meth:`normalise` needs, in lower case; no other header is stored.
        product_id: one sentence for the docs: what the source calls its product.
        setup: for the docs: what to do at the sender, step by step; ``{url}`` stands for the source's
            own address, ``{host}`` for the bridge's.
        unverified: for the docs: what of the protocol no source confirms.
    """

    Settings: ClassVar[type[SourceSettings]]
    routes: ClassVar[Sequence[Route]]
    methods: ClassVar[Sequence[str]]
    synchronous: ClassVar[bool]
    user_ids: ClassVar[bool]
    credential_fields: ClassVar[frozenset[str]]
    kept_headers: ClassVar[frozenset[str]]
    product_id: ClassVar[str]
    setup: ClassVar[Sequence[str]]
    unverified: ClassVar[str]

    def __init__(self, settings: Any) -> None:
        """Take the validated settings of one source. No network, no disk."""

    def credentials(self) -> Sequence[str]:
        """Return the keys this source may be found by; empty when it has no fixed address."""

    @classmethod
    def credential(cls, event: InboundEvent) -> str | None:
        """Return the key that the sender presented, unverified, or None.

        Raises:
            PayloadInvalid: the syntax can't be read far enough to find it.
        """

    def verify(self, event: InboundEvent) -> None:
        """Check that the event is the source's.

        Raises:
            SignatureInvalid: it is not proven. Compare in constant time.
        """

    def normalise(self, event: InboundEvent) -> Sequence[Meaning]:
        """Say what a verified event means: any number of commands; none when it is of no use.

        Of a post with many rows each bad one becomes an :class:`Unreadable`, and the others are taken.

        Pure and without network: the same event gives the same commands, also years later.

        Raises:
            PayloadInvalid: a field is missing or wrong. Nothing else may escape, whatever the body holds.
        """

    @classmethod
    def respond(cls, event: InboundEvent, reception: Reception) -> Response:
        """Say it in the protocol's own shape. The body repeats no secret."""


def steps(kind: type[InboundAdapter], url: str, host: str) -> list[str]:
    """Return what is to be done at the sender, step by step, with the source's own address and the bridge's filled in."""
    return [step.replace("{url}", url).replace("{host}", host) for step in kind.setup]


@runtime_checkable
class Tabulates(Protocol):
    """An adapter whose sender has words that the docs should explain one by one.

    Class attributes:
        meanings: name of the sender's field -> its values -> what each does.
    """

    meanings: ClassVar[Mapping[str, Mapping[str, str]]]


@runtime_checkable
class AsksForMail(Protocol):
    """Optional: a sender that may ask for a confirmation of access, or for the texts of a cancellation to be sent.

    Class attributes:
        asks_for_mail: true; so that the operator is warned where nobody sends them.
    """

    asks_for_mail: ClassVar[bool]


@runtime_checkable
class Handshakes(Protocol):
    """An adapter whose sender first asks whether the address is ours."""

    def handshake(self, event: InboundEvent) -> Response | None:
        """Answer such a call; None for every other one. It is not verified, and nothing of it is stored or has an effect."""


@runtime_checkable
class Verifies(Protocol):
    """An adapter that can't verify every event by itself: it needs a certificate, or asks the sender."""

    async def verify_afar(self, event: InboundEvent, http: Any) -> None:
        """Finish what :meth:`InboundAdapter.verify` could not, through a :class:`bridge.kit.http.Http` of the source.

        Raises:
            SignatureInvalid: it is not proven.
            TransportFault: nobody answered: the sender is told to come again (503).
        """


@runtime_checkable
class Enriches(Protocol):
    """An adapter whose events are thin: what they mean is asked at the sender, in the background.

    Class attributes:
        rate_limit: the sender's published limits; ``rate_limit`` of the source replaces it.
    """

    rate_limit: ClassVar[Sequence[Rate]]

    def lookups(self, event: InboundEvent) -> Sequence[Lookup]:
        """Say what must be asked about a verified event, besides what :meth:`InboundAdapter.normalise` makes of it.

        Pure, as ``normalise``; it is called after it, and must not raise.
        """

    async def look_up(
        self, event: InboundEvent, lookup: Lookup, http: Any
    ) -> Sequence[Meaning] | TryLater | NeedsOperator | Refused:
        """Ask one thing and say what the event means by it; none when it is of no use.

        Made again after any crash, so it must have no effect at the sender. The event comes from the ledger: its
        credential fields are blank.

        Raises:
            PayloadInvalid: the answer can't be understood.
            TransportFault: nobody answered; it is tried again.
        """
