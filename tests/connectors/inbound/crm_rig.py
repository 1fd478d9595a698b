"""What the tests of CRM and LMS senders share: a ledger with a mapping, and a sender's API played on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge.contract.catalogue import ProductEntry, SourceEntry
from bridge.contract.inbound import Enriches, InboundAdapter
from bridge.dispatch.retry import RetryPolicy
from bridge.jobs.lookups import LookupPolicy, Lookups
from bridge.kit.clock import SystemClock
from bridge.kit.http import Http, Windows, open_session
from bridge.ledger.store import Ledger
from tests.ledger.blank import blank_at
from tests.ledger.rig import SHOP, World, mapping

_SOON = RetryPolicy(steps=(timedelta(milliseconds=20),), max_age=timedelta(seconds=60), jitter=0)


@asynccontextmanager
async def bridged(folder: Path, source: SourceEntry = SHOP, products: Iterable[str] = ()) -> AsyncIterator[World]:
    """A ledger that knows ``source`` and opens the course ``web`` of the target ``school`` for its products."""
    ledger = Ledger(blank_at(folder / "bridge.db"))
    await ledger.open()
    usual = mapping()
    bought = {(source.name, product): ProductEntry(("web",)) for product in products}
    world = World(ledger)
    world.catalogue = mapping(
        sources={**usual.sources, source.name: source}, products={**usual.products, **bought}, digest="this source"
    )
    yield world
    await ledger.close()


class PlayedApi:
    """A sender's API: path -> JSON, or a status."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers = dict(answers)
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    @asynccontextmanager
    async def reached(self) -> AsyncIterator[Http]:
        """Serve it, and yield what speaks to it."""
        application = web.Application()
        application.router.add_get("/{path:.*}", self._answer)
        async with TestServer(application) as server, open_session() as session:
            yield Http(str(server.make_url("")), Windows((), SystemClock()), 5.0, session)

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.raw_path, dict(request.headers)))
        answer = self.answers.get(request.raw_path, 404)
        return web.Response(status=answer) if isinstance(answer, int) else web.json_response(answer)


@asynccontextmanager
async def asking(
    world: World, source: SourceEntry, adapter: InboundAdapter, played: PlayedApi
) -> AsyncIterator[Lookups]:
    """Make lookups in the background, as the daemon does."""
    policy = LookupPolicy(concurrency=2, timeout=2.0, retry=_SOON)
    async with played.reached() as http:
        thin = cast("Enriches", adapter)
        job = Lookups(source, thin, world.ledger, world.intake, http, policy, SystemClock(), lambda *_: None)
        world.ledger.on_commit(job.wake)
        task = asyncio.create_task(job.run())
        yield job
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def answered(world: World) -> None:
    """Wait until no lookup is open."""
    for _ in range(1_000):
        if not await world.rows("SELECT id FROM lookup WHERE state = 'open'"):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("a lookup is still open")
