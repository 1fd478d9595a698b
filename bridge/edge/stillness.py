"""A process that stood still (stopped, starved, suspended) wakes among calls that waited in its sockets all the while.

Their senders may have given up, done it again elsewhere and changed their mind since. With ids of their own that does no
harm; a call without any would count as a new one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)

_SETTLES: Final = 1.0
"""Seconds after waking in which a call may still be an old one: all that waited is read within a few turns of the loop."""


def _since_boot() -> float:
    """Return seconds that go on while the machine sleeps, where the system has such a clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Stillness:
    """Notices on the event loop that it stood still."""

    def __init__(self, limit: float, now: Callable[[], float] = _since_boot) -> None:
        """``limit``: seconds without a turn of the loop that count as standing still."""
        self._limit = limit
        self._now = now
        self._seen = now()
        self._old_until = float("-inf")
        self._next: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Look from now on, so that a bridge to which nobody speaks is not taken for one that stood still."""
        self.woke()
        self._next = asyncio.get_running_loop().call_later(self._limit / 3, self.watch)

    def end(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()

    def woke(self) -> bool:
        """Say whether the loop has just gone on after it stood still, so that a call may have waited here for long."""
        now = self._now()
        if now - self._seen > self._limit:
            log.warning("edge.stood_still", seconds=round(now - self._seen, 1))
            self._old_until = now + _SETTLES
        self._seen = now
        return now < self._old_until
