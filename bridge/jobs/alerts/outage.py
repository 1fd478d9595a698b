"""The one alert that can't be kept in the ledger: that the ledger is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from secrets import token_hex

import structlog

from bridge.jobs.alerts.channels import Channel, tell
from bridge.jobs.alerts.telling import News, What
from bridge.jobs.alerts.words import LEDGER_AWAY

log = structlog.get_logger(__name__)

_LONG = timedelta(minutes=2)  # a database that starts anew is no reason to wake anybody


class Outage:
    """Tells once that the ledger has been away for some minutes, and once that it is back. It remembers in this process only."""

    def __init__(self, failed: Callable[[str], None]) -> None:
        """Begin with a ledger that is there; ``failed`` counts what a channel did not take."""
        self._failed = failed
        self._since: datetime | None = None
        self._id = ""
        self._told: set[str] = set()

    async def goes_on(self, now: datetime, channels: Sequence[Channel]) -> None:
        """Note that the ledger did not answer, and tell every channel that does not know of it."""
        if self._since is None:
            self._since, self._id = now, token_hex(8)
        if now - self._since < _LONG:
            return
        await asyncio.gather(*(self._tell(one, "begun") for one in channels if one.name not in self._told))

    async def over(self, now: datetime, channels: Sequence[Channel]) -> None:
        """Note that the ledger answered, and tell it to whoever was told of the outage."""
        if self._since is None:
            return
        await asyncio.gather(*(self._tell(one, "recovered", now) for one in channels if one.name in self._told))
        if not self._told:
            self._since = None

    async def _tell(self, channel: Channel, what: What, until: datetime | None = None) -> None:
        said, remedy = LEDGER_AWAY
        news = News(f"{self._id}-{what}-1", 0, what, "ledger_away", said, remedy, since=self._since, until=until)
        (why,) = await tell(channel, [news])
        if why is not None:
            self._failed(channel.name)
            log.error("alerts.channel_failed", channel=channel.name, alerts=1, why=why)
        elif what == "begun":
            self._told.add(channel.name)
        else:
            self._told.discard(channel.name)
