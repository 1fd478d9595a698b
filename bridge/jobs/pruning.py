"""Removes the record of work that was done long ago, so that years of events stay cheap.

A pass goes through each kind of rows once a day, by id, in transactions of a few milliseconds, and rests between them: the
writer is somebody else's. Where it was cut off, the next run goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

import structlog

from bridge.kit.clock import Clock, milliseconds, moment
from bridge.ledger import removals, schedule
from bridge.ledger.removals import KINDS, Kind, Part
from bridge.ledger.schedule import PRUNING
from bridge.ledger.store import Ledger

log = structlog.get_logger(__name__)

_LOOKED_AT: Final = 2_000  # rows, by a reader
_AT_ONCE: Final = 100  # rows, in one transaction
_A_DAY: Final = 86_400_000  # milliseconds
_RESTS: Final = 4.0  # times as long as the work took, a wait for the writer included
_LONGEST_REST: Final = 2.0  # seconds
Result = TypeVar("Result")


class Pruning:
    """The job of one bridge. Two that run it at once remove nothing twice."""

    def __init__(
        self,
        ledger: Ledger,
        keep: Callable[[], Mapping[str, timedelta | None]],
        clock: Clock,
        removed: Callable[[str, int], None] = lambda _what, _rows: None,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Work on ``ledger``.

        Args:
            ledger: where the rows are.
            keep: for how long what is kept; None: for good.
            clock: says what is old.
            removed: counts what was removed.
            goes_on: whether this bridge still does the timed jobs.
        """
        self._ledger = ledger
        self._keep = keep
        self._clock = clock
        self._removed = removed
        self._goes_on = goes_on
        self._gone = 0  # rows, in the pass under way

    async def run(self) -> None:
        """Go on with the passes that were cut off, and make those that are due.

        Raises:
            LedgerError: the ledger can't take it now; the next run goes on.
        """
        for kind in KINDS:
            keep = self._keep().get(kind.what)
            if keep is not None and not await self._pass(kind, milliseconds(self._clock.now() - keep)):
                return
        now = milliseconds(self._clock.now())
        await self._ledger.write(lambda unit: schedule.ran(unit, PRUNING, now))

    async def _pass(self, kind: Kind, before: int) -> bool:
        """Make the pass that is due, if one is; say whether we still go on."""
        known = (await self._ledger.read(removals.progress)).get(kind.what)
        place = 0 if known is None else known.place
        if known is not None and place:
            before = min(before, known.older_than)
        elif known is not None and before - known.older_than < _A_DAY:
            return True
        self._gone, began = 0, self._clock.monotonic()
        try:
            await self._go_through(kind, before, place)
        finally:
            if self._gone:
                since, seconds = moment(before).isoformat(), round(self._clock.monotonic() - began, 1)
                log.info("pruning.removed", what=kind.what, rows=self._gone, before=since, seconds=seconds)
        return self._goes_on()

    async def _go_through(self, kind: Kind, before: int, place: int) -> None:
        kept = await self._ledger.read(partial(removals.acted_on, kind=kind))
        while self._goes_on():
            look = partial(removals.look, kind=kind, before=before, after=place, limit=_LOOKED_AT, kept=kept)
            part = await self._resting(self._ledger.read(look))
            if part is None:
                now = milliseconds(self._clock.now())
                await self._ledger.write(partial(removals.end, kind=kind, before=before, now=now))
                return
            await self._remove(kind, part, before)
            place = part.last

    async def _remove(self, kind: Kind, part: Part, before: int) -> None:
        for few in _few_at_once(part):
            if not self._goes_on():
                return
            work = partial(removals.remove, kind=kind, part=few, before=before)
            done = await self._resting(self._ledger.write(work))
            self._gone += done
            self._removed(kind.what, done)

    async def _resting(self, work: Awaitable[Result]) -> Result:
        began = self._clock.monotonic()
        done = await work
        await asyncio.sleep(min(_LONGEST_REST, _RESTS * (self._clock.monotonic() - began)))
        return done


def _few_at_once(part: Part) -> Iterator[Part]:
    """Yield a part in parts that are small enough for one transaction; nothing where nothing is to be done."""
    ids = sorted((*part.go, *part.strip))
    for start in range(0, len(ids), _AT_ONCE):
        few = ids[start : start + _AT_ONCE]
        whole = start + _AT_ONCE >= len(ids)
        yield Part(_within(part.go, few), _within(part.strip, few), part.last if whole else few[-1])


def _within(ids: Collection[int], few: list[int]) -> list[int]:
    return [i for i in ids if few[0] <= i <= few[-1]]
