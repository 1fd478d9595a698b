"""What a claimed notice comes to: one mail, to the address that is known now. Pure."""

from __future__ import annotations

import orjson

from bridge.contract.command import Learner
from bridge.contract.mail import Notice, NoticeKind
from bridge.contract.outbound import Operation, Work
from bridge.dispatch.nothing import Nothing
from bridge.kit.clock import moment
from bridge.ledger.claimed import Claimed
from bridge.ledger.states import State


def notice(claimed: Claimed) -> Work | Nothing:
    """Return the work that sends a notice, or say why it would tell what is not so any more."""
    delivery, row, learner = claimed.delivery, claimed.notice, claimed.learners[0]
    assert row is not None  # noqa: S101 - the caller asks for notices only
    if row.kind == NoticeKind.ACCESS and row.state != State.ACTIVE:
        return Nothing(f"no access to confirm: the registration is {row.state}")
    if not row.recipient and row.learner_id != learner.id:
        return Nothing("the purchase passed to another learner")
    if learner.email is None and learner.remote_user_id is None:
        return Nothing("nothing is known of the learner any more")
    return Work(
        delivery_id=delivery.id,
        key=f"bridge-notice-{row.id}",
        operation=Operation.NOTICE,
        person=delivery.person,
        learner=Learner(
            remote_user_id=learner.remote_user_id,
            email=learner.email,
            first_name=learner.first_name,
            last_name=learner.last_name,
            phone=learner.phone,
        ),
        notice=Notice(
            id=row.id,
            kind=row.kind,
            recipient=row.recipient or learner.email or "",
            registration_id=row.registration_id,
            source=row.source,
            order_number=row.order_number or "",
            created_at=moment(row.created_at),
            data=orjson.loads(row.data),
        ),
        attempt=delivery.attempts + 1,
        unknown=bool(delivery.unknown),
    )
