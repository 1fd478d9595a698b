"""The configured sources with their adapters, and the lookups that are made at them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import aiohttp

from bridge import registry
from bridge.app.company import Company
from bridge.app.policies import retry_policy
from bridge.contract.catalogue import Catalogue, SourceEntry
from bridge.contract.inbound import Enriches, InboundAdapter
from bridge.contract.role import Role
from bridge.contract.settings import CallsOut
from bridge.edge.schedule import Schedule
from bridge.edge.sources import Source, Sources
from bridge.intake.intake import Intake
from bridge.jobs.lookups import LookupPolicy, Lookups, Observer
from bridge.kit.clock import Clock
from bridge.kit.http import Http, Windows, open_session
from bridge.ledger.store import Ledger
from config.settings import Settings


@dataclass(slots=True)
class Prepared:
    """Sources that are ready to be called, and what is asked for them; nothing of it runs yet."""

    sources: Sources
    lookups: Sequence[tuple[str, Lookups]]
    tick: float
    sessions: list[aiohttp.ClientSession] = field(default_factory=list)


class Senders:
    """What the sources of the newest settings are; replaced as a whole."""

    def __init__(
        self,
        ledger: Ledger,
        intake: Intake,
        clock: Clock,
        schedule: Schedule,
        observe: Observer,
        company: Company,
        role: Role,
    ) -> None:
        """Start without sources. Lookups are made where deliveries are; senders' limits are shared with ``company``."""
        self._company = company
        self._role = role
        self.sources = Sources(())
        self._ledger = ledger
        self._intake = intake
        self._clock = clock
        self._schedule = schedule
        self._observe = observe
        self._now: Prepared | None = None
        self._asking: list[asyncio.Task[None]] = []
        ledger.on_commit(self._wake)

    def prepare(self, settings: Settings, catalogue: Catalogue) -> Prepared:
        """Build the adapters of these settings; nothing changes yet."""
        sessions: list[aiohttp.ClientSession] = []
        sources = Sources(
            _source(settings, name, entry, self._clock, sessions, self._company)
            for name, entry in catalogue.sources.items()
        )
        lookups = [
            (name, found) for name, one in sources.by_name.items() if (found := self._lookups(settings, name, one))
        ]
        return Prepared(sources, lookups, settings.dispatch.lease.total_seconds() / 3, sessions)

    async def exchange(self, prepared: Prepared) -> None:
        """Let these sources be called from now on. A lookup under way ends unmade and is made again by its lease."""
        before, self._now = self._now, prepared
        self.sources = prepared.sources
        await self._end(before)
        for name, lookups in prepared.lookups:
            self._schedule.every(prepared.tick, f"lookups {name}", lookups.tick)
            self._asking.append(asyncio.create_task(lookups.run(), name=f"lookups:{name}"))

    async def close(self) -> None:
        """Ask nobody any more."""
        await self._end(self._now)
        self._now = None

    async def _end(self, before: Prepared | None) -> None:
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*self._asking, return_exceptions=True)
        self._asking.clear()
        if before is not None:
            for name, _ in before.lookups:
                self._schedule.never(f"lookups {name}")
            for session in before.sessions:
                await session.close()

    def adapter(self, source: str) -> InboundAdapter | None:
        """Return the adapter of a source, to read its events again."""
        found = self.sources.by_name.get(source)
        return found.adapter if found is not None else None

    def _wake(self, names: frozenset[str]) -> None:
        for _, lookups in self._now.lookups if self._now is not None else ():
            lookups.wake(names)

    def _lookups(self, settings: Settings, name: str, source: Source) -> Lookups | None:
        given = settings.sources[name]
        if not isinstance(given, CallsOut) or not isinstance(source.adapter, Enriches) or not self._role.delivers:
            return None
        policy = LookupPolicy(given.concurrency, given.timeout.total_seconds(), retry_policy(settings))
        return Lookups(
            source.entry, source.adapter, self._ledger, self._intake, source.http, policy, self._clock, self._observe
        )


def _source(
    settings: Settings,
    name: str,
    entry: SourceEntry,
    clock: Clock,
    sessions: list[aiohttp.ClientSession],
    company: Company,
) -> Source:
    given = settings.sources[name]
    adapter = registry.adapter_class(entry.adapter)(given)
    if not isinstance(given, CallsOut):
        return Source(entry, adapter)
    rates = given.rate_limit or getattr(adapter, "rate_limit", ())
    session = open_session(given.concurrency * 2)
    sessions.append(session)
    timeout = given.timeout.total_seconds()
    limiter = company.limiter(f"source {name}", rates, Windows(rates, clock), timeout)
    return Source(entry, adapter, Http(given.base_url, limiter, timeout, session))
