"""Time, passed in rather than asked for, so that tests can set it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_DRIFT = 1e-4  # seconds in a second: worse than any machine's clock


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """Return the time of day, UTC and aware."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the time of day, UTC and aware."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()


class FollowingClock:
    """Another machine's clock, carried on by our own monotonic one from when it was last looked at; ours until then.

    Several machines that share a ledger all go by its clock: whatever their own say, they agree on what is due.
    """

    def __init__(self, own: Clock) -> None:
        """Follow nobody yet."""
        self._own = own
        self._seen: tuple[datetime, float] | None = None
        self._doubt = 0.0  # seconds by which what was seen may be wrong

    def now(self) -> datetime:
        """Return the other's time of day, UTC and aware."""
        if self._seen is None:
            return self._own.now()
        return self._seen[0] + timedelta(seconds=self._own.monotonic() - self._seen[1])

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._own.monotonic()

    def follow(self, at: datetime, asked: float, heard: float) -> None:
        """Take in that it was ``at`` there, some time between ``asked`` and ``heard`` here by :meth:`monotonic`.

        A slow answer says less than a prompt one that is not too old, and is passed over; unless the two can't both be
        true, because the other clock was set, or is another one now.
        """
        seen, doubt = (asked + heard) / 2, (heard - asked) / 2
        if self._seen is not None:
            expected = self._seen[0] + timedelta(seconds=seen - self._seen[1])
            before = self._doubt + (seen - self._seen[1]) * _DRIFT
            if doubt > before and abs((at - expected).total_seconds()) <= doubt + before:
                return
        self._seen, self._doubt = (at, seen), doubt


class SetClock:
    """A clock that stands where it was set and moves when told."""

    def __init__(self, at: datetime) -> None:
        """Start at ``at``."""
        self._at = at
        self._elapsed = 0.0

    def now(self) -> datetime:
        """Return the time it was set to."""
        return self._at

    def monotonic(self) -> float:
        """Return the seconds it was moved on so far."""
        return self._elapsed

    def move(self, seconds: float) -> None:
        """Go on by ``seconds``."""
        self._at += timedelta(seconds=seconds)
        self._elapsed += seconds


def milliseconds(moment: datetime) -> int:
    """Return the moment as milliseconds since 1970, the form the ledger keeps."""
    return (moment - _EPOCH) // _MILLISECOND  # whole numbers: floats lose one now and then


def moment(ms: int) -> datetime:
    """Return milliseconds since 1970 as an aware UTC time."""
    return _EPOCH + ms * _MILLISECOND
