"""What a channel is to be told now: from what is wrong and what it knows already. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from bridge.kit.clock import moment
from bridge.ledger.alerts import DIGEST

What = Literal["begun", "still", "recovered", "passed", "digest", "test"]
"""``still`` is a reminder; ``passed`` is what began and ended while the channel could not be told."""

_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(minutes=1), timedelta(minutes=15)
_SLACK = timedelta(seconds=5)  # a run that comes a little early is not put off for a whole one


@dataclass(frozen=True, slots=True)
class News:
    """One thing to tell.

    Attributes:
        id: the same on every try, so that a receiver can drop repeats.
        alert_id: in the ledger; 0 for a test.
    """

    id: str
    alert_id: int
    what: What
    kind: str
    said: str
    remedy: str = ""
    count: int = 1
    since: datetime | None = None
    until: datetime | None = None


def due(
    alerts: Iterable[Any],
    told: Mapping[tuple[int, str], Any],
    channel: str,
    remind: timedelta,
    mute: Collection[str],
    now: datetime,
) -> list[News]:
    """Return what a channel is to be told.

    Args:
        alerts: rows of the ledger, open and recovered of late.
        told: rows of what channels were told, by alert and channel.
        channel: which one.
        remind: how long after the last telling an open alert is told again; zero is never.
        mute: kinds that nobody is told of.
        now: the time.
    """
    found = []
    for alert in alerts:
        before = told.get((alert.id, channel))
        if alert.kind in mute or _waits(before, now):
            continue
        if (what := _what(alert, before, remind, now)) is not None:
            found.append(_news(alert, before, what))
    return found


def _waits(before: Any, now: datetime) -> bool:
    """Say whether the channel failed so recently that it is left alone for a while."""
    if before is None or not before.tries or before.tried_at is None:
        return False
    pause: timedelta = min(_FIRST_PAUSE * 2 ** min(before.tries - 1, 10), _LONGEST_PAUSE)
    elapsed = now - moment(before.tried_at)
    return timedelta(0) <= elapsed < pause - _SLACK


def _what(alert: Any, before: Any, remind: timedelta, now: datetime) -> What | None:
    knows = before.told if before is not None else ""
    if alert.kind == DIGEST:
        return "digest" if not knows and alert.recovered_at is None else None
    if alert.recovered_at is not None:
        if knows == "begun":
            return "recovered"
        return "passed" if not knows and before is not None else None
    if not knows:
        return "begun"
    again = moment(before.told_at) + remind
    return "still" if remind and now >= again else None


def _news(alert: Any, before: Any, what: What) -> News:
    times = before.times if before is not None else 0
    return News(
        id=f"{alert.uid}-{what}-{times + 1}",
        alert_id=alert.id,
        what=what,
        kind=alert.kind,
        said=alert.said,
        remedy=alert.remedy,
        count=alert.count,
        since=moment(alert.first_seen),
        until=None if alert.recovered_at is None else moment(alert.recovered_at),
    )
