"""Accepting: a verified event and its commands become rows, in one transaction shared with whoever else waits.

Runs in the ledger's writer. Within a group the events are deduplicated first; plain purchases of different people are
then written set-based, and everything else one after the other, as it came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.contract.command import Action
from bridge.contract.inbound import AcceptedLine, Reception
from bridge.intake import change, enroll
from bridge.intake.plan import CommandPlan
from bridge.intake.result import Entry, Member, Result
from bridge.ledger import events, quarantine
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
    _apply(unit, fresh)
    done = iter(fresh)
    return [
        next(done).result if event_id is not None else _repeat(unit, member)
        for member, event_id in zip(members, ids, strict=True)
    ]


def _apply(unit: Unit, fresh: Sequence[_Accepted]) -> None:
    wave: list[Entry] = []
    seen: set[str] = set()
    for accepted in fresh:
        accepted.result.event_id = accepted.event_id
        _set_aside(unit, accepted)
        for plan in accepted.member.plans:
            entry = Entry(accepted.member, accepted.event_id, plan, accepted.result)
            people = enroll.people(entry) if plan.command.action is Action.ENROLL else None
            if people is None or people & seen:
                _write_wave(unit, wave)
                wave, seen = [], set()
            if people is None:
                change.apply(unit, entry)
            elif plan.lines:
                wave.append(entry)
                seen |= people
    _write_wave(unit, wave)


def _write_wave(unit: Unit, wave: Sequence[Entry]) -> None:
    if wave:
        enroll.apply(unit, wave)


def _set_aside(unit: Unit, accepted: _Accepted) -> None:
    rows = []
    for plan in accepted.member.plans:
        accepted.result.unmapped += len(plan.unmapped)
        accepted.result.ignored += len(plan.ignored)
        if plan.command.action is Action.ENROLL:
            rows += [enroll.quarantined(accepted.member, accepted.event_id, plan, item) for item in plan.unmapped]
    if accepted.member.unreadable is not None:
        rows.append(
            quarantine.QuarantineRow(
                event_id=accepted.event_id,
                source=accepted.member.source.name,
                kind="unreadable",
                learner_key="",
                remote_product_id="",
                line="",
                business_key="",
                command="",
                occurred_at=accepted.member.now,
                note=accepted.member.unreadable,
            )
        )
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
    if result.lines:
        return Reception("accepted", lines=tuple(result.lines), event_id=result.event_id)
    if result.not_found:
        return Reception("not_found", event_id=result.event_id)
    if result.unmapped:
        return Reception("unmapped", event_id=result.event_id)
    if not plans or result.ignored:
        return Reception("ignored", event_id=result.event_id)
    return Reception("accepted", event_id=result.event_id)
