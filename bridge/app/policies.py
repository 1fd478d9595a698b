"""From the operator's settings to how lanes and lookups work, and to how long what is kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from bridge.dispatch.breaker import BreakerPolicy
from bridge.dispatch.lane import LanePolicy
from bridge.dispatch.retry import RetryPolicy
from config.settings import Settings


def retry_policy(settings: Settings) -> RetryPolicy:
    """Return when what failed is tried again, from ``[dispatch]``."""
    given = settings.dispatch
    return RetryPolicy(given.retry, given.max_age, given.jitter, given.retry_after_max)


def lane_policy(settings: Settings, concurrency: int) -> LanePolicy:
    """Return how a lane works, from ``[dispatch]`` and the target's own concurrency."""
    given = settings.dispatch
    return LanePolicy(
        concurrency=concurrency,
        deadline=given.deadline.total_seconds(),
        lease=given.lease.total_seconds(),
        retry=retry_policy(settings),
        breaker=BreakerPolicy(
            given.breaker_failures, given.breaker_probe.total_seconds(), given.breaker_probe_max.total_seconds()
        ),
    )


def request_timeout(settings: Settings, target: str) -> float:
    """Return how many seconds one request to a target may take: by its own ``timeout``, else as ``[dispatch]`` says."""
    given = settings.targets[target]
    own = "timeout" in given.model_fields_set
    return (given.timeout if own else settings.dispatch.request_timeout).total_seconds()


def kept(settings: Settings) -> Mapping[str, timedelta | None]:
    """Return for how long what is kept that may be removed (:mod:`bridge.ledger.removals`); None: for good."""
    ledger = settings.ledger
    return {
        "attempts": ledger.keep_attempts,
        "deliveries": ledger.keep_deliveries,
        "lookups": ledger.keep_lookups,
        "alerts": ledger.keep_alerts,
        "actions": ledger.keep_actions,
    }
