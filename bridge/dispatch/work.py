"""What a claimed delivery comes to: computed from what is wanted and what is held, as they are now. Pure.

Level, not edge: the outbox says only *that* something differs. A cancel that overtook its enroll, a second purchase, a
stale update and a superseded dead letter are all the same case here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

import orjson

from bridge.contract.catalogue import Catalogue, TargetEntry
from bridge.contract.command import Learner, Options, Order
from bridge.contract.outbound import BY_HAND, CourseView, Ended, Enrollment, Operation, Refs, Repeat, Terms, Work
from bridge.contract.settings import CourseTable
from bridge.dispatch.milestones import milestones
from bridge.dispatch.nothing import Nothing
from bridge.dispatch.notice import notice
from bridge.dispatch.retry import MAY_BE_TWICE
from bridge.kit.clock import moment
from bridge.ledger.claimed import Claimed
from bridge.ledger.states import Intent

_SHOWN_BEFORE_SETTLED = ("pending", "cancelling", "failed")


def compute(
    claimed: Claimed, target: TargetEntry, operations: Container[Operation], catalogue: Catalogue
) -> Work | Nothing:
    """Return the work that brings a right or a contact to what is wanted, or say that nothing differs."""
    if claimed.notice is not None:
        return notice(claimed)
    if claimed.right is None:
        return _contact(claimed, target, catalogue)
    operation = _operation(claimed, operations)
    if isinstance(operation, Nothing):
        return operation
    return _right(claimed, target, operation)


def forbidden(claimed: Claimed, work: Work, operations: Mapping[Operation, Repeat]) -> tuple[str, str] | None:
    """Say why work must not go out, and what the operator can do; None where it may."""
    repeat = operations.get(work.operation)
    if repeat is None:
        why = f"this target has no {work.operation.value}"
        return why, "Do it at the target by hand. The delivery can stay as it is; a newer command supersedes it."
    if repeat is Repeat.UNSAFE and claimed.delivery.unknown == 1:
        return f"an earlier {work.operation.value} may have had its effect", MAY_BE_TWICE
    return None


def fingerprint(learner: Any, terms: Terms) -> str:
    """Return what an LMS right was confirmed as: when it differs from now, the right needs an update."""
    parts = [
        learner.email,
        learner.first_name,
        learner.last_name,
        terms.full_access,
        terms.expires_at and terms.expires_at.isoformat(),
    ]
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:16]


def fingerprint_of(claimed: Claimed) -> str:
    """Return the fingerprint of what is wanted now; empty for contacts and for rights that nobody wants."""
    if claimed.right is None or not claimed.right.wanted:
        return ""
    return fingerprint(claimed.learners[0], _terms(claimed))


def _operation(claimed: Claimed, operations: Container[Operation]) -> Operation | Nothing:
    right = claimed.right
    assert right is not None  # noqa: S101 - the caller asks for rights only
    if not right.wanted:
        if right.held == "no":
            return Nothing("access is not wanted and not held")
        if right.heir_id is not None:
            return Nothing("access is taken away here once what takes its place has arrived")
        return Operation.REVOKE
    if right.held != "yes":
        return Operation.GRANT
    if right.held_as == fingerprint_of(claimed):
        return Nothing("the target holds what is wanted")
    if Operation.UPDATE not in operations:
        return Nothing("access is held; this target takes no changes")
    return Operation.UPDATE


def _right(claimed: Claimed, target: TargetEntry, operation: Operation) -> Work:
    delivery, right = claimed.delivery, claimed.right
    assert right is not None  # noqa: S101 - as above
    cause = _cause(claimed)
    options = _options(cause.options if cause is not None else "{}")
    return Work(
        delivery_id=delivery.id,
        key=f"bridge-right-{right.id}",
        operation=operation,
        person=right.person,
        learner=_learner(claimed.learners[0]),
        course=_table(right.course, target.course_model),
        remote_product_id=cause.remote_product_id if cause is not None else "",
        amount_paid=_decimal(cause.amount_paid) if cause is not None else None,
        currency=cause.currency if cause is not None else None,
        terms=_terms(claimed),
        cancellation=options.cancellation if operation is Operation.REVOKE else None,
        order=_order(cause.order_data) if cause is not None else Order(),
        ended=_ended(cause) if operation is Operation.REVOKE and cause is not None else "",
        refs=_refs(claimed),
        steps=_steps(delivery.steps, operation),
        attempt=delivery.attempts + 1,
        unknown=bool(delivery.unknown) or right.held == "unknown",
    )


def _steps(kept: str, operation: Operation) -> frozenset[str]:
    # Steps of another operation are of no use: a revocation in between undid what a grant had finished.
    prefix = f"{operation.value}:"
    steps = frozenset(step.removeprefix(prefix) for step in orjson.loads(kept) if step.startswith(prefix))
    return steps - {BY_HAND}  # that is done now, and no reason to leave it alone if it fails for another one


def _cause(claimed: Claimed) -> Any | None:
    """Return the registration whose particulars go along: the delivery's own cause, else the newest live one.

    Where access is wanted, the cause must be a live one: the delivery's own may be the cancelled one of two orders.
    """
    rows = [row for row in claimed.registrations if row.live]
    if claimed.right is not None and not claimed.right.wanted:
        rows = []
    rows = rows or list(claimed.registrations)
    own = [row for row in rows if row.id == claimed.delivery.registration_id]
    return (own or rows or [None])[-1]


def _ended(cause: Any) -> Ended:
    if cause.intent == Intent.CANCELLED:
        return "refunded" if cause.taken_by == "refunded" else "cancelled"
    if cause.intent == Intent.SUSPENDED:
        return "suspended"
    return "expired" if cause.intent == Intent.EXPIRED or not cause.live else ""


def _terms(claimed: Claimed) -> Terms:
    live = [row for row in claimed.registrations if row.live]
    ends = [row.expires_at for row in live]
    cause = _cause(claimed)
    send_email = _options(cause.options).send_email if cause is not None else None
    endless = not ends or any(end is None for end in ends)
    return Terms(
        expires_at=None if endless else moment(max(ends)),
        full_access=any(row.full_access for row in live),
        send_email=send_email,
    )


def _contact(claimed: Claimed, target: TargetEntry, catalogue: Catalogue) -> Work | Nothing:
    delivery = claimed.delivery
    enrollments = tuple(_enrollments(claimed, target, catalogue))
    if not enrollments:
        return Nothing("no registration of this person concerns the target")
    learner = max(claimed.learners, key=lambda row: (row.remote_user_id is not None, row.occurred_at, row.id))
    return Work(
        delivery_id=delivery.id,
        key=f"bridge-contact-{learner.id}",
        operation=Operation.CONTACT,
        person=delivery.person,
        learner=_learner(learner),
        enrollments=enrollments,
        refs=_refs(claimed),
        steps=_steps(delivery.steps, Operation.CONTACT),
        attempt=delivery.attempts + 1,
        unknown=bool(delivery.unknown),
    )


def _enrollments(claimed: Claimed, target: TargetEntry, catalogue: Catalogue) -> Iterable[Enrollment]:
    learners = {row.id: row for row in claimed.learners}
    for row in claimed.registrations:
        followed = target.name in orjson.loads(row.targets)
        early = row.state in _SHOWN_BEFORE_SETTLED and target.when == "enrolled"
        if not followed or early or row.course is None:
            continue
        course = catalogue.courses.get(row.course)
        yield Enrollment(
            registration_id=row.id,
            source=row.source,
            remote_product_id=row.remote_product_id,
            state=row.state,
            course=course.view if course is not None else CourseView(row.course, row.course),
            order=_order(row.order_data),
            amount_paid=_decimal(row.amount_paid),
            currency=row.currency,
            registered_at=moment(row.created_at),
            changed_at=moment(row.updated_at),
            table=course.tables.get(target.name) if course is not None else None,
            milestones=milestones(row, learners[row.learner_id], early=target.when == "accepted"),
            percent=row.percent,
        )


def _learner(row: Any) -> Learner:
    return Learner(
        remote_user_id=row.remote_user_id,
        email=row.email,
        first_name=row.first_name,
        last_name=row.last_name,
        phone=row.phone,
        attributes=orjson.loads(row.attributes),
    )


# Many purchases carry the same options and lead to the same courses: each text is read once.
@lru_cache(maxsize=1_024)
def _options(text: str) -> Options:
    return Options.model_validate_json(text)


@lru_cache(maxsize=4_096)
def _table(text: str, model: type[CourseTable] | None) -> CourseTable | None:
    return model.model_validate_json(text) if model is not None else None


@lru_cache(maxsize=4_096)
def _order(text: str) -> Order:
    return Order.model_validate_json(text)


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _refs(claimed: Claimed) -> Refs:
    person = {row.kind: row.remote_id for row in claimed.refs if row.key == claimed.delivery.person}
    right = {row.kind: row.remote_id for row in claimed.refs if row.key == claimed.delivery.key}
    return Refs(person, right if claimed.right is not None else {})
