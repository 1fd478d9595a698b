"""Tells the operator what is wrong: each cause once when it begins, again while it lasts for long, and once when it is over.

What is wrong is a level in the ledger, and so is what each channel knows of it: a channel that was down is told as soon as
it is back, and a bridge that starts anew repeats nothing. Nothing here is on the way of a purchase.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog

from bridge.contract.errors import LedgerError
from bridge.jobs.alerts.causes import Watch
from bridge.jobs.alerts.channels import Channel, tell
from bridge.jobs.alerts.digest import compose, day_due
from bridge.jobs.alerts.outage import Outage
from bridge.jobs.alerts.policy import AlertPolicy
from bridge.jobs.alerts.telling import News, due
from bridge.kit.clock import Clock, milliseconds
from bridge.ledger import alerts
from bridge.ledger.alerts import Known, Told
from bridge.ledger.store import Ledger
from bridge.ledger.unit import Unit

__all__ = ["AlertPolicy", "Alerts", "Channel", "Watch"]

log = structlog.get_logger(__name__)

_STILL_TOLD = timedelta(days=7)  # of what is over, to a channel that was down
_SOON = 3.0  # seconds
_LONGEST_WHY = 200


class Alerts:
    """The job of one bridge. Of several bridges on one ledger, one runs it, and another when that one is gone."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        watch: Watch,
        failed: Callable[[str], None] = lambda _channel: None,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        """Look through ``watch``; nobody is told before :meth:`use`.

        Args:
            ledger: where alerts are kept.
            clock: for when they were seen and told.
            watch: sees what is wrong.
            failed: counts that a channel did not take something.
            leads: says whether this bridge does the timed jobs now.
        """
        self._ledger = ledger
        self._clock = clock
        self._watch = watch
        self._failed = failed
        self._leads = leads
        self._policy = AlertPolicy()
        self._channels: tuple[Channel, ...] = ()
        self._started = clock.now()
        self._outage = Outage(failed)
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._soon: asyncio.Task[None] | None = None
        self._closed = False

    def use(self, policy: AlertPolicy, channels: Sequence[Channel]) -> None:
        """Go by these from now on; a run under way ends with what it began with."""
        self._policy, self._channels = policy, tuple(channels)

    async def at_rest(self) -> None:
        """Return when no run is under way."""
        async with self._turn:
            pass

    async def run(self) -> None:
        """Look, keep what is wrong, and tell what is due. Running it twice tells nothing twice.

        Raises:
            LedgerError: the ledger is away; the next run does it.
        """
        async with self._turn:
            if self._closed:
                return
            self._task = asyncio.create_task(self._look_and_tell(), name="alerts")
            try:
                await self._task
            except asyncio.CancelledError:
                if not self._closed:
                    raise

    def wake(self, names: frozenset[str]) -> None:
        """Run soon, when a commit with one of these names may be a cause; not again while that is still to come."""
        if alerts.WAKE in names and self._soon is None and not self._closed:
            self._soon = asyncio.create_task(self._run_soon(), name="alerts:soon")

    async def _run_soon(self) -> None:
        try:
            await asyncio.sleep(_SOON)  # what belongs together comes together
            await self.run()
        except LedgerError as fault:
            log.warning("alerts.ledger_away", fault=str(fault))
        finally:
            self._soon = None

    async def close(self) -> None:
        """Stop; what was being told is told by the next bridge, if no answer had come."""
        self._closed = True
        tasks = [task for task in (self._soon, self._task) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_and_tell(self) -> None:
        now = self._clock.now()
        try:
            await self._once()
        except LedgerError:
            await self._outage.goes_on(now, self._channels)
            raise
        await self._outage.over(now, self._channels)

    async def _once(self) -> None:
        now = self._clock.now()
        if not self._leads():
            return
        policy, channels = self._policy, self._channels
        await self._keep(policy, now)
        if channels:
            await self._make_digest(policy, now)
            await self._tell(policy, channels, now)

    async def _keep(self, policy: AlertPolicy, now: datetime) -> None:
        """Bring the alerts of the ledger up to what is there."""
        at = milliseconds(now)
        rows = await self._ledger.read(lambda connection: alerts.current(connection, at))
        seen = await self._watch.look(policy, {(row.kind, row.cause): row for row in rows if not row.recovered_at})
        watched = now - self._started >= policy.settled  # what was there before we began may only not show yet

        def keep(unit: Unit) -> None:
            alerts.seen(unit, seen.there, at)
            alerts.still(unit, seen.doubtful, at)
            if watched and (over := alerts.recover(unit, milliseconds(now - policy.settled), at)):
                log.info("alerts.recovered", alerts=over)

        await self._ledger.write(keep)

    async def _make_digest(self, policy: AlertPolicy, now: datetime) -> None:
        day = day_due(policy, now)
        if day is None:
            return
        name = day.date().isoformat()

        def made(connection: Any) -> str | None:
            return None if alerts.has_digest(connection, name) else compose(connection, day)

        if (said := await self._ledger.read(made)) is not None:
            await self._ledger.write(lambda unit: alerts.keep_digest(unit, name, said, milliseconds(now)))

    async def _tell(self, policy: AlertPolicy, channels: Sequence[Channel], now: datetime) -> None:
        def ask(connection: Any) -> tuple[Sequence[Any], dict[tuple[int, str], Any]]:
            rows = alerts.current(connection, milliseconds(now - _STILL_TOLD))
            return rows, alerts.tellings(connection, [row.id for row in rows])

        rows, told = await self._ledger.read(ask)
        mute = {kind.value for kind in policy.mute}
        await asyncio.gather(
            *(self._tell_one(channel, due(rows, told, channel.name, policy.remind, mute, now)) for channel in channels)
        )

    async def _tell_one(self, channel: Channel, news: Sequence[News]) -> None:
        """Tell one channel what is due, and keep what came of it."""
        if not news:
            return
        answers = await tell(channel, news)
        failed = [why for why in answers if why is not None]
        if failed:
            self._failed(channel.name)
            log.error("alerts.channel_failed", channel=channel.name, alerts=len(failed), why=failed[0])
        if len(failed) < len(news):
            log.info("alerts.told", channel=channel.name, alerts=len(news) - len(failed))
        kept = [
            Told(one.alert_id, channel.name, _knows(one) if why is None else None, (why or "")[:_LONGEST_WHY])
            for one, why in zip(news, answers, strict=True)
        ]
        at = milliseconds(self._clock.now())
        await self._ledger.write(lambda unit: alerts.told(unit, kept, at))


def _knows(one: News) -> Known:
    return "recovered" if one.what in ("recovered", "passed") else "begun"
