"""Alerts from the operator's settings: thresholds, and the channels with their connections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import aiohttp

from bridge.jobs.alerts import AlertPolicy, Alerts, Channel
from bridge.jobs.alerts.channels import Slack, StandardWebhook
from bridge.jobs.alerts.mail import Mail
from bridge.kit.clock import Clock
from bridge.kit.http import Http, Windows, open_session
from config.settings import Settings

_SECONDS = 10.0


def alert_policy(settings: Settings) -> AlertPolicy:
    """Return what is worth an alert, from ``[alerts]``."""
    given = settings.alerts
    return AlertPolicy(
        mute=frozenset(given.mute),
        remind=given.remind,
        settled=given.settled,
        lane_open=given.lane_open_after,
        lane_paused=given.lane_paused_after,
        early=given.early_after,
        quiet=given.quiet_after,
        disk_free=given.disk_free,
        clock_off=given.clock_off,
        digest=given.digest,
        digest_zone=ZoneInfo(given.digest_zone),
    )


def channels_of(settings: Settings, session: aiohttp.ClientSession, clock: Clock) -> list[Channel]:
    """Return the channels of ``[alerts]``; those of HTTP speak through ``session``."""
    return list(_channels(settings, session, clock))


def _channels(settings: Settings, session: aiohttp.ClientSession, clock: Clock) -> Iterator[Channel]:
    given = settings.alerts

    def http(url: str) -> Http:
        return Http(url, Windows((), clock), _SECONDS, session)

    if given.mail and settings.mailer is not None:
        yield Mail(settings.mailer, given.mail, clock)
    if given.slack is not None:
        yield Slack(http(given.slack.get_secret_value()), clock)
    if given.webhook is not None:
        url, secret = given.webhook.url.get_secret_value(), given.webhook.secret.get_secret_value()
        yield StandardWebhook(http(url), secret, clock)


class Alerting:
    """The alerts of one bridge, with the connections of their channels; follows the newest settings."""

    def __init__(self, alerts: Alerts, clock: Clock) -> None:
        """Tell nobody yet."""
        self.alerts = alerts
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def use(self, settings: Settings) -> None:
        """Go by these settings from now on; call it on the event loop."""
        before, self._session = self._session, open_session()
        self.alerts.use(alert_policy(settings), channels_of(settings, self._session, self._clock))
        if before is not None:
            task = asyncio.create_task(self._end(before), name="alerts:channels")
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _end(self, session: aiohttp.ClientSession) -> None:
        """Close the connections of former channels, once nothing goes through them any more."""
        await self.alerts.at_rest()
        await session.close()

    async def close(self) -> None:
        """Stop telling."""
        await self.alerts.close()
        await asyncio.gather(*self._ending)
        if self._session is not None:
            await self._session.close()
