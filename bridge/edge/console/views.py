"""What the pages show: asked of the ledger, masked as everywhere, put into words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from aiohttp import web

from bridge.contract.catalogue import Catalogue
from bridge.contract.mail import MAILER
from bridge.edge.console import plots, words
from bridge.edge.console.access import Visitor
from bridge.edge.console.pages import elsewhere, page, said
from bridge.edge.health import Stands
from bridge.edge.masked import body_of, veil
from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import overview, reports
from bridge.ledger.find import MOST, find
from bridge.ledger.store import Ledger
from bridge.ledger.story import story

_FRESH: Final = 1.0  # seconds: several people who look at once cost as much as one
_PAST_FRESH: Final = 60.0  # seconds, for each hour that has passed
_HOURS: Final = 24
_LONGEST: Final = 300  # characters of what is looked for
_ROWS: Final = 100
_LARGEST_ID: Final = 2**63 - 1


class Views:
    """The pages that only show."""

    def __init__(self, ledger: Ledger, catalogue: Callable[[], Catalogue], bridge: Stands, clock: Clock) -> None:
        """Show ``ledger``, and how the lanes of this ``bridge`` stand."""
        self._ledger = ledger
        self._catalogue = catalogue
        self._bridge = bridge
        self._clock = clock
        self._asking = asyncio.Lock()
        self._searching = asyncio.Lock()
        self._known: tuple[float, dict[str, Any]] | None = None
        self._past: dict[datetime, tuple[float, list[float | None]]] = {}

    async def overview(self, _: web.Request, visitor: Visitor) -> web.Response:
        """Show at a glance whether all is well."""
        return page("overview", visitor, here="overview", **await self._glance())

    async def targets(self, _: web.Request, visitor: Visitor) -> web.Response:
        """Show every target and source, with what may be done."""
        return page("targets", visitor, here="targets", **await self._glance())

    async def troubles(self, _: web.Request, visitor: Visitor) -> web.Response:
        """Show what waits for a person, by cause."""
        return page("troubles", visitor, here="troubles", **await self._ledger.read(_troubles))

    async def find(self, _: web.Request, visitor: Visitor, said_: Mapping[str, str]) -> web.Response:
        """Find somebody; of a single purchase, show its story at once."""
        what = said_.get("what", "").strip()[:_LONGEST]
        if not what:
            return page("find", visitor, here="find", what="", found=None, most=MOST)
        async with self._searching:  # names and targets' ids have no index: one at a time
            found = await self._ledger.read(lambda connection: find(connection, what))
        if len(found["purchases"]) == 1 and not (found["waiting"] or found["events"]):
            return elsewhere(f"/console/purchases/{found['purchases'][0]['registration_id']}")
        return page("find", visitor, here="find", what=what, found=_with_states(veil(found)), most=MOST)

    async def purchase(self, request: web.Request, visitor: Visitor) -> web.Response:
        """Tell the story of a purchase."""
        wanted = str(_id(request))
        told = await self._ledger.read(lambda connection: story(connection, wanted, "registration"))
        if told is None:
            return _nothing(visitor, "purchase")
        own = veil(told["purchases"][0])
        tried = {delivery["delivery_id"] for delivery in own["deliveries"] if delivery["attempts"]}
        return page(
            "purchase",
            visitor,
            here="find",
            own=own,
            state=words.state(own["state"]),
            story=[{**one, "words": words.entry(one)} for one in own["story"]],
            steps=[{**words.step(one), "tried": one["delivery_id"] in tried} for one in own["next"]],
            lines=[line for line in own["quarantine"] if line["state"] == "waiting"],
        )

    async def delivery(self, request: web.Request, visitor: Visitor) -> web.Response:
        """Show a delivery with every request and answer."""
        wanted = _id(request)
        found = await self._ledger.read(lambda connection: reports.delivery(connection, wanted))
        if found is None:
            return _nothing(visitor, "delivery")
        return page("delivery", visitor, here="find", found=veil(found))

    async def event(self, request: web.Request, visitor: Visitor) -> web.Response:
        """Show what came in."""
        wanted = _id(request)
        found = await self._ledger.read(lambda connection: reports.event(connection, wanted))
        if found is None:
            return _nothing(visitor, "event")
        body = body_of(found, reveal=False)
        return page("event", visitor, here="find", found=veil({**found, "body": ""}), body=veil(body))

    async def audit(self, request: web.Request, visitor: Visitor) -> web.Response:
        """Show who did what when."""
        before = request.query.get("before", "")
        first = int(before) if before.isascii() and before.isdigit() and int(before) <= _LARGEST_ID else None
        rows = await self._ledger.read(lambda connection: overview.audit(connection, first, _ROWS))
        older = rows[-1]["action_id"] if len(rows) == _ROWS else None
        return page("audit", visitor, here="audit", rows=veil(rows), older=older)

    def changed(self) -> None:
        """Look anew the next time: somebody did something, and wants to see it."""
        self._known = None

    async def _glance(self) -> dict[str, Any]:
        async with self._asking:
            now = self._clock.monotonic()
            if self._known is None or now - self._known[0] > _FRESH:
                catalogue = self._catalogue()
                found = await self._ledger.read(lambda connection: self._asked(connection, catalogue))
                self._known = (now, found)
            else:
                found = self._known[1]
        status = self._bridge.standing().lanes
        lanes = [_lane(row, status.get(row["target"])) for row in found["lanes"]]
        return {**found, "lanes": lanes, "well": _is_well(found, lanes)}

    def _asked(self, connection: Any, catalogue: Catalogue) -> dict[str, Any]:
        now = self._clock.now()
        hour = now.replace(minute=0, second=0, microsecond=0)
        edges = [hour - timedelta(hours=n) for n in range(_HOURS - 1, -1, -1)]
        ways = [self._ways_in(connection, at, (hour - at) // timedelta(hours=1)) for at in edges]
        self._past = {at: kept for at, kept in self._past.items() if at in edges}
        hours = [plots.hour(at, found) for at, found in zip(edges, ways, strict=True)]
        known = sorted(way for found in ways for way in found if way is not None)
        return {
            "now": now,
            "today": overview.purchases(connection, *_between(now.replace(hour=0, minute=0, second=0), now)),
            "median": plots.quantile(known, 0.5),
            "p99": plots.quantile(known, 0.99),
            "waiting": sum(one.waiting for one in hours),
            "hours": hours,
            "plot": plots.ways_in(hours),
            "lanes": _lanes(connection, catalogue, milliseconds(now)),
            "sources": _sources(connection, catalogue, now),
            **_troubles(connection),
        }

    def _ways_in(self, connection: Any, at: datetime, ago: int) -> list[float | None]:
        """Return how purchases of an hour got in; what is so many hours past changes less and less, and is looked at as rarely."""
        now, kept = self._clock.monotonic(), self._past.get(at)
        if kept is not None and now - kept[0] < _PAST_FRESH * ago:
            return kept[1]
        found = overview.ways_in(connection, *_between(at, at + timedelta(hours=1)))
        self._past[at] = (now, found)
        return found


def _between(since: Any, until: Any) -> tuple[int, int]:
    return milliseconds(since), milliseconds(until) + 1


def _lanes(connection: Any, catalogue: Catalogue, now: int) -> list[dict[str, Any]]:
    names = sorted([*catalogue.targets, *([MAILER] if catalogue.mailer is not None else [])])
    paused = {row["target"]: veil(row) for row in reports.pauses(connection)}
    trouble, waiting = overview.troubles(connection), overview.waiting(connection)
    return [
        {
            **row,
            "connector": catalogue.targets[row["target"]].connector if row["target"] in catalogue.targets else "mail",
            "waiting": waiting.get(row["target"], 0),
            "paused": paused.get(row["target"]),
            "trouble": veil(trouble.get(row["target"])),
        }
        for row in overview.lanes(connection, names, now)
    ]


def _lane(row: Mapping[str, Any], status: str | None) -> dict[str, Any]:
    """Say how a lane stands; where this bridge does not deliver, only a pause is known."""
    if row["paused"] is not None or status == "paused":
        stands, mark = "Paused", "bad"
    elif status == "open":
        stands, mark = "Target is down, tried again by itself", "bad"
    elif row["dead"]:
        stands, mark = "Delivers; dead letters wait for a person", "bad"
    else:
        stands, mark = "Delivers", "good"
    return {**row, "stands": stands, "mark": mark}


def _sources(connection: Any, catalogue: Catalogue, now: Any) -> list[dict[str, Any]]:
    times, reach = overview.heard(connection)
    return [
        {"source": name, "adapter": source.adapter, **words.quiet(times.get(name, ()), now, reach), "reach": reach}
        for name, source in sorted(catalogue.sources.items())
    ]


def _troubles(connection: Any) -> dict[str, Any]:
    dead, lookups = overview.dead_letters(connection), overview.dead_lookups(connection)
    return {
        "many": max(len(dead), len(lookups)) >= overview.GROUPED,
        "quarantine": [words.quarantine_group(veil(row)) for row in overview.quarantined(connection)],
        "dead": words.grouped(dead, "target", "delivery_id"),
        "lookups": words.grouped(lookups, "source", "lookup_id"),
    }


def _is_well(found: Mapping[str, Any], lanes: Sequence[Mapping[str, Any]]) -> bool:
    troubled = found["dead"] or found["lookups"] or any(row["kind"] != "early" for row in found["quarantine"])
    return not troubled and all(lane["mark"] == "good" for lane in lanes)


def _with_states(found: Mapping[str, Any]) -> dict[str, Any]:
    return {**found, "purchases": [{**row, "stands": words.state(row["state"])} for row in found["purchases"]]}


def _id(request: web.Request) -> int:
    return min(int(request.match_info["id"]), _LARGEST_ID)


def _nothing(visitor: Visitor, what: str) -> web.Response:
    return said(visitor, 404, f"There is no such {what}", "Perhaps its number was mistyped. Find it by something else.")
