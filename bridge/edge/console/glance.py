"""What the overview shows, kept: looked up behind the pages, so that a page costs the same however large the ledger is."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from bridge.contract.catalogue import Catalogue
from bridge.contract.errors import LedgerError
from bridge.edge.console import plots, words
from bridge.edge.health import Stands
from bridge.edge.masked import veil
from bridge.edge.standing import lanes_now
from bridge.kit.clock import Clock, milliseconds, moment
from bridge.ledger import causes, days, overview, rhythm
from bridge.ledger.store import Ledger

log = structlog.get_logger(__name__)

_WATCHED_EVERY: Final = 3.0  # seconds between two looks while somebody watches
_OLD: Final = 6.0  # seconds after which a page waits a moment for something fresher than what is kept
_PATIENCE: Final = 0.05  # seconds that it waits
_IDLE_EVERY: Final = 60.0  # seconds, while nobody does
_WATCHED_FOR: Final = 60.0  # seconds after which who looked is taken to have gone
_PAST_FRESH: Final = 60.0  # seconds, for each hour that has passed
_HOURS: Final = 24
_SAMPLE: Final = 100  # purchases of each hour whose way to access is looked at

MOST_WATCHERS: Final = 100
"""Pages that are told of changes at the same time; further ones renew themselves by the clock alone."""


@dataclass(slots=True)
class _Kept:
    """The newest look. ``at``: by the monotonic clock; ``print``: differs when something did that is worth a new page."""

    at: float
    found: Mapping[str, Any]
    print: str


@dataclass(frozen=True, slots=True)
class _Hour:
    """Purchases of an hour. ``at``: when they were looked at; ``ways``: seconds to access of some of them, None: not in yet."""

    at: float
    purchases: int
    ways: list[float | None]


@dataclass(slots=True, eq=False)
class _Watcher:
    stir: asyncio.Event = field(default_factory=asyncio.Event)


class Glance:
    """Looks at the ledger every few seconds while somebody watches, seldom otherwise, and keeps what it saw."""

    def __init__(
        self,
        ledger: Ledger,
        catalogue: Callable[[], Catalogue],
        bridge: Stands,
        clock: Clock,
        quiet: Callable[[], timedelta],
    ) -> None:
        """Look at ``ledger`` and at how the lanes of this ``bridge`` stand; a silence shorter than ``quiet`` is none."""
        self._ledger = ledger
        self._catalogue = catalogue
        self._bridge = bridge
        self._clock = clock
        self._quiet = quiet
        self._started = milliseconds(clock.now())
        self._kept: _Kept | None = None
        self._look: asyncio.Task[_Kept] | None = None
        self._past: dict[datetime, _Hour] = {}
        self._looked = float("-inf")
        self._watchers: set[_Watcher] = set()
        self._stir = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def start(self) -> None:
        """Begin to look, on the event loop."""
        self._task = asyncio.create_task(self._keep_looking(), name="console:glance")

    async def close(self) -> None:
        """Look no more, and let every watcher go."""
        self._closed = True
        for watcher in self._watchers:
            watcher.stir.set()
        tasks = [task for task in (self._task, self._look) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def now(self) -> dict[str, Any]:
        """Return what was seen last, a few seconds old at most while somebody watches; ``now`` in it says when.

        Raises:
            LedgerError: nothing is kept, and the ledger is away.
        """
        at = self._clock.monotonic()
        if at - self._looked > _WATCHED_FOR:
            self._stir.set()
        self._looked = at
        kept = self._kept
        if kept is None:
            kept = await asyncio.shield(self._looking())
        elif at - kept.at > _OLD:
            done, _ = await asyncio.wait([self._looking()], timeout=_PATIENCE)
            kept = next(iter(done)).result() if done else kept
        status = self._bridge.standing()
        lanes = [
            words.lane(row, status.lanes.get(row["target"]), status.uses.get(row["target"], ()))
            for row in kept.found["lanes"]
        ]
        return {**kept.found, "lanes": lanes, "well": _is_well(kept.found, lanes), "print": kept.print}

    def changed(self) -> None:
        """Look anew before the next page is shown: somebody did something, and wants to see it."""
        self._kept = self._look = None
        self._stir.set()

    @asynccontextmanager
    async def watching(self, seen: str) -> AsyncIterator[Callable[[float], Awaitable[bool | None]] | None]:
        """Yield what says, awaited, whether anything has changed: False after some seconds without, None when it is over.

        Yields None where too many watch already. ``seen`` is the ``print`` of what the watcher has: another has changed at once.
        """
        if len(self._watchers) >= MOST_WATCHERS or self._closed:
            yield None
            return
        watcher = _Watcher()
        if self._kept is not None and self._kept.print != seen:
            watcher.stir.set()
        self._watchers.add(watcher)
        self._stir.set()

        async def changed(seconds: float) -> bool | None:
            try:
                async with asyncio.timeout(seconds):
                    await watcher.stir.wait()
            except TimeoutError:
                return None if self._closed else False
            watcher.stir.clear()
            return None if self._closed else True

        try:
            yield changed
        finally:
            self._watchers.discard(watcher)

    def _looking(self) -> asyncio.Task[_Kept]:
        """Return the look that is under way, or begin one; several who wait cost as much as one."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._once(), name="console:look")
            self._look.add_done_callback(_told)
        return self._look

    async def _once(self) -> _Kept:
        catalogue = self._catalogue()
        try:
            found = await self._ledger.read(lambda connection: self._asked(connection, catalogue))
        except LedgerError:
            self._kept = None  # a page must not say that all is well by what was so before
            raise
        kept = _Kept(self._clock.monotonic(), found, _print(found, self._bridge.standing().lanes))
        if self._look is asyncio.current_task():  # else somebody did something meanwhile, and this was seen before
            old, self._kept = self._kept, kept
            if old is None or old.print != kept.print:
                for watcher in self._watchers:
                    watcher.stir.set()
        return kept

    async def _keep_looking(self) -> None:
        while True:
            try:
                await asyncio.shield(self._looking())
            except LedgerError as fault:
                log.debug("console.not_seen", fault=str(fault))
            watched = self._watchers or self._clock.monotonic() - self._looked < _WATCHED_FOR
            self._stir.clear()
            try:
                async with asyncio.timeout(_WATCHED_EVERY if watched else _IDLE_EVERY):
                    await self._stir.wait()
            except TimeoutError:
                continue

    def _asked(self, connection: Any, catalogue: Catalogue) -> dict[str, Any]:
        now = self._clock.now()
        hour = now.replace(minute=0, second=0, microsecond=0)
        edges = [hour - timedelta(hours=n) for n in range(_HOURS - 1, -1, -1)]
        seen = [self._hour(connection, at, (hour - at) // timedelta(hours=1)) for at in edges]
        self._past = {at: kept for at, kept in self._past.items() if at in edges}
        hours = [plots.hour(at, one.ways) for at, one in zip(edges, seen, strict=True)]
        known = sorted(way for one in seen for way in one.ways if way is not None)
        return {
            "now": now,
            "today": sum(one.purchases for at, one in zip(edges, seen, strict=True) if at.date() == now.date()),
            "median": plots.quantile(known, 0.5),
            "p99": plots.quantile(known, 0.99),
            "waiting": sum(one.waiting for one in hours),
            "hours": hours,
            "plot": plots.ways_in(hours),
            "lanes": _lanes(connection, catalogue, milliseconds(now)),
            "sources": self._sources(connection, catalogue, milliseconds(now)),
            **troubles(connection),
        }

    def _hour(self, connection: Any, at: datetime, ago: int) -> _Hour:
        """Return the purchases of an hour; what is so many hours past changes less and less, and is looked at as rarely."""
        now, kept = self._clock.monotonic(), self._past.get(at)
        if kept is not None and now - kept.at < _PAST_FRESH * ago:
            return kept
        since, until = milliseconds(at), milliseconds(at + timedelta(hours=1))
        waits = days.waits(connection, since, until, _SAMPLE)
        ways = [None if wait is None else wait / 1000 for wait in waits]
        found = self._past[at] = _Hour(now, days.counted(connection, since, until, overview.MANY), ways)
        return found

    def _sources(self, connection: Any, catalogue: Catalogue, now: int) -> list[dict[str, Any]]:
        least = self._quiet() // timedelta(milliseconds=1)
        found = rhythm.how_heard(connection, catalogue.sources, self._started, least, now)
        return [
            {
                "source": name,
                "adapter": source.adapter,
                "last": None if found[name].heard is None else moment(found[name].heard or 0),
                "silent": None if found[name].heard is None else (now - (found[name].heard or 0)) / 1000,
                "usual": None if found[name].usual is None else (found[name].usual or 0) / 1000,
                "quiet": found[name].quiet,
            }
            for name, source in sorted(catalogue.sources.items())
        ]


def troubles(connection: Any) -> dict[str, list[dict[str, Any]]]:
    """Return what waits for a person, by cause and with counts."""
    return {
        "quarantine": [words.quarantine_group(row) for row in overview.quarantined(connection)],
        "dead": [words.dead_group(row, row.target) for row in causes.dead_letters(connection)],
        "lookups": [words.dead_group(row, row.source) for row in causes.dead_lookups(connection)],
    }


def _told(task: asyncio.Task[_Kept]) -> None:
    if not task.cancelled():
        task.exception()  # whoever waits for it hears of it; where nobody does any more, there is nobody to tell


def _lanes(connection: Any, catalogue: Catalogue, now: int) -> list[dict[str, Any]]:
    return [
        {**row, "paused": veil(row["paused"]), "trouble": veil(row["trouble"])}
        for row in lanes_now(connection, catalogue, now)
    ]


def _is_well(found: Mapping[str, Any], lanes: Sequence[Mapping[str, Any]]) -> bool:
    troubled = found["dead"] or found["lookups"] or any(row["kind"] != "early" for row in found["quarantine"])
    return not troubled and all(lane["mark"] == "good" for lane in lanes)


def _print(found: Mapping[str, Any], lanes: Mapping[str, str]) -> str:
    """Return a digest of what differs when a page would: not of the time that has passed meanwhile."""
    figures = [found[name] for name in ("today", "waiting", "median", "p99", "dead", "lookups", "quarantine")]
    of_lane = ("target", "queued", "in_flight", "dead", "paused", "trouble")
    stand = [[row[name] for name in of_lane] for row in found["lanes"]]
    heard = [(source["source"], source["last"], source["quiet"]) for source in found["sources"]]
    return hashlib.sha256(repr((figures, stand, heard, sorted(lanes.items()))).encode()).hexdigest()
