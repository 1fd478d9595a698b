"""How long a buyer waited: from the purchase to the first time that the target let them in. Pure."""

from __future__ import annotations

from bridge.contract.outbound import Operation, Outcome, Receipt, Work
from bridge.ledger.claimed import Claimed


def first_access(claimed: Claimed, work: Work, outcome: Outcome, *, at: int) -> tuple[str, float] | None:
    """Return the source of the purchase and the seconds it took, or None where the attempt let nobody in who was not in before.

    What is granted again after it was taken away does not count: nobody waited for it since the purchase.

    Args:
        claimed: the delivery.
        work: what it came to.
        outcome: of the attempt.
        at: when the attempt was over, in milliseconds.
    """
    if claimed.right is None or claimed.right.held_at is not None:
        return None
    if work.operation is not Operation.GRANT or not isinstance(outcome, Receipt):
        return None
    cause = claimed.delivery.registration_id
    for registration in claimed.registrations:
        if registration.id == cause:
            return registration.source, max(0, at - registration.created_at) / 1000
    return None
