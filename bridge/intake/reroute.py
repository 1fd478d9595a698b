"""An operator lets a purchase lead to other courses than its product does. That stands: a repeat, a renewal and a replay keep it.

Access is given at the other course first and taken away from the former only when it has arrived there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from bridge.contract.catalogue import Catalogue, SourceEntry
from bridge.contract.command import Action, EnrollmentCommand, Item, Learner, Options, Order
from bridge.intake import enroll, operated
from bridge.intake.enroll import Line
from bridge.intake.plan import CommandPlan, LinePlan, along
from bridge.intake.result import Entry, Result, of_kept
from bridge.kit.clock import milliseconds, moment
from bridge.ledger import events, merges, registrations, replays, reroutes, rights
from bridge.ledger.addresses import inherit
from bridge.ledger.learners import Known
from bridge.ledger.states import Intent
from bridge.ledger.unit import Unit

_MOST_NAMED: Final = 20


@dataclass(frozen=True, slots=True)
class Refused:
    """It can't be done; nothing was changed. ``field``: the argument that is to blame. ``missing``: what it names is not there."""

    why: str
    field: str = ""
    missing: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """What became of it.

    Attributes:
        became: ``moved``, or ``unchanged`` because it was so already.
        former: the courses it led to. ``courses``: those it leads to now.
        mapped: these are the courses of its product: what is mapped decides again.
        given: rights that are wanted now: target, person, remote course, whether it is held already, and when access ends.
        taken: rights that are let go of once those have arrived.
        kept: rights of the former courses that stay, because another purchase stands behind them.
        opened: targets that have something to do because of it.
    """

    registration_id: int
    source: str
    remote_product_id: str
    became: str
    before: str
    state: str
    former: tuple[str, ...]
    courses: tuple[str, ...]
    mapped: bool = False
    given: tuple[Mapping[str, Any], ...] = ()
    taken: tuple[Mapping[str, Any], ...] = ()
    kept: tuple[Mapping[str, Any], ...] = ()
    opened: tuple[str, ...] = ()


def move(
    unit: Unit, registration_id: int, to: Sequence[str], catalogue: Catalogue, now: int, *, dry_run: bool
) -> Move | Refused:
    """Let a registration lead to these courses; with ``dry_run`` everything is done, told, and taken back."""
    rows = registrations.by_ids(unit, [registration_id])
    if not rows:
        return Refused(f"there is no registration {registration_id}", "registration_id", missing=True)
    courses = tuple(dict.fromkeys(to))
    former = reroutes.standing(unit, registration_id)
    if why := _hindrance(rows[0], courses, former, catalogue):
        return why
    product = catalogue.products.get((rows[0].source, rows[0].remote_product_id))
    mapped = product is not None and set(product.courses) == set(courses)
    ruled = reroutes.courses(unit, [registration_id]).get(registration_id, ())
    found = Move(
        registration_id,
        rows[0].source,
        rows[0].remote_product_id,
        "unchanged",
        rows[0].state,
        rows[0].state,
        former,
        courses,
        mapped,
    )
    if set(former) == set(courses) and set(ruled) == (set() if mapped else set(courses)):
        return found
    if not dry_run:
        return _moved(unit, rows[0], found, catalogue, now)
    with unit.taken_back():
        return _moved(unit, rows[0], found, catalogue, now)


def _hindrance(row: Any, courses: Sequence[str], former: Sequence[str], catalogue: Catalogue) -> Refused | None:
    unknown = [key for key in courses if key not in catalogue.courses]
    if unknown:
        known = sorted(catalogue.courses)
        more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
        return Refused(
            f"there is no course '{unknown[0]}'; there are {', '.join(known[:_MOST_NAMED]) or 'none'}{more}", "to"
        )
    if not Intent(row.intent).alive:
        return Refused(f"registration {row.id} is {row.intent}: it leads nowhere any more", "registration_id")
    if row.mapping_version_id is None:
        return Refused(f"the purchase of registration {row.id} has not arrived yet", "registration_id")
    if not former:
        why = f"nobody gets in by registration {row.id} itself, only by its seats: move those who claimed them"
        return Refused(why, "registration_id")
    return None


