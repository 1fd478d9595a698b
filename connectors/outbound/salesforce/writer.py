"""Writing records of one object: up to 200 by one call, or one by one where that would fare better."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bridge.contract.outbound import Outcome, TryLater
from bridge.kit.clock import Clock
from connectors.outbound.salesforce.outcomes import (
    Record,
    Table,
    Told,
    stops_the_lane,
    unreadable,
    worth_splitting,
)
from connectors.outbound.salesforce.session import Session

MOST = 200
"""Records that one collections call takes."""
_COLLECTIONS_SINCE = 46.0  # API version
_AT_ONCE = 5  # single calls under way when a batch had to be split; more would queue up at the org's row locks


@dataclass(frozen=True, slots=True)
class Kind:
    """What kind of record is written. ``noun`` is what an operator calls it."""

    object: str
    external_id: str
    noun: str


class Writer:
    """Writes records of one kind; one :class:`Told` for each, in their order."""

    def __init__(self, kind: Kind, session: Session, api_version: str, clock: Clock) -> None:
        """Write through ``session``."""
        self.kind = kind
        self.table = Table(kind.external_id, lambda: session.spent_pause)
        self._session = session
        self._collections = float(api_version) >= _COLLECTIONS_SINCE
        self._clock = clock

    async def write(self, records: Sequence[Record], until: float) -> list[Told]:
        """Write all: adopted ones by their id, the others by external id. Begin no further call after ``until``."""
        told: list[Told] = []
        for start in range(0, len(records), MOST):
            if told and (rest := self._stopped(told, until)) is not None:
                return told + [Told(rest)] * (len(records) - len(told))
            told += await self._chunk(records[start : start + MOST], until)
        return told

    async def one(self, record: Record) -> Told:
        """Write one record by a call of its own."""
        place = f"/sobjects/{self.kind.object}"
        fields = {**record.link, **record.fields}
        if record.at:
            place, fields = f"{place}/{record.at}", {self.kind.external_id: record.key, **fields}
        else:  # the value stands in the path only: Salesforce refuses an upsert that repeats it in the body
            place = f"{place}/{self.kind.external_id}/{quote(record.key, safe='')}"
        return self.table.of_record(await self._session.call("PATCH", place, fields), self._what(record), record)

    async def _chunk(self, records: Sequence[Record], until: float) -> list[Told]:
        if len(records) == 1 or not self._collections:
            return await self._one_by_one(records, until)
        place = "/composite/sobjects"
        if not records[0].at:
            place += f"/{self.kind.object}/{self.kind.external_id}"
        body = {"allOrNone": False, "records": [self._member(record) for record in records]}
        answer = await self._session.call("PATCH", place, body)
        results, what = answer.json, f"write the {self.kind.noun}s"
        if answer.ok and isinstance(results, list) and len(results) == len(records):
            pairs = zip(records, results, strict=True)
            return [self.table.of_item(result, self._what(record), record) for record, result in pairs]
        if answer.ok:
            return [Told(unreadable(answer, what))] * len(records)
        common = self.table.of_call(answer, what)
        if worth_splitting(answer, common):
            return await self._one_by_one(records, until)
        return [Told(common)] * len(records)

    def _member(self, record: Record) -> dict[str, Any]:
        about = {"attributes": {"type": self.kind.object}, **({"id": record.at} if record.at else {})}
        return {**about, self.kind.external_id: record.key, **record.link, **record.fields}

    def _what(self, record: Record) -> str:
        verb = "adopt" if record.at else "upsert"
        return f"{verb} the {self.kind.noun}{record.mark.replace('-', ' ', 1)}"

    async def _one_by_one(self, records: Sequence[Record], until: float) -> list[Told]:
        """Write by single calls, a few at once, until the time is up or one says that the others would fail too."""
        told: dict[int, Told] = {}
        waiting = dict(enumerate(records))
        while waiting:
            some = _of_different_people(waiting)
            for at, done in zip(
                some, await asyncio.gather(*(self.one(waiting[at]) for at in some), return_exceptions=True), strict=True
            ):
                if isinstance(done, BaseException):
                    raise done
                told[at] = done
                del waiting[at]
            if waiting and (rest := self._stopped([told[at] for at in some], until)) is not None:
                told |= dict.fromkeys(waiting, Told(rest))
                break
        return [told[at] for at in range(len(records))]

    def _stopped(self, told: Sequence[Told], until: float) -> Outcome | None:
        """Return why the rest is not begun; None: go on."""
        stopped = next((one.outcome for one in told if stops_the_lane(one.outcome)), None)
        if stopped is not None or (stopped := self._session.parked) is not None:
            return stopped
        if self._clock.monotonic() > until:
            return TryLater(f"upsert the {self.kind.noun}: not begun, there was no time left for another call", 1.0)
        return None


def _of_different_people(waiting: dict[int, Record]) -> list[int]:
    # Writes below one contact lock it, so two of them at once would meet each other's lock.
    some: dict[str, int] = {}
    for at, record in waiting.items():
        some.setdefault(record.work.person, at)
        if len(some) == _AT_ONCE:
            break
    return [*some.values()]
