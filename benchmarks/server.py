"""The server under measurement, in a process of its own: ``python -m benchmarks.server KIND FOLDER CORE`` prints its port.

CORE -1 keeps to no core.

Kinds: ``bare`` (aiohttp, ``request.json()``, an answer), ``nothing`` (the real handler with verify, parse and plan; the
ledger forgets), ``event`` (the real handler on an SQLite ledger, of which only the event's own row is written), ``sqlite`` and
``single`` (the real handler and all its rows, with and without group commit); ``postgresql`` and ``postgresql-event``: the same
with the URL in FOLDER.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from aiohttp import web

from benchmarks.cores import allowed, keep_to
from benchmarks.setting import catalogue, shop, shop_adapter
from bridge.contract.inbound import AcceptedLine
from bridge.edge import logs
from bridge.edge.collector import tune_collector
from bridge.edge.sources import Source, Sources
from bridge.edge.telemetry import Telemetry
from bridge.edge.webhooks import Webhooks
from bridge.intake.intake import Intake
from bridge.intake.result import Result
from bridge.kit.clock import SystemClock
from bridge.ledger import events, writer
from bridge.ledger.store import Ledger


class Forgetful:
    """Stands where the ledger stands, keeps nothing: what the same handler does without one."""

    async def submit(self, _work: Any, member: Any) -> Result:
        """Answer as if it were kept."""
        line = AcceptedLine(1, "ABCD1234", member.product_url("ABCD1234"), repeat=False, state="pending")
        return Result(event_id=1, lines=[line])


class EventAlone:
    """Keeps the event's own row, and nothing of what it means: the least that "kept before answered" can be."""

    def __init__(self, ledger: Ledger) -> None:
        """Keep it in ``ledger``."""
        self._ledger = ledger

    async def submit(self, _work: Any, member: Any) -> Result:
        """Answer when the row is on disk."""
        return Result(event_id=await self._ledger.submit(events.insert, member.event))


async def _bare(request: web.Request) -> web.Response:
    body = await request.json()
    return web.json_response({"product_url": "https://school.example.org", "registration_id": len(body)})


async def main(kind: str, where: str, core: int) -> None:
    if core >= 0:
        keep_to(core, allowed())
    logs.configure("error")
    app = web.Application()
    if kind == "bare":
        app.router.add_post("/in/shop", _bare)
    else:
        ledger: Any = Forgetful()
        if kind != "nothing":
            if kind == "single":
                writer.GROUP_LIMIT = 1
            ledger = Ledger(where if kind.startswith("postgresql") else f"sqlite:///{where}/{kind}.db")
            await ledger.open()
            if kind.endswith("event"):
                ledger = EventAlone(ledger)
        sources = Sources([Source(shop(), shop_adapter())])
        Webhooks(Intake(ledger, catalogue), lambda: sources, Telemetry(), SystemClock(), 2**20).add_to(app.router)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    tune_collector()  # as the daemon does
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
