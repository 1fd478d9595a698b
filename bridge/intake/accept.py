"""Accepting: a verified event and its commands become rows, in one transaction shared with whoever else waits.

Runs in the ledger's writer. Within a group the events are deduplicated first; plain purchases of different people are
then written set-based, and everything else one after the other, as it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.contract.command import Action
from bridge.contract.inbound import AcceptedLine, Kind, Reception
from bridge.intake import change, echo, enroll, parked, seats
from bridge.intake.plan import CommandPlan
from bridge.intake.result import Entry, Member, Result
from bridge.ledger import events, lookups, quarantine
from bridge.ledger.unit import Unit


@dataclass(slots=True)
class _Accepted:
    """One member of the group while it is worked on."""

    member: Member
    event_id: int
    result: Result = field(default_factory=Result)


def accept_group(unit: Unit, members: Sequence[Member]) -> list[Result]:
    """Write a group of events; one result per member.

    A member whose (source, event key) was kept before, or stands twice in the group, gets the first one's result.
    """
    ids = events.insert(unit, [member.event for member in members])
    fresh = [_Accepted(member, event_id) for member, event_id in zip(members, ids, strict=True) if event_id is not None]
    unit.traced = {one.event_id: trace for one in fresh if (trace := one.member.traceparent) is not None}
    _apply(unit, fresh)
    _ask(unit, fresh)
    done = iter(fresh)
    return [
        next(done).result if event_id is not None else _repeat(unit, member)
        for member, event_id in zip(members, ids, strict=True)
    ]


def accept_found(unit: Unit, found: Sequence[tuple[Member, int, int]]) -> list[Result]:
    """Write what lookups found out about events that are in the ledger: (member, event id, lookup id).

    One that had ended before, because it was made twice, has no effect.
    """
    open_still = lookups.finish(
        unit, [lookup_id for _, _, lookup_id in found], max(member.now for member, _, _ in found)
    )
    accepted = [_Accepted(member, event_id) for member, event_id, _ in found]
    _apply(unit, [one for one, (_, _, lookup_id) in zip(accepted, found, strict=True) if lookup_id in open_still])
    return [one.result for one in accepted]


def accept_again(unit: Unit, member: Member, event_id: int) -> Result:
    """Write what an event that is in the ledger means by now."""
    accepted = _Accepted(member, event_id)
    _apply(unit, [accepted])
    if member.lookups:
        lookups.ask_again(unit, event_id, member.now)
    _ask(unit, [accepted])
    return accepted.result


def _ask(unit: Unit, fresh: Sequence[_Accepted]) -> None:
    rows = [
        lookups.LookupRow(accepted.event_id, accepted.member.source.name, lookup.kind, lookup.key)
        for accepted in fresh
        for lookup in accepted.member.lookups
    ]
    if rows:
        lookups.keep(unit, rows, max(accepted.member.now for accepted in fresh))


def _apply(unit: Unit, fresh: Sequence[_Accepted]) -> None:
    wave: list[Entry] = []
    bought: list[Entry] = []
    seen: set[str] = set()
    for accepted in fresh:
        for entry in _entries(unit, accepted):
            people = enroll.people(entry) if entry.plan.command.action is Action.ENROLL else None
            if people is None or people & seen:
                _write_wave(unit, wave)
                wave, seen = [], set()
            if people is None:
                if not change.apply(unit, entry):
                    parked.keep(unit, entry)
            elif entry.plan.lines:
                wave.append(entry)
                bought.append(entry)
                seen |= people
    _write_wave(unit, wave)
    # Once all of it is there: one event may tell of a purchase in several commands, and what waited means all of them.
    change.hold_bought(unit, bought)
    parked.apply(unit, bought)


def _entries(unit: Unit, accepted: _Accepted) -> list[Entry]:
    """Return the commands that are to be written, once what is no purchase of ours is set aside."""
    accepted.result.event_id = accepted.event_id
    entries = [Entry(accepted.member, accepted.event_id, plan, accepted.result) for plan in accepted.member.plans]
    if accepted.member.source.echo_of is not None:
        entries = [entry for entry in entries if not echo.heard(unit, entry)]
    _set_aside(unit, accepted, entries)
    return entries


def _write_wave(unit: Unit, wave: Sequence[Entry]) -> None:
    if wave:
        seats.keep(unit, enroll.apply(unit, wave))


def _set_aside(unit: Unit, accepted: _Accepted, entries: Sequence[Entry]) -> None:
    if not accepted.member.unreadable and not any(entry.plan.unmapped or entry.plan.ignored for entry in entries):
        return
    rows = []
    for plan in (entry.plan for entry in entries):
        accepted.result.unmapped += len(plan.unmapped)
        accepted.result.ignored += len(plan.ignored)
        if plan.command.action is Action.ENROLL:
            rows += [enroll.quarantined(accepted.member, accepted.event_id, plan, item) for item in plan.unmapped]
    rows += [
        quarantine.QuarantineRow(
            event_id=accepted.event_id,
            source=accepted.member.source.name,
            kind="unreadable",
            learner_key="",
            remote_product_id="",
            line=row,
            business_key="",
            command="",
            occurred_at=accepted.member.now,
            note=f"{row}: {why}" if row else why,
        )
        for row, why in accepted.member.unreadable.items()
    ]
    if rows:
        quarantine.keep(unit, rows, accepted.member.now)


def _repeat(unit: Unit, member: Member) -> Result:
    event_id = events.original(unit, member.source.name, member.event.event_key or "")
    lines = [
        AcceptedLine(
            row.id, row.remote_product_id, member.product_url(row.remote_product_id), repeat=True, state=row.state
        )
        for row in events.registrations_of(unit, event_id)
    ]
    # An event without lines says again why it has none.
    unmapped, ignored = (sum(len(getattr(plan, name)) for plan in member.plans) for name in ("unmapped", "ignored"))
    return Result(event_id=event_id, lines=lines, unmapped=unmapped, ignored=ignored, repeat=True)


def reception(result: Result, plans: Sequence[CommandPlan]) -> Reception:
    """Say what became of an accepted event, for the adapter to put into the protocol's words."""
    found: Kind = "accepted"
    if result.lines or result.parked:
        pass
    elif result.not_found:
        found = "not_found"
    elif result.unmapped:
        found = "unmapped"
    elif not plans or result.ignored:
        found = "ignored"
    return Reception(found, lines=tuple(result.lines), event_id=result.event_id, learner_id=result.learner_id)
