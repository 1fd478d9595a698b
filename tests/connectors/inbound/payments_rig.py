"""What the tests of payment systems share: altered bytes, a ledger behind an adapter, and an API on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web
from hypothesis import settings
from hypothesis import strategies as st

from bridge.contract.catalogue import ProductEntry, SourceEntry
from bridge.contract.inbound import InboundAdapter, InboundEvent
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows, open_session
from bridge.ledger.store import Ledger
from tests.ledger.blank import blank_at
from tests.ledger.rig import SHOP, World, mapping
from tests.suites.inbound import GARBAGE

ALTERATIONS = settings(GARBAGE, max_examples=100)


@st.composite
def altered(draw: st.DrawFn, good: bytes) -> bytes:
    """The same bytes with one of them changed, left out or added."""
    place = draw(st.integers(0, len(good) - 1))
    how = draw(st.sampled_from(("changed", "left out", "added")))
    if how == "left out":
        return good[:place] + good[place + 1 :]
    byte = bytes([draw(st.integers(0, 255).filter(lambda value: how == "added" or value != good[place]))])
    return good[:place] + byte + good[place + (how == "changed") :]


@st.composite
def altered_text(draw: st.DrawFn, good: str) -> str:
    """The same text with one character changed into another one that can stand in a header."""
    place = draw(st.integers(0, len(good) - 1))
    other = draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda text: text != good[place]))
    return good[:place] + other + good[place + 1 :]


class Shop:
    """A source with its adapter, before a ledger of its own."""

    def __init__(self, world: World, adapter: InboundAdapter, source: SourceEntry) -> None:
        self.world = world
        self._adapter = adapter
        self._source = source

    async def receive(self, *events: InboundEvent) -> None:
        """Take these in, one after the other, as the edge does once they are verified."""
        for event in events:
            await self.world.intake.receive(self._source, self._adapter, event)

    async def look_up(self, event: InboundEvent, http: Http) -> None:
        """Take an event in and ask what it means, as the background job does."""
        reception = await self.world.intake.receive(self._source, self._adapter, event)
        rows = await self.world.rows("SELECT id, kind, key FROM lookup WHERE event_id = :id", id=reception.event_id)
        for row, lookup in zip(rows, self._adapter.lookups(event), strict=True):  # type: ignore[attr-defined]
            found = await self._adapter.look_up(event, lookup, http)  # type: ignore[attr-defined]
            assert isinstance(found, list), found
            await self.world.intake.accept_found(self._source, reception.event_id, found, event, row.id)

    async def intents(self) -> list[str]:
        """What is wanted of each registration, in the order in which they were made."""
        return [row.intent for row in await self.world.rows("SELECT intent FROM registration ORDER BY id")]

    async def granted(self) -> int:
        """How many order lines are a reason by now why somebody is in."""
        return await self.world.one('SELECT count(*) FROM "grant" WHERE live = 1')

    async def waiting(self) -> int:
        """How much is in quarantine."""
        return await self.world.one("SELECT count(*) FROM quarantine WHERE state = 'waiting'")


@asynccontextmanager
async def shop(folder: Path, adapter: InboundAdapter, *products: str) -> AsyncIterator[Shop]:
    """Open a ledger where these products lead to a course."""
    ledger = Ledger(blank_at(folder / "bridge.db"))
    await ledger.open()
    world = World(ledger)
    world.catalogue = mapping(products={(SHOP.name, product): ProductEntry(("web",)) for product in products})
    try:
        yield Shop(world, adapter, replace(SHOP))
    finally:
        await ledger.close()


@dataclass
class Api:
    """A sender's API on loopback: answers what the test says, and keeps what it was asked."""

    answers: list[web.Response | Callable[[], web.Response]] = field(default_factory=list)
    asked: list[tuple[str, str, Mapping[str, str], Any]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Note the request, and give the next answer; the last one stays."""
        self.asked.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return answer() if callable(answer) else answer


@asynccontextmanager
async def served(*answers: Callable[[], web.Response]) -> AsyncIterator[tuple[Api, Http]]:
    """Serve these answers, and return the API with an Http that leads to it."""
    api = Api(list(answers))
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", api.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    session = open_session()
    try:
        yield api, Http(f"http://127.0.0.1:{port}", Windows((), SystemClock()), 20.0, session)  # a busy machine
    finally:
        await session.close()
        await runner.cleanup()