def _moved(unit: Unit, row: Any, found: Move, catalogue: Catalogue, now: int) -> Move | Refused:
    source = operated.source_of(catalogue, row.source)
    line = _line(unit, row, found.courses, source, catalogue, now)
    before = [right for right in rights.resting(unit, [row.id]) if right.wanted]
    if before and not any(grant.rights for grant in line.plan.grants):
        return Refused(f"no target lets anybody into {', '.join(found.courses)}: to take access away, cancel it", "to")
    if over := [grant for grant in line.plan.grants if grant.expires_at and milliseconds(grant.expires_at) <= now]:
        return Refused(f"access to {over[0].course} would have ended on {over[0].expires_at:%Y-%m-%d}", "to")
    note = f"an operator moved registration {row.id} to {', '.join(found.courses)}"
    said = {"courses": [] if found.mapped else list(found.courses)}
    event_id = line.entry.event_id = operated.event_of(unit, row.source, note, now, said)
    events.record_effects(unit, [(event_id, row.id, line.effect)])
    mapping_version = registrations.mapping_version(unit, catalogue.digest, catalogue.text, now)
    reroutes.follow(unit, row.id, [target.name for target in line.plan.contacts], mapping_version, now)
    _exchange(unit, line, before, now)
    resting = {right.id: right for right in rights.resting(unit, [row.id], former=True)}
    own = {right.id for right in rights.resting(unit, [row.id])}
    gone = [resting[right.id] for right in before if right.id not in own]
    return _told(unit, found, line, [resting[i] for i in sorted(own)], gone, event_id)


def _line(unit: Unit, row: Any, courses: Sequence[str], source: SourceEntry, catalogue: Catalogue, now: int) -> Line:
    person = merges.held(unit, [row.learner_id])[row.learner_id]
    item = Item(
        remote_product_id=row.remote_product_id,
        quantity=row.quantity,
        amount_paid=row.amount_paid,
        currency=row.currency,
    )
    # Without a business key a purchase is renewed by the next one; with one, what is newer than it is no renewal.
    bought = row.occurred_at if row.business_key is None else min(row.created_at, row.occurred_at)
    command = EnrollmentCommand(
        action=Action.ENROLL,
        occurred_at=moment(bought),
        business_key=row.business_key,
        learner=Learner(
            remote_user_id=person.remote_user_id,
            email=person.email,
            first_name=person.first_name,
            last_name=person.last_name,
            phone=person.phone,
            attributes=orjson.loads(person.attributes),
        ),
        items=(item,),
        order=Order.model_validate_json(row.order_data),
        options=Options.model_validate_json(row.options).model_copy(update={"cancellation": None}),
    )
    bare = LinePlan(item, row.line, (), (), None)
    planned = CommandPlan(command, (along(command, bare, source, catalogue, courses),), (), ())
    member = of_kept(source, (planned,), catalogue, now)
    known = Known(person.id, person.namespace, person.remote_user_id, person.email, person.email, changed=False)
    entry = Entry(member, 0, planned, Result())
    said = enroll.registration_row(entry, item, row.line, known)
    return Line(entry, planned.lines[0], known, said, registrations.as_opened(row), reroutes.REROUTED)


def _exchange(unit: Unit, line: Line, before: Sequence[Any], now: int) -> None:
    """Put the registration's access on the rights of the other courses; of a suspended one, what it is resumed to."""
    if line.registration.intent is Intent.LIVE:
        enroll.give(unit, [line], now)
    else:
        enroll.withhold(unit, [line], now)
    own = rights.resting(unit, [line.registration.id])
    first = {right.target: right.id for right in reversed(own)}
    left = [right for right in before if right.id not in {one.id for one in own}]
    inherit(unit, [(right.id, first[right.target]) for right in left if right.target in first])


def _told(unit: Unit, found: Move, line: Line, own: Sequence[Any], gone: Sequence[Any], event_id: int) -> Move:
    ends: dict[tuple[str, str], datetime | None] = {}
    for grant in line.plan.grants:
        ends |= {(right.target.name, right.course_key): grant.expires_at for right in grant.rights}
    return Move(
        found.registration_id,
        found.source,
        found.remote_product_id,
        "moved",
        found.before,
        registrations.states_of(unit, [found.registration_id])[found.registration_id],
        found.former,
        found.courses,
        found.mapped,
        given=tuple(
            {
                **operated.right_of(right),
                "held": right.held == "yes",
                "expires_at": ends.get((right.target, right.course_key)),
            }
            for right in own
            if right.wanted
        ),
        taken=tuple(operated.right_of(right) for right in gone if not right.wanted and right.held != "no"),
        kept=tuple(operated.right_of(right) for right in gone if right.wanted),
        opened=tuple(replays.opened(unit, event_id)),
    )
