"""What the tests of sellers' platforms share: altered bytes, a ledger behind an adapter, and an API on loopback."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
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
    """The same bytes with one of them changed, left out or doubled."""
    place = draw(st.integers(0, len(good) - 1))
    how = draw(st.sampled_from(("changed", "left out", "doubled")))
    if how == "changed":
        other = draw(st.integers(0, 255).filter(lambda value: value != good[place]))
        return good[:place] + bytes([other]) + good[place + 1 :]
    return good[:place] + good[place + 1 :] if how == "left out" else good[: place + 1] + good[place:]


class Shop:
    """A source with its adapter, before a ledger of its own."""

    def __init__(self, world: World, adapter: InboundAdapter, source: SourceEntry) -> None:
        self.world = world
        self._adapter = adapter
        self._source = source

    async def receive(self, *events: InboundEvent) -> None:
        """Take these in, one after the other, as the edge does once they are verified."""
        for event in events:
            assert (await self.world.intake.receive(self._source, self._adapter, event)).kind != "unavailable"

    async def look_up(self, event: InboundEvent, http: Http) -> None:
        """Take an event in and ask what it means, as the background job does."""
        reception = await self.world.intake.receive(self._source, self._adapter, event)
        rows = await self.world.rows("SELECT id FROM lookup WHERE event_id = :id", id=reception.event_id)
        for row, lookup in zip(rows, self._adapter.lookups(event), strict=True):  # type: ignore[attr-defined]
            found = await self._adapter.look_up(event, lookup, http)  # type: ignore[attr-defined]
            assert isinstance(found, list), found
            await self.world.intake.accept_found(self._source, reception.event_id, found, event, row.id)

    async def intents(self) -> list[str]:
        """What is wanted of each registration, in the order in which they were made."""
        return [row.intent for row in await self.world.rows("SELECT intent FROM registration ORDER BY id")]

    async def wanted(self) -> dict[str, str]:
        """What is wanted by product; of several registrations of one, the newest counts."""
        rows = await self.world.rows("SELECT remote_product_id, intent FROM registration ORDER BY id")
        return {row.remote_product_id: row.intent for row in rows}

    async def waiting(self) -> int:
        """How much is in quarantine."""
        return await self.world.one("SELECT count(*) FROM quarantine WHERE state = 'waiting'")


@asynccontextmanager
async def shop(folder: Path, adapter: InboundAdapter, *products: str, test_mode: bool = False) -> AsyncIterator[Shop]:
    """Open a ledger where these products lead to a course."""
    ledger = Ledger(blank_at(folder / "bridge.db"))
    await ledger.open()
    world = World(ledger)
    world.catalogue = mapping(products={(SHOP.name, product): ProductEntry(("web",)) for product in products})
    try:
        yield Shop(world, adapter, replace(SHOP, test_mode=test_mode))
    finally:
        await ledger.close()


@dataclass
class Api:
    """A sender's API on loopback: answers by path, and keeps what it was asked.

    Attributes:
        objects: path -> what stands there, as JSON; anything else is not there.
        faults: answers given before any other, one after the other.
        asked: method, path with query, and headers of each request.
    """

    objects: dict[str, Any] = field(default_factory=dict)
    faults: list[Callable[[], web.Response]] = field(default_factory=list)
    asked: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    forms: list[Mapping[str, str]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Note the request, and answer it."""
        self.asked.append((request.method, request.raw_path, request.headers.copy()))
        if request.method == "POST":
            self.forms.append({name: str(text) for name, text in (await request.post()).items()})
        if self.faults:
            return self.faults.pop(0)()
        if request.raw_path in self.objects:
            return web.json_response(self.objects[request.raw_path])
        return web.json_response({"error": "NOT_FOUND"}, status=404)

    @asynccontextmanager
    async def reached(self) -> AsyncIterator[Http]:
        """Listen on loopback, and yield what an adapter speaks through."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.answer)
        async with TestServer(application) as server, open_session() as session:
            yield Http(str(server.make_url("/")), Windows((), SystemClock()), 2.0, session)


@asynccontextmanager
async def nobody() -> AsyncIterator[Http]:
    """Yield what speaks to a port where nobody listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        async with open_session() as session:
            yield Http(f"http://127.0.0.1:{reserved.getsockname()[1]}", Windows((), SystemClock()), 2.0, session)
