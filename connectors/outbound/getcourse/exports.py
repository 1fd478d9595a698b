"""GetCourse's export API: what the account holds, read slowly.

A request starts an export, later ones ask whether it is ready. An account makes one at a time, and takes 100 requests in two
hours, those that ask included. So all deliveries of a lane share one :class:`Exports`: an export that began after what it is
to confirm serves everybody who waits for the same one, and nobody is made to wait here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bridge.contract.errors import AnswerLost
from bridge.contract.outbound import NeedsOperator, Outcome, Refused, TryLater
from bridge.kit.answers import Ended
from bridge.kit.clock import Clock
from bridge.kit.http import Http, exchanges
from connectors.outbound.getcourse.errors import (
    ABSENT,
    AFTER_TOO_MANY,
    ALL,
    BUSY,
    NOT_READY,
    TOO_MANY,
    code_of,
    envelope,
    failure,
    text_of,
)

_GROUPS, _FIELDS = "/pl/api/account/groups", "/pl/api/account/fields"
_MOST, _WINDOW = 90, 7_200.0  # a tenth of the limit is left to others, and to the doctor
_LOOK_AFTER = 20.0  # seconds: small exports take some ten to sixty
_OTHERS_AFTER = 60.0
_TURN_AFTER = 5.0
_GIVEN_UP = 1_800.0
_KEPT = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Table:
    """A finished export. The columns are the account's own, so a cell is found by its text; ids are taken to come first."""

    rows: tuple[tuple[str, ...], ...]

    def holds(self, text: str) -> bool:
        """Say whether a cell is this text, in whatever case."""
        return any(text.casefold() == cell.casefold() for row in self.rows for cell in row)

    def lists(self, number: str) -> bool:
        """Say whether a row is that of this id."""
        return bool(number) and any(row[:1] == (number,) for row in self.rows)


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet: ask again after so many seconds."""

    after: float


_Wanted = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(slots=True)
class _Job:
    id: str
    wanted: _Wanted
    begun: datetime
    looked: float
    started: float = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.looked


class Exports:
    """One account's exports, for all deliveries of a lane."""

    def __init__(self, http: Http, key: str, clock: Clock) -> None:
        """Start with nothing under way."""
        self._http = http
        self._key = key
        self._clock = clock
        self._turn = asyncio.Lock()
        self._used: deque[float] = deque()
        self._running: _Job | None = None
        self._done: dict[_Wanted, tuple[datetime, Table]] = {}
        self._failed: dict[_Wanted, Ended] = {}  # to be told to somebody who waits for it, not to whoever looked
        self._groups: dict[str, str] = {}

    async def table(self, path: str, filters: Mapping[str, str], since: datetime) -> Table | Wait:
        """Return an export that began at ``since`` or later, or say how long to wait. One request at most.

        Raises:
            Ended: GetCourse refuses it.
        """
        wanted: _Wanted = (path, tuple(sorted(filters.items())))
        if self._turn.locked():  # a delivery that stood in a queue here would run into its deadline
            return Wait(_TURN_AFTER)
        async with self._turn:
            self._forget()
            self._tell(wanted)
            if (table := self._fresh(wanted, since)) is not None:
                return table
            if (full := self._full()) is not None:
                return full
            if self._running is None:
                return await self._begin(wanted)
            wait = await self._look(self._running)  # whosever it is: its end makes room for the next
            self._tell(wanted)
            return self._fresh(wanted, since) or wait

    async def groups(self) -> dict[str, str]:
        """Return every group of the account, name to id. It needs no export.

        Raises:
            Ended: GetCourse refuses it.
        """
        said = await self._get(_GROUPS, {})
        if (outcome := failure(said, "list the groups")) is not None:
            raise Ended(outcome)
        return {str(one.get("name", "")).strip(): str(one.get("id", "")) for one in _listed(said)}

    async def group_id(self, name: str) -> str | None:
        """Return a group's id, looked up once; None where there is no such group.

        Raises:
            Ended: GetCourse refuses it.
        """
        if name not in self._groups:
            self._groups = await self.groups()
        return self._groups.get(name)

    async def field_names(self) -> set[str]:
        """Return every text in the directory of additional fields: a field's name is among them.

        Raises:
            Ended: GetCourse refuses it.
        """
        self._used.append(self._clock.monotonic())
        answer = await self._http.send("POST", _FIELDS, form={"action": "get", "key": self._key})
        said = envelope(answer, "list the additional fields")
        if (outcome := failure(said, "list the additional fields")) is not None:
            raise Ended(outcome)
        return {text for one in _listed(said) for text in one.values() if isinstance(text, str)}

    def _tell(self, wanted: _Wanted) -> None:
        if (ended := self._failed.pop(wanted, None)) is not None:
            raise ended

    def _fresh(self, wanted: _Wanted, since: datetime) -> Table | None:
        done = self._done.get(wanted)
        return done[1] if done is not None and done[0] >= since else None

    def _forget(self) -> None:
        now, moment = self._clock.monotonic(), self._clock.now()
        self._done = {wanted: done for wanted, done in self._done.items() if moment - done[0] < _KEPT}
        if self._running is not None and now - self._running.started > _GIVEN_UP:
            self._running = None

    def _full(self) -> Wait | None:
        now = self._clock.monotonic()
        while self._used and self._used[0] <= now - _WINDOW:
            self._used.popleft()
        return Wait(self._used[0] + _WINDOW - now) if len(self._used) >= _MOST else None

    async def _begin(self, wanted: _Wanted) -> Wait:
        path, filters = wanted
        begun = self._clock.now()
        said = await self._get(path, dict(filters))
        if (wait := _later(said)) is not None:
            return wait
        if (outcome := failure(said, "start an export")) is not None:
            raise Ended(outcome)
        info = said.get("info")
        number = str(info.get("export_id", "")) if isinstance(info, dict) else ""
        if number.isascii() and number.isdigit():
            self._running = _Job(number, wanted, begun, self._clock.monotonic())
        return Wait(_LOOK_AFTER if self._running else _OTHERS_AFTER)

    async def _look(self, job: _Job) -> Wait:
        rest = job.looked + _LOOK_AFTER - self._clock.monotonic()
        if rest > 0:
            return Wait(rest)
        job.looked = self._clock.monotonic()
        try:
            said = await self._get(f"/pl/api/account/exports/{job.id}", {})
            if (wait := _later(said)) is not None:
                return wait
            self._done[job.wanted] = (job.begun, _finished(said))
        except AnswerLost as fault:  # of a group of many, it may be longer than an answer can be; imports go on
            why = f"read an export: {fault}"
            self._failed[job.wanted] = Ended(TryLater(why, applied="unknown", cause="busy"))
        except Ended as ended:
            if not _is_gone(ended.outcome):
                if _concerns_all(ended.outcome):
                    raise
                self._failed[job.wanted] = ended
        self._running = None
        return Wait(1.0)

    async def _get(self, path: str, filters: Mapping[str, str]) -> Mapping[str, Any]:
        self._used.append(self._clock.monotonic())
        story = exchanges.get()
        before = len(story or ())
        answer = await self._http.send("GET", path, params={"key": self._key, **filters})
        said = envelope(answer, "read from the export API")
        info = said.get("info")
        if isinstance(info, dict) and info.get("items"):
            for exchange in (story or [])[before:]:  # rows of other people, in columns that tell no names from titles
                exchange.answer = {"success": said.get("success"), "rows": len(info["items"])}
        return said


