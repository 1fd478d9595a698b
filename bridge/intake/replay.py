"""Replaying: an event that is in the ledger is understood anew from its stored bytes, by the adapter and mapping of today.

It never undoes what a newer event did, and a purchase that stands becomes what the mapping of today says of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from bridge.contract.catalogue import Catalogue, SourceEntry
from bridge.contract.command import Action
from bridge.contract.errors import PayloadInvalid
from bridge.contract.inbound import Enriches, InboundAdapter, Lookup
from bridge.intake import enroll
from bridge.intake.accept import accept_again
from bridge.intake.intake import enriches, understood
from bridge.intake.plan import CommandPlan, plan
from bridge.intake.result import Member, Result, of_kept
from bridge.intake.stored import event_of
from bridge.ledger import events, quarantine, replays
from bridge.ledger.events import OPERATOR
from bridge.ledger.unit import Unit

CLAIM = "claim"
"""What stands for the adapter where an event is about one seat: it was claimed, or an operator took it back."""

_KEPT = frozenset({"repeated", "confirmed", "noted", "older"})
"""Effects that say nothing new of a registration: what the event did to it first stays on record."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of one event.

    Attributes:
        became: ``replayed``, ``unchanged``, or ``impossible`` with the reason in ``note``.
        actions: what the event means today, one word a command.
        effects: registration id, its product, what the event did to it before (or None), what it did now.
        opened: how many deliveries it opened, by target.
        unmapped: lines that wait in quarantine because of it. ``lookups``: questions that are asked at the sender again.
    """

    event_id: int
    source: str
    became: str
    note: str = ""
    actions: tuple[str, ...] = ()
    effects: tuple[Mapping[str, Any], ...] = ()
    opened: Mapping[str, int] = field(default_factory=dict)
    unmapped: int = 0
    lookups: int = 0


@dataclass(frozen=True, slots=True)
class Replayable:
    """An event of the ledger, understood; ready to be written in one transaction."""

    row: Any
    member: Member | None
    note: str = ""


def prepare(
    row: Any, source: SourceEntry | None, adapter: InboundAdapter | None, catalogue: Catalogue, now: int
) -> Replayable:
    """Understand a stored event by today's adapter and mapping; nothing is written."""
    if source is None or adapter is None:
        return Replayable(row, None, "its source is not configured any more")
    if row.adapter == CLAIM:
        return Replayable(
            row, None, "it is about one seat: replay the event of its order line, which carries its seats along"
        )
    if row.adapter == OPERATOR:
        return Replayable(row, None, "it is what an operator decided, and stands")
    if row.encoding == "emptied":
        return Replayable(row, None, "its bytes are older than [ledger] keep_events and were emptied")
    event = event_of(row)
    lookups: Sequence[Lookup] = ()
    try:
        meanings = adapter.normalise(event)
        if enriches(type(adapter)):
            lookups = cast("Enriches", adapter).lookups(event)
    except PayloadInvalid as fault:
        return Replayable(row, None, f"it still can't be read: {fault}")
    except Exception as fault:  # noqa: BLE001 - one adapter's defect must not stop the other events
        return Replayable(row, None, f"the adapter failed: {type(fault).__name__}")
    commands, faults = understood(meanings, source, event.received_at)
    member = of_kept(
        source,
        tuple(plan(command, source, catalogue) for command in commands),
        catalogue,
        now,
        unreadable={where: str(fault) for where, fault in faults.items()},
        lookups=tuple(lookups),
        again=True,
        late=True,
    )
    return Replayable(row, member)


def replay(unit: Unit, ready: Replayable, *, dry_run: bool) -> Replay:
    """Write an event once more; with ``dry_run`` everything is done, told, and taken back."""
    if ready.member is None:
        return Replay(ready.row.id, ready.row.source, "impossible", ready.note)
    if not dry_run:
        return _replayed(unit, ready, ready.member)
    with unit.taken_back():
        return _replayed(unit, ready, ready.member)


def _replayed(unit: Unit, ready: Replayable, member: Member) -> Replay:
    event_id = ready.row.id
    before = replays.effects(unit, event_id)
    open_before = replays.opened(unit, event_id)
    quarantine.end_of_event(unit, event_id, "replayed", member.now)
    member = replace(member, plans=tuple(_standing(unit, member, one, event_id) for one in member.plans))
    result: Result = accept_again(unit, member, event_id)
    if not member.unreadable:
        replays.understood(unit, event_id)
    after = replays.effects(unit, event_id)
    _keep_first(unit, event_id, before, after)
    effects = [
        {"registration_id": i, "remote_product_id": product, "before": before.get(i, (None, ""))[0], "after": effect}
        for i, (effect, product) in after.items()
    ]
    opened = {target: n for target, n in replays.opened(unit, event_id).items() if n != open_before.get(target)}
    changed = opened or result.unmapped or any(one["after"] not in _KEPT for one in effects) or member.lookups
    return Replay(
        event_id,
        ready.row.source,
        "replayed" if changed else "unchanged",
        "" if member.plans or member.lookups else "it means nothing to the bridge",
        actions=tuple(one.command.action.value for one in member.plans),
        effects=tuple(effects),
        opened=opened,
        unmapped=result.unmapped,
        lookups=len(member.lookups),
    )


def _standing(unit: Unit, member: Member, one: CommandPlan, event_id: int) -> CommandPlan:
    """Leave out the lines that waited in quarantine until a later event took them back: no registration tells of that."""
    command = one.command
    if command.action is not Action.ENROLL:
        return one
    gone = [
        item
        for item in (*one.unmapped, *(line.item for line in one.lines))
        if quarantine.taken_back(unit, enroll.quarantined(member, event_id, one, item))
    ]
    if not gone:
        return one
    lines = tuple(line for line in one.lines if line.item not in gone)
    return replace(one, lines=lines, unmapped=tuple(item for item in one.unmapped if item not in gone))


def _keep_first(
    unit: Unit, event_id: int, before: Mapping[int, tuple[str, str]], after: Mapping[int, tuple[str, str]]
) -> None:
    lost = [(event_id, i, effect) for i, (effect, _) in before.items() if after[i][0] in _KEPT and effect not in _KEPT]
    events.record_effects(unit, lost)
