"""From an outcome to what the ledger writes: what is held now, what was learnt, when it is due again. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from bridge.contract.outbound import NeedsOperator, Operation, Outcome, Pending, Receipt, Refused, TryLater, Work
from bridge.dispatch.nothing import Nothing
from bridge.dispatch.retry import Next
from bridge.dispatch.work import fingerprint
from bridge.kit.http import Exchange
from bridge.kit.masking import mask_text, whole
from bridge.ledger.claimed import Claimed
from bridge.ledger.claims import Settlement

_NAMES = {Receipt: "receipt", TryLater: "later", NeedsOperator: "operator", Refused: "refused", Pending: "pending"}
_LONGEST_WHY = 500
_LOOK = (
    "The outcome holds what the ledger can't: the log says of what kind. Look at the target how things are, have the connector"
    " mended, then requeue the delivery."
)


def settlement(
    claimed: Claimed,
    work: Work,
    outcome: Outcome,
    following: Next,
    exchanges: list[Exchange],
    *,
    at: int,
    ms: int,
    touched: bool = False,
) -> Settlement:
    """Return what the ledger writes of one attempt.

    Args:
        claimed: the delivery.
        work: what it came to.
        outcome: of the attempt.
        following: what comes after it.
        exchanges: what was sent and answered.
        at: when it began.
        ms: how long it took.
        touched: the target took some write of the attempt, which failed at a later one: the learner may be in by now.
    """
    delivery = claimed.delivery
    unknown = isinstance(outcome, TryLater) and outcome.applied == "unknown"
    half = touched and isinstance(outcome, NeedsOperator | Refused | TryLater)
    # What an earlier try left unknown stays so until a receipt says how things are.
    still = 0 if isinstance(outcome, Receipt) else delivery.unknown
    held, held_as = _held(claimed, work, outcome, unknown=unknown or half)
    return Settlement(
        delivery_id=delivery.id,
        lease=delivery.lease,
        revision=delivery.revision,
        target=delivery.target,
        person=delivery.person,
        right_id=delivery.right_id,
        result=following.result,
        due_at=at + ms + int(following.delay * 1000),
        attempts=following.attempts,
        age=int(following.age * 1000),
        unknown=1 if unknown else still,
        steps="[]" if following.result == "done" else _steps(work, outcome),
        outcome=name_of(outcome),
        why=mask_text(following.why or getattr(outcome, "note", ""))[:_LONGEST_WHY],
        remedy=following.remedy,
        held=held,
        held_as=held_as,
        at=at,
        ms=ms,
        operation=work.operation.value,
        exchanges=_told(exchanges),
        refs=tuple(_refs(delivery, work, outcome)),
    )


def name_of(outcome: Outcome) -> str:
    """Return what the ledger calls an outcome of this kind."""
    return _NAMES[type(outcome)]


def nothing(claimed: Claimed, why: Nothing, *, at: int) -> Settlement:
    """Return the settlement of a delivery that turned out to have nothing to do."""
    right = claimed.right
    return _untried(
        claimed,
        at=at,
        result="done",
        unknown=0,
        steps="[]",
        outcome="nothing",
        why=why.why,
        held=right.held if right is not None else None,
        held_as=right.held_as if right is not None else "",
    )


def buried(claimed: Claimed, why: str, remedy: str, *, at: int) -> Settlement:
    """Return the settlement of a delivery that must not, or can't, be tried before an operator has acted."""
    delivery = claimed.delivery
    return _untried(
        claimed,
        at=at,
        result="dead",
        unknown=delivery.unknown,
        steps=delivery.steps,
        outcome="operator",
        why=why,
        remedy=remedy,
    )


def salvaged(settlement: Settlement) -> Settlement:
    """Return what is kept of a settlement that the ledger refuses: that it was tried, and what is held. Somebody has to look."""
    return replace(
        settlement,
        result="dead",
        due_at=settlement.at + settlement.ms,
        age=0,
        steps="[]",
        outcome="operator",
        why="what came of it can't be kept",
        remedy=_LOOK,
        held_as="",
        exchanges="[]",
        refs=(),
    )


def _untried(claimed: Claimed, *, at: int, **what: Any) -> Settlement:
    delivery = claimed.delivery
    common: dict[str, Any] = {
        "delivery_id": delivery.id,
        "lease": delivery.lease,
        "revision": delivery.revision,
        "target": delivery.target,
        "person": delivery.person,
        "right_id": delivery.right_id,
        "due_at": at,
        "attempts": delivery.attempts,
        "age": delivery.age,
        "remedy": "",
        "held": None,
        "held_as": "",
        "at": at,
        "ms": 0,
        "operation": "none",
        "exchanges": "[]",
    }
    return Settlement(**common | what)


def _steps(work: Work, outcome: Outcome) -> str:
    """Return the finished steps as the outbox keeps them: with their operation, to which alone they belong."""
    finished = work.steps | getattr(outcome, "steps", frozenset())
    return orjson.dumps([f"{work.operation.value}:{step}" for step in sorted(finished)]).decode()


def _told(exchanges: list[Exchange]) -> str:
    try:
        return orjson.dumps(exchanges, default=str).decode()
    except orjson.JSONEncodeError:  # what was said can't be written down; that it was said can
        return orjson.dumps(
            [{"method": one.method, "url": one.url, "status": one.status} for one in exchanges]
        ).decode()


def _held(claimed: Claimed, work: Work, outcome: Outcome, *, unknown: bool) -> tuple[str | None, str]:
    """Return what the right is held as now, or None when the attempt taught nothing."""
    if claimed.right is None:
        return None, ""
    if isinstance(outcome, Receipt):
        if work.operation is Operation.REVOKE:
            return "no", ""
        return "yes", fingerprint(claimed.learners[0], work.terms) if claimed.right.wanted else ""
    if unknown or isinstance(outcome, Pending):
        # An update leaves access as it is, whatever became of it; a grant or a revocation may have gone through.
        return ("yes", "") if work.operation is Operation.UPDATE else ("unknown", "")
    return None, ""


def _refs(delivery: Any, work: Work, outcome: Outcome) -> list[tuple[str, str, str]]:
    found: list[tuple[str, str, Any]] = [
        (kind, delivery.person, remote) for kind, remote in outcome.refs.person.items()
    ]
    if delivery.right_id is not None:
        found += [(kind, delivery.key, remote) for kind, remote in outcome.refs.right.items()]
    if isinstance(outcome, Pending):
        found.append(("pending", delivery.key, outcome.handle))
    elif not isinstance(outcome, TryLater | NeedsOperator) and (
        work.refs.right.get("pending") or work.refs.person.get("pending")
    ):
        found.append(("pending", delivery.key, ""))  # it has ended; the next delivery must not ask for it
    return [(kind, key, whole(remote) if isinstance(remote, str) else remote) for kind, key, remote in found]