def _later(said: Mapping[str, Any]) -> Wait | None:
    """Say how long to wait where GetCourse asks for it; imports go on meanwhile, so the lane is not told."""
    code, text = code_of(said), text_of(said).lower()
    if code == TOO_MANY or "слишком много запросов" in text:
        return Wait(AFTER_TOO_MANY)
    if code == BUSY or "уже запущен" in text:
        return Wait(_OTHERS_AFTER)
    if code == NOT_READY or "еще не создан" in text or "ещё не создан" in text:
        return Wait(_LOOK_AFTER)
    return None


def _is_gone(outcome: Outcome) -> bool:
    """Say whether GetCourse no longer has the export: it is begun anew. Were the account gone, that would show then."""
    why = getattr(outcome, "why", "")
    absent = isinstance(outcome, Refused) and (f"error {ABSENT}," in why or "не найден" in why.lower())
    return absent or getattr(outcome, "remedy", "") == ALL["no-account"].next_step


def _concerns_all(outcome: Outcome) -> bool:
    if isinstance(outcome, TryLater):
        return outcome.cause != "busy"
    return isinstance(outcome, NeedsOperator) and outcome.scope == "lane"


def _listed(said: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    info = said.get("info")
    items = info.get("items") if isinstance(info, dict) else info
    return [one for one in items if isinstance(one, dict)] if isinstance(items, list) else []


def _finished(said: Mapping[str, Any]) -> Table:
    """Return what a finished export holds.

    Raises:
        Ended: it can't be read. It is not taken for an empty one, which would confirm that somebody is in a group no more.
    """
    if "файл не создан" in text_of(said).lower():  # of an export that would be empty
        return Table(())
    if (outcome := failure(said, "read an export")) is not None:
        raise Ended(outcome)
    info = said.get("info")
    rows = [_cells(row) for row in _values(info.get("items") if isinstance(info, dict) else None) or ()]
    if not isinstance(info, dict) or _values(info.get("items")) is None or None in rows:
        raise Ended(TryLater("read an export: it is finished, and has no rows", applied="unknown", cause="busy"))
    return Table(tuple(row for row in rows if row is not None))


def _cells(row: object) -> tuple[str, ...] | None:
    cells = _values(row)
    return None if cells is None else tuple(str(cell).strip() for cell in cells)


def _values(several: object) -> list[Any] | None:
    """Return the members of a list, which PHP sends as an object where its keys have gaps."""
    if isinstance(several, dict):
        return list(several.values())
    return several if isinstance(several, list) else None
