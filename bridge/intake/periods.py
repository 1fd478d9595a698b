"""Seats of a subscription go on in its next period, once that is paid: who has claimed is in for it, open links work on."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson

from bridge.contract.catalogue import SourceEntry
from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options, Order
from bridge.intake import enroll
from bridge.intake.plan import CommandPlan, plan, seats_of
from bridge.intake.result import Entry, Member, Result
from bridge.kit.clock import moment
from bridge.ledger import learners, merges, seats
from bridge.ledger.seats import SeatRow
from bridge.ledger.states import Intent
from bridge.ledger.unit import Unit

KEY = "seat:"
"""How the business key of what was claimed begins."""


@dataclass(frozen=True, slots=True)
class Bought:
    """An order line whose seats are given, as its sender tells of it.

    Attributes:
        event_id: of the event by which they are given.
        command: what its sender has said of the purchase.
        occurred_at: when it was bought, in milliseconds.
    """

    member: Member
    event_id: int
    command: EnrollmentCommand
    remote_product_id: str
    registration_id: int
    occurred_at: int


def new_code() -> str:
    """Return what a link ends with: 192 bits that nobody can guess."""
    return secrets.token_urlsafe(24)


def claim_key(code: str) -> str:
    """Return the business key of what is claimed by a code, which tells nothing of the code."""
    return f"{KEY}{hashlib.sha256(code.encode()).hexdigest()[:32]}"


def claim_plan(planned: CommandPlan, command: EnrollmentCommand) -> CommandPlan:
    """Return the plan of a seat: rules looked at the order, but the order's ids and money are the order line's alone."""
    return replace(planned, command=command)


def is_former(unit: Unit, row: Any, registration_id: int) -> bool:
    """Say whether an order line is a former period that comes late: its seats are those of a later one."""
    before = seats.before(unit, registration_id)
    return before is not None and before.bought_at > row.occurred_at


def is_told_of_none(unit: Unit, source: SourceEntry, registration_id: int, quantity: int) -> bool:
    """Say whether a source that tells of one unit knows nothing of seats: another one sold them, in a former period."""
    if not source.joined or quantity != 1:
        return False
    former = seats.former(unit, registration_id)
    first = seats.order_line(unit, former[-1]) if former else None
    return first is not None and first.source != source.name


def go_on(unit: Unit, bought: Bought, most: int | None) -> list[Any]:
    """Let the seats of the periods before go on in this one; return the seats that are left where they are.

    A claimed seat becomes one of the new period, and its holder gets a registration of that period as the buyer does. Open
    links work on: they pass over when this period is paid, so that nobody is kept out while the former one lasts. Those that
    wait with a payment that failed are open again. Each period can be refunded by itself. Idempotent.

    Args:
        unit: the transaction.
        bought: the new period.
        most: how many claimed seats go on, the lowest numbers; None is all.
    """
    now = bought.member.now
    former = seats.former(unit, bought.registration_id)
    if not former:
        return []
    there = seats.of_lines(unit, former)
    claimed = [seat for seat in there if seat.state == "claimed" and seat.registration_id == former[0]]
    _claimed_go_on(unit, bought, claimed[:most])
    waiting = [seat for seat in there if seat.state == "open" or seat.why == "held"]
    if not bought.command.paid:
        return waiting
    ids = [seat.id for seat in waiting]
    seats.move(unit, ids, bought.registration_id, now)
    seats.set_state(unit, ids, "open", "", now)
    return []


def paid(unit: Unit, entry: Entry, lines: Sequence[Any]) -> None:
    """Let seats go on in periods that were told of before they were paid, and are paid now."""
    for row in lines:
        if row.subscription_id is None or Intent(row.intent) is not Intent.SUSPENDED:
            continue
        catalogue = entry.member.catalogue
        source, product = catalogue.sources.get(row.source), catalogue.products.get((row.source, row.remote_product_id))
        if source is not None and product is not None and not product.ignore:
            # Perhaps another source says that it is paid, which knows the product by another name.
            told = replace(entry, member=replace(entry.member, source=source))
            everybody = is_told_of_none(unit, source, row.id, row.quantity)
            go_on(unit, _told_before(told, row), None if everybody else seats_of(product, row.quantity))


def _told_before(entry: Entry, row: Any) -> Bought:
    """Return an order line as its sender told of it."""
    options = Options.model_validate_json(row.options).model_copy(update={"cancellation": None})
    command = EnrollmentCommand(
        action=Action.ENROLL,
        occurred_at=moment(row.occurred_at),
        business_key=row.business_key,
        learner=Learner(remote_user_id="-"),  # each seat has its own
        items=(Item(remote_product_id=row.remote_product_id, currency=row.currency),),
        options=options,
        order=Order.model_validate(orjson.loads(row.order_data)),
    )
    return Bought(entry.member, entry.event_id, command, row.remote_product_id, row.id, row.occurred_at)


def _claimed_go_on(unit: Unit, bought: Bought, claimed: Sequence[Any]) -> None:
    there = seats.of_lines(unit, [bought.registration_id])
    taken = {seat.number for seat in there}
    for seat in claimed:
        if seat.number not in taken:
            _give_next_period(unit, bought, seat)


def _give_next_period(unit: Unit, bought: Bought, seat: Any) -> None:
    code, now = new_code(), bought.member.now
    result = give(
        unit,
        replace(bought, member=replace(bought.member, again=False)),
        seat.claimed_registration_id,
        claim_key(code),
        moment(bought.occurred_at),
    )
    if result is None:
        return
    claimed = result.lines[0].registration_id
    row = SeatRow(bought.registration_id, seat.number, code, seat.recipient, "claimed", claimed, seat.claimed_at or now)
    seats.make(unit, [row], now)


def give(unit: Unit, bought: Bought, registration_id: int, key: str, begins: datetime) -> Result | None:
    """Enroll the learner of a registration once more, with what an order line says; None where the product leads nowhere."""
    holder = seats.order_line(unit, registration_id)
    assert holder is not None  # noqa: S101 - the seat's foreign key
    # By the name under which the seat was claimed, merged or not: the same may be a stranger's at another source of the order.
    namespace, remote_user_id, email = learners.identity(unit, merges.made_by(unit, holder))
    member = replace(bought.member, source=replace(bought.member.source, namespace=namespace))
    command = bought.command.model_copy(
        update={
            "learner": Learner(remote_user_id=remote_user_id, email=email),
            "buyer": None,
            "event_key": None,
            "business_key": key,
            "items": (Item(remote_product_id=bought.remote_product_id),),
            "order": Order(),
        }
    )
    looked = command.model_copy(update={"order": bought.command.order})
    planned = claim_plan(plan(looked, member.source, member.catalogue, begins), command)
    if not planned.lines:
        return None
    result = Result(event_id=bought.event_id)
    enroll.apply(unit, [Entry(member, bought.event_id, planned, result)])
    return result
