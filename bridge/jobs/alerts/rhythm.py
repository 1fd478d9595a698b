"""Which sources are quieter than they ever were at this time of the week."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import takewhile
from typing import Any

from bridge.ledger import rhythm
from bridge.ledger.rhythm import HOUR, Hour
from bridge.ledger.store import Ledger

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
            since = before if before is not None else rhythm.first_since(connection, rhythm.begin_of_learning(now)) - 1
            heard = self._heard if self._heard is not None else rhythm.last_heard(connection)
            return before, max(since, 0), rhythm.events_after(connection, max(since, 0), rhythm.UNFOLDED), heard

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
        return len(found) < rhythm.UNFOLDED

    async def quiet(self, sources: Collection[str], since: int, least: int, now: int) -> dict[str, tuple[int, int]]:
        """Return which sources are too quiet: how long, and how long is usual; milliseconds.

        Args:
            sources: those to look at.
            since: nobody could be heard before.
            least: a silence that is shorter is none.
            now: the time.
        """
        heard = self._heard or {}
        judged = await self._ledger.read(
            lambda connection: rhythm.silences(connection, sources, heard, since, least, now)
        )
        return {name: (one.elapsed, one.usual) for name, one in judged.items() if one.quiet and one.usual is not None}

    def heard_since(self, source: str, at: int) -> bool:
        """Say whether a source sent something after a time (milliseconds)."""
        return (self._heard or {}).get(source, 0) > at


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
