"""What is wrong now: asked of the ledger, the lanes, the disk and the clock. Levels, not events."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from bridge.contract.alerts import AlertKind
from bridge.contract.outbound import Explanation
from bridge.dispatch.lane import Lane
from bridge.jobs.alerts import words
from bridge.jobs.alerts.policy import AlertPolicy
from bridge.jobs.alerts.rhythm import Rhythm
from bridge.kit.clock import Clock, milliseconds, moment
from bridge.ledger import causes
from bridge.ledger.alerts import Sighting
from bridge.ledger.store import Ledger

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was found.

    Attributes:
        there: causes that are there now.
        doubtful: alerts, by kind and cause, that nobody can say have ended; those that are open stay so.
    """

    there: list[Sighting] = field(default_factory=list)
    doubtful: list[tuple[str, str]] = field(default_factory=list)


class Watch:
    """Looks at one bridge. It remembers since when lanes are down; everything else is asked anew each time."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        lanes: Callable[[], Mapping[str, Lane]],
        sources: Callable[[], Collection[str]],
        offsets: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """Look at these.

        Args:
            ledger: what is not settled stands there.
            clock: the machine's.
            lanes: those that run now.
            sources: the names of those that are configured now.
            offsets: target -> seconds by which our clock is ahead of its.
        """
        self._ledger = ledger
        self._clock = clock
        self._lanes = lanes
        self._sources = sources
        self._offsets = offsets
        self._rhythm = Rhythm(ledger)
        self._started = milliseconds(clock.now())
        self._down_since: dict[str, float] = {}

    async def look(self, policy: AlertPolicy, open_alerts: Mapping[tuple[str, str], Any]) -> Seen:
        """Return what is wrong now; ``open_alerts`` are the ledger's rows by kind and cause.

        Raises:
            LedgerError: the ledger is away.
        """
        seen = Seen()
        now = milliseconds(self._clock.now())
        lanes = dict(self._lanes())
        known = {name: tuple(lane.connector.errors.values()) for name, lane in lanes.items()}
        seen.there.extend(await self._ledger.read(lambda connection: list(_counted(connection, policy, known, now))))
        seen.doubtful.extend(cut_off(seen.there, open_alerts))
        await self._look_at_lanes(seen, policy, lanes, open_alerts)
        await self._look_at_sources(seen, policy, open_alerts, now)
        await self._look_at_disk(seen, policy)
        self._look_at_clock(seen, policy)
        muted = {kind.value for kind in policy.mute}
        return Seen([one for one in seen.there if one.kind not in muted], seen.doubtful)

    async def _look_at_lanes(
        self, seen: Seen, policy: AlertPolicy, lanes: Mapping[str, Lane], open_alerts: Mapping[tuple[str, str], Any]
    ) -> None:
        at = self._clock.monotonic()
        # A lane that another bridge has stopped is "open" here; why it stands still is told by its pause.
        paused = {row.target for row in await self._ledger.read(causes.lanes)}
        for name, lane in lanes.items():
            pair = (AlertKind.LANE_OPEN.value, name)
            if lane.status == "open" and name not in paused:
                elapsed = timedelta(seconds=at - self._down_since.setdefault(name, at))
                if (before := open_alerts.get(pair)) is not None:
                    elapsed = max(elapsed, self._clock.now() - moment(before.first_seen) + policy.lane_open)
                if elapsed >= policy.lane_open:
                    seen.there.append(words.lane_open(name, elapsed))
                continue
            self._down_since.pop(name, None)
            if pair in open_alerts and not lane.condition.proven and await self._tried_in_vain(name):
                seen.doubtful.append(pair)  # the bridge has started anew, and nothing has got through since

    async def _tried_in_vain(self, target: str) -> bool:
        return await self._ledger.read(lambda connection: causes.tried_in_vain(connection, target))

    async def _look_at_sources(
        self, seen: Seen, policy: AlertPolicy, open_alerts: Mapping[tuple[str, str], Any], now: int
    ) -> None:
        caught_up = await self._rhythm.learn(now)
        sources = self._sources()
        least = policy.quiet // timedelta(milliseconds=1)
        quiet = await self._rhythm.quiet(sources, self._started, least, now) if caught_up else {}
        for name, (elapsed, usual) in sorted(quiet.items()):
            seen.there.append(words.source_quiet(name, timedelta(milliseconds=elapsed), timedelta(milliseconds=usual)))
        seen.doubtful.extend(
            (kind, source)
            for (kind, source), row in open_alerts.items()
            if kind == AlertKind.SOURCE_QUIET
            and source in sources
            and source not in quiet
            and not self._rhythm.heard_since(source, row.first_seen)
        )

    async def _look_at_disk(self, seen: Seen, policy: AlertPolicy) -> None:
        if self._ledger.file is None:
            return
        try:
            free = await asyncio.to_thread(_free, self._ledger.file)
        except OSError as fault:
            log.warning("alerts.disk_unknown", fault=type(fault).__name__)
            return
        if free < policy.disk_free:
            seen.there.append(words.disk_low(free))

    def _look_at_clock(self, seen: Seen, policy: AlertPolicy) -> None:
        offsets = self._offsets()
        if not offsets:
            return
        least = min(offsets.values(), key=abs)  # where one target agrees with us, it is another's clock that is wrong
        if abs(least) >= policy.clock_off.total_seconds():
            seen.there.append(words.clock_off(least, offsets))


def cut_off(there: Collection[Sighting], open_alerts: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the open alerts that were not counted because too much of their kind is there: they may well go on."""
    found = {(one.kind, one.cause) for one in there}
    full = set()
    for kind in {one.kind for one in there}:
        counts = [one.count for one in there if one.kind == kind]
        if len(counts) >= causes.GROUPS or sum(counts) >= causes.MOST:
            full.add(kind)
    return [pair for pair in open_alerts if pair[0] in full and pair not in found]


def _free(file: Path) -> int:
    return shutil.disk_usage(file.parent).free


def _counted(
    connection: Any, policy: AlertPolicy, known: Mapping[str, Collection[Explanation]], now: int
) -> Iterator[Sighting]:
    for row in causes.dead_letters(connection):
        yield words.dead_letters(row.target, row.remedy, row.n, row.why or "", row.id, known.get(row.target, ()))
    for row in causes.unmapped(connection):
        yield words.unmapped(row.source, row.remote_product_id, row.n)
    for row in causes.unreadable(connection):
        yield words.unreadable(row.source, row.n)
    for row in causes.early(connection, now - policy.early // timedelta(milliseconds=1)):
        yield words.early(row.source, row.n, policy.early)
    for row in causes.dead_lookups(connection):
        yield words.dead_lookups(row.source, row.remedy, row.n, row.why)
    for row in causes.lanes(connection):
        elapsed = timedelta(milliseconds=now - row.paused_at)
        if row.target not in known:
            continue
        if row.paused_by == "bridge":
            yield words.paused_itself(row.target, row.why, row.remedy, known[row.target])
        elif elapsed >= policy.lane_paused:
            yield words.paused_for_long(row.target, row.paused_by, elapsed)
