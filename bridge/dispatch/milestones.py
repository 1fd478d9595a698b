"""What an enrollment has come to, and when: from the ledger's rows to the milestones that actions wait for. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from bridge.contract.settings import Milestone
from bridge.kit.clock import moment
from bridge.ledger.states import State


def milestones(row: Any, learner: Any, *, early: bool = False) -> Mapping[Milestone, datetime]:
    """Return the milestones that stand.

    What was undone is not among them: a purchase that was cancelled and lives again is enrolled, and not cancelled.

    Args:
        row: a registration with one of its courses, as claimed.
        learner: the person's row.
        early: a purchase counts as enrolled once it is accepted; else nobody is whose purchase was taken back before
            they were let in.
    """
    found = {name: moment(at) for name, at in _reached(row, learner) if at is not None}
    if row.never_in and not early:
        del found[Milestone.ENROLLED]
    return found


def _reached(row: Any, learner: Any) -> Iterator[tuple[Milestone, int | None]]:
    opened = max(row.created_at, row.opened_at or 0)
    yield Milestone.ENROLLED, opened
    yield Milestone.STARTED, row.started_at
    yield Milestone.PROGRESS, row.percent_at
    yield Milestone.COMPLETED, row.completed_at
    yield Milestone.EXPIRED, _expired(row)
    if learner.updated_at > learner.created_at and learner.updated_at > row.created_at:
        yield Milestone.UPDATED, learner.updated_at
    if row.state == State.CANCELLED:
        by = Milestone.REFUNDED if row.taken_by == "refunded" else Milestone.CANCELLED
        yield by, max(row.taken_at or row.updated_at, opened)


def _expired(row: Any) -> int | None:
    if row.state == State.EXPIRED:
        return int(row.expires_at or row.updated_at)
    # What the LMS told of an earlier time is over once the registration was opened anew.
    told = row.expired_at
    return told if told is not None and told >= max(row.created_at, row.opened_at or 0) else None
