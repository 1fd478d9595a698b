"""Two learners are one person, as an operator says; or they are not, after all. What that means for every target.

Access is given to the person's other account first and taken away from this one only when it has arrived there. Accounts
and contacts themselves stay: an account may hold work of the learner's that nobody but the LMS can carry over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from bridge.contract.catalogue import Catalogue, TargetEntry
from bridge.contract.command import email_key
from bridge.intake import people as persons
from bridge.ledger import learners, merges, outbox, registrations, rights
from bridge.ledger.addresses import move_grants
from bridge.ledger.learners import Known
from bridge.ledger.outbox import DeliveryRow, right_delivery
from bridge.ledger.unit import Unit

_SETTLED = frozenset({"active", "suspended", "cancelled", "expired"})


@dataclass(frozen=True, slots=True)
class Refused:
    """It can't be done; nothing was changed. ``passing``: it may be possible in a moment. ``missing``: that learner is not there."""

    why: str
    passing: bool = False
    missing: int | None = None


@dataclass(slots=True)
class Merge:
    """What became of it.

    Attributes:
        became: ``merged``, ``undone``, or ``unchanged`` because it was so already.
        learner: the one who was merged. ``into``: the one they are.
        registrations: what passes over; ``beside`` is true where the other had bought the same, and both purchases stand.
        given: rights that are wanted at the other account now: target, person, remote course, whether it is held already.
        taken: rights that are let go of once those have arrived; ``kept`` where somebody else stands behind them.
        told: contacts that are brought up to date: target, person.
        left: contacts and accounts that stay behind at a target, with their remote ids.
    """

    became: str
    learner: dict[str, Any]
    into: dict[str, Any]
    registrations: list[dict[str, Any]] = field(default_factory=list)
    given: list[dict[str, Any]] = field(default_factory=list)
    taken: list[dict[str, Any]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    left: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Passing:
    """Registrations on their way from one person to another. ``gone``: nobody is ``before`` any more."""

    ids: list[int]
    before: Known
    after: Known
    gone: bool
    now: int


def merge(unit: Unit, from_id: int, into_id: int, catalogue: Catalogue, operator: str, now: int) -> Merge | Refused:
    """Let one learner be another from now on, with everything they bought. Done again, it changes nothing."""
    found = merges.held(unit, (from_id, into_id))
    if missing := [number for number in (from_id, into_id) if number not in found]:
        return Refused(f"there is no learner {missing[0]}", missing=missing[0])
    one, other = found[from_id], found[into_id]
    merged = one.merged_into is not None and one.id != other.id
    if merged and _survivor(unit, one).id == _survivor(unit, other).id:
        return Merge("unchanged", _named(one), _named(other))
    if why := _hindrance(one, other):
        return Refused(why)
    before, after = _known(one), _known(other)
    if busy := _busy(unit, catalogue, before, after):
        return busy
    ids = merges.join(unit, from_id, into_id, operator, now)
    done = Merge("merged", _named(one), _named(other))
    _pass_over(unit, _Passing(ids, before, after, gone=True, now=now), catalogue, done)
    return done


def undo(unit: Unit, from_id: int, catalogue: Catalogue, operator: str, now: int) -> Merge | Refused:
    """Let a merged learner be somebody of their own again, with what was theirs. Done again, it changes nothing."""
    found = merges.held(unit, (from_id,))
    if from_id not in found:
        return Refused(f"there is no learner {from_id}", missing=from_id)
    one, standing = found[from_id], merges.standing(unit, from_id)
    if standing is None:
        if merges.was_merged(unit, from_id):
            return Merge("unchanged", _named(one), {})
        return Refused(f"learner {from_id} was not merged into anybody")
    survivor = _survivor(unit, one)
    before, after = survivor, _known(one)
    if busy := _busy(unit, catalogue, before, after):
        return busy
    ids = merges.undo(unit, standing, survivor.id, operator, now)
    done = Merge("undone", _named(one), _named(survivor))
    _pass_over(unit, _Passing(ids, before, after, gone=False, now=now), catalogue, done)
    return done


def _hindrance(one: Any, other: Any) -> str | None:
    if one.id == other.id:
        return f"learner {one.id} can't be merged into itself"
    if one.merged_into is not None:
        return f"learner {one.id} was merged into learner {one.merged_into} already; undo that first: bridge merge --undo {one.id}"
    if other.merged_into is not None:
        return f"learner {other.id} was merged into learner {other.merged_into}; merge into that one"
    if other.email is None and one.email is not None:
        return f"learner {other.id} has no e-mail address and learner {one.id} has: merge {other.id} into {one.id}"
    return None


def _survivor(unit: Unit, row: Any) -> Known:
    return learners.survivors(unit, [row.id])[row.id]


def _known(row: Any) -> Known:
    return Known(row.id, row.namespace, row.remote_user_id, row.email, row.email, changed=False)


def _named(row: Any) -> dict[str, Any]:
    return {
        "learner_id": row.id,
        "namespace": row.namespace,
        "remote_user_id": row.remote_user_id,
        "email": row.email,
    }


def _busy(unit: Unit, catalogue: Catalogue, before: Known, after: Known) -> Refused | None:
    """Say where a contact is just being told: what it learns there must be known before it passes over."""
    for target in catalogue.targets.values():
        former = persons.person_at(target, before)
        if former != persons.person_at(target, after) and merges.contact_in_flight(unit, target.name, former):
            return Refused(
                f"{target.name} is just being told of learner {before.id}; try again in a moment, while the bridge runs",
                passing=True,
            )
    return None


def _pass_over(unit: Unit, passing: _Passing, catalogue: Catalogue, done: Merge) -> None:
    touched: list[tuple[int, int]] = []
    shared: list[int] = []
    doubtful: list[tuple[str, str]] = []
    for target in catalogue.targets.values():
        former, person = persons.person_at(target, passing.before), persons.person_at(target, passing.after)
        if former == person:
            shared += merges.hand_on(unit, passing.ids, target.name, person)
            continue
        merges.rename_contact(unit, passing.ids, passing.after.id, target.name, former, person, passing.now)
        touched += move_grants(unit, passing.after.id, target.name, former, person, passing.now)
        if (
            passing.gone
            and not _somebody_else(unit, passing.before, former)
            and merges.end_contact(unit, target.name, former, passing.now)
        ):
            doubtful.append((target.name, person))
        if ids := merges.known_ids(unit, target.name, former) if passing.gone else {}:
            done.left.append({"target": target.name, "person": former, "remote_ids": ids})
    merges.address_notices(unit, passing.ids, passing.after.id)
    _open_rights(unit, passing, touched, shared, done)
    states = _states(unit, passing, [i for pair in touched for i in pair])
    _tell_contacts(unit, passing, catalogue, states, done)
    for target_name, person in doubtful:
        merges.doubt_contact(unit, passing.ids, target_name, person)


def _somebody_else(unit: Unit, before: Known, former: str) -> bool:
    return former.startswith("email:") and learners.others_at(unit, email_key(before.email or ""), before.id)


def _open_rights(
    unit: Unit, passing: _Passing, touched: Sequence[tuple[int, int]], shared: Sequence[int], done: Merge
) -> None:
    ids = [*(i for pair in touched for i in pair), *shared]
    current = merges.rights_of(unit, ids, passing.now)
    causes = merges.causes(unit, ids)
    work = [right_delivery(current[i], causes.get(i), None) for i in dict.fromkeys(ids)]
    outbox.open_now(unit, work, passing.now)
    for left_id, taken_id in touched:
        left, taken = current[left_id], current[taken_id]
        if taken.wanted:
            done.given.append({**_right(taken), "held": taken.held == "yes"})
        if left.held != "no":
            done.taken.append({**_right(left), "kept": bool(left.wanted)})


def _right(right: Any) -> dict[str, Any]:
    return {"target": right.target, "person": right.person, "remote_course": orjson.loads(right.course)}


def _states(unit: Unit, passing: _Passing, right_ids: Sequence[int]) -> dict[int, str]:
    behind = rights.registrations_behind(unit, right_ids)
    settled = registrations.derive_states(unit, [*passing.ids, *behind], passing.now)
    outbox.open_waiting(unit, settled, passing.now)
    return registrations.states_of(unit, passing.ids)


def _tell_contacts(unit: Unit, passing: _Passing, catalogue: Catalogue, states: dict[int, str], done: Merge) -> None:
    """Have CRMs told of the person as they are now; of a purchase whose access is on its way once that has arrived."""
    due: dict[tuple[str, str], DeliveryRow] = {}
    waiting: list[DeliveryRow] = []
    beside = merges.beside(unit, passing.ids, passing.after.id)
    for row in registrations.by_ids(unit, passing.ids):
        names = set(orjson.loads(row.targets))
        follows = [target for target in catalogue.targets.values() if target.name in names]
        done.registrations.append(_registration(row, states, beside=row.id in beside))
        for target, work in persons.contact_rows(follows, passing.after, row.id, row.event_id):
            if states[row.id] in _SETTLED or target.when == "accepted":
                due[target.name, work.person] = work
            else:
                waiting.append(work)
            done.told.append({"target": target.name, "person": work.person})
        if not passing.gone:
            due |= _left_behind(passing, follows, row)
    outbox.add(unit, list(due.values()), waiting, passing.now)
    done.told = list({(one["target"], one["person"]): one for one in done.told}.values())


def _left_behind(passing: _Passing, follows: Sequence[TargetEntry], row: Any) -> dict[tuple[str, str], DeliveryRow]:
    """Return what the contact that loses a registration is told."""
    rows = persons.contact_rows(follows, passing.before, row.id, row.event_id)
    return {(target.name, work.person): work for target, work in rows}


def _registration(row: Any, states: dict[int, str], *, beside: bool) -> dict[str, Any]:
    return {
        "registration_id": row.id,
        "source": row.source,
        "remote_product_id": row.remote_product_id,
        "state": states[row.id],
        "beside": beside,
    }
