"""The addresses that tell of the systems at both ends: what is configured, by what credentials, what to do at a sender."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, Field

from bridge.edge.api.endpoint import Call, Desk, Endpoint, Nothing
from bridge.edge.systems import sources_told, target_told


class Credential(BaseModel):
    """A credential, without its value.

    Attributes:
        setting: where it stands in the configuration.
        kind: such as ``API key`` or ``signing secret``.
        place: which of several it is while they rotate, from 1 on: the first is the current one; 0 where there is one.
        since: when a bridge on this ledger first worked by it; null until that is kept.
    """

    setting: str
    kind: str
    place: int
    since: datetime | None


class Limit(BaseModel):
    """A window of a rate limit."""

    requests: int
    seconds: float


class Target(BaseModel):
    """A target as it is configured. ``own_limit``: ``rate_limit`` of the configuration; else the connector's."""

    target: str
    connector: str
    what: str
    stage: str
    base_url: str
    concurrency: int
    limits: list[Limit]
    own_limit: bool
    credentials: list[Credential]


class Targets(BaseModel):
    """The targets that are in use."""

    items: list[Target]


class Address(BaseModel):
    """Where a sender calls. ``methods``: with a bar between them."""

    methods: str
    url: str


class NewestEvent(BaseModel):
    """What a source sent last; the id is null where the event itself is gone."""

    at: datetime
    event_id: int | None
    state: str | None
    note: str | None


class Today(BaseModel):
    """What came since midnight UTC.

    Attributes:
        events: all of them. The other figures are of the newest 10,000 events of all sources: ``part`` says whether there are more.
        purchases: new ones.
    """

    events: int
    part: bool
    purchases: int
    accepted: int
    refused: int
    unreadable: int
    ignored: int


class Source(BaseModel):
    """A source as it is configured, and how it is heard.

    Attributes:
        product: what it calls its product.
        public: the addresses begin with ``[server] public_url``; else with where the bridge listens.
        steps: what is to be done at the sender.
        asks: the address of the sender's API, where the bridge asks it; else empty.
    """

    source: str
    adapter: str
    what: str
    product: str
    addresses: list[Address]
    public: bool
    steps: list[str]
    asks: str
    credentials: list[Credential]
    last_event: NewestEvent | None
    usual_silence: float | None = Field(description="seconds at this time of the week; null while too little is known")
    today: Today


class Sources(BaseModel):
    """The sources that are in use."""

    items: list[Source]


async def _targets(desk: Desk, _: Call) -> dict[str, Any]:
    facts = desk.targets()
    return {"items": await desk.ledger.read(lambda connection: [target_told(connection, one) for one in facts])}


async def _sources(desk: Desk, call: Call) -> dict[str, Any]:
    facts, now = desk.sources(), desk.clock.now()
    return {"items": call.shown(await desk.ledger.read(lambda connection: sources_told(connection, facts, now)))}


SYSTEMS: Final = (
    Endpoint(
        "GET",
        "/targets",
        "listTargets",
        "Tell what is configured of every target, with the kind and age of its credentials.",
        Targets,
        _targets,
        Nothing,
    ),
    Endpoint(
        "GET",
        "/sources",
        "listSources",
        "Tell what is configured of every source, what to do at its sender, when it spoke last, and what came today.",
        Sources,
        _sources,
        Nothing,
    ),
)
"""Every address that tells of the systems at both ends."""
