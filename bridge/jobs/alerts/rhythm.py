"""Which sources are quieter than they ever were at this time of the week."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from bridge.ledger import rhythm
from bridge.ledger.rhythm import HOUR, Hour
from bridge.ledger.store import Ledger

_AT_ONCE = 20_000  # events that one run reads
_WEEK = 7 * 24
_WEEKS = 4
_LEAST_WEEKS, _LEAST_EVENTS = 3, 50
_TIMES = 4
_COMMITTED = 5_000  # milliseconds after which no event with a smaller id comes to light any more


class Rhythm:
    """Learns from the events as they come, and says who has been silent for too long."""

    def __init__(self, ledger: Ledger) -> None:
        """Learn nothing yet."""
        self._ledger = ledger
        self._heard: dict[str, int] | None = None

    async def learn(self, now: int) -> bool:
        """Take in what came since the last time, and say whether nothing is left: a long past takes several runs.

        Raises:
            LedgerError: the ledger is away.
        """

        def ask(connection: Any) -> tuple[int | None, int, Sequence[Any], dict[str, int]]:
            before = rhythm.place(connection)
            since = (
                before if before is not None else rhythm.first_since(connection, now - (_WEEKS + 1) * _WEEK * HOUR) - 1
            )
            heard = self._heard if self._heard is not None else rhythm.last_heard(connection)
            return before, max(since, 0), rhythm.events_after(connection, max(since, 0), _AT_ONCE), heard

        before, since, found, heard = await self._ledger.read(ask)
        heard = dict(heard)
        settled = list(takewhile(lambda row: not now - _COMMITTED < row.received_at <= now, found))
        after = settled[-1].id if settled else since
        if settled or before is None:
            hours = _folded(settled, heard)
            moved = await self._ledger.write(lambda unit: rhythm.fold(unit, hours, before, after, now))
            self._heard = heard if moved else None
        else:
            self._heard = heard
        return len(found) < _AT_ONCE

    async def quiet(self, sources: Collection[str], since: int, least: int, now: int) -> dict[str, tuple[int, int]]:
        """Return which sources are too quiet: how long, and how long is usual; milliseconds.

        Args:
            sources: those to look at.
            since: nobody could be heard before.
            least: a silence that is shorter is none.
            now: the time.
        """
        heard = self._heard or {}
        silent = {
            name: now - max(heard[name], since)
            for name in sources
            if name in heard and now - max(heard[name], since) >= least
        }
        if not silent:
            return {}
        at = now // HOUR
        first = at - _WEEKS * _WEEK - 48
        hours = await self._ledger.read(
            lambda connection: {name: rhythm.hours(connection, name, first) for name in silent}
        )
        usual = {name: longest_usual(hours[name], at) for name in silent}
        return {
            name: (elapsed, known)
            for name, elapsed in silent.items()
            if (known := usual[name]) is not None and elapsed >= max(least, _TIMES * known)
        }

    def heard_since(self, source: str, at: int) -> bool:
        """Say whether a source sent something after a time (milliseconds)."""
        return (self._heard or {}).get(source, 0) > at


def longest_usual(hours: Sequence[Hour], at: int) -> int | None:
    """Return how long a source was silent at most, at this hour of the last weeks, an hour more or less; milliseconds.

    None where too little is known to say so.

    Args:
        hours: of one source, in order.
        at: the hour it is now.
    """
    past = [hour for hour in hours if hour.hour <= at - _WEEK + 1]
    weeks = 0 if not hours else (at - hours[0].hour) // _WEEK
    if weeks < _LEAST_WEEKS or sum(hour.events for hour in past) < _LEAST_EVENTS:
        return None
    rows = {hour.hour: hour for hour in past}
    looked_at = (at - week * _WEEK + more for week in range(1, weeks + 1) for more in (-1, 0, 1))
    return max(_silence(rows, past, hour) for hour in looked_at)


def _silence(rows: Mapping[int, Hour], past: Sequence[Hour], hour: int) -> int:
    end = (hour + 1) * HOUR
    if (found := rows.get(hour)) is not None:
        return max(found.longest, end - found.last_at)
    last = max((one.last_at for one in past if one.hour < hour), default=hour * HOUR)
    return end - last


def _folded(events: Iterable[Any], heard: dict[str, int]) -> list[Hour]:
    """Fold events into hours; ``heard`` comes to tell when each source was heard last."""
    hours: dict[tuple[str, int], Hour] = {}
    for event in events:
        key = (event.source, event.received_at // HOUR)
        before = heard.get(event.source, event.received_at)
        hour = hours.setdefault(key, Hour(*key, events=0, last_at=0, longest=0))
        hour.events += 1
        hour.last_at = max(hour.last_at, event.received_at)
        hour.longest = max(hour.longest, event.received_at - before)
        heard[event.source] = max(before, event.received_at)
    return list(hours.values())
