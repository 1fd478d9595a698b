"""Probes and metrics: ``/healthz``, ``/readyz``, ``/metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from aiohttp import web

from bridge.contract.errors import LedgerError
from bridge.contract.settings import Rate
from bridge.edge.telemetry import Telemetry
from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import reports, schedule
from bridge.ledger.snapshots import oldest_snapshot
from bridge.ledger.store import Ledger

_PATIENCE = 5.0
_FRESH = 1.0
_COOLS = 15.0


@dataclass(frozen=True, slots=True)
class Gait:
    """How freely a lane goes.

    Attributes:
        open: its breaker is, or the bridge paused it, so that the target is asked whether it is well again.
        elsewhere: another bridge asks.
        probe_in: seconds until it is asked from here; None where it isn't.
        hold: seconds for which the target wants nothing sent; 0: it takes everything.
        slots: deliveries that may be under way at once now.
    """

    open: bool
    elsewhere: bool
    probe_in: float | None
    hold: float
    slots: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a bridge stands.

    Attributes:
        role: ``all``, ``ingest`` or ``dispatch``.
        lanes: the state of each.
        running: whether every lane's loop is alive.
        leads: whether it does the timed jobs.
        fenced: whether it begins nothing because its heartbeat could not be written.
        bridges: how many live on the ledger, itself among them.
        beat_age: seconds since its last heartbeat that was written; 0 where there are none.
        uses: by target, how many requests of this bridge count now in each window of its limit, and the limit.
        gaits: by target, how freely its lane goes here.
    """

    role: str
    lanes: Mapping[str, str]
    running: bool
    leads: bool
    fenced: bool
    bridges: int
    beat_age: float
    uses: Mapping[str, Sequence[tuple[int, Rate]]]
    gaits: Mapping[str, Gait] = field(default_factory=dict)


class Stands(Protocol):
    """A bridge that says how it stands."""

    def standing(self) -> Standing:
        """Return it as of now."""


class Health:
    """Says whether the process lives, and whether it can do its work."""

    def __init__(
        self, ledger: Ledger, bridge: Stands, telemetry: Telemetry, clock: Clock, refused: Callable[[], str]
    ) -> None:
        """Look at these; ``refused`` says why the newest event of a sender could not be kept, or ""."""
        self._ledger = ledger
        self._bridge = bridge
        self._telemetry = telemetry
        self._clock = clock
        self._refused = refused
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
        stands = self._bridge.standing()
        ready = fault is None and stands.running
        # A paused lane or an open breaker is no reason to send senders away: what they bring is kept and delivered later.
        body = {
            "status": "ready" if ready else "not ready",
            "ledger": fault or "writable",
            "lanes": stands.lanes,
            "dispatch": stands.running,
            "role": stands.role,
            "leads": stands.leads,
            "fenced": stands.fenced,
            "bridges": stands.bridges,
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
        now, why = self._clock.monotonic(), self._refused()
        if why and now - self._refused_at > 2 * _COOLS:
            self._refused_at = now
        return f"the newest event could not be kept: {why}" if why and now - self._refused_at < _COOLS else None

    async def _metrics(self, _: web.Request) -> web.Response:
        now = milliseconds(self._clock.now())
        with suppress(LedgerError):  # the process's own counters are worth showing all the more when the ledger is away
            counts, oldest = await self._ledger.read(
                lambda connection: (reports.backlog(connection, now), oldest_snapshot(connection)), _PATIENCE
            )
            self._telemetry.show_ledger(counts)
            self._telemetry.snapshot_age.set(oldest)
        stands = self._bridge.standing()
        for name, status in stands.lanes.items():
            self._telemetry.lane_up.labels(name).set(1 if status == "running" else 0)
        self._telemetry.show_company(
            bridges=stands.bridges, leads=stands.leads, fenced=stands.fenced, beat_age=stands.beat_age
        )
        return web.Response(
            body=self._telemetry.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}
        )
