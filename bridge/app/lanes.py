"""Lanes of the configured targets: made anew where the settings differ, kept where they don't."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count

import aiohttp

from bridge import registry
from bridge.app.company import Company
from bridge.app.policies import lane_policy, request_timeout
from bridge.contract.catalogue import Catalogue, TargetEntry
from bridge.contract.outbound import OutboundConnector
from bridge.contract.settings import TargetSettings
from bridge.dispatch.attempt import PatientLimiter
from bridge.dispatch.lane import Lane, LanePolicy, Observer
from bridge.kit.clock import Clock
from bridge.kit.http import Http, Limiter, Windows, open_session
from bridge.kit.masking import secrets_of
from bridge.ledger.store import Ledger
from config.settings import Settings


def connector_of(
    settings: Settings, name: str, session: aiohttp.ClientSession, clock: Clock, company: Company | None = None
) -> OutboundConnector:
    """Return a target's connector, which speaks through ``session`` under the target's own rate limit and time-out.

    The limit is shared with the whole ``company``, where one is given.
    """
    given = settings.targets[name]
    kind = registry.connector_class(given.connector)
    rates, timeout = given.rate_limit or kind.rate_limit, request_timeout(settings, name)
    own = Windows(rates, clock, fixed=bool(given.rate_limit))
    limiter: Limiter = own if company is None else company.limiter(f"target {name}", rates, own, timeout)
    return kind(given, Http(given.base_url, PatientLimiter(limiter), timeout, session), clock)


@dataclass(frozen=True, slots=True)
class _Made:
    """A lane with all that it was made of."""

    lane: Lane
    of: tuple[TargetEntry, TargetSettings, LanePolicy, float]
    session: aiohttp.ClientSession


class LaneShop:
    """Makes lanes, and remembers what each was made of. A lane that stays keeps its breaker, rate and connections."""

    def __init__(
        self,
        ledger: Ledger,
        catalogue: Callable[[], Catalogue],
        clock: Clock,
        owner: str,
        observe: Observer,
        company: Company,
    ) -> None:
        """Make lanes on ``ledger``, which is shared with ``company``."""
        self._company = company
        self._ledger = ledger
        self._catalogue = catalogue
        self._clock = clock
        self._owner = owner
        self._observe = observe
        self._made: dict[int, _Made] = {}
        self._numbers = count(1)

    def lanes(self, settings: Settings, catalogue: Catalogue) -> Mapping[str, Lane]:
        """Return the lanes of these settings by target: those that are there already, and new ones that don't run yet."""
        return {name: self._lane(settings, name, entry) for name, entry in catalogue.targets.items()}

    def _lane(self, settings: Settings, name: str, entry: TargetEntry) -> Lane:
        given = settings.targets[name]
        of = (entry, given, lane_policy(settings, given.concurrency), request_timeout(settings, name))
        for made in self._made.values():
            if made.of == of:
                return made.lane
        session = open_session(given.concurrency * 2)  # its connections live as long as the lane
        lane = Lane(
            entry,
            connector_of(settings, name, session, self._clock, self._company),
            self._ledger,
            self._catalogue,
            of[2],
            self._clock,
            f"{self._owner}-{next(self._numbers)}",  # each of its own: leases end with their lane
            self._observe,
            secrets=secrets_of(given),
        )
        self._company.joined(lane)
        self._made[id(lane)] = _Made(lane, of, session)
        return lane

    async def discard(self, lanes: Iterable[Lane], kept: Iterable[Lane]) -> None:
        """Close the connections of lanes that work no more, but for those that are kept."""
        stays = {id(lane) for lane in kept}
        for lane in lanes:
            if id(lane) not in stays and (made := self._made.pop(id(lane), None)) is not None:
                await made.session.close()

    async def close(self) -> None:
        """Close every connection."""
        await self.discard([made.lane for made in self._made.values()], ())
