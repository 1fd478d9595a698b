"""Seats of an order line: as many links as were bought, and what becomes of them with the order.

What a seat is worth follows from its order line. How many there are follows from the quantity; those that are claimed are
given, suspended, taken back and renewed with the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from bridge.contract.command import Options, email_key
from bridge.contract.mail import NoticeKind
from bridge.intake import periods
from bridge.intake.enroll import Line
from bridge.intake.periods import Bought
from bridge.intake.result import Entry, Member
from bridge.kit.clock import moment
from bridge.ledger import notices, registrations, seats
from bridge.ledger.notices import NoticeRow
from bridge.ledger.seats import SeatRow
from bridge.ledger.states import Intent
from bridge.ledger.unit import Unit

log = structlog.get_logger(__name__)

MOST = 1_000
"""Seats of one order line: a quantity beyond it is no number of people, or one that somebody should look at."""


@dataclass(frozen=True, slots=True)
class _OrderLine:
    """What names an order line, as the ledger's rows do."""

    id: int
    source: str
    remote_product_id: str

    @classmethod
    def of(cls, line: Line) -> _OrderLine:
        return cls(line.registration.id, line.registration.source, line.row.remote_product_id)


_BOUGHT_ALL_THE_SAME = frozenset({"operator", "refund", "held"})
_MAY_COME_BACK = frozenset({"order", "quantity"})
_AGAIN = frozenset({"changed", "reopened", "revived"})


def is_claim(row: Any) -> bool:
    """Say whether a registration came of a claimed seat."""
    return (row.business_key or "").startswith(periods.KEY)


def keep(unit: Unit, lines: Sequence[Line]) -> None:
    """Let order lines have as many seats as were bought, and let those that are claimed follow what became of the line.

    An event that says nothing new of the line, or is older than what stands, changes nothing.
    """
    for line in lines:
        if _counts(line):
            _keep(unit, line)


def _counts(line: Line) -> bool:
    opened, row = line.registration, line.row
    if line.effect == "repeated":
        stale = opened.keyed and row.occurred_at < opened.occurred_at
        return row.quantity != opened.quantity and not stale
    return line.effect != "noted" and (line.effect != "older" or opened.bare)


def _keep(unit: Unit, line: Line) -> None:
    now, opened = line.entry.member.now, line.registration
    there = seats.of_lines(unit, [opened.id])
    renews = not there and _is_first_told(line)
    left: list[Any] = []
    all_go_on = False
    if line.row.subscription_id is not None and (renews or (line.effect == "revived" and line.gives)):
        if renews and periods.is_former(unit, line.row, opened.id):
            return  # its seats are those of a later period, which was told of before
        all_go_on = periods.is_told_of_none(unit, line.entry.member.source, opened.id, line.row.quantity)
        left = periods.go_on(unit, _bought(line), None if all_go_on else line.plan.seats)
        there = seats.of_lines(unit, [opened.id])
    if not all_go_on:
        _count(unit, line, there, left)
    _give_again(unit, line, there)
    # The second source of an order may know nothing of quantities.
    if line.effect == "repeated" and (opened.source == line.row.source or line.row.quantity > opened.quantity):
        seats.set_quantity(unit, opened.id, line.row.quantity, now)
    if line.effect == "older":  # taken back before it came: if that is undone one day, the links are there
        made = seats.of_lines(unit, [opened.id])
        seats.set_state(unit, [seat.id for seat in made if seat.state == "open"], "revoked", "order", now)
    elif line.entry.plan.command.paid:
        if line.effect == "moved":  # the address that was told of them was a wrong one
            seats.untell(unit, opened.id)
        hand_out(unit, line.entry.member, line.entry.event_id, _OrderLine.of(line))


def _is_first_told(line: Line) -> bool:
    """Say whether a source tells of an order line for the first time; the one that sold its seats may be the second."""
    return line.effect == "created" or (line.effect == "repeated" and line.registration.source != line.row.source)


def _bought(line: Line) -> Bought:
    entry, opened = line.entry, line.registration
    item = line.plan.item.remote_product_id
    return Bought(entry.member, entry.event_id, entry.plan.command, item, opened.id, line.row.occurred_at)


