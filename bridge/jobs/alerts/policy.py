"""When something is worth an alert: the operator's thresholds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time, timedelta, tzinfo

from bridge.contract.alerts import AlertKind


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """What is told, and when.

    Attributes:
        mute: kinds that nobody is told of.
        remind: how long after the last telling an alert that is still open is told again; zero is never.
        settled: for how long a cause has to be away before it is over.
        lane_open: for how long a target has to be away.
        lane_paused: for how long an operator's pause may last.
        early: for how long a refund may wait for its purchase.
        quiet: a silence that is shorter is no cause, whatever is usual.
        disk_free: bytes.
        clock_off: difference to the targets' clocks.
        digest: when it is made, in ``digest_zone``; None is never.
    """

    mute: frozenset[AlertKind] = frozenset()
    remind: timedelta = timedelta(hours=24)
    settled: timedelta = timedelta(minutes=5)
    lane_open: timedelta = timedelta(minutes=10)
    lane_paused: timedelta = timedelta(hours=12)
    early: timedelta = timedelta(days=2)
    quiet: timedelta = timedelta(hours=1)
    disk_free: int = 2**30
    clock_off: timedelta = timedelta(minutes=1)
    digest: time | None = None
    digest_zone: tzinfo | None = None
