"""What the pages show: asked of the ledger, masked as everywhere, put into words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from bridge.contract.catalogue import Catalogue
from bridge.edge.console import purchase, words
from bridge.edge.console.access import Visitor
from bridge.edge.console.glance import Glance, troubles
from bridge.edge.console.pages import elsewhere, page, said
from bridge.edge.masked import body_of, veil
from bridge.edge.removed import record_begins, removed
from bridge.edge.unled import following
from bridge.ledger import overview, reports
from bridge.ledger.find import MOST, find
from bridge.ledger.store import Ledger

_LONGEST: Final = 300  # characters of what is looked for
_ROWS: Final = 100
_LARGEST_ID: Final = 2**63 - 1


class Views:
    """The pages that only show."""

    def __init__(
        self, ledger: Ledger, glance: Glance, catalogue: Callable[[], Catalogue], page_of: purchase.PageOf
    ) -> None:
        """Show ``ledger``; what many pages show of it is kept by ``glance``. ``page_of`` knows the targets' own pages."""
        self._ledger = ledger
        self._glance = glance
        self._catalogue = catalogue
        self._page_of = page_of
        self._searching = asyncio.Lock()

    async def overview(self, _: web.Request, visitor: Visitor) -> web.Response:
        """Show at a glance whether all is well."""
        return page("overview", visitor, here="overview", **await self._glance.now())

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
        wanted = _id(request)
        found = await self._ledger.read(lambda connection: purchase.told(connection, wanted))
        if found is None:
            return _nothing(visitor, "purchase")
        return page("purchase", visitor, here="find", **purchase.shown(found, self._catalogue(), self._page_of))

    async def delivery(self, request: web.Request, visitor: Visitor) -> web.Response:
        """Show a delivery with every request and answer."""
        wanted = _id(request)
        found = await self._ledger.read(lambda connection: reports.delivery(connection, wanted))
        if found is None:
            return _nothing(visitor, "delivery")
        gone = [removed(one) for one in found["removed"]]
        return page("delivery", visitor, here="find", found=veil(found), removed=gone)

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
        number = before.isascii() and before.isdigit() and len(before) <= len(str(_LARGEST_ID))
        first = min(int(before), _LARGEST_ID) if number else None
        rows, since = await self._ledger.read(
            lambda connection: (overview.audit(connection, first, _ROWS), overview.audit_begins(connection))
        )
        older = rows[-1]["action_id"] if len(rows) == _ROWS else None
        gone = record_begins(since) if since is not None else None
        return page("audit", visitor, here="audit", rows=veil(rows), older=older, first=first, gone=gone)


def _troubles(connection: Any) -> dict[str, Any]:
    found = troubles(connection)
    letters, lookups = overview.newest_dead(connection), overview.newest_dead_lookups(connection)
    return {
        **found,
        "dead": [words.with_examples(group, letters, "target") for group in found["dead"]],
        "lookups": [words.with_examples(group, lookups, "source") for group in found["lookups"]],
    }


def _with_states(found: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **found,
        "purchases": [{**row, "stands": words.state(row)} for row in found["purchases"]],
        "events": [{**event, "following": following(event)} for event in found["events"]],
    }


def _id(request: web.Request) -> int:
    return min(int(request.match_info["id"]), _LARGEST_ID)


def _nothing(visitor: Visitor, what: str) -> web.Response:
    return said(visitor, 404, f"There is no such {what}", "Perhaps its number was mistyped. Find it by something else.")
