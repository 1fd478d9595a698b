"""The pages of targets and sources: how each stands, by what credentials, what to do at the other end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from bridge.edge.console import words
from bridge.edge.console.access import Visitor
from bridge.edge.console.glance import Glance
from bridge.edge.console.pages import page, said
from bridge.edge.health import Stands
from bridge.edge.systems import SourceFacts, TargetFacts, sources_told, target_told
from bridge.kit.clock import Clock
from bridge.ledger.store import Ledger


class SystemPages:
    """Shows targets and sources: all of them as they were seen last, one with all that is known of it."""

    def __init__(
        self,
        ledger: Ledger,
        glance: Glance,
        bridge: Stands,
        targets: Callable[[], Sequence[TargetFacts]],
        sources: Callable[[], Sequence[SourceFacts]],
        clock: Clock,
    ) -> None:
        """Show what ``targets`` and ``sources`` say is configured, with what ``ledger``, ``glance`` and this ``bridge`` know."""
        self._ledger = ledger
        self._glance = glance
        self._bridge = bridge
        self._targets = targets
        self._sources = sources
        self._clock = clock

    async def targets(self, _: web.Request, visitor: Visitor) -> web.Response:
        """Show how every target stands."""
        return page("targets", visitor, here="targets", **await self._glance.now())

    async def sources(self, _: web.Request, visitor: Visitor) -> web.Response:
        """Show how every source is heard."""
        found = await self._glance.now()
        sources = [{**one, "waiting": _waiting(found, one["source"])} for one in found["sources"]]
        return page("sources", visitor, here="sources", sources=sources)

    async def target(self, request: web.Request, visitor: Visitor) -> web.Response:
        """Show one target: health, limits, breaker, credentials, newest trouble.

        Raises:
            LedgerError: the ledger is away.
        """
        name = request.match_info["name"]
        facts = next((one for one in self._targets() if one.name == name), None)
        found = await self._glance.now()
        lane = next((one for one in found["lanes"] if one["target"] == name), None)
        if facts is None or lane is None:
            return said(visitor, 404, "There is no such target", "Perhaps it has left the configuration.")
        told = await self._ledger.read(lambda connection: target_told(connection, facts))
        standing = self._bridge.standing()
        gait = standing.gaits.get(name)
        rates = lane["rates"] or [{"used": None, "of": one.requests, "seconds": one.seconds} for one in facts.rates]
        return page(
            "target",
            visitor,
            here="targets",
            target=told,
            lane=lane,
            rates=rates,
            limit_by=words.limit_by(facts, rates),
            breaker=words.breaker(standing.lanes.get(name), gait),
            pace=words.pace(gait, facts.concurrency),
            dead=[group for group in found["dead"] if group["where"] == name],
            credentials=[words.credential(one, self._clock.now()) for one in told["credentials"]],
        )

    async def source(self, request: web.Request, visitor: Visitor) -> web.Response:
        """Show one source: what to paste at the sender and where, its credentials, how it is heard, what came today.

        Raises:
            LedgerError: the ledger is away.
        """
        name, now = request.match_info["name"], self._clock.now()
        facts = [one for one in self._sources() if one.name == name]
        found = await self._glance.now()
        heard = next((one for one in found["sources"] if one["source"] == name), None)
        if not facts or heard is None:
            return said(visitor, 404, "There is no such source", "Perhaps it has left the configuration.")
        told = (await self._ledger.read(lambda connection: sources_told(connection, facts, now)))[0]
        return page(
            "source",
            visitor,
            here="sources",
            source=told,
            heard=heard,
            waiting=[group for group in found["quarantine"] if group["source"] == name],
            lookups=[group for group in found["lookups"] if group["where"] == name],
            credentials=[words.credential(one, now) for one in told["credentials"]],
        )


def _waiting(found: Mapping[str, Any], source: str) -> int:
    return sum(group["waiting"] for group in found["quarantine"] if group["source"] == source)
