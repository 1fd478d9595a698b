"""The state of a registration: derived from what the sender wants and what the targets hold. Pure.

Everything may come back: a cancelled registration is revived by a dispute won, a failed one by a requeue.
"""

from __future__ import annotations

from enum import StrEnum


class Intent(StrEnum):
    """What the sender wants of a registration; later in this list wins a tie in time."""

    LIVE = "live"
    SUSPENDED = "suspended"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def rank(self) -> int:
        """Order in which intents win when two events carry the same time."""
        return list(Intent).index(self)

    @property
    def alive(self) -> bool:
        """Whether the registration still occupies its place: a repeat finds it instead of making another."""
        return self in (Intent.LIVE, Intent.SUSPENDED)


def outlasts_hold(kept: Intent, at: int, money_at: int) -> bool:
    """Say whether a change that was put off counts over a state that is newer than it.

    It does where what is newer is only a hold (a suspension, a dispute) or the end of one, which says nothing of it.

    Args:
        kept: what stands.
        at: when the change was told; in milliseconds, as is ``money_at``.
        money_at: when it was said last that the purchase is paid, or that a refund of it failed.
    """
    return kept.alive and at >= money_at


class State(StrEnum):
    """What has become of a registration."""

    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"

    @property
    def settled(self) -> bool:
        """Whether the LMS has done what was wanted, so that CRM and mailing may be told."""
        return self in (State.ACTIVE, State.SUSPENDED, State.CANCELLED, State.EXPIRED)


def derive(intent: Intent, *, missing: bool, leaving: bool, dead: bool) -> State:
    """Return the state that follows from the intent and the LMS rights behind the registration.

    Args:
        intent: what the sender wants.
        missing: some right of its live grants is not held yet.
        leaving: some right that nobody wants any more is still held, or may be.
        dead: some right's delivery is a dead letter.
    """
    if intent is Intent.LIVE:
        if not missing:
            return State.ACTIVE
        return State.FAILED if dead else State.PENDING
    if not leaving:
        return {
            Intent.SUSPENDED: State.SUSPENDED,
            Intent.EXPIRED: State.EXPIRED,
            Intent.CANCELLED: State.CANCELLED,
        }[intent]
    return State.FAILED if dead else State.CANCELLING


TRANSITIONS: dict[State, frozenset[State]] = {
    State.PENDING: frozenset(
        {State.ACTIVE, State.FAILED, State.SUSPENDED, State.CANCELLING, State.CANCELLED, State.EXPIRED}
    ),
    State.ACTIVE: frozenset(
        {State.PENDING, State.SUSPENDED, State.CANCELLING, State.CANCELLED, State.EXPIRED, State.FAILED}
    ),
    State.SUSPENDED: frozenset(
        {State.ACTIVE, State.PENDING, State.CANCELLING, State.CANCELLED, State.EXPIRED, State.FAILED}
    ),
    State.CANCELLING: frozenset(
        {State.CANCELLED, State.EXPIRED, State.SUSPENDED, State.PENDING, State.ACTIVE, State.FAILED}
    ),
    State.CANCELLED: frozenset({State.PENDING, State.ACTIVE, State.SUSPENDED, State.CANCELLING, State.FAILED}),
    State.EXPIRED: frozenset({State.PENDING, State.ACTIVE, State.CANCELLING, State.CANCELLED, State.FAILED}),
    State.FAILED: frozenset(
        {State.PENDING, State.ACTIVE, State.SUSPENDED, State.CANCELLING, State.CANCELLED, State.EXPIRED}
    ),
}
"""Which state may follow which. Drawn in ``docs/flow.md``; a test walks every combination."""