def _count(unit: Unit, line: Line, there: Sequence[Any], left: Sequence[Any]) -> None:
    """Make what is missing, those first that were there before; revoke what is too much, the newest first.

    What is ``left`` with the period before comes when this one is paid: it is not missing.
    """
    now, opened = line.entry.member.now, line.registration
    wanted = max(0, min(line.plan.seats, MOST) - len(left))
    if line.plan.seats > MOST:
        log.warning("seats.too_many", registration_id=opened.id, bought=line.plan.seats, most=MOST)
    active = [seat for seat in there if seat.state != "revoked"]
    # What an operator or a refund took away was bought all the same: a replay must not make it anew.
    bought = len(active) + sum(seat.why in _BOUGHT_ALL_THE_SAME for seat in there)
    if wanted > bought:
        back = [seat.id for seat in there if seat.state == "revoked" and seat.why in _MAY_COME_BACK][: wanted - bought]
        seats.set_state(unit, back, "open", "", now)
        first = max((seat.number for seat in (*there, *left)), default=0) + 1
        recipient = _recipient(line, there)
        seats.make(
            unit,
            [SeatRow(opened.id, first + n, periods.new_code(), recipient) for n in range(wanted - bought - len(back))],
            now,
        )
    # Of an order that two sources report, the second may know nothing of quantities.
    elif wanted < len(active) and opened.source == line.row.source:
        spare = [seat.id for seat in reversed(active) if seat.state == "open"][: len(active) - wanted]
        seats.set_state(unit, spare, "revoked", "quantity", now)
        if len(spare) < len(active) - wanted:
            taken = len(active) - wanted - len(spare)
            note = f"{taken} more seats are claimed than are bought by now; bridge seats {opened.id} shows them"
            seats.ask_operator(unit, line.entry.event_id, _OrderLine.of(line), note, now)


def _recipient(line: Line, there: Sequence[Any]) -> str | None:
    """Return who is sent the links: the buyer, whom not every word on an order names; None is the learner of that day."""
    buyer = line.entry.plan.command.buyer
    if buyer is None or buyer.email is None:
        return there[-1].recipient if there else None
    is_learner = line.known.email is not None and email_key(buyer.email) == email_key(line.known.email)
    return None if is_learner else buyer.email


def _give_again(unit: Unit, line: Line, there: Sequence[Any]) -> None:
    """Give claimed seats again, under the mapping, the end and the options that their order line has by now."""
    if line.effect not in _AGAIN:
        return
    bought = replace(_bought(line), member=replace(line.entry.member, again=True))
    for seat in there:
        if seat.state == "claimed":
            begins = moment(max(seat.claimed_at, line.row.occurred_at))  # a renewal counts from its own time
            periods.give(unit, bought, seat.claimed_registration_id, periods.claim_key(seat.code), begins)


def hand_out(unit: Unit, member: Member, event_id: int, line: Any) -> None:
    """Have the links of an order line sent that nobody was told of yet: one mail to whoever bought. Idempotent.

    Without a mailer, or an address that links could begin with, nothing is sent and nothing noted; ``bridge seats`` shows them.
    """
    catalogue, public_url = member.catalogue, member.catalogue.public_url
    product = catalogue.products.get((line.source, line.remote_product_id))
    if member.mailer is None or public_url is None or product is None:
        return
    fresh: dict[str, list[Any]] = {}
    for seat in seats.of_lines(unit, [line.id]):
        if seat.state == "open" and seat.told_at is None:
            fresh.setdefault(seat.recipient or "", []).append(seat)
    titles = [catalogue.courses[key] for key in product.courses]
    courses = [{"title": course.title, "url": course.product_url} for course in titles]
    for recipient, found in fresh.items():
        links = [link(public_url, seat.code) for seat in found]
        data = {"courses": courses, "quantity": len(found), "links": links}
        cause = f"seat:{found[0].id}:{event_id}"  # what is told at all is decided by when a seat was told of
        notices.plan(unit, [NoticeRow(NoticeKind.SEATS, line.id, event_id, recipient, data, cause)], member.now)
        seats.tell(unit, [seat.id for seat in found], member.now)


def link(public_url: str, code: str) -> str:
    """Return the address at which a seat is claimed."""
    return f"{public_url.rstrip('/')}/claim/{code}"


