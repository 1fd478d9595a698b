"""Claiming a seat: whoever has its link becomes a learner, by an event and an enroll command like those of any purchase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import urlencode

import orjson
import structlog

from bridge.contract.catalogue import Catalogue, SourceEntry
from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options, Order, email_key
from bridge.intake import enroll, periods, seats
from bridge.intake.plan import CommandPlan, plan
from bridge.intake.replay import CLAIM
from bridge.intake.result import Entry, Result, of_kept
from bridge.kit.clock import milliseconds, moment
from bridge.kit.masking import BLANK
from bridge.ledger import events
from bridge.ledger import seats as kept
from bridge.ledger.events import EventRow
from bridge.ledger.states import Intent
from bridge.ledger.unit import Unit

log = structlog.get_logger(__name__)

Became = Literal["claimed", "unknown", "revoked", "held", "used", "another", "unavailable"]
"""What became of a claim.

``claimed``, now or by the same person before; ``revoked``, or its order was taken back or is over; ``held``: its order is not
paid yet, or suspended; ``used`` by somebody else; ``another``: the person has one of this order; ``unavailable``: the product
leads nowhere today.
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody wants a seat.

    Attributes:
        catalogue: the mapping of today.
        now: milliseconds.
    """

    code: str
    learner: Learner
    catalogue: Catalogue
    now: int


@dataclass(frozen=True, slots=True)
class Seat:
    """What the page may tell of a seat: what it opens, and what became of it."""

    became: Became | Literal["open"]
    titles: tuple[str, ...] = ()
    product_url: str | None = None
    event_id: int | None = None
    registration_id: int | None = None


def claim_group(unit: Unit, claims: Sequence[Claim]) -> list[Seat]:
    """Take claims in; one :class:`Seat` each. A claim that changes nothing keeps no event."""
    return [_claim(unit, one) for one in claims]


def seen(row: dict[str, Any] | None, catalogue: Catalogue, now: int) -> Seat:
    """Say what is to be shown to whoever opens the link of a seat (a row of ``ledger.seats.look``)."""
    if row is None:
        return Seat("unknown")
    closed = _closed(row["state"], row["why"], Intent(row["intent"]), Options.model_validate(row["options"]), now)
    found = "used" if row["state"] == "claimed" and closed is None else closed or "open"
    return _shown(found, catalogue, row["source"], row["remote_product_id"])


def _shown(became: Became | Literal["open"], catalogue: Catalogue, source: str, product_id: str) -> Seat:
    product = catalogue.products.get((source, product_id))
    if product is None or source not in catalogue.sources or not product.courses:
        return Seat("unavailable" if became == "open" else became)
    courses = [catalogue.courses[key] for key in product.courses]
    url = product.product_url or next((course.product_url for course in courses if course.product_url), None)
    return Seat(became, tuple(course.title for course in courses), url)


def _closed(state: str, why: str, intent: Intent, options: Options, now: int) -> Became | None:
    """Say why nobody can claim, whoever it is. That the first learner's own time is over closes no seat."""
    dead = state == "revoked" and why != "held"
    if dead or intent is Intent.CANCELLED or seats.is_over(options, moment(now)):
        return "revoked"
    return "held" if intent is Intent.SUSPENDED or why == "held" else None


def _claim(unit: Unit, claim: Claim) -> Seat:
    line, seat = _held(unit, claim.code)
    if line is None or seat is None:
        return Seat("unknown")
    became = _before(unit, claim, line, seat)
    shown = _shown(became or "claimed", claim.catalogue, line.source, line.remote_product_id)
    if became is not None:
        return shown
    source = claim.catalogue.sources.get(line.source)
    planned = None if source is None else _planned(claim, line, source)
    if source is None or planned is None or not planned.lines:
        log.warning("claim.unmapped", source=line.source, remote_product_id=line.remote_product_id)
        return Seat("unavailable")
    if all(
        grant.expires_at is not None and milliseconds(grant.expires_at) <= claim.now
        for grant in planned.lines[0].grants
    ):
        return replace(shown, became="revoked")
    return _enrolled(unit, claim, shown, line, seat, planned)


def _held(unit: Unit, code: str) -> tuple[Any, Any]:
    """Return a code's order line and seat as nobody else can change them now; a renewal may just have moved the seat."""
    for _ in range(2):
        line_id = kept.line_of_code(unit, code)
        if line_id is None:
            break
        seat = next((one for one in kept.of_lines(unit, [line_id]) if one.code == code), None)
        if seat is not None:
            return kept.order_line(unit, line_id), seat
    return None, None


def _before(unit: Unit, claim: Claim, line: Any, seat: Any) -> Became | None:
    """Say what there is to say before anything is given; None where the seat is the person's to have."""
    closed = _closed(seat.state, seat.why, Intent(line.intent), Options.model_validate_json(line.options), claim.now)
    if closed is not None:
        return closed
    person = email_key(claim.learner.email or "")
    if seat.state == "claimed":
        return "claimed" if kept.is_of(unit, seat.claimed_registration_id, person) else "used"
    return "another" if kept.holds_one(unit, line.id, person) else None


def _planned(claim: Claim, line: Any, source: SourceEntry) -> CommandPlan:
    options = Options.model_validate_json(line.options).model_copy(update={"cancellation": None})
    command = EnrollmentCommand(
        action=Action.ENROLL,
        # The order's own time: what the sender says of the order afterwards is newer, whatever its clock says of the claim.
        occurred_at=moment(line.occurred_at),
        business_key=periods.claim_key(claim.code),
        learner=claim.learner,
        items=(Item(remote_product_id=line.remote_product_id, currency=line.currency),),
        options=options,
    )
    order = Order.model_validate(orjson.loads(line.order_data))
    looked = command.model_copy(update={"order": order})
    return periods.claim_plan(plan(looked, source, claim.catalogue, moment(claim.now)), command)


def _enrolled(unit: Unit, claim: Claim, shown: Seat, line: Any, seat: Any, planned: CommandPlan) -> Seat:
    source = claim.catalogue.sources[line.source]
    (event_id,) = events.insert(unit, [_event(claim, line, seat)])
    assert event_id is not None  # noqa: S101 - without an event key nothing is in its way
    result = Result(event_id=event_id)
    enroll.apply(unit, [Entry(of_kept(source, (planned,), claim.catalogue, claim.now), event_id, planned, result)])
    registration_id = result.lines[0].registration_id
    taken = kept.take(unit, seat.id, registration_id, claim.now)
    assert taken  # noqa: S101 - it was held since it was seen to be open
    return replace(shown, event_id=event_id, registration_id=registration_id)


def _event(claim: Claim, line: Any, seat: Any) -> EventRow:
    learner = claim.learner
    said = {"email": learner.email, "first_name": learner.first_name, "last_name": learner.last_name}
    return EventRow(
        source=line.source,
        adapter=CLAIM,
        event_key=None,
        received_at=claim.now,
        method="POST",
        path=f"/claim/{BLANK}",
        query="{}",
        headers='{"content-type":"application/x-www-form-urlencoded"}',
        body=urlencode(said),
        encoding="utf-8",
        state="accepted",
        note=f"seat {seat.number} of registration {line.id}",
    )
