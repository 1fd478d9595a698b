"""The daily digest: yesterday's purchases, how long people waited for access, and what is still to be done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from bridge.jobs.alerts.policy import AlertPolicy
from bridge.jobs.alerts.words import amount, name
from bridge.kit.clock import milliseconds
from bridge.ledger import causes, days

_MOST_PRODUCTS = 20


def day_due(policy: AlertPolicy, now: datetime) -> datetime | None:
    """Return the beginning of the day whose digest is due, in the operator's zone; None while none is."""
    if policy.digest is None:
        return None
    local = now.astimezone(policy.digest_zone or UTC)
    if local.time() < policy.digest:
        return None
    yesterday = local.date() - timedelta(days=1)
    return datetime.combine(yesterday, time(), local.tzinfo)


def compose(connection: Any, day: datetime) -> str:
    """Return the digest of a day as plain text, asked on a reading connection; no learner data."""
    since, until = milliseconds(day), milliseconds(datetime.combine(day.date() + timedelta(days=1), time(), day.tzinfo))
    return "\n".join(
        [
            f"{day:%A, %d %B %Y} ({day.tzinfo})",
            *_purchases(connection, since, until),
            *_waits(days.waits(connection, since, until)),
            *_dead(connection),
            *_quarantine(connection),
            *_lanes(connection),
        ]
    )


def _purchases(connection: Any, since: int, until: int) -> Iterator[str]:
    rows = days.purchases(connection, since, until)
    total = sum(row.n for row in rows)
    listed = ", ".join(f"{row.source} {row.n}" for row in rows)
    yield f"Purchases: {total} ({listed})." if rows else "Purchases: none."


def _waits(waits: Sequence[int | None]) -> Iterator[str]:
    done = sorted(wait for wait in waits if wait is not None)
    if done:
        middle, late = done[(len(done) - 1) // 2], done[-(-99 * len(done) // 100) - 1]
        yield f"Time from purchase to access: half of them within {_seconds(middle)}, 99 of 100 within {_seconds(late)}."
    if missing := len(waits) - len(done):
        yield f"{amount(missing, 'of them is', 'of them are')} without access at some target so far."


def _dead(connection: Any) -> Iterator[str]:
    counts: dict[str, int] = {}
    for row in causes.dead_letters(connection):
        counts[row.target] = counts.get(row.target, 0) + row.n
    listed = ", ".join(f"{target} {number}" for target, number in sorted(counts.items()))
    yield f"Failed for good: {listed}. See: bridge deliveries --state dead" if counts else "Failed for good: nothing."
    lookups = sum(row.n for row in causes.dead_lookups(connection))
    if lookups:
        yield f"Questions to senders that failed for good: {lookups}. See: bridge lookups --state dead"


def _quarantine(connection: Any) -> Iterator[str]:
    rows = causes.unmapped(connection)
    parts = [f"{row.n} of {row.source}'s product '{name(row.remote_product_id)}'" for row in rows[:_MOST_PRODUCTS]]
    if len(rows) > _MOST_PRODUCTS:
        parts.append(f"{len(rows) - _MOST_PRODUCTS} more products")
    parts += [
        f"{amount(row.n, 'unreadable call', 'unreadable calls')} of {row.source}"
        for row in causes.unreadable(connection)
    ]
    parts += [
        f"{amount(row.n, 'early refund', 'early refunds')} of {row.source}" for row in causes.early(connection, 2**62)
    ]
    yield f"In quarantine: {', '.join(parts)}. See: bridge quarantine --causes" if parts else "In quarantine: nothing."


def _lanes(connection: Any) -> Iterator[str]:
    paused = [f"{row.target} (by {name(row.paused_by)})" for row in causes.lanes(connection)]
    yield f"Paused: {', '.join(paused)}." if paused else "Paused: no target."


def _seconds(ms: int) -> str:
    return f"{ms / 1000:.1f} s" if ms < 120_000 else f"{ms / 60_000:.0f} min"
