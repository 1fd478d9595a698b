"""Lanes of the configured targets: made anew where the settings differ, kept where they don't."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import aiohttp

from bridge import registry
from bridge.app.company import Company
from bridge.app.mailer import ENTRY, MakesMailer, mailer_of, secrets, templates_of, timeout, used
from bridge.app.policies import lane_policy, request_timeout
from bridge.contract.catalogue import Catalogue, TargetEntry
from bridge.contract.mail import MAILER
from bridge.contract.outbound import OutboundConnector
from bridge.contract.settings import Rate
from bridge.dispatch.attempt import PatientLimiter
from bridge.dispatch.lane import Arrival, Lane, LanePolicy, Observer
from bridge.edge.health import Gait
from bridge.kit.clock import Clock
from bridge.kit.dates import Dates
from bridge.kit.http import Http, Limiter, Windows, open_session
from bridge.kit.masking import secrets_of
from bridge.kit.tracing import Tracer
from bridge.ledger.store import Ledger
from config.settings import Settings


def connector_of(
    settings: Settings,
    name: str,
    session: aiohttp.ClientSession,
    clock: Clock,
    limiter: Limiter,
    dates: Dates | None = None,
) -> OutboundConnector:
    """Return a target's connector, which speaks through ``session`` under ``limiter`` and the target's own time-out.

    ``dates`` comes to know the target's clock.
    """
    given = settings.targets[name]
    kind = registry.connector_class(given.connector)
    return kind(
        given, Http(given.base_url, PatientLimiter(limiter), request_timeout(settings, name), session, dates), clock
    )


def windows_of(settings: Settings, name: str, clock: Clock) -> Windows:
    """Return a target's rate limit: the operator's, else its connector's."""
    given = settings.targets[name]
    return Windows(rates_of(settings, name), clock, fixed=bool(given.rate_limit))


def rates_of(settings: Settings, name: str) -> Sequence[Rate]:
    """Return the rates of a target's limit."""
    given = settings.targets[name]
    return given.rate_limit or registry.connector_class(given.connector).rate_limit


def gait_of(lane: Lane) -> Gait:
    """Return how freely a lane goes."""
    now = lane.condition
    return Gait(now.in_trouble, now.elsewhere, now.until_probe, now.hold, now.pace.slots)


@dataclass(frozen=True, slots=True)
class _Made:
    """A lane with all that it was made of."""

    lane: Lane
    of: tuple[object, ...]
    session: aiohttp.ClientSession | None = None
    dates: Dates = field(default_factory=Dates)
    windows: Windows | None = None
    limiter: Limiter | None = None


class LaneShop:
    """Makes lanes, and remembers what each was made of. A lane that stays keeps its breaker, rate and connections."""

    def __init__(
        self,
        ledger: Ledger,
        catalogue: Callable[[], Catalogue],
        clock: Clock,
        owner: str,
        observe: Observer,
        arrived: Arrival,
        company: Company,
        mailer: MakesMailer = mailer_of,
    ) -> None:
        """Make lanes on ``ledger``, which is shared with ``company``; ``mailer`` makes the connector of notices."""
        self._company = company
        self._mailer_of = mailer
        self._ledger = ledger
        self._catalogue = catalogue
        self._clock = clock
        self._owner = owner
        self._observe = observe
        self._arrived = arrived
        self.tracer: Tracer | None = None
        """Of the lanes made from now on."""
        self._made: dict[int, _Made] = {}
        self._numbers = count(1)

    def lanes(self, settings: Settings, catalogue: Catalogue) -> Mapping[str, Lane]:
        """Return the lanes of these settings by target: those that are there already, and new ones that don't run yet."""
        lanes = {name: self._lane(settings, name, entry) for name, entry in catalogue.targets.items()}
        return lanes if catalogue.mailer is None else {**lanes, MAILER: self._mailer(settings)}

    def _lane(self, settings: Settings, name: str, entry: TargetEntry) -> Lane:
        given = settings.targets[name]
        of = (entry, given, lane_policy(settings, given.concurrency), request_timeout(settings, name))
        if (lane := self._like(of)) is not None:
            return lane
        session = open_session(given.concurrency * 2)  # its connections live as long as the lane
        dates = Dates()
        windows = windows_of(settings, name, self._clock)
        limiter = self._company.limiter(f"target {name}", rates_of(settings, name), windows, of[3])
        connector = connector_of(settings, name, session, self._clock, limiter, dates)
        lane = self._made_of(entry, connector, of[2], secrets_of(given))
        self._made[id(lane)] = _Made(lane, of, session, dates, windows, limiter)
        return lane

    def _mailer(self, settings: Settings) -> Lane:
        """Return the lane of notices.

        Raises:
            ConfigError: a template can't be used.
        """
        given, templates = used(settings), templates_of(settings)
        policy = lane_policy(settings, given.concurrency)
        of = (given, templates, policy, timeout(settings), settings.server.public_url)
        if (lane := self._like(of)) is not None:
            return lane
        connector = self._mailer_of(settings, templates, self._clock)
        lane = self._made_of(ENTRY, connector, policy, secrets(settings))
        self._made[id(lane)] = _Made(lane, of)
        return lane

    def _like(self, of: tuple[object, ...]) -> Lane | None:
        return next((made.lane for made in self._made.values() if made.of == of), None)

    def _made_of(
        self, entry: TargetEntry, connector: OutboundConnector, policy: LanePolicy, hidden: Iterable[str]
    ) -> Lane:
        lane = Lane(
            entry,
            connector,
            self._ledger,
            self._catalogue,
            policy,
            self._clock,
            f"{self._owner}-{next(self._numbers)}",  # each of its own: leases end with their lane
            self._observe,
            arrived=self._arrived,
            secrets=hidden,
            tracer=self.tracer,
        )
        self._company.joined(lane)
        return lane

    def uses(self, lanes: Iterable[Lane]) -> dict[str, list[tuple[int, Rate]]]:
        """Return of each target how many requests of ours count now, and the limit, for every window that it has."""
        made = [self._made[id(lane)] for lane in lanes if id(lane) in self._made]
        return {one.lane.target.name: one.windows.uses() for one in made if one.windows is not None}

    def limiter(self, lane: Lane | None) -> Limiter | None:
        """Return what hands out the tokens of a lane's target; None where the lane is not ours, or has no limit to share."""
        made = self._made.get(id(lane))
        return None if made is None else made.limiter

    def clocks(self) -> dict[str, float]:
        """Return by how many seconds our clock is ahead of each target's, where an answer of late tells."""
        known = {made.lane.target.name: made.dates.ahead for made in self._made.values()}
        return {name: ahead for name, ahead in known.items() if ahead is not None}

    async def discard(self, lanes: Iterable[Lane], kept: Iterable[Lane]) -> None:
        """Close the connections of lanes that work no more, but for those that are kept."""
        stays = {id(lane) for lane in kept}
        for lane in lanes:
            made = self._made.pop(id(lane), None) if id(lane) not in stays else None
            if made is not None and made.session is not None:
                await made.session.close()

    async def close(self) -> None:
        """Close every connection."""
        await self.discard([made.lane for made in self._made.values()], ())
