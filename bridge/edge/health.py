"""Probes and metrics: ``/healthz``, ``/readyz``, ``/metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from aiohttp import web

from bridge.contract.errors import LedgerError
from bridge.dispatch.loop import Dispatcher
from bridge.edge.telemetry import Telemetry
from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import reports, schedule
from bridge.ledger.store import Ledger

_PATIENCE = 5.0
_FRESH = 1.0
_COOLS = 15.0


class Health:
    """Says whether the process lives, and whether it can do its work."""

    def __init__(
        self, ledger: Ledger, dispatcher: Dispatcher, telemetry: Telemetry, clock: Clock, refusing: Callable[[], bool]
    ) -> None:
        """Look at these; ``refusing`` says whether the newest event of a sender could not be kept."""
        self._ledger = ledger
        self._dispatcher = dispatcher
        self._telemetry = telemetry
        self._clock = clock
        self._refusing = refusing
        self._refused_at = float("-inf")
        self._checked_at = float("-inf")
        self._fault: str | None = None

    def add_probes_to(self, router: web.UrlDispatcher) -> None:
        """Register the probes."""
        router.add_get("/healthz", self._alive)
        router.add_get("/readyz", self._ready)

    def add_metrics_to(self, router: web.UrlDispatcher) -> None:
        """Register the metrics."""
        router.add_get("/metrics", self._metrics)

    async def _alive(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, _: web.Request) -> web.Response:
        fault = await self._ledger_fault()
        lanes = {name: lane.status for name, lane in self._dispatcher.lanes.items()}
        running = self._dispatcher.running
        ready = fault is None and running
        # A paused lane or an open breaker is no reason to send senders away: what they bring is kept and delivered later.
        body = {
            "status": "ready" if ready else "not ready",
            "ledger": fault or "writable",
            "lanes": lanes,
            "dispatch": running,
        }
        return web.json_response(body, status=200 if ready else 503)

    async def _ledger_fault(self) -> str | None:
        """Return why the ledger can't be written, by really writing; asked too often, repeat the last answer."""
        if self._clock.monotonic() - self._checked_at > _FRESH:
            self._checked_at = self._clock.monotonic()
            now = milliseconds(self._clock.now())
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._ledger.write(lambda unit: schedule.ran(unit, "readiness", now))
            except LedgerError as fault:
                self._fault = str(fault)
            except TimeoutError:
                self._fault = f"no commit within {_PATIENCE:g} s"
            else:
                self._fault = self._recent_refusal()
        return self._fault

    def _recent_refusal(self) -> str | None:
        """Keep senders away for a while when the newest of them was turned away, then let one of them try again."""
        now = self._clock.monotonic()
        if self._refusing() and now - self._refused_at > 2 * _COOLS:
            self._refused_at = now
        return "the newest event could not be kept" if self._refusing() and now - self._refused_at < _COOLS else None

    async def _metrics(self, _: web.Request) -> web.Response:
        now = milliseconds(self._clock.now())
        with suppress(LedgerError):  # the process's own counters are worth showing all the more when the ledger is away
            self._telemetry.show_ledger(await self._ledger.read(lambda connection: reports.backlog(connection, now)))
        for name, lane in self._dispatcher.lanes.items():
            self._telemetry.lane_up.labels(name).set(1 if lane.status == "running" else 0)
        return web.Response(
            body=self._telemetry.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )
