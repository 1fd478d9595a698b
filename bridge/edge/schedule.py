"""The clock's part: timed jobs, by APScheduler. Nothing on the hot path waits for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.interval import IntervalTrigger

from bridge.contract.errors import LedgerError

log = structlog.get_logger(__name__)


class Schedule:
    """Runs jobs every so many seconds; one that still runs is not started again."""

    def __init__(self) -> None:
        """Start without jobs."""
        self._scheduler = AsyncIOScheduler(timezone="UTC")

    def every(self, seconds: float, name: str, job: Callable[[], Awaitable[None]]) -> None:
        """Run ``job`` every ``seconds``. A ledger that is away is no reason to stop: the next run tries again."""

        async def run() -> None:
            try:
                await job()
            except LedgerError as fault:
                log.warning("schedule.job_failed", job=name, fault=str(fault))

        self._scheduler.add_job(
            run, IntervalTrigger(seconds=seconds), id=name, coalesce=True, max_instances=1, misfire_grace_time=None
        )

    def never(self, name: str) -> None:
        """Run this job no more; none is left once the schedule has stopped."""
        with suppress(JobLookupError):
            self._scheduler.remove_job(name)

    def start(self) -> None:
        """Start; call it on the event loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """Stop; a job under way ends by itself."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