def carried(unit: Unit, entry: Entry, lines: Sequence[Any], intent: Intent) -> list[Any]:
    """Let the seats of order lines follow a change of what the sender wants; return the claimed registrations that follow.

    Open ones of a line that is taken back are revoked, and come back with it; while a line is suspended nobody can claim.
    ``lines`` are as they were until now.
    """
    if intent is Intent.LIVE:
        periods.paid(unit, entry, lines)
    there, now = seats.of_lines(unit, [line.id for line in lines]), entry.member.now
    if not there:
        return []
    if intent is Intent.CANCELLED:
        seats.set_state(unit, [seat.id for seat in there if seat.state == "open"], "revoked", "order", now)
    again = {line.id for line in lines if intent is Intent.LIVE or Intent(line.intent) is Intent.CANCELLED}
    if intent is not Intent.CANCELLED:
        revoked = [seat for seat in there if seat.state == "revoked" and seat.registration_id in again]
        seats.set_state(unit, [seat.id for seat in revoked if seat.why in ("order", "held")], "open", "", now)
    if intent is Intent.LIVE:
        for line in lines:
            hand_out(unit, entry.member, entry.event_id, line)
    claimed = {seat.claimed_registration_id: seat.registration_id in again for seat in there if seat.state == "claimed"}
    return [
        row
        for row in registrations.by_ids(unit, claimed)
        if _follows(Intent(row.intent), intent, again=claimed[row.id])
    ]


def suspended_late(unit: Unit, entry: Entry, lines: Sequence[Any]) -> list[Any]:
    """Suspend the seats of order lines whose first learner's own time is over; return the claimed registrations that follow.

    There is nothing left to suspend of the lines themselves, so their open seats keep that nobody can claim them.
    """
    follow = carried(unit, entry, lines, Intent.SUSPENDED)
    waiting = [seat.id for seat in seats.of_lines(unit, [line.id for line in lines]) if seat.state == "open"]
    seats.set_state(unit, waiting, "revoked", "held", entry.member.now)
    return follow


def are_of(unit: Unit, line: Any) -> bool:
    """Say whether an order line has seats, in whatever state."""
    return bool(seats.of_lines(unit, [line.id]))


def are_held(unit: Unit, line: Any) -> bool:
    """Say whether seats of an order line wait with a suspension, because its first learner's own time was over before."""
    there = seats.of_lines(unit, [line.id])
    claimed = registrations.by_ids(unit, [seat.claimed_registration_id for seat in there if seat.state == "claimed"])
    return any(seat.why == "held" for seat in there) or any(row.intent == Intent.SUSPENDED for row in claimed)


def _follows(kept: Intent, intent: Intent, *, again: bool) -> bool:
    if intent is Intent.LIVE:  # what its own time ended stays ended
        return kept in (Intent.SUSPENDED, Intent.CANCELLED)
    if intent is Intent.CANCELLED:
        return kept is not Intent.CANCELLED
    return kept is Intent.LIVE or (again and kept is Intent.CANCELLED)


def returned(unit: Unit, entry: Entry, line: Any, units: int) -> None:
    """Take back so many of an order line's units: open seats, the newest first. An event does it once.

    Where fewer are open than came back, the rest is an operator's to decide: nobody who is in is put out by a guess.
    """
    now = entry.member.now
    if seats.did_before(unit, entry.event_id, line.id):
        return
    seats.set_quantity(unit, line.id, max(1, line.quantity - units), now)
    there = seats.of_lines(unit, [line.id])
    if not there:
        return
    over = Intent(line.intent) is Intent.CANCELLED  # nobody is in by it, and what came back must not come back with it
    gone = [seat.id for seat in reversed(there) if _is_spare(seat, over=over)][:units]
    seats.set_state(unit, gone, "revoked", "refund", now)
    if len(gone) < units and not over:
        rest = units - len(gone)
        note = f"{units} came back and only {len(gone)} seats were open: decide about {rest} by bridge seats revoke {line.id}"
        seats.ask_operator(unit, entry.event_id, line, note, now)


def _is_spare(seat: Any, *, over: bool) -> bool:
    return seat.state == "open" or seat.why == "held" or (over and seat.why == "order")


def all_returned(unit: Unit, entry: Entry, line: Any, units: int) -> bool:
    """Say whether so many units are all that an order line still has: then it is taken back as a whole."""
    return units >= line.quantity and not seats.did_before(unit, entry.event_id, line.id)


def is_over(options: Options, now: datetime) -> bool:
    """Say whether the end that a purchase itself carries has passed."""
    return options.expires_at is not None and options.expires_at <= now
